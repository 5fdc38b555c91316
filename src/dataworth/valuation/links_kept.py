"""Links and counts of parts in files named by what they depend on, so that another run can take them over."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.data.sources import Part, Source
from dataworth.errors import DataError, InputError
from dataworth.records.files import whole_file
from dataworth.records.sealed import read_sealed, write_sealed

__all__ = ["FOLDER", "LinksKept", "LinksNoted"]

FOLDER = "_links"
"""Where links stay that later runs may take over; a name that begins with ``_`` is no data to readers of folders."""

_COUNTS = "dataworth.part-counts/1"
_ABOUT = "dataworth.links/1"


@dataclass(frozen=True)
class LinksKept:
    """Bits and counts of parts in a folder.

    What is damaged counts as not there and is made again from the rows.

    Args:
        folder: Where.
        links: A digest of what links depend on besides the rows: points, classes, metric, radius.
        files: What tells each file's content from any other that was at its path, by the path.
    """

    folder: Path
    links: str
    files: dict[str, str]

    @classmethod
    def of(cls, folder: Path, links: str, source: Source) -> LinksKept:
        """The links of a source's files."""
        return cls(
            folder,
            links,
            {file: _told(file, digest) for file, digest in zip(source.files, source.file_digests, strict=True)},
        )

    def keep(self, part: Part, counts: NDArray[np.int64], bits: NDArray[np.uint8] | None) -> None:
        """Keep the counts of a part, and its links first if they are kept, too."""
        check = 0
        if bits is not None:
            check = zlib.crc32(bits.data)
            with whole_file(self._bits(part)) as temporary:
                temporary.write_bytes(bits.data)
        write_sealed(self._counts(part), _COUNTS, {"key": self._key(part)}, {"counts": counts, "bits": np.array(check)})

    def counts(self, part: Part) -> NDArray[np.int64] | None:
        """The counts of a part, if they are there and whole."""
        known = self._read(part)
        return None if known is None else known["counts"]

    def bits(self, part: Part, shape: tuple[int, int]) -> NDArray[np.uint8] | None:
        """The links of a part, if they are there and whole."""
        known = self._read(part)
        try:
            bits = np.fromfile(self._bits(part), dtype=np.uint8)
        except OSError:
            return None
        if known is None or bits.size != shape[0] * shape[1] or zlib.crc32(bits.data) != known["bits"]:
            return None
        return bits.reshape(shape)

    # -- what later runs take over -----------------------------------------------------------------

    def note(self, rows_of_a_part: int) -> None:
        """Write what these links are of; the last thing to be written before the values' description."""
        about = {"links": self.links, "rows of a part": rows_of_a_part, "files": self.files}
        write_sealed(self.folder / "about.npz", _ABOUT, about, {})

    @classmethod
    def noted(cls, folder: Path) -> LinksNoted:
        """Links that a run has left.

        Raises:
            InputError: There are none.
            DataError: Their description is damaged.
        """
        if not (folder / "about.npz").exists():
            raise InputError(
                f"{str(folder.parent)!r} holds no links to go on from; value the rows with keep_links=True once, and "
                "later runs can take them over"
            )
        about, _ = read_sealed(folder / "about.npz", _ABOUT, "description of links", "dataworth")
        return LinksNoted(cls(folder, about["links"], about["files"]), about["rows of a part"])

    def shared(self, other: LinksKept) -> frozenset[str]:
        """The files of both.

        Raises:
            InputError: The other links are of other points, classes, columns, rows, metric or radius.
        """
        if other.links != self.links:
            raise InputError(
                f"{str(other.folder.parent)!r} holds links with other validation points, or of other classes, columns, "
                "rows, metric or radius; update with the same, or value all files anew"
            )
        return frozenset(file for file, told in self.files.items() if other.files.get(file) == told)

    def gone(self, other: LinksKept) -> frozenset[str]:
        """The other's files that are not among these, or have changed."""
        return frozenset(file for file, told in other.files.items() if self.files.get(file) != told)

    def take_over(self, other: LinksKept, parts: Sequence[Part]) -> None:
        """Take from another folder what these parts need and is not here yet.

        Files are not copied where the file system can name them twice.
        """
        for part in parts:
            for name in (self._bits(part).name, self._counts(part).name):
                there, here = other.folder / name, self.folder / name
                if there.exists() and not here.exists():
                    _same_file(there, here)

    # -- inside ------------------------------------------------------------------------------------

    def _key(self, part: Part) -> str:
        told = repr((self.links, part.file, self.files[part.file], part.groups, part.rows))
        return blake2b(told.encode(), digest_size=16).hexdigest()

    def _bits(self, part: Part) -> Path:
        return self.folder / f"bits-{self._key(part)}.bin"

    def _counts(self, part: Part) -> Path:
        return self.folder / f"counts-{self._key(part)}.npz"

    def _read(self, part: Part) -> dict[str, NDArray[Any]] | None:
        try:
            about, arrays = read_sealed(self._counts(part), _COUNTS, "file of counts", "dataworth")
        except DataError:
            return None
        return arrays if about.get("key") == self._key(part) else None


@dataclass(frozen=True)
class LinksNoted:
    """Links that a run has left.

    Args:
        links: The links.
        rows_of_a_part: How many rows its parts may have.
    """

    links: LinksKept
    rows_of_a_part: int


def _told(file: str, digest: str) -> str:
    """What changes with a file's content.

    Its name, size, time of change and footer can be those of other rows: a copy may keep its times, and an Arrow footer
    says nothing of rows. The time that the file system notes by itself can not.
    """
    try:
        about = os.stat(file)
    except OSError:
        raise DataError(f"{file!r} is gone or cannot be read") from None
    return f"{digest} {about.st_ino} {about.st_ctime_ns}"


def _same_file(there: Path, here: Path) -> None:
    with whole_file(here) as temporary:
        try:
            os.link(there, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(there, temporary)
