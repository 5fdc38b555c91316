"""Files that are read part by part: found, checked by their footers, and read batch by batch."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from dataworth.data.columns import is_text
from dataworth.data.filters import Filter
from dataworth.data.tables import quoted
from dataworth.errors import DataError

__all__ = [
    "SUFFIXES",
    "PartFile",
    "Where",
    "able_groups",
    "batches_of",
    "buffer_of",
    "check_same",
    "check_unchanged",
    "decoding",
    "digest_of",
    "folder_of_tables",
    "footer_of",
    "held_bytes",
    "is_parquet",
    "naming",
    "paths_of",
    "places_of",
    "plain_kind",
    "runs_of",
    "would_find",
]

Where: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_PARQUET = (".parquet", ".pq")
_ARROW = (".arrow", ".feather", ".ipc")
SUFFIXES = (*_PARQUET, *_ARROW)
"""Of the files that are read part by part."""
_ARROW_MAGIC, _PARQUET_MAGIC = b"ARROW1", b"PAR1"
_BUFFER = 2**16  # bytes of each column read from a file at a time
_LEAST_BUFFER = 2**10
_PAGE = 2**20  # bytes of a page or a dictionary, as all usual writers make them
_COLUMN = 2**13  # bytes of what reads a column
_PARSED = 10  # bytes in memory for each byte of a footer
_BUFFERS = 2**23  # of all columns, unless they are more than thousands


@dataclass(frozen=True)
class PartFile:
    """What is known of a file after its footer was read.

    Attributes:
        path: Where it is.
        size: Its bytes.
        stamp: When it was changed, in nanoseconds.
        footer: A digest of its footer.
        groups: The rows of each of its row groups (Parquet) or record batches (Arrow).
        footer_bytes: How long its footer is.
        group_bytes: The bytes of its largest row group before compression; 0 for Arrow, which does not say.
    """

    path: str
    size: int
    stamp: int
    footer: str
    groups: tuple[int, ...]
    footer_bytes: int
    group_bytes: int

    @property
    def rows(self) -> int:
        """All its rows."""
        return sum(self.groups)

    def digest(self, name: str) -> str:
        """A digest of its size, time of change and footer, under a name."""
        return digest_of(name, self.size, self.stamp, self.footer)


# -- finding files -------------------------------------------------------------------------------


def paths_of(where: Where) -> list[str]:
    """All files meant, as absolute paths.

    Raises:
        DataError: One is not there, of no kind that is read in parts, or meant twice.
    """
    asked = _asked(where)
    if not asked:
        raise DataError("there are no files: the list is empty")
    paths = [path for one in asked for path in _files_of(os.fspath(one))]
    real = Counter(os.path.realpath(path) for path in paths)
    twice = [path for path in paths if real[os.path.realpath(path)] > 1]
    if twice:
        raise DataError(f"{twice[0]!r} is named twice; each file is read once")
    return paths


def _asked(where: Where) -> list[str | os.PathLike[str]]:
    return [where] if isinstance(where, (str, os.PathLike)) else list(where)


def places_of(where: Where) -> tuple[str, ...]:
    """What was asked for, as absolute paths: files, folders and patterns."""
    return tuple(os.path.abspath(os.fspath(one)) for one in _asked(where))


def would_find(places: Sequence[str], path: str) -> bool:
    """Whether :func:`paths_of` would take a file at this path for one that is meant, wherever links lead.

    Args:
        places: From :func:`places_of`.
        path: Where a file may be written.
    """
    lexical = Path(os.path.abspath(path))
    real = Path(os.path.realpath(lexical.parent), lexical.name)
    return any(_finds(place, file) for place in places for file in {lexical, real})


def _finds(place: str, file: Path) -> bool:
    if os.path.isdir(place):
        folder = Path(os.path.realpath(place))
        inside = file.is_relative_to(folder) and file != folder and _visible(file.relative_to(folder))
        return inside and file.suffix.lower() in SUFFIXES
    if os.path.exists(place) or not glob.has_magic(place):
        return os.path.realpath(place) == os.path.realpath(file)
    parts = Path(place).parts
    fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    real = (*Path(os.path.realpath(Path(*parts[:fixed]))).parts, *parts[fixed:])
    return any(_matches(some, file.parts) for some in {parts, real})


def _matches(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether ``glob`` would find a path by a pattern."""
    if not pattern:
        return not parts
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        deeper = bool(parts) and not parts[0].startswith(".") and _matches(pattern, parts[1:])
        return _matches(rest, parts) or deeper
    if not parts or (glob.has_magic(first) and parts[0].startswith(".") and not first.startswith(".")):
        return False
    same = fnmatch.fnmatch(parts[0], first) if glob.has_magic(first) else parts[0] == first
    return same and _matches(rest, parts[1:])


