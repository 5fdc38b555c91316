"""Files that appear whole or not at all, and files that one run holds at a time."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from dataworth.errors import InputError

__all__ = ["locked", "remember_names", "told_if_full", "whole_file"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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


@contextmanager
def told_if_full(folder: Path, spare: str = "") -> Iterator[None]:
    """Say so if the disk gets full while a run keeps its work, which can go on.

    Args:
        folder: What the run was told to write to.
        spare: What would take less room, such as ``"; spill=False keeps no links"``.

    Raises:
        InputError: It has got full.
    """
    try:
        yield
    except OSError as trouble:
        if trouble.errno in _FULL:
            raise InputError(
                f"{str(folder)!r} has no room left ({os.strerror(trouble.errno)}); make some and go on with the same "
                f"call{spare}"
            ) from trouble
        raise


def remember_names(folder: Path) -> None:
    """Have the disk keep new names in a folder, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: str | os.PathLike[str], *, secret: bool = False) -> Iterator[bool]:
    """Hold a file, which is made if need be, so that nobody else does; it may be removed meanwhile.

    Where the system or the file system knows no locks, nobody is kept out.

    Args:
        path: The file.
        secret: Whether only its owner can read it.

    Yields:
        False if another holds it, on this machine or in this process.

    Raises:
        OSError: The file cannot be made.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, locked(pathlib.Path(folder, "lock")) as alone:
        ...     alone
        True
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600 if secret else 0o666)
        try:
            alone = _locked(handle)
            if alone and not _is_there(handle, path):  # whoever held it removed it just now
                continue
            yield alone
            return
        finally:
            os.close(handle)


def _locked(handle: int) -> bool:
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def _is_there(handle: int, path: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
