"""Rows dealt out to heaps on disk, so that those of one owner lie in one heap, which is small enough for memory.

A file has one blob a heap. Whoever deals writes one file, whole; whoever takes a heap reads its blob of every file.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.records.files import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["blob_size", "deal", "heaps_of", "keys_of", "read_blob", "read_dealt", "write_blobs"]

_INDEX = np.dtype([("offset", "<u8"), ("size", "<u8"), ("check", "<u8")])


def keys_of(owners: NDArray[Any]) -> NDArray[np.uint64]:
    """128-bit digests of owners' names, ``(n, 2)``: two owners are taken for one with a chance of 2**-64 at most.

    Example:
        >>> import numpy as np
        >>> keys = keys_of(np.array(["ann", "bob", "ann"]))
        >>> bool((keys[0] == keys[2]).all()), bool((keys[0] == keys[1]).any())
        (True, False)
    """
    if not owners.size:
        return np.empty((0, 2), dtype=np.uint64)
    names, inverse = np.unique(owners, return_inverse=True)
    digests = b"".join(blake2b(str(name).encode(), digest_size=16).digest() for name in names.tolist())
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2).astype(np.uint64)[inverse]


def heaps_of(keys: NDArray[np.uint64], heaps: int) -> NDArray[np.int64]:
    """The heap of each key, ``(n,)``."""
    return (keys[:, 0] % np.uint64(heaps)).astype(np.int64)


def deal(path: Path, table: pa.Table, heap: NDArray[np.int64], heaps: int) -> None:
    """Write the rows of a table as one blob a heap; within a heap they keep their order.

    Args:
        path: The file.
        table: The rows.
        heap: The heap of each, ``(n,)``.
        heaps: How many there are.
    """
    order = np.argsort(heap, kind="stable")
    ends = np.cumsum(np.bincount(heap, minlength=heaps)).tolist()
    dealt = table.take(order)
    write_blobs(path, [_encoded(dealt.slice(at, end - at)) for at, end in zip([0, *ends], ends, strict=False)])


def read_dealt(path: Path, heap: int) -> pa.Table:
    """The rows of a heap in one file.

    Raises:
        DataError: The file is damaged or not there.
    """
    import pyarrow as pa

    return pa.ipc.open_stream(read_blob(path, heap)).read_all()


def write_blobs(path: Path, blobs: Sequence[bytes]) -> None:
    """Write a file of blobs that only its owner can read; it appears whole or not at all.

    Args:
        path: The file.
        blobs: What is in it, in the order of their numbers.
    """
    index = np.zeros(len(blobs), dtype=_INDEX)
    index["size"] = [len(blob) for blob in blobs]
    index["offset"] = index.nbytes + np.concatenate([[0], np.cumsum(index["size"])[:-1]]) if blobs else []
    index["check"] = [_check(number, blob) for number, blob in enumerate(blobs)]
    with whole_file(path, secret=True) as temporary, temporary.open("wb") as file:
        file.write(index.tobytes())
        file.writelines(blobs)


def read_blob(path: Path, number: int) -> bytes:
    """One blob of a file.

    Raises:
        DataError: The file is damaged or not there.
    """
    try:
        with path.open("rb") as file:
            offset, size, check = _entry(file, number)
            if offset + size > os.fstat(file.fileno()).st_size:
                raise ValueError("it ends before that")
            file.seek(offset)
            blob = file.read(size)
            if _check(number, blob) != check:
                raise ValueError("it has changed")
            return blob
    except (OSError, ValueError, OverflowError) as trouble:
        raise DataError(
            f"{str(path)!r} is damaged or gone ({type(trouble).__name__}); remove it and make the same call again"
        ) from None


def blob_size(path: Path, number: int) -> int:
    """How many bytes a blob of a file has.

    Raises:
        DataError: The file is damaged or not there.
    """
    try:
        with path.open("rb") as file:
            return _entry(file, number)[1]
    except (OSError, ValueError) as trouble:
        raise DataError(f"{str(path)!r} is damaged or gone ({type(trouble).__name__})") from None


def _entry(file: BinaryIO, number: int) -> tuple[int, int, int]:
    file.seek(number * _INDEX.itemsize)
    ((offset, size, check),) = np.frombuffer(file.read(_INDEX.itemsize), dtype=_INDEX).tolist()
    return int(offset), int(size), int(check)


def _check(number: int, blob: bytes) -> int:
    return zlib.crc32(blob, number)


def _encoded(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
