"""What has weights: texts and images turned into unit vectors, and the cache that saves doing it twice."""

from dataworth.models.embed import IMAGE_MODELS, TEXT_MODELS, Embedder, embed, image_embedder, text_embedder

__all__ = ["IMAGE_MODELS", "TEXT_MODELS", "Embedder", "embed", "image_embedder", "text_embedder"]
