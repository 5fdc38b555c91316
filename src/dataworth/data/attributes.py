"""What images show, as CelebA writes it down: one line an image, one mark an attribute."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.records.arrays import read_only

__all__ = ["Attributes", "read_attributes"]

_MARKS = {"1": True, "-1": False}


@dataclass(frozen=True, eq=False, repr=False)
class Attributes:
    """Which attributes each image shows.

    Args:
        ids: File names of the images, shape ``(n,)``.
        names: Names of the attributes, ``a`` of them.
        marks: Whether an image shows an attribute, bool, shape ``(n, a)``.
    """

    ids: NDArray[Any]
    names: tuple[str, ...]
    marks: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def __repr__(self) -> str:
        return f"Attributes({len(self)} images, {len(self.names)} attributes)"

    def of(self, ids: Sequence[str] | NDArray[Any]) -> NDArray[np.bool_]:
        """The marks of some images, in the order given.

        Args:
            ids: File names, or paths that end in them (``img_align_celeba/000001.jpg``).

        Returns:
            bool, shape ``(len(ids), a)``.

        Raises:
            DataError: Some of the images are not among these.
        """
        where = {name: at for at, name in enumerate(self.ids.tolist())}
        files = [str(name).rpartition("/")[2] for name in ids]
        absent = [name for name in files if name not in where]
        if absent:
            raise DataError(f"{len(absent)} of {len(files)} images have no attributes; the first is {absent[0]!r}")
        marks: NDArray[np.bool_] = self.marks[[where[name] for name in files]]
        return marks


def read_attributes(path: str | os.PathLike[str]) -> Attributes:
    r"""Read the attributes of CelebA's images, as the data set has them or as comma-separated values.

    The data set's own file (``list_attr_celeba.txt``) has the number of images in its first line, the names of the
    attributes in its second, and then a line an image: its file name, and 1 or -1 for each attribute. In a file that
    ends in ``.csv`` the first line names the columns, of which the first is the image's file name.

    Args:
        path: The file, in UTF-8.

    Raises:
        DataError: The file cannot be opened, or is not of that form; the message gives the first line that is not.

    Example:
        >>> lines = ["2", "Eyeglasses Male", "000001.jpg -1  1", "000002.jpg  1 -1"]
        >>> _ = Path("list_attr_celeba.txt").write_text("\n".join(lines))
        >>> attributes = read_attributes("list_attr_celeba.txt")
        >>> attributes
        Attributes(2 images, 2 attributes)
        >>> attributes.of(["000002.jpg"])
        array([[ True, False]])

    Source: Z. Liu, P. Luo, X. Wang, X. Tang, "Deep Learning Face Attributes in the Wild" (2015), whose data set it is.
    """
    file = Path(path)
    name = repr(str(file))
    lines = _lines(file, name)
    if file.suffix.lower() == ".csv":
        return _from_csv(lines, name)
    return _from_text(lines, name)


def _from_text(lines: list[str], name: str) -> Attributes:
    count = lines[0].strip()
    if not (count.isascii() and count.isdigit()):
        raise DataError(f"line 1 of {name} must be the number of images and nothing else, not {_short(lines[0])}")
    if len(lines) < 2:
        raise DataError(f"{name} ends after line 1; line 2 names the attributes")
    found = _read(((at, line.split()) for at, line in enumerate(lines[2:], start=3)), lines[1].split(), 2, name)
    if len(found) != int(count):
        raise DataError(f"line 1 of {name} says that there are {int(count):,} images, but {len(found):,} follow")
    return found


def _from_csv(lines: list[str], name: str) -> Attributes:
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise DataError(f"line {reader.line_num} of {name} cannot be read as CSV: {error}") from None
    return _read(iter(rows[1:]), rows[0][1][1:], 1, name)


def _read(rows: Iterator[tuple[int, list[str]]], names: list[str], line: int, name: str) -> Attributes:
    """The rows, each with the number of its line; ``line`` is the number of the line of names."""
    if not names:
        raise DataError(f"line {line} of {name} names no attributes")
    repeated = sorted({attribute for attribute in names if names.count(attribute) > 1})
    if repeated or "" in names:
        what = f"repeats {repeated[0]!r}" if repeated and repeated[0] else "has an attribute without a name"
        raise DataError(f"line {line} of {name} {what}")
    seen: dict[str, int] = {}
    marks: list[list[bool]] = []
    for at, fields in rows:
        if len(fields) != len(names) + 1:
            raise DataError(
                f"line {at} of {name} has {len(fields)} fields, but {len(names) + 1} are needed: the image's file name "
                f"and a mark for each of {len(names)} attributes"
            )
        image, *given = fields
        if not image:
            raise DataError(f"line {at} of {name} has no file name")
        if image in seen:
            raise DataError(f"line {at} of {name} repeats {_short(image)} of line {seen[image]}")
        seen[image] = at
        try:
            marks.append([_MARKS[mark] for mark in given])
        except KeyError:
            column = next(where for where, mark in enumerate(given) if mark not in _MARKS)
            raise DataError(
                f"line {at} of {name} has {_short(given[column])} for {names[column]!r}; a mark is 1 or -1"
            ) from None
    if not marks:
        raise DataError(f"{name} has no images")
    return Attributes(read_only(np.array(list(seen))), tuple(names), read_only(np.array(marks, dtype=np.bool_)))


def _lines(file: Path, name: str) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"attributes file {name} cannot be opened: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{name} is no text in UTF-8, so it is no file of attributes") from None
    lines = text.rstrip().split("\n")
    if lines == [""]:
        raise DataError(f"{name} is empty")
    return lines


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
