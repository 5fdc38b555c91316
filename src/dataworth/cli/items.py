"""From options to items: what a model made, what it was trained on, and which of that it really saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataworth.cli.reading import columns_of, read_marks
from dataworth.errors import DataError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataworth.records import Items

__all__ = ["Columns", "read_ids"]


@dataclass(frozen=True)
class Columns:
    """Where things are in the sources of training items and of generated items.

    Args:
        items: The column of images, texts or vectors of training items.
        id: Of their names.
        owner: Of whose they are.
        label: Of what class they are.
        made: The column of images, texts or vectors of generated items; where the other is, if not given.
        made_label: Of what class they were made for.
        trained: A file of ids, or a column of marks: which training items the model was trained on.
        skip_bad: Leave out what cannot be read.
    """

    items: str | None
    id: str | None
    owner: str | None
    label: str | None
    made: str | None
    made_label: str | None
    trained: str | None
    skip_bad: bool

    def read_train(self, source: Path) -> Items:
        """The training items.

        Raises:
            DataError: A source or column that cannot be used.
        """
        import dataworth as dw

        return dw.read_items(
            source, column=self.items, id=self.id, owner=self.owner, label=self.label, skip_bad=self.skip_bad
        )

    def read_made(self, source: Path, *, batch: bool) -> Items:
        """The generated items; the columns named for training items may be missing there.

        Args:
            source: Where they are.
            batch: Whether others come before or after them. Items without names of their own are then called after
                their source too, so that two batches may both have a first image.

        Raises:
            DataError: A source or column that cannot be used.
        """
        import dataworth as dw

        there = columns_of(source)
        made = dw.read_items(
            source,
            column=self.made or (self.items if self.items in there else None),
            id=self.id if self.id in there else None,
            label=self.made_label,
            skip_bad=self.skip_bad,
        )
        return made if not batch or self._names(source) in there else _called_after(made, source.resolve().name)

    def read_trained(self, train: Path | None, ids: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Which training items the model was trained on; None if nobody asks.

        Args:
            train: The source of training items, if it was named.
            ids: Names of those that are valued, ``(n,)``.

        Raises:
            DataError: A file or column that cannot be used, or ids that no training item has.
            InputError: It is neither a file nor a column.
        """
        if self.trained is None:
            return None
        from dataworth.records.arrays import among

        if Path(self.trained).is_file():
            named = read_ids(Path(self.trained), ids, "--trained")
            unknown = int((~among(named, ids)).sum())
            if unknown:
                raise DataError(
                    f"{unknown} of the {named.size} ids in {self.trained!r} (--trained) are those of no training item"
                )
        elif train is None or self.trained not in columns_of(train):
            raise InputError(f"--trained names a file of ids or a column of --train; {self.trained!r} is neither")
        else:
            named = self._marked(train, self.trained)
        mask = among(ids, named)
        seen = int(mask.sum())
        if min(seen, mask.size - seen) < 2:
            raise DataError(
                f"--trained needs two items or more that the model saw and two that it did not; {self.trained!r} says "
                f"that it saw {seen} of {mask.size}"
            )
        return mask

    def _marked(self, train: Path, column: str) -> NDArray[Any]:
        """Names of the items that a column of their table marks."""
        import numpy as np

        from dataworth.data.columns import names_of
        from dataworth.data.tables import open_table

        table = open_table(train)
        marks, names = read_marks(table, column, "--trained"), self._names(train)
        return np.flatnonzero(marks) if names is None else names_of(table.read([names], [names]), names, "id")[marks]

    def _names(self, source: Path) -> str | None:
        """The column of names: the one asked for, or the usual one of arrays by name."""
        from dataworth.data.tables import open_table

        return self.id if self.id or not columns_of(source) else open_table(source).usual.get("id")


def read_ids(file: Path, ids: NDArray[Any], option: str) -> NDArray[Any]:
    """Names of items from a text file, one a line; numbers if the items have numbers.

    Args:
        file: UTF-8; empty lines count for nothing.
        ids: Names of the items.
        option: What asked for it, for messages.

    Raises:
        DataError: The file is not there, holds no ids, or other text where ids are numbers.
    """
    import numpy as np

    from dataworth.records.arrays import exact

    name = f"{str(file)!r} ({option})"
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{name} is no text in UTF-8; it should hold ids, one a line") from None
    names = [line for line in lines if line]
    if not names:
        raise DataError(f"{name} holds no ids; it should hold them one a line")
    if ids.dtype.kind == "U":
        return np.array(names)
    try:
        numbers = [int(line) for line in names]
    except ValueError:
        raise DataError(f"{name} holds other text than numbers, but training items are called by numbers") from None
    return exact(numbers, "ids")


def _called_after(made: Items, name: str) -> Items:
    import dataworth as dw

    return dw.Items(
        made.x,
        images=made.content if made.kind == "images" else None,
        texts=made.content if made.kind == "texts" else None,  # type: ignore[arg-type]  # a set of texts holds texts
        ids=[f"{name}/{own}" for own in made.ids.tolist()],
        owners=made.owners,
        labels=made.labels,
        skipped=made.skipped,
    )