def folder_of_tables(folder: Path) -> bool:
    """Whether the first file in a folder or below is a table that is read part by part.

    Names that begin with ``.`` or ``_`` are looked over, as they are where the files are read.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = pathlib.Path(folder, "month=3", "rows.parquet")
        ...     made.parent.mkdir()
        ...     made.touch()
        ...     folder_of_tables(pathlib.Path(folder))
        True
    """
    for _, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        named = sorted(name for name in files if not name.startswith((".", "_")))
        if named:
            return Path(named[0]).suffix.lower() in SUFFIXES
    return False


def _files_of(where: str) -> list[str]:
    path = Path(where)
    if path.is_dir():
        inside = (below for below in path.rglob("*") if _visible(below.relative_to(path)))
        found = [below for below in inside if below.suffix.lower() in SUFFIXES and below.is_file()]
        if not found:
            raise DataError(f"the folder {where!r} has no file {_suffixes()} in it or below")
    elif path.exists() or not glob.has_magic(where):
        found = [path]
    else:
        found = [Path(name) for name in glob.glob(where, recursive=True) if Path(name).is_file()]
        if not found:
            raise DataError(f"no file matches {where!r}")
    for file in found:
        if not file.exists():
            raise DataError(f"there is no file {str(file)!r}")
        if file.suffix.lower() not in SUFFIXES:
            raise DataError(f"{str(file)!r} cannot be read part by part; these can: {_suffixes()}; write it as Parquet")
    return [os.path.abspath(file) for file in sorted(found, key=lambda file: file.parts)]


def _visible(path: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in path.parts)


def _suffixes() -> str:
    return ", ".join(SUFFIXES)


def is_parquet(path: str) -> bool:
    """Whether a file is Parquet by its name; it is Arrow otherwise."""
    return Path(path).suffix.lower() in _PARQUET


# -- footers -------------------------------------------------------------------------------------


def footer_of(path: str) -> tuple[PartFile, pa.Schema]:
    """What a file says of itself.

    Raises:
        DataError: It is damaged, cut short or of another format, or repeats a column.
    """
    kind = "Parquet" if is_parquet(path) else "Arrow"
    try:
        about = os.stat(path)
        digest, length = _tail(path, about.st_size)
        groups, schema, largest = _parquet_footer(path) if is_parquet(path) else (*_arrow_footer(path), 0)
        if min(groups, default=0) < 0:
            raise ValueError("its rows are fewer than none")
        repeated = [column for column, times in Counter(schema.names).items() if times > 1]
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError, StopIteration) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path!r} cannot be read as {kind}; it may be damaged or of another format: {reason}"
        ) from None
    if repeated:
        raise DataError(f"column names must be unique, but {path!r} repeats {quoted(repeated)}; rename them")
    return PartFile(path, about.st_size, about.st_mtime_ns, digest, groups, length, largest), schema


def _tail(path: str, size: int) -> tuple[str, int]:
    """A digest of the footer, which both formats end with: footer, its length, magic word; and that length."""
    magic = _PARQUET_MAGIC if is_parquet(path) else _ARROW_MAGIC
    with open(path, "rb") as file:
        if size == 0:
            raise ValueError("it is empty")
        start = file.read(len(magic))
        if start != magic:
            stream = magic == _ARROW_MAGIC and start[:4] == b"\xff\xff\xff\xff"
            raise ValueError("it is an Arrow stream; write it as an Arrow file" if stream else "it begins otherwise")
        end = len(magic) + 4
        file.seek(max(0, size - end))
        tail = file.read(end)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != magic or not 0 < length <= size - end - len(magic):
            raise ValueError("its end is missing or damaged")
        file.seek(size - end - length)
        return blake2b(file.read(length), digest_size=16).hexdigest(), length


def _parquet_footer(path: str) -> tuple[tuple[int, ...], pa.Schema, int]:
    with pq.ParquetFile(path) as file:
        about, schema = file.metadata, file.schema_arrow
        told = [about.row_group(at) for at in range(about.num_row_groups)]
        groups = tuple(group.num_rows for group in told)
        largest = max((group.total_byte_size for group in told), default=0)
        if sum(groups) != about.num_rows:
            raise ValueError("its row groups do not add up")
        last = max((at for at, rows in enumerate(groups) if rows), default=None)
        if last is not None and schema.names:  # one row from near its end: bytes may be lost from the middle
            next(file.iter_batches(1, row_groups=[last], columns=schema.names[-1:], use_threads=False))
    return groups, schema, largest


