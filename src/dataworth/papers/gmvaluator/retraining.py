"""What happens to a generator when its training pool changes: items added, groups left out.

Values by likeness say who resembles what was made, not who caused it. Both experiments here train again, so that
the two can be compared. Neither knows how a generator works: it is a function from a pool to what was generated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.papers.gmvaluator.criteria import Rank, frechet_distance, permuted_spearman
from dataworth.papers.gmvaluator.pools import labels_of, together
from dataworth.records import Items, Values

__all__ = ["Addition", "Judge", "Make", "Omission", "Quality", "Value", "add_items", "leave_groups_out", "likeness_to"]

Make: TypeAlias = Callable[[Items], Items]
"""A pool -> what a generator trained on it makes: embedded, labelled, for the same labels and seeds every time."""

Value: TypeAlias = Callable[[Items, Items], Values]
"""Generated items and training items -> values of the training items."""


@dataclass(frozen=True)
class Quality:
    """How good a set of generated items is.

    Args:
        accuracy: Share that a classifier trained on real items takes for the class it was generated for.
        frechet: Fréchet distance of its vectors to those of real items held out; smaller is better.
    """

    accuracy: float
    frechet: float


class Judge:
    """A classifier trained on real items, and real items held out to compare with.

    Args:
        real: Embedded and labelled, at least two classes; what the classifier is trained on.
        held_out: Embedded and labelled, none of them among the first.

    Raises:
        InputError: Items without vectors or labels.
    """

    def __init__(self, real: Items, held_out: Items) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self._classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
        self._classifier.fit(_vectors(real), labels_of(real))
        self._held_out = held_out
        self.accuracy = float(self._classifier.score(_vectors(held_out), labels_of(held_out)))
        """The classifier's accuracy on the real items held out: no generator need do better."""

    def __call__(self, generated: Items) -> Quality:
        """How good the generated items are; the items held out of their classes are what they are compared with."""
        asked = labels_of(generated)
        real = self._held_out.take(np.isin(labels_of(self._held_out), asked))
        return Quality(
            float(self._classifier.score(_vectors(generated), asked)),
            frechet_distance(_vectors(generated), _vectors(real)),
        )


# -- items added ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Addition:
    """What adding items of one kind did.

    Args:
        kind: Which items; ``"nothing"`` for the pool as it was.
        items: How many.
        base: Mean value of the pool's own items, after training with the added ones.
        added: Mean value of the added items, after training with them; None if there are none.
        untrained: What the added items' mean value would be beside a generator that never saw them.
        quality: Of what was generated after training with them.
    """

    kind: str
    items: int
    base: float
    added: float | None
    untrained: float | None
    quality: Quality


def add_items(
    pool: Items, added: Mapping[str, Items], make: Make, value: Value, judge: Callable[[Items], Quality]
) -> list[Addition]:
    """Train on the pool alone, and once more with each kind of items added.

    Args:
        pool: Embedded and labelled.
        added: Kinds of items, embedded and labelled, with ids of their own.
        make: Trains and generates.
        value: Values training items.
        judge: Judges what was generated.

    Returns:
        The pool alone first, then a kind each.
    """
    before = make(pool)
    found = [Addition("nothing", 0, float(value(before, pool).values.mean()), None, None, judge(before))]
    for kind, more in added.items():
        larger = together(pool, more)
        after = make(larger)
        trained, untrained = value(after, larger).values, value(before, larger).values
        n = len(pool)
        found.append(
            Addition(
                kind,
                len(more),
                float(trained[:n].mean()),
                float(trained[n:].mean()),
                float(untrained[n:].mean()),
                judge(after),
            )
        )
    return found


# -- groups left out -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Omission:
    """What leaving out one group after another did.

    Args:
        groups: Names, shape ``(g,)``.
        sizes: Items in each, shape ``(g,)``.
        value: Sum of the values of each group's items, in the pool with every group, shape ``(g,)``.
        change: Likeness of what was generated to the group's items, with the group in the pool minus without,
            shape ``(g,)``.
        control: The same when nothing is left out but the generator is trained with another seed, shape ``(g,)``:
            how much likeness strays by itself.
        rank: Correlation of value and change.
        control_rank: Correlation of value and control, which should be near 0.
    """

    groups: NDArray[Any]
    sizes: NDArray[np.int64]
    value: NDArray[np.float64]
    change: NDArray[np.float64]
    control: NDArray[np.float64]
    rank: Rank
    control_rank: Rank


def leave_groups_out(
    pool: Items, groups: NDArray[Any], make: Make, make_again: Make, make_valued: Make, value: Value, *, seed: int = 0
) -> Omission:
    """Train on everything three times over, and once more without each group.

    What is valued, what changes and what the change is measured against come of trainings of their own. Were a group
    valued by the very images its change is measured from, luck that brings more images like it would raise both, and
    even a generator that never looked at its pool would show a correlation.

    Args:
        pool: Embedded and labelled.
        groups: Which group each item is in, shape ``(n,)``; at least three groups.
        make: Trains and generates.
        make_again: The same with another seed of training: the control, from which nothing is left out.
        make_valued: The same with a third seed: what is valued.
        value: Values training items.
        seed: Of the random orders behind p.

    Raises:
        InputError: Groups of another length.
        DataError: Fewer than three groups, or changes that are all equal.
    """
    if groups.shape != (len(pool),):
        raise InputError(f"one group an item is needed: {groups.shape} beside {len(pool)} items")
    names, at = np.unique(groups, return_inverse=True)
    everything, again = make(pool), make_again(pool)
    values = value(make_valued(pool), pool).values
    change, control = np.empty(names.size), np.empty(names.size)
    for g in range(names.size):
        group = pool.take(at == g)
        likeness = likeness_to(group, everything)
        change[g] = likeness - likeness_to(group, make(pool.take(at != g)))
        control[g] = likeness - likeness_to(group, again)
    sums = np.array([math.fsum(values[at == g]) for g in range(names.size)])
    return Omission(
        groups=names,
        sizes=np.bincount(at).astype(np.int64),
        value=sums,
        change=change,
        control=control,
        rank=permuted_spearman(sums, change, seed=seed),
        control_rank=permuted_spearman(sums, control, seed=seed),
    )


def likeness_to(group: Items, generated: Items) -> float:
    """How near generated items come to a group: minus the mean cosine distance to the nearest item of it.

    Args:
        group: Embedded.
        generated: Embedded.
    """
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (_vectors(generated), _vectors(group)))
    return float((a @ b.T).max(axis=1).mean() - 1)


def _vectors(items: Items) -> NDArray[np.float64]:
    if items.x is None:
        raise DataError("the items need vectors; embed them first")
    return items.x.astype(np.float64)
