"""Items in: from a folder, a file, a table, arrays or a list to checked items, and from items to their vectors."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataworth.data.columns import images_of, is_text, labels_of, names_of, numbers_of, whole
from dataworth.data.images import folder_files, image_trouble, is_image_name, read_image
from dataworth.data.tables import OpenTable, open_table, quoted
from dataworth.errors import DataError, InputError
from dataworth.models.embed import Model
from dataworth.records.arrays import check_unmasked, exact
from dataworth.records.items import Items, is_pixels
from dataworth.records.points import features_of
from dataworth.valuation.embedding import embed_images, embed_texts
from dataworth.valuation.reading import check_columns

__all__ = ["embed_items", "read_items"]

_SHOWN = 3  # what is wrong with at most so many items is spelled out


@dataclass
class _Found:
    """What a source holds, before anything that cannot be used is refused or left out.

    Args:
        kind: What the items are.
        entries: One an item; a missing one is None, or a row of NaN.
        ids: Names, if the source has them.
        owners: Whose they are, if it says.
        labels: Of what class they are, if it says.
        bad: Where items cannot be used, as far as that is known before looking into them -> why not.
        others: What lies among the items and is none -> why not.
    """

    kind: Literal["vectors", "images", "texts"]
    entries: Sequence[Any] | NDArray[Any]
    ids: NDArray[Any] | None = None
    owners: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None
    bad: dict[int, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def name(self, at: int) -> str:
        """What to call an item in messages, and where it is left out."""
        if self.ids is not None:
            return _written(str(self.ids[at]))
        entry = self.entries[at]
        return _written(str(entry)) if isinstance(entry, Path) else f"item {at}"


def read_items(
    source: Any,
    *,
    column: str | None = None,
    id: str | None = None,
    owner: str | None = None,
    label: str | None = None,
    skip_bad: bool = False,
    progress: bool | None = None,
) -> Items:
    """Read images, texts or vectors that are to be matched by likeness.

    Every image file is opened and decoded once, so that a damaged one is found now and not after hours.

    Args:
        source: One of these:

            * a folder: the images in it at any depth, sorted by path; their ids are their paths below the folder;
            * a path to a Parquet, CSV, Arrow, Feather or NPZ file, or a table object (pyarrow, pandas, polars, a
              Hugging Face dataset, anything that speaks the Arrow C stream): one column of it holds the items, as
              bytes of image files, structs of bytes and path, lists of numbers (a stored embedding), or strings;
            * arrays by name (NPZ, a dictionary): ``x`` holds the items, ``ids``, ``owners`` and ``y`` their names,
              owners and labels, each if it is there and nothing else is asked for;
            * an array, or a path to an NPY file: vectors if it has two dimensions, images if it is uint8 and has
              three (n, height, width) or four (n, height, width, 3);
            * a list: strings are texts; :class:`pathlib.Path` objects, bytes of image files, uint8 arrays and images
              of Pillow are images; lists of numbers are vectors;
            * one column (a Series, an arrow array), as in a table;
            * :class:`Items`, which are given back as they are.

            A single string or path is always a file or a folder. Strings in a table are paths of images if all of
            them end like names of image files, and texts otherwise; relative paths start at the table's folder.
        column: The column of items in a table; the only one left if not given.
        id: The column of unique names. Without it items are numbered from 0 as they lie in the source, those that are
            left out included.
        owner: The column that says whose each item is; ``"folder"`` takes the first sub-folder in a folder of images.
        label: The column that says what class each item shows, or was generated for; ``"folder"`` as for owners.
        skip_bad: Leave out items that cannot be used, and list their names in ``skipped``: images that cannot be
            decoded, items that are missing, vectors with NaN or infinity, files of a folder that are no images.
        progress: Show a progress bar while images are checked; None shows it on a terminal only.

    Returns:
        The items, still to be embedded (:func:`embed_items`) unless they are vectors.

    Raises:
        DataError: The source is missing, empty, damaged or of no known kind; it is not clear which column holds the
            items; items cannot be used (the first few are named, all are counted) and ``skip_bad`` is not given, or
            none can be used; ids repeat; names or labels are missing.
        InputError: Arguments that do not go together.
        MissingExtra: Pillow is not installed (image files need it).

    Example:
        >>> import dataworth as dw
        >>> dw.read_items(["a cat", "two dogs"])
        Items(2 texts)
        >>> stored = {"text": ["a cat", "two dogs"], "by": ["Ann", "Bob"], "nr": [7, 9]}
        >>> dw.read_items(stored, column="text", id="nr", owner="by")
        Items(2 texts, 2 owners)
    """
    parts = {"column": column, "id": id, "owner": owner, "label": label}
    if isinstance(source, Items):
        _no_columns("Items have all their parts already", parts)
        return source
    if isinstance(source, (str, os.PathLike)):
        found = _in_file(Path(source), parts)
    elif isinstance(source, Mapping):
        found = _by_name(source, parts)
    elif _is_column(source) or _is_array(source) or _is_list(source):
        _no_columns("one list or array has no columns; give a dictionary of them, or dataworth.Items", parts)
        found = _held(source)
    else:
        found = _in_table(open_table(source), parts)
    return _checked(found, skip_bad, progress)


def embed_items(
    items: Items,
    model: str | Model | None = None,
    *,
    cache: str | os.PathLike[str] | Literal[False] | None = None,
    cache_key: str | None = None,
    progress: bool | None = None,
) -> Items:
    """Give items the vectors by which they are matched; items that have vectors keep them unless a model is named.

    Args:
        items: Images or texts, or vectors, which need nothing.
        model: As for :func:`embed_images` and :func:`embed_texts`; by default ``"efficientnet-lite0"`` for images and
            ``"minilm"`` for texts.
        cache: Folder of the cache; None takes ``$DATAWORTH_CACHE`` or the user's cache folder, False none.
        cache_key: Name and version of a callable, without which its vectors are not cached.
        progress: Show a progress bar; None shows it on a terminal only.

    Returns:
        The same items with ``x``, each row of length 1 if it was embedded.

    Raises:
        DataError: An image that cannot be decoded, or a model whose output cannot be used.
        InputError: A model for items that are vectors alone, an unknown one, or a cache for a callable without a
            ``cache_key``.
        MissingExtra: The model, or Pillow, is not installed.

    Example:
        >>> import dataworth as dw
        >>> items = dw.embed_items(dw.Items(texts=["a cat", "two dogs"]), lambda texts: [[len(t), 1] for t in texts])
        >>> items
        Items(2 texts, 2 numbers each)
    """
    if items.x is not None and model is None:
        return items
    if items.content is None:
        raise InputError("these items are vectors alone, with no images or texts that a model could embed")
    content: list[Any] = list(items.content)
    if items.kind == "texts":
        chosen = "minilm" if model is None else model
        return items.with_vectors(embed_texts(content, chosen, cache=cache, cache_key=cache_key, progress=progress))
    chosen = "efficientnet-lite0" if model is None else model
    return items.with_vectors(embed_images(content, chosen, cache=cache, cache_key=cache_key, progress=progress))


# -- files ---------------------------------------------------------------------------------------


def _in_file(path: Path, parts: dict[str, str | None]) -> _Found:
    if path.is_dir():
        return _in_folder(path, parts)
    if path.suffix.lower() == ".npy":
        _no_columns("an NPY file holds one array and has no columns", parts)
        return _in_array(_npy(path))
    if is_image_name(path.name):
        raise InputError(f"{str(path)!r} is one image; items are given as a list, a table or a folder of them")
    return _in_table(open_table(path), parts)


def _in_folder(folder: Path, parts: dict[str, str | None]) -> _Found:
    asked = [part for part, value in parts.items() if value is not None]
    columns = [part for part in asked if part not in ("owner", "label") or parts[part] != "folder"]
    if columns:
        raise InputError(
            f"{str(folder)!r} is a folder of images, which has no columns: leave out "
            f"{', '.join(f'{part}=' for part in columns)}; owner='folder' or label='folder' takes the name of the "
            "first sub-folder that an image lies in"
        )
    paths, others = folder_files(folder)
    below = [path.relative_to(folder).parts for path in paths]
    outside = sum(len(part) == 1 for part in below)
    if asked and outside:
        raise DataError(
            f"{outside} of {len(paths)} images in {str(folder)!r} lie in no sub-folder, so {asked[0]}='folder' says "
            "nothing about them"
        )
    first = np.array([part[0] for part in below])
    found = _Found("images", paths, np.array(["/".join(part) for part in below]))
    found.owners = first if "owner" in asked else None
    found.labels = first if "label" in asked else None
    for at, name in enumerate(found.ids.tolist() if found.ids is not None else []):
        if not _is_unicode(name):
            found.bad[at] = f"the name {found.name(at)!r} is not valid UTF-8"
    for path in others:
        found.others[_written(path.relative_to(folder).as_posix())] = f"{str(path)!r} is no image by its name"
    return found


def _npy(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be opened: {error.strerror or 'it may be damaged'}") from None
    except (ValueError, EOFError):
        raise DataError(f"{str(path)!r} cannot be read as NPY; it may be damaged or hold Python objects") from None
    return array


# -- tables --------------------------------------------------------------------------------------


def _in_table(table: OpenTable, parts: dict[str, str | None]) -> _Found:
    column, names = _roles(table, parts)
    apart = [name for part, name in names.items() if part != "label"]
    columns = table.read(list(dict.fromkeys([column, *names.values()])), apart)
    if columns.num_rows == 0:
        raise DataError(f"{table.name} has no rows")
    found = _in_column(columns.select([column]), table.folder)
    found.ids = names_of(columns, names["id"], "id") if "id" in names else None
    found.owners = names_of(columns, names["owner"], "owner") if "owner" in names else None
    found.labels = labels_of(columns, names["label"]) if "label" in names else None
    return found


def _by_name(source: Mapping[str, Any], parts: dict[str, str | None]) -> _Found:
    """Arrays and lists by name: what no table can hold, such as images of several sizes, can stand here."""
    column, names = _roles(open_table(source), parts)
    found = _held(source[column])
    n = len(found.entries)
    for part, name in names.items():
        values = exact(source[name], repr(name))
        if values.shape != (n,):
            raise DataError(f"{name!r} must have one entry for each of {n} items, not shape {values.shape} ({part}=)")
        setattr(found, f"{part}s", values)
    return found


def _roles(table: OpenTable, parts: dict[str, str | None]) -> tuple[str, dict[str, str]]:
    """The column of items, and the columns of ids, owners and labels by part, where there are any."""
    given = {part: parts[part] or table.usual.get(part) for part in ("id", "owner", "label")}
    check_columns(table, {part: [name] for part, name in {"column": parts["column"], **given}.items()})
    names = {part: name for part, name in given.items() if name is not None}
    usual = table.usual.get("features")
    column = parts["column"] or (usual if usual not in names.values() else None)
    if column is None:
        left = [name for name in table.columns if name not in names.values()]
        if len(left) != 1:
            raise DataError(
                f"column= must name the column of items; {table.name} has {quoted(left) if left else 'none left'}"
            )
        column = left[0]
    if column in names.values():
        raise InputError(f"the column of items, {column!r}, is named as id=, owner= or label= too")
    return column, names


def _in_column(columns: pa.Table, folder: Path) -> _Found:
    """The items of a table of one column."""
    (name,) = columns.column_names
    there = _there(columns[name])
    known = columns if there.all() else columns.filter(pa.array(there))
    if known.num_rows == 0:
        return _Found("texts", [None] * len(there))
    column = whole(known, name, "item")
    if _is_vectors(column.type):
        x, _ = numbers_of(known, [name], allow_missing=True)
        return _Found("vectors", x if there.all() else _spread_rows(x, there))
    if not is_text(column.type):
        return _Found("images", _spread(images_of(name, column, folder), there))
    strings = column.to_pylist()
    alike = sum(map(is_image_name, strings))
    if len(strings) == alike:
        return _Found("images", _spread(images_of(name, column, folder), there))
    if 2 * alike > len(strings):
        raise DataError(
            f"{alike} of {len(strings)} strings in {name!r} end like names of image files, so it is not clear whether "
            "they are paths or texts; paths must all end so"
        )
    return _Found("texts", _spread(strings, there))


def _is_vectors(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.FixedShapeTensorType):
        return len(kind.shape) == 1
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return listed and any(
        test(kind.value_type)
        for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    )


def _there(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which entries are not missing; a struct of bytes and path is there if either is."""
    there = np.asarray(column.is_valid())
    if pa.types.is_struct(column.type):
        inner = [field.name for field in column.type if field.name in ("bytes", "path")]
        held = [np.asarray(pc.struct_field(column, name).is_valid()) for name in inner]
        there = there & np.logical_or.reduce(held) if held else there
    return there


