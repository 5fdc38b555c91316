"""Data sets of many files that are read part by part: opened by their footers, checked before anything expensive."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from joblib import cpu_count
from numpy.typing import NDArray

from dataworth.data.columns import (
    block_of,
    check_label,
    check_name,
    check_there,
    column_names,
    feature_columns,
    finite_needed,
    fits_float32,
    is_list,
    is_numeric,
    is_text,
    missing_entries,
    not_numeric,
    plain,
    whole_needed,
)
from dataworth.data.filters import Filter
from dataworth.data.part_files import (
    PartFile,
    Where,
    able_groups,
    batches_of,
    check_same,
    check_unchanged,
    digest_of,
    footer_of,
    held_bytes,
    is_parquet,
    naming,
    paths_of,
    places_of,
    plain_kind,
    runs_of,
    would_find,
)
from dataworth.data.repeats import Repeats
from dataworth.data.tables import quoted, without_index
from dataworth.errors import DataError, InputError

__all__ = ["Part", "Piece", "Source", "Survey"]

_BATCH_BYTES = 2**22  # of rows that are decoded at a time
_MOST_BATCH = 2**16  # rows
_BATCH_COPIES = 6  # of them while they are decoded and checked
_BLOCK_BYTES = 2**21  # of features that are put in rows at a time: they stay in the cache
_PADDING = 16  # between columns: at distances of powers of two they would push each other out of it
_MOST_LABELS = 1000  # more different labels are no classes that anybody would list
_SHORT = 64  # letters: arrays of longer texts hold each text by itself, not as wide as the longest
_TEXT_BYTES = 448  # a row, of longer texts, on average
_TEXT_SPARE = 2**24  # besides, so that a few may be as long as they like
_SHOWN_FILES = 3
_FOOTER_THREADS = 8


@dataclass(frozen=True)
class Part:
    """Some row groups (Parquet) or record batches (Arrow) of one file, to be read together.

    Attributes:
        number: 0, 1, 2, ... in the order of files and rows.
        file: The file.
        groups: Its row groups or record batches, in ascending order.
        rows: How many rows they hold, before any filter.
        first: The place of the first of them among all rows of all files, before any filter.
    """

    number: int
    file: str
    groups: tuple[int, ...]
    rows: int
    first: int


@dataclass(frozen=True, eq=False)
class Piece:
    """What reading a part gives.

    Attributes:
        x: Features, shape ``(n, d)``, float32 or float64 throughout the source, row after row in memory; finite,
            unless the source allows what is missing.
        labels: The column of labels, shape ``(n,)``, if there is one.
        ids: The column of ids, or the rows' places among all rows of all files (int64) where there is none.
        owners: The column of owners, if there is one.

    Texts are arrays of ``np.str_``, or of objects where one has more than 64 letters: an array of ``np.str_`` has room
    for its longest text in every row.
    """

    x: NDArray[Any]
    labels: NDArray[Any] | None
    ids: NDArray[Any]
    owners: NDArray[Any] | None

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @property
    def y(self) -> NDArray[Any]:
        """The labels, for whoever needs them.

        Raises:
            InputError: The source has none.
        """
        if self.labels is None:
            raise InputError("these rows have no labels; Source.open(..., label=...) names their column")
        return self.labels


@dataclass(frozen=True, eq=False)
class Survey:
    """What a look at every row found.

    Attributes:
        rows: How many rows pass the filter.
        rows_of_files: How many of them each file has.
        labels: The different labels in ascending order; None if there are more than 1,000, or no labels at all.
        has_classes: Whether there are labels that can be classes: anything but floats of which some have a fraction.
    """

    rows: int
    rows_of_files: tuple[int, ...]
    labels: NDArray[Any] | None
    has_classes: bool


@dataclass(frozen=True)
class _Feature:
    name: str
    kind: pa.DataType  # without dictionary encoding
    width: int | None  # how many entries its lists have, if it holds lists


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """Files with the same columns that are read part by part: paths and what to read, but no data and no open file.

    It can be sent to other processes and machines that find the files under the same paths. Every reading makes sure
    that a file still has the size, time of change and footer that it had at opening.

    Attributes:
        files: The files in the order of their rows, as absolute paths.
        features: The feature columns.
        label: The column of labels, if there is one.
        id: The column of ids, if there is one.
        owner: The column of owners, if there is one.
        filter: Which rows are read, if not all.
        allow_missing: Whether features may be missing, NaN or infinite.

    Example:
        >>> import tempfile
        >>> import pyarrow as pa, pyarrow.parquet as pq
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for at in (0, 1):
        ...         table = pa.table({"petal": [1.4, 4.7], "age": [3 + at, 9], "kind": ["setosa", "versicolor"]})
        ...         pq.write_table(table, f"{folder}/{at}.parquet")
        ...     source = Source.open(folder, label="kind", features=["petal"], filter="age > 3")
        ...     print(source, [source.read(part).ids.tolist() for part in source.parts(100)])
        Source(2 files, 4 rows, 1 features, filter: age > 3) [[1], [2, 3]]
    """

    files: tuple[str, ...]
    features: tuple[str, ...]
    label: str | None
    id: str | None
    owner: str | None
    allow_missing: bool
    _files: tuple[PartFile, ...]
    _features: tuple[_Feature, ...]
    _filter: Filter | None
    _kinds: dict[str, pa.DataType]  # of label, ids and owners, without dictionary encoding
    _places: tuple[str, ...]  # what was asked for

    @classmethod
    def open(
        cls,
        where: Where,
        *,
        label: str | None,
        id: str | None = None,
        owner: str | None = None,
        features: Sequence[str] | None = None,
        filter: str | None = None,
        allow_missing: bool = False,
    ) -> Source:
        """Find the files and check their footers; no row is read.

        Args:
            where: A Parquet file (``.parquet``, ``.pq``) or an Arrow file (``.arrow``, ``.feather``, ``.ipc``); a
                folder (all of these in it and below, in the order of their paths, leaving out what begins with ``.``
                or ``_``); a pattern like ``"2024/*.parquet"``; or a list of these.
            label: The column of labels; None for rows without labels.
            id: The column of unique row names. Without it rows are numbered from 0, before the filter.
            owner: The column that says who contributed each row.
            features: The feature columns; all columns but those above, in the order of the first file, if not given.
                Numbers and bools, and lists of numbers of one length.
            filter: Which rows to read, for example ``"age >= 18 and not missing(income)"``, as :class:`Filter` says.
            allow_missing: Read features that are missing as NaN, and NaN and infinity as they are, and let the survey
                say nothing of them: in a private release no row may make itself known. Labels, ids and owners must be
                there all the same.

        Raises:
            DataError: There is no such file; one is damaged, cut short or of another format; files differ in their
                columns or types; a named column is not there or of a wrong type; there are no rows. The message names
                the first such file.
            InputError: The filter cannot be read, or arguments do not go together.
        """
        if isinstance(features, str):
            raise InputError(f"features takes a list of column names: features=[{features!r}]")
        paths = paths_of(where)
        with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
            footers = list(pool.map(footer_of, paths))
        files = tuple(file for file, _ in footers)
        told = next((at for at, file in enumerate(files) if file.rows), None)
        if told is None:
            raise DataError(f"{repr(paths[0]) if len(paths) == 1 else f'the {len(paths)} files'} have no rows")
        schema = footers[told][1]
        for file, other in footers:
            check_same(files[told].path, schema, file, other)

        table, columns = repr(files[told].path), without_index(schema.names)
        check_there(table, columns, {"label": [label], "id": [id], "owner": [owner], "features": features or []})
        wanted = feature_columns(table, columns, features, label, {label, id, owner})
        kinds = {
            name: plain_kind(schema.field(name).type) for name in dict.fromkeys([*wanted, label, id, owner]) if name
        }
        if label is not None:
            check_label(label, kinds[label])
        for name, part in ((id, "id"), (owner, "owner")):
            if name is not None:
                check_name(name, kinds[name], part)
        if allow_missing:  # a column in which nothing is known at all, not even a type, is one of missing numbers
            kinds |= {name: pa.float64() for name in wanted if pa.types.is_null(kinds[name])}
        _check_features({name: kinds[name] for name in wanted}, {label: kinds[label]} if label is not None else {})
        return cls(
            files=tuple(paths),
            features=tuple(wanted),
            label=label,
            id=id,
            owner=owner,
            allow_missing=allow_missing,
            _files=files,
            _features=tuple(_Feature(name, kinds[name], _width(files, name, kinds[name])) for name in wanted),
            _filter=None if filter is None else Filter.parse(filter, schema, table),
            _kinds={name: kinds[name] for name in (label, id, owner) if name is not None},
            _places=places_of(where),
        )

    def __getstate__(self) -> dict[str, Any]:
        """Without what is worked out again where it is needed."""
        return {told.name: getattr(self, told.name) for told in fields(self)}

    def __repr__(self) -> str:
        chosen = "" if self.filter is None else f", filter: {self.filter}"
        files = f"{len(self.files)} file{'s' if len(self.files) > 1 else ''}"
        return f"Source({files}, {self.rows} rows, {self.width} features{chosen})"

    @property
    def filter(self) -> str | None:
        """Which rows are read, if not all."""
        return None if self._filter is None else self._filter.text

    @cached_property
    def rows(self) -> int:
        """How many rows the files have, before the filter."""
        return sum(file.rows for file in self._files)

    @cached_property
    def bytes(self) -> int:
        """How large the files are."""
        return sum(file.size for file in self._files)

    @cached_property
    def width(self) -> int:
        """How many numbers a row has."""
        return sum(1 if feature.width is None else feature.width for feature in self._features)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The number type of all features: float32 if that holds every column exactly, float64 otherwise."""
        small = all(fits_float32(_number_kind(feature.kind)) for feature in self._features)
        return np.dtype(np.float32 if small else np.float64)

    @cached_property
    def names(self) -> tuple[str, ...] | None:
        """The names of the numbers of a row, as ``Points.features`` has them: a single column of lists has none."""
        if len(self._features) == 1 and self._features[0].width is not None:
            return None
        return tuple(column_names({feature.name: feature.width for feature in self._features}))

    @cached_property
    def texts(self) -> frozenset[str]:
        """Which of ``"label"``, ``"id"`` and ``"owner"`` are texts."""
        columns = {"label": self.label, "id": self.id, "owner": self.owner}
        return frozenset(part for part, name in columns.items() if name is not None and is_text(self._kinds[name]))

    @cached_property
    def file_digests(self) -> tuple[str, ...]:
        """A digest of each file's path, size, time of change and footer; it hangs on no other file.

        The whole path: files of one name, size and time may hold other rows, and footers of Arrow files do not tell.
        """
        return tuple(file.digest(file.path) for file in self._files)

    @cached_property
    def digest(self) -> str:
        """A digest of what would be read: the files, which columns and which rows of them, and what may be missing.

        Files count with their paths below the folder that they have in common, so a data set that is copied elsewhere
        as a whole, with its times, keeps its digest.
        """
        base = os.path.commonpath([os.path.dirname(path) for path in self.files])
        files = tuple(file.digest(Path(file.path).relative_to(base).as_posix()) for file in self._files)
        return digest_of(files, self.label, self.id, self.owner, self.features, self.filter, self.allow_missing)

    @cached_property
    def reading_bytes(self) -> int:
        """How many bytes reading a part takes at most besides its rows; a thread of the survey takes no more either.

        Pages of Parquet files are taken to have a mebibyte at most, as all usual writers make them.
        """
        columns = len(self._needed)
        held = max(held_bytes(file, columns, self._row) for file in self._files)
        rows = max(max(file.groups, default=0) for file in self._files)
        batch = min(self._batch_rows, rows) * self._decoded_row
        return held + _BATCH_COPIES * batch + min(_BLOCK_BYTES, batch) + _TEXT_SPARE * bool(self.texts)

    def parts(self, most_rows: int) -> list[Part]:
        """The files cut into parts of row groups that stand together.

        Args:
            most_rows: How many rows a part may have, before the filter; a row group larger than that is a part alone.
        """
        if most_rows < 1:
            raise InputError(f"most_rows must be at least 1, not {most_rows}")
        parts: list[Part] = []
        first = 0
        for file in self._files:
            groups: list[int] = []
            rows = 0
            for group, count in enumerate(file.groups):
                if groups and rows + count > most_rows:
                    parts.append(Part(len(parts), file.path, tuple(groups), rows, first))
                    first, groups, rows = first + rows, [], 0
                if count:
                    groups.append(group)
                    rows += count
            if groups:
                parts.append(Part(len(parts), file.path, tuple(groups), rows, first))
            first += rows
        return parts

    def names_only(self) -> Source:
        """The same rows and parts without features: what reading them gives has no columns in ``x``."""
        return self._names_only

    def places_only(self) -> Source:
        """The same rows and parts without features and ids: what reading them gives is called by its place."""
        return self._places_only

    def would_read(self, path: str | os.PathLike[str]) -> bool:
        """Whether a file written at a path would be taken for one of these at the next opening by the same call.

        Of a folder, all that :meth:`open` finds in it and below; of a pattern, what fits it; of a file, itself.

        Args:
            path: With the suffix that the file will have.
        """
        return would_find(self._places, os.fspath(path))

    def read(self, part: Part) -> Piece:
        """Read the rows of a part that pass the filter, with one thread.

        At most a few batches of columns are in memory beside the rows; row groups in which no row can pass are not
        read at all.

        Args:
            part: One of this source's :meth:`parts`.

        Raises:
            DataError: The file has changed since it was opened, or is damaged; labels, names or features are missing,
                or features are NaN or infinite (unless they may be); lists are ragged; texts hold NUL characters, or
                are far too long. The message names the file and counts rows.
        """
        file = self._files[self._place(part)]
        kept = self._kept(file, part.groups)
        rows = sum(count for _, _, count in kept)
        x = np.empty((rows, self.width), dtype=self.dtype)
        reader = _Reader(self, rows * _TEXT_BYTES + _TEXT_SPARE)
        columns: dict[str, list[NDArray[Any]]] = {name: [] for name in self._kinds}
        places: list[NDArray[np.int64]] = []
        at = 0
        with naming(file.path, part.groups):
            for start, batch in self._batches(file, kept, part):
                passing, batch_places = self._passing(start, batch)
                reader.features(passing, x[at : at + passing.num_rows])
                for name, held in columns.items():
                    held.append(reader.column(passing, name))
                if self.id is None:
                    places.append(batch_places)
                at += passing.num_rows
        reader.faults.check(file.path)
        settled = {name: _joined(held, self._kinds[name]) for name, held in columns.items()}
        ids = np.concatenate([np.empty(0, np.int64), *places]) if self.id is None else settled[self.id]
        labels = None if self.label is None else settled[self.label]
        return Piece(x[:at], labels, ids, None if self.owner is None else settled[self.owner])

    def survey(
        self,
        progress: Callable[[int], object] | None = None,
        *,
        usable: Callable[[NDArray[Any]], NDArray[np.bool_]] | None = None,
        unusable: str = "have features that are of no use",
        known: Collection[str] = (),
        threads: int | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> Survey:
        """Read everything once and check it, before anything that takes longer.

        Every page of the columns that are needed is decoded, in row groups in which any row may pass the filter, and
        its checksum is compared if it has one (a flipped bit in a plain page without a checksum is but another
        number, unless it makes NaN). In the rows that pass, labels, ids, owners and features must be there, features
        must be finite (unless they may be missing), and ids unique across all files. All files are looked at before
        anything is said.

        Memory is bounded by a few batches for each thread. Ids are compared as integers or by 128-bit hashes of
        their text: 12 or 20 bytes each, on disk beyond a million of them.

        Args:
            progress: Called with the number of rows, before the filter, that were looked at since the last call.
            usable: Says of features, ``(n, d)``, which of their rows can be used, ``(n,)``; called from many threads,
                it must not keep what it is given. It is asked about finite rows alone; by default all of them can.
            unusable: What is wrong with the other rows, to follow "3 of 10 rows". They are counted in files where all
                features are there and finite.
            known: Files whose features need not be looked at, as they were before.
            threads: How many threads to use; by default one for each core.
            folder: Where ids go for the time of the survey if they are many; by default where temporary files go.

        Raises:
            DataError: Anything of the above fails, or no row passes. The message names files, row groups and columns,
                and counts rows.
        """
        if threads is not None and threads < 1:
            raise InputError(f"threads must be at least 1, not {threads}")
        parts = self.parts(1)  # every row group alone
        with Repeats(folder, wide=self.id is not None and is_text(self._kinds[self.id])) as repeats:
            pool = ThreadPoolExecutor(threads or cpu_count())
            try:
                looks = []
                unfeatured = self.names_only()
                found = pool.map(
                    lambda part: (
                        unfeatured._look(part, repeats) if part.file in known else self._look(part, repeats, usable)
                    ),
                    parts,
                )
                for part, look in zip(parts, found, strict=True):
                    looks.append(look)
                    if progress is not None:
                        progress(part.rows)
            finally:
                pool.shutdown(cancel_futures=True)
            self._check_looks(parts, looks, unusable)
            rows_of_files = Counter[str]()
            for part, look in zip(parts, looks, strict=True):
                rows_of_files[part.file] += look.faults.rows
            rows = rows_of_files.total()
            if not rows:
                raise DataError(f"no row of {self} passes")
            repeated, among = repeats.found()
        if repeated:
            shown = quoted([self.files[at] for at in among[:_SHOWN_FILES]])
            more = f" and {len(among) - _SHOWN_FILES} more files" if len(among) > _SHOWN_FILES else ""
            raise DataError(
                f"ids must be unique, but {repeated} of {rows} rows repeat an id that another row has; "
                f"such rows are in {shown}{more}"
            )
        labels: NDArray[Any] | None = _different([look.labels for look in looks])
        return Survey(
            rows,
            tuple(rows_of_files[name] for name in self.files),
            None if self.label is None else labels,
            self.label is not None and not any(look.fractions for look in looks),
        )

    # -- inside ----------------------------------------------------------------------------------

    def _place(self, part: Part) -> int:
        """The number of the file that a part is of."""
        at = self._numbers.get(part.file)
        rows = () if at is None else self._files[at].groups
        groups = part.groups
        if at is None or not groups or max(groups) >= len(rows) or sum(rows[group] for group in groups) != part.rows:
            raise InputError(f"{part} is no part of this source")
        return at

    @cached_property
    def _batch_rows(self) -> int:
        """How many rows are decoded at a time."""
        return min(_MOST_BATCH, max(1, _BATCH_BYTES // max(1, self._decoded_row)))

    @cached_property
    def _decoded_row(self) -> int:
        """With room for texts as arrays."""
        return self._row + _TEXT_BYTES * len(self.texts)

    @cached_property
    def _row(self) -> int:
        """Bytes of a row as it is read: features, and what else there is."""
        return self.width * self.dtype.itemsize + 64 * (len(self._needed) - len(self.features))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {path: at for at, path in enumerate(self.files)}

    @cached_property
    def _names_only(self) -> Source:
        return replace(self, features=(), _features=())

    @cached_property
    def _places_only(self) -> Source:
        kinds = {name: kind for name, kind in self._kinds.items() if name in (self.label, self.owner)}
        return replace(self, id=None, features=(), _features=(), _kinds=kinds)

    @cached_property
    def _needed(self) -> list[str]:
        """The columns to read."""
        looked_at = () if self._filter is None else self._filter.columns
        return list(dict.fromkeys([*self.features, *self._kinds, *looked_at]))

    def _kept(self, file: PartFile, groups: Sequence[int]) -> list[tuple[int, int, int]]:
        """The groups in which a row may pass: number, rows before it in the part, its rows."""
        able: frozenset[int] | None = None
        if self._filter is not None and is_parquet(file.path):
            check_unchanged(file)
            able = able_groups(file, self._filter)
        kept, before = [], 0
        for group in groups:
            if able is None or group in able:
                kept.append((group, before, file.groups[group]))
            before += file.groups[group]
        return kept

    def _batches(
        self, file: PartFile, kept: Sequence[tuple[int, int, int]], part: Part
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches of a part and the place of the first row of each."""
        check_unchanged(file)
        texts = [name for name in (self.label, self.owner) if name is not None and is_text(self._kinds[name])]
        for groups, before, rows in runs_of(kept):
            seen = 0
            for batch in batches_of(file, groups, self._needed, texts=texts, size=self._batch_rows):
                yield part.first + before + seen, batch
                seen += batch.num_rows
            if seen != rows:
                raise DataError(f"{file.path!r} has fewer rows or more than its footer says; it is damaged")

    def _passing(self, start: int, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
        places = np.arange(start, start + batch.num_rows)
        if self._filter is None:
            return batch, places
        mask = self._filter.mask(batch)
        if mask.true_count == len(mask):
            return batch, places
        return batch.filter(mask), places[mask.to_numpy(zero_copy_only=False)]

    def _look(
        self, part: Part, repeats: Repeats, usable: Callable[[NDArray[Any]], NDArray[np.bool_]] | None = None
    ) -> _Look:
        """Read one row group to check it; nothing is kept of it but what is small."""
        file_at = self._place(part)
        file = self._files[file_at]
        reader = _Reader(self, part.rows * _TEXT_BYTES + _TEXT_SPARE // 16)  # a part may have many row groups
        look = _Look(reader.faults)
        x = np.empty((0, self.width), dtype=self.dtype)
        try:
            kept = self._kept(file, part.groups)
            with naming(file.path, part.groups):
                for start, batch in self._batches(file, kept, part):
                    passing, _ = self._passing(start, batch)
                    if passing.num_rows > len(x):
                        x = np.empty((passing.num_rows, self.width), dtype=self.dtype)
                    reader.features(passing, x[: passing.num_rows])
                    if usable is not None and reader.faults.all_there:
                        finite = self._finite(x[: passing.num_rows])
                        reader.faults.unusable += _unusable(usable, finite) if len(finite) else 0
                    if self.label is not None:
                        look.add_labels(reader.column(passing, self.label))
                    if self.owner is not None:
                        reader.column(passing, self.owner, checked=True)
                    if self.id is not None:
                        repeats.add(reader.keys(passing, self.id), file_at)
        except DataError as error:
            look.broken = str(error)
        return look

    def _finite(self, x: NDArray[Any]) -> NDArray[Any]:
        """The rows of which nothing is missing."""
        return x[np.isfinite(x).all(axis=1)] if self.allow_missing else x

    def _check_looks(self, parts: Sequence[Part], looks: Sequence[_Look], unusable: str) -> None:
        broken: dict[str, list[str]] = {}
        faults: dict[str, _Faults] = {}
        for part, look in zip(parts, looks, strict=True):
            if look.broken:
                broken.setdefault(part.file, []).append(look.broken)
            faults.setdefault(part.file, _Faults()).add(look.faults)
        problems = []
        for file in self.files:
            said = broken.get(file, [])
            words = [f"{said[0]} (and {len(said) - 1} more like it)" if len(said) > 1 else said[0]] if said else []
            if file in faults:
                words += faults[file].words(file, unusable)
            if words:
                problems.append("; ".join(words))
        if problems:
            more = f"; and {len(problems) - _SHOWN_FILES} more files" if len(problems) > _SHOWN_FILES else ""
            many = f"{len(problems)} of {len(self.files)} files cannot be used: " if len(self.files) > 1 else ""
            raise DataError(many + "; ".join(problems[:_SHOWN_FILES]) + more)


# -- features ---------------------------------------------------------------------------------------


def _number_kind(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if is_list(kind) or isinstance(kind, pa.FixedShapeTensorType) else kind


def _check_features(kinds: dict[str, pa.DataType], label: dict[str, pa.DataType]) -> None:
    other = {name: kind for name, kind in kinds.items() if not is_numeric(kind)}
    if other:
        raise not_numeric(other, embed=False)
    decimals = [name for name, kind in {**kinds, **label}.items() if pa.types.is_decimal(_number_kind(kind))]
    if decimals:
        raise DataError(f"{quoted(decimals)} holds decimals, which are not read part by part; store it as float64")
    for name, kind in kinds.items():
        if isinstance(kind, pa.FixedShapeTensorType) and len(kind.shape) != 1:
            block_of(name, pa.chunked_array([], kind), False)  # which refuses it


def _width(files: Sequence[PartFile], name: str, kind: pa.DataType) -> int | None:
    """How many entries the lists of a column have, by its type or by the first list there is."""
    if isinstance(kind, pa.FixedShapeTensorType):
        return int(kind.shape[0])
    if not is_list(kind):
        return None
    width = int(kind.list_size) if pa.types.is_fixed_size_list(kind) else next(_lengths(files, name), None)
    if width is None:
        raise DataError(f"feature column {name!r} has no list in any row")
    if width < 1:
        raise DataError(f"feature column {name!r} holds empty lists")
    return width


def _lengths(files: Sequence[PartFile], name: str) -> Iterator[int]:
    for file in files:
        for group, rows in enumerate(file.groups):
            if rows:
                for batch in batches_of(file, [group], [name], size=1024):
                    column = plain(pa.chunked_array([batch.column(0)]))
                    yield from pc.list_value_length(column).drop_null().unique().to_pylist()[:1]


# -- rows -------------------------------------------------------------------------------------------


@dataclass
class _Faults:
    """What is wrong with the rows looked at so far: columns -> rows."""

    rows: int = 0
    missing: Counter[str] = field(default_factory=Counter)  # feature columns
    spoiled: Counter[str] = field(default_factory=Counter)
    nameless: dict[str, tuple[str, int]] = field(default_factory=dict)  # label, id or owner
    endless: int = 0  # labels NaN or infinite
    unusable: int = 0  # rows that are finite, but of no use

    @property
    def all_there(self) -> bool:
        """Whether all features are there and finite."""
        return not self.missing and not self.spoiled

    def add(self, other: _Faults) -> None:
        self.rows += other.rows
        self.missing += other.missing
        self.spoiled += other.spoiled
        self.endless += other.endless
        self.unusable += other.unusable
        for name, (part, count) in other.nameless.items():
            self.note(name, part, count)

    def note(self, name: str, part: str, count: int) -> None:
        self.nameless[name] = (part, self.nameless.get(name, (part, 0))[1] + count)

    def words(self, path: str, unusable: str = "") -> list[str]:
        said = [missing_entries(name, part, count, self.rows) for name, (part, count) in self.nameless.items()]
        if self.endless:
            said.append(f"the label is NaN or infinite in {self.endless} of {self.rows} rows; every row needs one")
        for counts, words in ((self.missing, whole_needed), (self.spoiled, finite_needed)):
            if counts:
                said.append(words([f"{name!r} in {count} of {self.rows} rows" for name, count in counts.items()]))
        if self.unusable and self.all_there:  # or zeros that stand for what is missing would have been counted
            said.append(f"{self.unusable} of {self.rows} rows {unusable}")
        return [f"{path!r}: {'; '.join(said)}"] if said else []

    def check(self, path: str) -> None:
        """Complain of the first thing that is wrong, if anything is."""
        for words in self.words(path):
            raise DataError(words)


class _Reader:
    """Puts batches into arrays and counts what is wrong with them.

    Args:
        source: What to read.
        most: How many bytes the texts of a column may take, if some are long.
    """

    def __init__(self, source: Source, most: int) -> None:
        self._source = source
        self._most = most
        self._long = Counter[str]()  # their bytes so far
        self.faults = _Faults()
        self._block: NDArray[Any] = np.empty((0, 0))

    def features(self, batch: pa.RecordBatch, out: NDArray[Any]) -> None:
        """The features of a batch as rows."""
        self.faults.rows += batch.num_rows
        if batch.num_rows == 0 or not self._source._features:
            return
        columns = [self._numbers(feature, batch.column(feature.name)) for feature in self._source._features]
        if len(columns) == 1:
            out[...] = columns[0].reshape(out.shape)
            self._check_finite(out.T)
        else:
            self._side_by_side(columns, out)

    def _numbers(self, feature: _Feature, column: pa.Array) -> NDArray[Any]:
        """One feature column of a batch, ``(n,)`` or ``(n, width)``.

        Where it has gaps it is NaN in them, or zeros altogether if there must be none; those are counted.
        """
        if column.type != feature.kind:
            column = plain(pa.chunked_array([column])).combine_chunks()
        if column.null_count and not self._source.allow_missing:
            self.faults.missing[feature.name] += column.null_count
            return np.zeros(_shape(feature, column), dtype=np.float32)
        if column.null_count == len(column):
            return np.full(_shape(feature, column), np.nan, dtype=np.float32)
        if feature.width is None:
            if column.null_count:
                return block_of(feature.name, pa.chunked_array([column]), True)
            return np.asarray(column.to_numpy(zero_copy_only=False))
        return self._lists(feature, feature.width, column)

    def _side_by_side(self, columns: Sequence[NDArray[Any]], out: NDArray[Any]) -> None:
        """Columns become rows by way of a block that stays in the cache: twice as fast as writing each across rows."""
        rows, width = out.shape
        size = min(rows, max(256, _BLOCK_BYTES // (width * out.itemsize)))
        if self._block.shape != (width, size + _PADDING):
            self._block = np.empty((width, size + _PADDING), dtype=out.dtype)
        for start in range(0, rows, size):
            stop = min(rows, start + size)
            block = self._block[:, : stop - start]
            at = 0
            for column in columns:
                if column.ndim == 1:
                    block[at] = column[start:stop]
                    at += 1
                else:
                    block[at : at + column.shape[1]] = column[start:stop].T
                    at += column.shape[1]
            self._check_finite(block)
            out[start:stop] = block.T

    def _check_finite(self, block: NDArray[Any]) -> None:
        """Count rows with NaN or infinity; each row of the block is one number of many rows."""
        if self._source.allow_missing or np.isfinite(block).all():
            return
        at = 0
        for feature in self._source._features:
            wide = 1 if feature.width is None else feature.width
            spoiled = int((~np.isfinite(block[at : at + wide])).any(axis=0).sum())
            if spoiled:
                self.faults.spoiled[feature.name] += spoiled
            at += wide

    def _lists(self, feature: _Feature, width: int, column: pa.Array) -> NDArray[Any]:
        block = block_of(feature.name, pa.chunked_array([column]), self._source.allow_missing)
        if block.shape[1] != width:
            raise DataError(
                f"feature column {feature.name!r} is ragged: lists of {block.shape[1]} entries here, {width} elsewhere"
            )
        return block

    def _whole(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        column = batch.column(name)
        if pa.types.is_dictionary(column.type) and column.dictionary.null_count:
            column = plain(pa.chunked_array([column])).combine_chunks()
        if isinstance(column.type, pa.BaseExtensionType):
            column = plain(pa.chunked_array([column])).combine_chunks()
        if column.null_count:
            source = self._source
            part = {source.owner: "owner", source.id: "id", source.label: "label"}[name]
            self.faults.note(name, part, column.null_count)
            column = column.drop_null()
        return column

    def column(self, batch: pa.RecordBatch, name: str, *, checked: bool = False) -> NDArray[Any]:
        """Labels, ids or owners; without those that are missing.

        Args:
            batch: Where they are.
            name: Their column.
            checked: Whether they are only to be checked; what is given back is of no use then.
        """
        column = self._whole(batch, name)
        kind = self._source._kinds[name]
        if is_text(kind):
            return self._texts(name, column)
        if checked:
            return np.empty(0)
        if column.type != kind:
            column = plain(pa.chunked_array([column])).combine_chunks()
        values: NDArray[Any] = np.asarray(column.to_numpy(zero_copy_only=False))
        if kind in (pa.float16(), pa.float32(), pa.float64()) and name == self._source.label:
            finite = np.isfinite(values)
            self.faults.endless += int(values.size - finite.sum())
            return np.compress(finite, values)
        return values

    def keys(self, batch: pa.RecordBatch, name: str) -> NDArray[np.uint64]:
        """Ids as whole numbers, shape ``(n, 1)``, or hashes of their texts, ``(n, 2)``."""
        column = self._whole(batch, name)
        if pa.types.is_dictionary(column.type):
            column = plain(pa.chunked_array([column])).combine_chunks()
        if not is_text(column.type):
            whole = np.asarray(column.to_numpy(zero_copy_only=False))
            signed = whole.astype(np.int64) if whole.dtype.kind == "i" else whole.astype(np.uint64)
            return signed.view(np.uint64).reshape(-1, 1)
        texts = pc.cast(column, pa.large_binary()).to_pylist()
        self._check_texts(name, b"\0" in b"".join(texts), sum(map(sys.getsizeof, texts)) + 16 * len(texts))
        digests = b"".join([blake2b(text, digest_size=16).digest() for text in texts])
        return np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)

    def _texts(self, name: str, column: pa.Array) -> NDArray[Any]:
        coded = pa.types.is_dictionary(column.type)
        texts = (column.dictionary if coded else column).to_pylist()
        short = max(map(len, texts), default=0) <= _SHORT
        self._check_texts(name, "\0" in "".join(texts), 0 if short else sum(map(sys.getsizeof, texts)))
        different: NDArray[Any] = np.empty(len(texts), dtype=np.str_ if short else object)
        if short:
            different = np.asarray(texts, dtype=np.str_)
        else:
            different[:] = texts
        return np.asarray(np.take(different, column.indices.to_numpy())) if coded else different

    def _check_texts(self, name: str, endless: bool, size: int) -> None:
        """Refuse texts that arrays cannot hold, and texts that take far more memory than anybody counts on."""
        source = self._source
        part = {source.owner: "owner", source.id: "id", source.label: "label"}[name]
        if endless:  # NumPy takes texts that differ in these at the end for one
            raise DataError(f"{part} column {name!r} holds NUL characters; remove them")
        self._long[name] += size
        if self._long[name] > self._most:
            raise DataError(
                f"{part} column {name!r} holds texts of more than {_TEXT_BYTES} bytes a row on average, too many for "
                f"names; give shorter ones{', or leave id out' if part == 'id' else ''}"
            )


def _shape(feature: _Feature, column: pa.Array) -> tuple[int, ...]:
    return (len(column),) if feature.width is None else (len(column), feature.width)


def _joined(held: list[NDArray[Any]], kind: pa.DataType) -> NDArray[Any]:
    """Arrays one after another; each is let go as soon as it is copied."""
    none = np.empty(0, dtype=np.str_ if is_text(kind) else kind.to_pandas_dtype())
    joined = np.empty(sum(map(len, held)), np.result_type(none.dtype, *(some.dtype for some in held)))
    held.reverse()
    start = 0
    while held:
        some = held.pop()
        joined[start : start + len(some)] = some
        start += len(some)
    return joined


# -- looking -------------------------------------------------------------------------------------


@dataclass
class _Look:
    """What was found in one row group."""

    faults: _Faults
    broken: str = ""
    fractions: bool = False
    labels: NDArray[Any] | None = field(default_factory=lambda: np.empty(0))

    def add_labels(self, labels: NDArray[Any]) -> None:
        self.fractions = self.fractions or bool(labels.dtype.kind == "f" and (labels != np.rint(labels)).any())
        self.labels = _different([self.labels, np.unique(labels)])


def _unusable(usable: Callable[[NDArray[Any]], NDArray[np.bool_]], x: NDArray[Any]) -> int:
    """How many rows are of no use."""
    good = usable(x)
    if good.shape != x.shape[:1] or good.dtype != np.bool_:
        raise InputError(f"usable must give a bool for each of {len(x)} rows, not {good.dtype} of shape {good.shape}")
    return int(len(x) - np.count_nonzero(good))


def _different(labels: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """The different labels among some in ascending order, or None if they are too many."""
    known = [some for some in labels if some is None or some.size]
    if any(some is None for some in known):
        return None
    together: NDArray[Any] = (
        np.unique(np.concatenate([some for some in known if some is not None])) if known else np.empty(0)
    )
    return together if together.size <= _MOST_LABELS else None
