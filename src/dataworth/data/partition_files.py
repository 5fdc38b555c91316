"""A data set split into one file or folder a provider: tables as Parquet, images with their pixels untouched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataworth.data.columns import images_of, labels_of, names_of
from dataworth.data.images import encoded, labelled_folder
from dataworth.data.partition import Partition, Split, partition_rows
from dataworth.data.tables import OpenTable, open_table, quoted
from dataworth.errors import DataError, InputError
from dataworth.records.items import is_pixels

__all__ = ["MANIFEST", "partition_source"]

MANIFEST = "manifest.json"

_FORMAT = "dataworth-partition/1"
_NOTE = "simulated providers, split from raw data that one party holds; nothing here is private"
_FORBIDDEN = frozenset('/\\:*?"<>|')  # what some file system takes for something else
_LONGEST = 100  # characters of a name


def partition_source(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    how: Split | str = Split.CONTIGUOUS,
    providers: int | None = None,
    label: str | None = None,
    id: str | None = None,
    column: str | None = None,
    alpha: float | None = None,
    sizes: Sequence[int] | Sequence[float] | None = None,
    label_noise: float | Sequence[float] = 0.0,
    duplicates: float | Sequence[float] = 0.0,
    allow_empty: bool = False,
    seed: int = 0,
) -> Partition:
    r"""Split a data set and write a part for each provider, and a ``manifest.json`` that says how.

    A table becomes ``usr0.parquet``, ``usr1.parquet`` and so on, with the columns it has, in files of their own. Images
    (a folder with one sub-folder a class, or an NPZ file with images in ``x``) become ``usr0/LABEL/NAME``: files are
    copied byte by byte, pixels are written as PNG, which loses nothing. A split by column names providers as the
    column does. The manifest holds what was asked for, not what the rows are. A provider without rows gets no file.

    Args:
        source: The table, folder or NPZ file.
        out: A folder that is not there yet, or empty. It appears whole or not at all.
        how: As for :func:`partition_rows`, which says what each way does.
        providers: How many.
        label: The column of labels, where the split or label noise needs them; images in a folder have their
            sub-folders' names.
        id: The column of unique names: copies get names of their own (``-copy1`` behind), and names become text.
            Without it, copies repeat every column.
        column: For ``how="column"``: the column that says whose each row is.
        alpha: As for :func:`partition_rows`.
        sizes: As for :func:`partition_rows`.
        label_noise: As for :func:`partition_rows`.
        duplicates: As for :func:`partition_rows`.
        allow_empty: As for :func:`partition_rows`.
        seed: As for :func:`partition_rows`.

    Returns:
        What went where.

    Raises:
        InputError: The folder holds something already, or options do not go together.
        MethodError: Parameters that :func:`partition_rows` refuses.
        DataError: A source, column or split that cannot be used, or a label or provider whose name no file can have.
        MissingExtra: Pillow is not installed, and pixels are to be written.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     table = pathlib.Path(name) / "table.csv"
        ...     _ = table.write_text("a,y\n1,cat\n2,dog\n3,cat\n4,dog\n")
        ...     split = partition_source(table, pathlib.Path(name) / "providers", providers=2)
        ...     sorted(path.name for path in (pathlib.Path(name) / "providers").iterdir())
        ['manifest.json', 'usr0.parquet', 'usr1.parquet']
    """
    origin, target = Path(source), Path(out)
    _check_target(origin, target)
    kind = _opened(origin, label, id, column)
    split = partition_rows(
        kind.rows,
        how=how,
        providers=providers,
        y=kind.labels,
        alpha=alpha,
        sizes=sizes,
        column=kind.owners,
        label_noise=label_noise,
        duplicates=duplicates,
        allow_empty=allow_empty,
        seed=seed,
    )
    _check_names(split.names, "provider")
    with _whole_folder(target) as folder:
        files = kind.write(split, folder)
        about = {
            "format": _FORMAT,
            "note": _NOTE,
            **split.parameters,
            **({"column": column} if column is not None else {}),
            "names": [{"provider": name, "file": file} for name, file in zip(split.names, files, strict=True)],
        }
        (folder / MANIFEST).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return split


# -- kinds of sources ------------------------------------------------------------------------------


class _Table:
    """A table, read whole."""

    def __init__(self, table: OpenTable, label: str | None, id: str | None, column: str | None) -> None:
        asked = {"label": label, "id": id, "column": column}
        for part, name in asked.items():
            if name is not None and name not in table.columns:
                raise DataError(f"{table.name} has no column {name!r} ({part}=); it has {quoted(table.columns)}")
        self._columns = table.read(table.columns, [name for name in (id, column) if name is not None])
        self.rows = self._columns.num_rows
        if self.rows == 0:
            raise DataError(f"{table.name} has no rows")
        self.labels = None if label is None else labels_of(self._columns, label)
        self.owners = None if column is None else names_of(self._columns, column, "provider")
        self._label, self._id = label, id
        self._ids = None if id is None else names_of(self._columns, id, "id")

    def write(self, split: Partition, folder: Path) -> list[str | None]:
        return [self._write(split, at, folder) if len(split.rows[at]) else None for at in range(len(split))]

    def _write(self, split: Partition, at: int, folder: Path) -> str:
        part = self._columns.take(pa.array(split.rows[at]))
        if self._label is not None and self.labels is not None and split.labels is not None and split.changed[at].any():
            # Each label is taken from a row that has it, so that it is stored exactly as in the source.
            classes, first = np.unique(self.labels, return_index=True)
            donors = first[np.searchsorted(classes, split.labels[at])]
            part = _put(part, self._label, self._columns[self._label].take(pa.array(donors)))
        if self._id is not None and self._ids is not None and any(split.copies):
            part = _put(part, self._id, pa.array(_copy_names(self._ids[split.rows[at]], split.copy_number(at))))
        pq.write_table(part, folder / f"{split.names[at]}.parquet")
        return f"{split.names[at]}.parquet"


class _Folder:
    """A folder with one sub-folder of images a class."""

    owners: NDArray[Any] | None = None

    def __init__(self, folder: Path) -> None:
        self._paths, labels, ids = labelled_folder(folder)
        self.rows = len(self._paths)
        self.labels: NDArray[Any] | None = np.array(labels)
        self._names = [name.partition("/")[2] for name in ids]

    def write(self, split: Partition, folder: Path) -> list[str | None]:
        return _write_images(split, folder, self._names, lambda row: _content(self._paths[row]))


class _Pixels:
    """Images as an array."""

    def __init__(self, table: OpenTable, features: str, label: str, column: str | None) -> None:
        held = table.read([features, label, *([column] if column is not None else [])], [])
        self._images: Sequence[Any] = images_of(features, held[features], table.folder)
        self.rows = len(self._images)
        self.labels: NDArray[Any] | None = labels_of(held, label)
        self.owners = None if column is None else names_of(held, column, "provider")
        width = len(str(self.rows - 1))
        self._names = [f"{row:0{width}d}.png" for row in range(self.rows)]

    def write(self, split: Partition, folder: Path) -> list[str | None]:
        return _write_images(split, folder, self._names, lambda row: encoded(_as_png(self._images[row])))


def _opened(origin: Path, label: str | None, id: str | None, column: str | None) -> _Table | _Folder | _Pixels:
    if origin.is_dir():
        given = {"label": label, "id": id, "column": column}
        named = [f"{part}=" for part, name in given.items() if name is not None]
        if named:
            raise InputError(
                f"{str(origin)!r} is a folder of images, which has no columns (labels are the names of its "
                f"sub-folders): leave out {', '.join(named)}"
            )
        return _Folder(origin)
    table = open_table(origin)
    label = label if label is not None else table.usual.get("label")
    features = table.usual.get("features")
    if features is not None and label in table.columns and label is not None and _holds_images(table, features):
        if id is not None:
            raise InputError("images of an NPZ file are named by their places; leave out id=")
        if column is not None and column not in table.columns:
            raise DataError(f"{table.name} has no column {column!r} (column=); it has {quoted(table.columns)}")
        return _Pixels(table, features, label, column)
    return _Table(table, label, id, column)


def _holds_images(table: OpenTable, features: str) -> bool:
    kind = table.read([features], ())[features].type
    if not isinstance(kind, pa.FixedShapeTensorType) or kind.value_type != pa.uint8():
        return False
    return bool(is_pixels(np.empty(tuple(kind.shape), dtype=np.uint8)))


# -- writing ---------------------------------------------------------------------------------------


def _write_images(split: Partition, folder: Path, names: Sequence[str], content: Any) -> list[str | None]:
    """Each provider's images as files below its folder, in a sub-folder a class."""
    if split.labels is None:
        raise DataError("images need labels")  # kept by the readers above
    _check_names([str(label) for label in np.unique(np.concatenate(split.labels)).tolist()], "label")
    written: list[str | None] = []
    for at, name in enumerate(split.names):
        taken: set[str] = set()
        for row, label, copy in zip(
            split.rows[at].tolist(), split.labels[at].tolist(), split.copy_number(at).tolist(), strict=True
        ):
            place = _free(f"{label}/{names[row]}", copy, taken)
            path = folder / name / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(row))
        written.append(name if len(split.rows[at]) else None)
    return written