def _spread(entries: Sequence[Any], there: NDArray[np.bool_]) -> list[Any]:
    """The known entries in their places, None in the others."""
    known = iter(entries)
    return [next(known) if here else None for here in there.tolist()]


def _spread_rows(rows: NDArray[Any], there: NDArray[np.bool_]) -> NDArray[Any]:
    """The known rows in their places, NaN in the others."""
    spread = np.full((len(there), rows.shape[1]), np.nan, dtype=np.result_type(np.float32, rows.dtype))
    spread[there] = rows
    return spread


# -- lists and arrays ----------------------------------------------------------------------------


def _is_column(source: Any) -> bool:
    import narwhals as nw

    return isinstance(source, (pa.Array, pa.ChunkedArray)) or bool(nw.dependencies.is_into_series(source))


def _is_array(source: Any) -> bool:
    """An array of NumPy, or of what shares memory with it (torch, JAX)."""
    return source.dtype.names is None if isinstance(source, np.ndarray) else hasattr(source, "__dlpack__")


def _is_list(source: Any) -> bool:
    return isinstance(source, (Sequence, Iterator)) and not hasattr(source, "schema")  # readers of tables iterate too


def _held(values: Any) -> _Found:
    """The items of one list, array or column."""
    if isinstance(values, (str, bytes)):
        raise InputError(f"items are given as a list, one entry an item, not as one {type(values).__name__}")
    if _is_column(values):
        column = _as_arrow(values)
        return _in_list(list(values)) if column is None else _in_column(pa.table({"items": column}), Path())
    if _is_array(values):
        return _in_array(values)
    if not isinstance(values, Iterable):
        raise DataError(f"items are a list, an array or a column, not {type(values).__name__}")
    return _in_list(list(values))


