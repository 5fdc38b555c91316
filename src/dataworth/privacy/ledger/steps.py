"""Named moments of writing, at which tests end the process to see what is left."""

__all__ = ["at"]


def at(step: str) -> None:
    """Do nothing."""
