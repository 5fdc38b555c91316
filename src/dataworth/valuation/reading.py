"""Points in: from a file, a table object or a folder of images to checked rows of features."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataworth.data.columns import (
    check_there,
    feature_columns,
    images_of,
    is_text,
    labels_of,
    names_of,
    numbers_of,
    whole,
)
from dataworth.data.images import encoded, labelled_folder
from dataworth.data.part_files import folder_of_tables
from dataworth.data.tables import OpenTable, open_table, quoted
from dataworth.errors import DataError, InputError
from dataworth.models.embed import IMAGE_MODELS, TEXT_MODELS, Model
from dataworth.records.points import Item, Points
from dataworth.valuation.embedding import embed_images, embed_texts

__all__ = ["check_columns", "check_same_features", "read_points"]


def read_points(
    source: Any,
    *,
    label: str | None = None,
    id: str | None = None,
    owner: str | None = None,
    features: Sequence[str] | None = None,
    embed: str | Model | None = None,
    allow_missing: bool = False,
) -> Points:
    """Read rows of features with their labels.

    Args:
        source: A path to a Parquet, CSV, Arrow, Feather or NPZ file; a table object (pyarrow, pandas, polars, a
            Hugging Face dataset, anything that speaks the Arrow C stream); arrays by name (a dictionary or a
            structured array); or a folder with one sub-folder of images a class.
        label: The column of labels. Arrays by name may leave it out if they call it ``y``; in a folder of images
            the label is the sub-folder's name.
        id: The column of unique row names (arrays: ``ids`` if there is one). Without it rows are numbered from 0;
            in a folder of images the id is the path below the folder.
        owner: The column that says who contributed each row (arrays: ``owners`` if there is one).
        features: The feature columns; all columns but those above, in file order, if not given (arrays: ``x`` if
            there is one). Numbers and bools, and lists of numbers of one length (a stored embedding).
        embed: Turn the one feature column into numbers: ``"minilm"`` for text, ``"efficientnet-lite0"`` for images
            (bytes of image files, paths, or a struct of both), or a callable, as in :func:`embed_texts` and
            :func:`embed_images`. A callable is given a text column as texts, even if they are paths. Relative
            paths start at the table's folder. The texts or images are kept as ``items``.
        allow_missing: Take rows whose features are missing, NaN or infinite too, as for :class:`Points`: in a
            private release such a row gets no links, and its owner alone is told. Labels, names, and texts or
            images to embed must be there all the same.

    Returns:
        The points. ``features`` names single columns; one column of lists, and what was embedded, has no names.

    Raises:
        DataError: The file is missing, damaged or of no known kind; a named column is not there; there are no
            rows; column names or ids repeat; entries are missing, NaN or infinite, and not allowed to be; lists are
            ragged; a feature column is not numeric and ``embed`` is not given. The message names columns and
            counts rows.
        InputError: An unknown ``embed``, arguments that do not go together, or a folder of tables, which
            :func:`dataworth.valuation.streaming.value_source` takes.
        MissingExtra: The model that ``embed`` names is not installed.

    Example:
        >>> import dataworth as dw
        >>> flowers = {"petal": [1.4, 4.7], "sepal": [5.1, 7.0], "kind": ["setosa", "versicolor"]}
        >>> dw.read_points(flowers, label="kind")
        Points(2 rows, 2 features, labels: setosa, versicolor)
    """
    if isinstance(embed, str) and embed not in (*TEXT_MODELS, *IMAGE_MODELS):
        known = ", ".join(repr(name) for name in (*TEXT_MODELS, *IMAGE_MODELS))
        raise InputError(f"embed must be {known} or a callable, not {embed!r}")
    if isinstance(features, str):
        raise InputError(f"features takes a list of column names: features=[{features!r}]")
    if isinstance(source, (str, os.PathLike)) and Path(source).is_dir():
        if folder_of_tables(Path(source)):
            raise InputError(
                f"{os.fspath(source)!r} is a folder of tables, and one file or table is read here. Rows in many files "
                "are valued part by part: value_source(Source.open(folder, label=...), ...), or dataworth points FOLDER"
            )
        given = {"label": label, "id": id, "owner": owner, "features": features}
        return _read_folder(Path(source), [part for part, column in given.items() if column is not None], embed)

    table = open_table(source)
    label = label if label is not None else table.usual.get("label")
    id = id if id is not None else table.usual.get("id")
    owner = owner if owner is not None else table.usual.get("owner")
    if label is None:
        raise DataError(f"label= must name the column of labels; {table.name} has {quoted(table.columns)}")
    check_columns(table, {"label": [label], "id": [id], "owner": [owner], "features": features or []})
    wanted = _feature_columns(table, features, label, {label, id, owner})
    names = [column for column in (id, owner) if column is not None]
    columns = table.read(list(dict.fromkeys([*wanted, label, *names])), names)
    if columns.num_rows == 0:
        raise DataError(f"{table.name} has no rows")

    y = labels_of(columns, label)
    ids = None if id is None else names_of(columns, id, "id")
    owners = None if owner is None else names_of(columns, owner, "owner")
    if embed is None:
        x, feature_names = numbers_of(columns, wanted, allow_missing=allow_missing)
        return Points(x, y, ids=ids, owners=owners, features=feature_names, allow_missing=allow_missing)
    if len(wanted) != 1:
        raise InputError(
            f"embed turns one column into features, but there are {len(wanted)}: {quoted(wanted)}; choose one with "
            "features=[...]"
        )
    x, items = _embedded(columns, wanted[0], embed, table.folder)
    return Points(x, y, ids=ids, owners=owners, items=items)


def check_same_features(train: Points, validation: Points) -> None:
    """Refuse two sets whose features are not the same columns in the same order.

    Names are compared where both sets have them, the number of features always.

    Raises:
        DataError: They differ; the message says what is missing, extra or in another place.

    Example:
        >>> import dataworth as dw
        >>> check_same_features(dw.Points([[1.0, 2.0]], ["a"]), dw.Points([[3.0, 4.0]], ["b"]))
    """
    ours, theirs = train.features, validation.features
    if ours is not None and theirs is not None and ours != theirs:
        if sorted(ours) == sorted(theirs):
            moved = next(name for name, other in zip(ours, theirs, strict=True) if name != other)
            raise DataError(
                f"train and validation have the same features in another order, from {moved!r} on; read both with the "
                "same features=[...]"
            )
        lacking = {"validation": set(ours) - set(theirs), "train": set(theirs) - set(ours)}
        said = [f"{which} lacks {quoted(sorted(names))}" for which, names in lacking.items() if names]
        raise DataError(
            f"train and validation must have the same features, but {' and '.join(said) or 'some are repeated'}; read "
            "both with the same features=[...]"
        )
    if train.x.shape[1] != validation.x.shape[1]:
        raise DataError(
            f"train and validation must have the same features, but train has {train.x.shape[1]} of them and "
            f"validation {validation.x.shape[1]}"
        )


# -- which columns -------------------------------------------------------------------------------


def check_columns(table: OpenTable, asked: dict[str, Sequence[str | None]]) -> None:
    """Refuse columns that are not there.

    Args:
        table: The table.
        asked: The argument that names them -> the names, or None where it names none.

    Raises:
        DataError: With the argument, the names, and those of the columns that are there.
    """
    check_there(table.name, table.columns, asked)


def _feature_columns(
    table: OpenTable, features: Sequence[str] | None, label: str, taken: Collection[str | None]
) -> list[str]:
    usual = table.usual.get("features")
    if features is None and usual not in (None, *taken):
        return [str(usual)]
    return feature_columns(table.name, table.columns, features, label, taken)


# -- embedding -----------------------------------------------------------------------------------


def _embedded(
    columns: pa.Table, name: str, embed: str | Model, folder: Path
) -> tuple[NDArray[np.float32], Sequence[Item]]:
    """One column of texts or images as unit vectors, and the texts or images themselves."""
    column = whole(columns, name, "feature")
    if is_text(column.type) and embed not in IMAGE_MODELS:
        texts = column.to_pylist()
        return embed_texts(texts, embed), texts
    if embed in TEXT_MODELS:
        raise DataError(f"embed={embed!r} needs a column of texts, but {name!r} holds {column.type}")
    images = images_of(name, column, folder)
    items = [encoded(image) if isinstance(image, np.ndarray) else image for image in images]
    return embed_images(images, embed), items


def _read_folder(folder: Path, given: Sequence[str], embed: str | Model | None) -> Points:
    if given:
        raise InputError(
            f"{str(folder)!r} is a folder of images, which has no columns (labels are the names of its sub-folders): "
            f"leave out {', '.join(f'{part}=' for part in given)}"
        )
    if embed is None or embed in TEXT_MODELS:
        raise InputError(
            f"{str(folder)!r} is a folder: give embed='efficientnet-lite0' or a callable to embed its images"
        )
    paths, labels, ids = labelled_folder(folder)
    return Points(embed_images(paths, embed), labels, ids=ids, items=paths)