def _arrow_footer(path: str) -> tuple[tuple[int, ...], pa.Schema]:
    with pa.OSFile(path) as file, pa.ipc.open_file(file) as reader:
        schema, batches = reader.schema, reader.num_record_batches
    # The format does not say in one place how many rows a batch has; the cheapest column does.
    narrow = min(range(len(schema)), key=lambda at: _cost(schema.field(at).type), default=None)
    if narrow is None:
        return (), schema
    options = pa.ipc.IpcReadOptions(included_fields=[narrow], use_threads=False)
    with pa.OSFile(path) as file, pa.ipc.open_file(file, options=options) as reader:
        return tuple(reader.get_batch(at).num_rows for at in range(batches)), schema


def _cost(kind: pa.DataType) -> int:
    try:
        return int(kind.bit_width)
    except ValueError:
        return 2**31


def check_same(told: str, schema: pa.Schema, file: PartFile, other: pa.Schema) -> None:
    """Refuse a file whose columns are not those of another, in whatever order."""
    must = f"the files of a data set must have the same columns, but {file.path!r}"
    lacking, extra = sorted(set(schema.names) - set(other.names)), sorted(set(other.names) - set(schema.names))
    if lacking or extra:
        said = [f"lacks {quoted(lacking)}"] * bool(lacking) + [f"also has {quoted(extra)}"] * bool(extra)
        raise DataError(f"{must} {' and '.join(said)}, compared with {told!r}")
    for name in schema.names:
        here, there = (_settled_kind(one.field(name).type) for one in (other, schema))
        if here != there and not (file.rows == 0 and pa.types.is_null(here)):
            raise DataError(f"{must} has {name!r} as {here}, and {told!r} as {there}")


def plain_kind(kind: pa.DataType) -> pa.DataType:
    """A type without dictionary encoding or extension (tensors stay)."""
    if pa.types.is_dictionary(kind):
        return plain_kind(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.FixedShapeTensorType):
        return plain_kind(kind.storage_type)
    return kind


