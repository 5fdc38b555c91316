"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: str | os.PathLike[str], *, secret: bool = False) -> Iterator[Path]:
    """Write under the temporary name given; the file takes its place at the end, or nothing changes.

    Args:
        path: Where the file shall be in the end; what is there is replaced.
        secret: Whether it is there already, empty, and only its owner can read it.

    Yields:
        The name to write to, in the same folder.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     target = pathlib.Path(folder) / "note.txt"
        ...     with whole_file(target) as temporary:
        ...         _ = temporary.write_text("all of it")
        ...     target.read_text()
        'all of it'
    """
    target = Path(path)
    # No other process has this name, nor one on another machine that writes to the same folder.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{uuid4().hex}.part")
    try:
        if secret:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