def _free(place: str, copy: int, taken: set[str]) -> str:
    """A path that nothing has yet: a copy says so, and an image under a new label makes way for one there before."""
    stem, dot, suffix = place.rpartition(".")
    stem, number = (f"{stem}-copy{copy}" if copy else stem), 1
    name = f"{stem}{dot}{suffix}"
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}{dot}{suffix}"
    taken.add(name.casefold())
    return name


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise DataError(f"image {str(path)!r} is no ordinary file")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"image {str(path)!r} cannot be opened: {error.strerror}") from None


def _as_png(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _put(part: pa.Table, name: str, values: Any) -> pa.Table:
    return part.set_column(part.column_names.index(name), name, values)


def _copy_names(ids: NDArray[Any], number: NDArray[np.int64]) -> list[str]:
    return [
        f"{name}-copy{copy}" if copy else str(name) for name, copy in zip(ids.tolist(), number.tolist(), strict=True)
    ]


def _check_names(names: Sequence[str], part: str) -> None:
    """Refuse names that would be no file, another file, or the file of two."""
    for name in names:
        if not 1 <= len(name) <= _LONGEST or not name.isprintable() or name[0] in ". " or name[-1] in ". ":
            raise DataError(
                f"a {part} called {name[:_LONGEST]!r} cannot name a file: rename it to 1 to {_LONGEST} printable "
                "characters without a dot or space at either end"
            )
        if _FORBIDDEN & set(name):
            raise DataError(
                f"a {part} called {name!r} cannot name a file: rename it without {' '.join(sorted(_FORBIDDEN))}"
            )
    if len({name.casefold() for name in names}) < len(names):
        raise DataError(
            f"some names of {part}s differ in capital letters alone, which not every file system tells apart"
        )


def _check_target(origin: Path, target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InputError(f"{str(target)!r} is there already and is no folder; name one that is not there yet")
    if target.exists() and any(target.iterdir()):
        raise InputError(f"the folder {str(target)!r} holds something already; name one that is empty or not there yet")
    if not target.parent.is_dir():
        raise InputError(f"the folder {str(target.parent)!r} does not exist; create it first")
    if origin.is_dir() and origin.resolve() in (target.resolve(), *target.resolve().parents):
        raise InputError(f"{str(target)!r} lies in the folder that is to be split; write somewhere else")


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """Write into the folder given; it takes the target's place at the end, or nothing changes."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        yield temporary
        if target.exists():
            target.rmdir()  # an empty one; whatever has come into it meanwhile stays
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