def _as_arrow(column: Any) -> pa.Array | pa.ChunkedArray | None:
    """A column of arrow, pandas or polars as one of arrow's; None if it holds Python objects."""
    import narwhals as nw

    if isinstance(column, (pa.Array, pa.ChunkedArray)):
        return column
    try:
        return nw.from_native(column, series_only=True).to_arrow()
    except (pa.ArrowException, TypeError):
        return None


def _in_array(values: Any) -> _Found:
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except (RuntimeError, TypeError, ValueError) as error:  # on another device, or kept for gradients
        raise DataError(f"the given {type(values).__name__} cannot be used as an array: {error}") from None
    check_unmasked(array, "the array")
    if array.ndim == 1 and array.dtype.kind in "OUT":
        return _in_list(array.tolist())
    if array.ndim in (3, 4):
        return _Found("images", array)
    if array.ndim == 2:
        return _Found("vectors", features_of(array))
    raise DataError(
        "an array of items has two dimensions (vectors), or three or four (images), or holds strings; not "
        f"{array.dtype} of shape {array.shape}"
    )


def _in_list(entries: list[Any]) -> _Found:
    if not entries:
        raise DataError("there are no items: the list is empty")
    there = np.array([not _is_missing(entry) for entry in entries])
    known = [entry for entry, here in zip(entries, there.tolist(), strict=True) if here]
    if all(isinstance(entry, str) for entry in known):
        alike = sum(map(is_image_name, known))
        if 2 * alike > len(known):
            raise DataError(
                f"{alike} of {len(known)} strings end like names of image files; a list of strings holds texts, so "
                "give images as pathlib.Path objects"
            )
        return _Found("texts", _spread(known, there))
    if all(_is_vector(entry) for entry in known):
        x = features_of(known)
        return _Found("vectors", x if there.all() else _spread_rows(x, there))
    if all(_is_picture(entry) for entry in known):
        return _Found("images", _spread([_picture(entry) for entry in known], there))
    kinds = sorted({type(entry).__name__ for entry in known})
    raise DataError(
        "a list of items holds strings (texts), or lists of numbers (vectors), or paths, bytes of image files and "
        f"uint8 arrays (images); not {', '.join(kinds)}"
    )


