"""The outside world: tables and images as they come, opened and checked."""
