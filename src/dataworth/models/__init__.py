"""What has weights: texts and images turned into unit vectors, and the cache that saves doing it twice."""
