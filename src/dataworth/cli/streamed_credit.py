"""``dataworth generated`` over training items that need not fit in memory: what is asked, checked, run and told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataworth.cli.items import Columns
from dataworth.cli.output import show, show_json
from dataworth.cli.parts import Parts, figures_json, figures_text, told_how_to_go_on, was_there
from dataworth.errors import InputError

if TYPE_CHECKING:
    from dataworth.records.stored import StoredValues
    from dataworth.valuation.methods import SimilarityMatch

__all__ = ["StreamedCredit"]

SHOWN = 5


@dataclass(frozen=True)
class StreamedCredit:
    """What was said about training items in files larger than memory.

    Args:
        parts: About the files.
        columns: Where things are in them.
    """

    parts: Parts
    columns: Columns

    def check(self, made: Path | None, out: Path | None, others: Mapping[str, bool]) -> Path:
        """Refuse what does not go together.

        Args:
            made: What the model made.
            out: Where to.
            others: Options and whether they were given.

        Returns:
            What the model made, which is there.

        Raises:
            InputError: Something is missing, or options about items in memory.
        """
        odd = [option for option, given in others.items() if given]
        if odd:
            raise InputError(
                f"{', '.join(odd)} cannot be had of training items that are matched part by part (a folder of tables, "
                "--memory, --engine, --where); leave it out, or give --train that fits in memory"
            )
        if made is None:
            raise InputError("name what was made too: dataworth generated GENERATED --train SOURCE")
        self.parts.check_folder(out)
        return made

    def run(
        self, made: Path, rule: SimilarityMatch, out: Path, *, threads: int | None, as_json: bool, caveat: str
    ) -> None:
        """Value the items and say what came of it."""
        from dataworth.data.sources import Source
        from dataworth.valuation.credit_parts import credit_source

        columns = self.columns
        source = Source.open(
            str(self.parts.train), label=columns.label, id=columns.id, owner=columns.owner,
            features=None if columns.items is None else [columns.items], filter=self.parts.where,
        )  # fmt: skip
        fresh = columns.read_made(made, batch=False)
        before = was_there(out)
        with told_how_to_go_on():
            stored = credit_source(
                fresh, source, method=rule, out=out, engine=self.parts.build(threads), memory=self.parts.size
            )
        if as_json:
            show_json(_as_json(stored))
        else:
            show(
                [
                    f"{stored.rows:,} training items by {stored.method}, {stored.n_validation:,} generated items",
                    caveat,
                    *([stored.highest_rows(SHOWN)] if stored.rows > SHOWN else []),
                    *([stored.by_owner()] if columns.owner is not None else []),
                    *figures_text(stored, before=before),
                    f"who earned what of each generated item is in {stored.folder}, too",
                ]
            )


def _as_json(stored: StoredValues) -> dict[str, Any]:
    table = stored.highest_rows(SHOWN)
    return {
        "method": stored.method,
        "train_items": stored.rows,
        "generated_items": stored.n_validation,
        "highest": [dict(zip(table.columns, row, strict=True)) for row in table.rows()],
        **figures_json(stored),
    }