def _is_missing(entry: Any) -> bool:
    return entry is None or (isinstance(entry, float) and math.isnan(entry))


def _is_vector(entry: Any) -> bool:
    return isinstance(entry, (list, tuple)) or (hasattr(entry, "__array__") and np.ndim(entry) == 1)


def _is_picture(entry: Any) -> bool:
    """Whether an entry can be an image; one of Pillow has bands."""
    encoded = isinstance(entry, (os.PathLike, bytes, bytearray, memoryview))
    return encoded or hasattr(entry, "getbands") or (hasattr(entry, "__array__") and np.ndim(entry) > 1)


def _picture(entry: Any) -> Any:
    if isinstance(entry, os.PathLike):
        return Path(entry)
    return bytes(entry) if isinstance(entry, (bytearray, memoryview)) else entry


# -- what cannot be used -------------------------------------------------------------------------


def _checked(found: _Found, skip_bad: bool, progress: bool | None) -> Items:
    """The items of a source that can be used; the others are an error, or left out."""
    n = len(found.entries)
    bad = found.bad | _troubles(found, progress)
    why = [bad[at] for at in sorted(bad)] + list(found.others.values())
    said = "; ".join(why[:_SHOWN]) + (f" and {len(why) - _SHOWN} more" if len(why) > _SHOWN else "")
    if len(bad) == n:
        raise DataError(f"none of the {n} {found.kind} can be used: {said}")
    if why and not skip_bad:
        what = "files" if found.others else found.kind
        raise DataError(
            f"{len(why)} of {n + len(found.others)} {what} cannot be used: {said}; mend them, or leave them out with "
            "skip_bad=True (--skip-bad)"
        )
    keep = np.array([at for at in range(n) if at not in bad])
    kept: Any = found.entries
    if not isinstance(kept, np.ndarray):
        kept = [_as_content(at, kept[at]) for at in keep.tolist()]
    elif bad:
        kept = kept[keep]
    return Items(
        kept if found.kind == "vectors" else None,
        images=kept if found.kind == "images" else None,
        texts=kept if found.kind == "texts" else None,
        ids=keep if found.ids is None else found.ids[keep],
        owners=None if found.owners is None else found.owners[keep],
        labels=None if found.labels is None else found.labels[keep],
        skipped=[found.name(at) for at in sorted(bad)] + list(found.others),
    )