def _settled_kind(kind: pa.DataType) -> pa.DataType:
    """A type as far as it matters here: all texts are alike, and all lists of one type."""
    kind = plain_kind(kind)
    if is_text(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(kind.value_type)
    return kind


def digest_of(*parts: object) -> str:
    """A digest of texts, numbers and tuples of them."""
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()


# -- reading -------------------------------------------------------------------------------------


def check_unchanged(file: PartFile) -> None:
    """Refuse a file that is not the one that was opened.

    The footer alone would not tell: that of an Arrow file says nothing of its rows, and that of a Parquet file little
    if it has no statistics.

    Raises:
        DataError: It is gone, or has another size, time of change or footer.
    """
    try:
        about = os.stat(file.path)
        same = (about.st_size, about.st_mtime_ns) == (file.size, file.stamp)
        same = same and _tail_now(file.path, file.size, about.st_dev, about.st_ino, about.st_ctime_ns) == file.footer
    except (OSError, ValueError):
        same = False
    if not same:
        raise DataError(f"{file.path!r} is gone or has changed since it was opened")


@lru_cache(maxsize=256)
def _tail_now(path: str, size: int, device: int, number: int, changed: int) -> str:
    """Read again when anything was done to the file: footers of many row groups take milliseconds, parts are many.

    The time of change can be set to what it was, but that is a change to the file's entry, whose time cannot be set.
    """
    return _tail(path, size)[0]


@lru_cache(maxsize=8)
def _parquet_metadata(path: str, footer: str) -> pq.FileMetaData:
    """The footer, parsed once for all parts of a file."""
    return pq.read_metadata(path)


@lru_cache(maxsize=256)
def able_groups(file: PartFile, condition: Filter) -> frozenset[int]:
    """The row groups of a Parquet file in which, by their statistics, a row may pass."""
    from pyarrow import dataset, fs

    with decoding(file.path, range(len(file.groups))):
        fragment = dataset.ParquetFileFormat().make_fragment(file.path, filesystem=fs.LocalFileSystem())
        return frozenset(group.id for group in fragment.subset(condition.bound()).row_groups)


def batches_of(
    file: PartFile, groups: Sequence[int], columns: Sequence[str], *, texts: Sequence[str] = (), size: int
) -> Iterator[pa.RecordBatch]:
    """Some row groups or record batches, one after another, read with one thread.

    Args:
        file: The file.
        groups: Which of them.
        columns: The columns to read.
        texts: Columns of few different texts, which may come with dictionary encoding.
        size: How many rows come together at most.

    Raises:
        DataError: They cannot be decoded.
    """
    with decoding(file.path, groups):
        if is_parquet(file.path):
            yield from _parquet_batches(file, groups, columns, texts, size)
        else:
            yield from _arrow_batches(file, groups, columns, size)


def _parquet_batches(
    file: PartFile, groups: Sequence[int], columns: Sequence[str], texts: Sequence[str], size: int
) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(
        file.path,
        metadata=_parquet_metadata(file.path, file.footer),
        read_dictionary=list(texts),
        pre_buffer=False,  # no second copy in memory
        buffer_size=buffer_of(len(columns)),
        page_checksum_verification=True,
    ) as reader:
        for batch in reader.iter_batches(size, row_groups=list(groups), columns=list(columns), use_threads=False):
            batch.validate(full=True)  # codes of a dictionary may point beyond it
            yield batch


def buffer_of(columns: int) -> int:
    """How many bytes of each of so many columns are read from a file at a time."""
    return min(_BUFFER, max(_LEAST_BUFFER, _BUFFERS // max(1, columns)))


def held_bytes(file: PartFile, columns: int, row: int) -> int:
    """How many bytes decoding some columns of a file holds at most, besides its batches.

    Of Parquet: the footer, parsed; of each column its reader, what is read at a time, a page and a dictionary, but of
    all columns no more than the row group three times. Of Arrow: a record batch, as it was read and as it was unpacked.

    Args:
        file: The file.
        columns: How many columns are read.
        row: Bytes of a row in memory.
    """
    if not is_parquet(file.path):
        return 2 * max(file.groups, default=0) * row
    parsed = _PARSED * file.footer_bytes
    pages = min(columns * (buffer_of(columns) + 5 * _PAGE // 2), 3 * file.group_bytes)
    return parsed + columns * _COLUMN + pages


def _arrow_batches(
    file: PartFile, groups: Sequence[int], columns: Sequence[str], size: int
) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(file.path) as handle, pa.ipc.open_file(handle) as reader:
        fields = sorted(reader.schema.get_field_index(name) for name in columns)
    options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
    with pa.OSFile(file.path) as handle, pa.ipc.open_file(handle, options=options) as reader:
        for group in groups:
            batch = reader.get_batch(group)
            batch.validate(full=True)  # nothing was decoded: offsets may point anywhere
            for start in range(0, batch.num_rows, size):
                yield batch.slice(start, size)


def runs_of(kept: Sequence[tuple[int, int, int]]) -> Iterator[tuple[list[int], int, int]]:
    """Groups whose rows follow each other: their numbers, rows before the first in the part, their rows."""
    run: list[int] = []
    start = rows = 0
    for group, before, count in kept:
        if run and before != start + rows:
            yield run, start, rows
            run = []
        if not run:
            start, rows = before, 0
        run.append(group)
        rows += count
    if run:
        yield run, start, rows


@contextmanager
def decoding(path: str, groups: Sequence[int]) -> Iterator[None]:
    """Whatever goes wrong while a file is decoded becomes one error that names where, and quotes nothing of it."""
    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, OSError, EOFError, ValueError, KeyError, IndexError, MemoryError) as error:
        told = str(error).lower()
        if "utf8" in told:
            raise DataError(f"{_where(path, groups)} holds text that is not UTF-8") from None
        reason = ": a checksum does not match" if "checksum" in told else ""
        raise DataError(f"{_where(path, groups)} cannot be decoded; the file is damaged{reason}") from None


@contextmanager
def naming(path: str, groups: Sequence[int]) -> Iterator[None]:
    """An error about the entries of a part names the part too."""
    try:
        yield
    except DataError as error:
        if repr(path) in str(error):
            raise
        raise DataError(f"{_where(path, groups)}: {error}") from None


def _where(path: str, groups: Sequence[int]) -> str:
    unit, many = ("row group", "row groups") if is_parquet(path) else ("record batch", "record batches")
    named = f"{many} {groups[0]} to {groups[-1]}" if len(groups) > 1 else f"{unit} {groups[0]}"
    return f"{named} of {path!r}"
