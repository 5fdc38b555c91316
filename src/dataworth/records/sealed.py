"""Files of arrays with a digest of everything in them: NumPy's ``.npz``, without pickles."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.records.files import whole_file

__all__ = ["digest_of", "read_sealed", "write_sealed"]

# What a damaged or malicious file can raise: an array of many terabytes by its header, lists in lists without end, ...
_STRANGE = (
    EOFError, KeyError, TypeError, ValueError, OSError, NotImplementedError, BadZipFile, zlib.error, AttributeError,
    MemoryError, RecursionError,
)  # fmt: skip


def write_sealed(
    path: str | os.PathLike[str],
    made: str,
    about: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    *,
    secret: bool = False,
) -> Path:
    """Write arrays and plain facts; the file appears whole or not at all.

    Args:
        path: Where to.
        made: Name and version of the format.
        about: What JSON can say.
        arrays: By name; no Python objects, and none called ``about``.
        secret: Whether only its owner shall be able to read the file.

    Returns:
        The path written.
    """
    facts = {"format": made, **about}
    sealed = json.dumps({**facts, "digest": digest_of(facts, arrays)}, default=float)
    with whole_file(path, secret=secret) as temporary, temporary.open("wb") as file:
        np.savez(file, about=np.array(sealed), **arrays)  # type: ignore[arg-type]  # the stubs mix up keywords
    return Path(path)


def read_sealed(
    path: str | os.PathLike[str], made: str, what: str, maker: str
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what :func:`write_sealed` wrote.

    Args:
        path: Where from.
        made: Name and version of the format that is expected.
        what: What the file should be, for messages, for example ``"index"``.
        maker: What writes such files, for messages.

    Returns:
        The facts and the arrays.

    Raises:
        DataError: There is no such file, it is something else, of another format, or does not fit its digest.
    """
    name = repr(os.fspath(path))
    try:
        opened = np.load(path, allow_pickle=False)
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise ValueError("one array only")
        with opened:
            arrays = {key: opened[key] for key in opened.files}
        about = json.loads(str(arrays.pop("about")[()]))
        found, digest = about["format"], about.pop("digest")
    except FileNotFoundError:
        raise DataError(f"there is no file {name}") from None
    except _STRANGE as trouble:
        raise DataError(
            f"{name} is no {what}, or a damaged one ({type(trouble).__name__}); {maker} writes such files"
        ) from None
    if found != made:
        raise DataError(f"{name} has format {found!r}; this dataworth reads {made!r}")
    if digest != digest_of(about, arrays):
        raise DataError(f"{name} is damaged: it does not fit its digest; make it anew")
    return about, arrays


def digest_of(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """A digest of facts and arrays, types and shapes included."""
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True, default=float).encode(), digest_size=32)
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