def _troubles(found: _Found, progress: bool | None) -> dict[int, str]:
    """Where items cannot be used -> why not."""
    if isinstance(found.entries, np.ndarray):
        if found.kind == "images":  # a stack is of one type and size: the record takes all of it, or nothing
            return {}
        odd = np.flatnonzero(~np.isfinite(found.entries).all(axis=1))
        return {at: f"{found.name(at)} is missing or holds NaN or infinity" for at in odd.tolist()}
    bad = {at: f"{found.name(at)} is missing" for at, entry in enumerate(found.entries) if entry is None}
    if found.kind != "images":
        return bad
    from tqdm.auto import tqdm

    hidden = None if progress is None else not progress
    for at, image in enumerate(tqdm(found.entries, desc="checking images", disable=hidden, leave=False)):
        trouble = None if at in bad else image_trouble(at, image)
        if trouble is not None:
            bad[at] = trouble
    return bad


def _as_content(at: int, entry: Any) -> Any:
    """An entry as items hold it: images of Pillow and of other libraries become pixels."""
    if isinstance(entry, (str, bytes, Path)) or (isinstance(entry, np.ndarray) and is_pixels(entry)):
        return entry
    return read_image(at, entry)


def _no_columns(why: str, parts: dict[str, str | None]) -> None:
    given = [f"{part}=" for part, value in parts.items() if value is not None]
    if given:
        raise InputError(f"{why}: leave out {', '.join(given)}")


def _is_unicode(name: str) -> bool:
    """Whether a file's name is text; any other could not be written into a table."""
    return name == _written(name)


def _written(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
