"""What GMValuator's experiments share: which data sets there are, how items are matched, how tables say so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.papers.experiment import Experiment, Setting
from dataworth.papers.gmvaluator.makers import Maker, real_images
from dataworth.papers.gmvaluator.pools import SOURCES, Source, open_pool, pixels_of
from dataworth.papers.gmvaluator.trained import learned
from dataworth.records import Attributions, Items, Table, Values
from dataworth.records.evidence import Cell
from dataworth.valuation.generated import value_generated
from dataworth.valuation.items import embed_items
from dataworth.valuation.methods import SimilarityMatch

__all__ = ["Features", "ImageShelf", "Row", "attributions_of", "featured", "makers_for", "match", "over_seeds"]

Features: TypeAlias = Literal["efficientnet-lite0", "pixels"]
Row: TypeAlias = dict[str, Cell]


class ImageShelf:
    """The sets of images of one run that the folder has, and the words about them for the tables.

    A set that the folder lacks is noted and left out, unless it was named.

    Args:
        setting: What the experiment is run on.
        *names: The sets that the experiment uses.

    Raises:
        InputError: A protocol, or a set, that the experiment does not have.
        DataError: A set that was named is not in the folder.
    """

    def __init__(self, setting: Setting, *names: str) -> None:
        if setting.protocol != "published":
            raise InputError(f"GMValuator's experiments have one protocol only, 'published', not {setting.protocol!r}")
        wanted = list(names) if setting.datasets is None else setting.datasets
        wrong = [name for name in wanted if name not in names]
        if wrong:
            raise InputError(f"this experiment has no data set {', '.join(wrong)}; it has {', '.join(names)}")
        self._setting = setting
        self._sources = [SOURCES[name] for name in names if name in wanted]
        self._absent = [source.name for source in self._sources if not source.is_in(setting.data)]
        if self._absent and setting.datasets is not None:
            raise DataError(f"{', '.join(self._absent)} is not in the data folder {str(setting.data)!r}")
        self._started = time.perf_counter()

    @property
    def seeds(self) -> range:
        """The seeds to run: of draws, noise and generators."""
        return range(self._setting.seeds or 1)

    def __iter__(self) -> Iterator[Source]:
        there = [source for source in self._sources if source.name not in self._absent]
        return iter(self._setting.bar(there, "data sets"))

    def table(self, experiment: Experiment, rows: Sequence[Mapping[str, Cell]], note: Sequence[str]) -> Table:
        """The rows as a table whose note ends with the seeds, what is missing, and the run time.

        Raises:
            DataError: There are no rows.
        """
        if not rows:
            raise DataError(
                f"{str(self._setting.data)!r} has none of the data sets that {experiment.name} uses: "
                f"{', '.join(self._absent)}"
            )
        words = [*note, self._said_of_seeds(rows[0])]
        if self._absent:
            words.append(f"Not in the data folder: {', '.join(self._absent)}.")
        words.append(f"Run time {time.perf_counter() - self._started:.0f} s.")
        return Table(
            experiment.name, experiment.title, {key: [row[key] for row in rows] for key in rows[0]}, " ".join(words)
        )

    def _said_of_seeds(self, row: Mapping[str, Cell]) -> str:
        """Which seeds stand behind a table, by its columns."""
        if len(self.seeds) > 1 and "seed" in row:
            return f"Seeds 0 to {len(self.seeds) - 1}, a line each."
        if len(self.seeds) > 1 and any(name.endswith(" sd") for name in row):
            return f"Seeds 0 to {len(self.seeds) - 1}, mean and standard deviation (sd)."
        return "Seed 0."


def makers_for(source: Source, setting: Setting) -> list[Maker]:
    """Real images that no one trained on, and the generators, which are trained on the pools they are given."""
    return [real_images(open_pool(source.name, setting.data, held_out=True)), *learned(setting)]


def featured(items: Items, features: Features, setting: Setting) -> Items:
    """The items with the vectors they are matched by.

    Args:
        items: Images.
        features: The packaged embedder, or the pixels themselves from 0 to 1.
        setting: Whether there is a progress bar.
    """
    if features == "pixels":
        flat = np.array([image.reshape(-1) for image in pixels_of(items)], dtype=np.float32)
        return items.with_vectors(flat / np.float32(255))
    return embed_items(items, features, progress=setting.progress)


def match(
    generated: Items,
    train: Items,
    k: int,
    *,
    features: Features = "efficientnet-lite0",
    rerank: str | None = None,
    candidates: int | None = None,
) -> Values:
    """Values by exact recall, credit by a softmax at temperature 1.

    Args:
        generated: From :func:`featured`.
        train: From :func:`featured`.
        k: Matches of each generated item.
        features: What their vectors are: the distance is cosine for the embedder, Euclidean for pixels.
        rerank: Name of what looks at the candidates again.
        candidates: How many there are; as the method has it if not given.
    """
    metric: Literal["cosine", "euclidean"] = "euclidean" if features == "pixels" else "cosine"
    method = SimilarityMatch(k=k, rerank=rerank, metric=metric, candidates=candidates)
    return value_generated(generated, train, method=method, progress=False)


def attributions_of(values: Values) -> Attributions:
    """The matches behind values.

    Raises:
        InputError: There are none.
    """
    if values.attributions is None:
        raise InputError("the values have no attributions: they are not by likeness")
    return values.attributions


def over_seeds(name: str, found: Sequence[float] | NDArray[np.float64]) -> Row:
    """Columns: the mean over seeds, and the standard deviation if there are several."""
    deviation: Row = {f"{name} sd": float(np.std(found, ddof=1))} if len(found) > 1 else {}
    return {name: float(np.mean(found)), **deviation}
