"""GMValuator's experiments on generators that are trained for them: held-out halves, items added, groups left out.

Likeness says who resembles what was made. These experiments ask whether that has anything to do with who shaped the
generator, and report the answer whatever it is. Two stand-ins bracket what generators give: real images held out,
which no pool shaped, and repeats of the pool, which nothing else shaped.
"""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dataworth.papers.experiment import Experiment, Result, Setting
from dataworth.papers.gmvaluator import published
from dataworth.papers.gmvaluator.makers import Maker, asked_evenly, makers_for, repeats
from dataworth.papers.gmvaluator.pools import draw, halves, labels_of, noisy, open_pool, together
from dataworth.papers.gmvaluator.retraining import Judge, Make, Omission, Value, add_items, leave_groups_out
from dataworth.papers.gmvaluator.running import Features, ImageShelf, Row, attributions_of, featured, match
from dataworth.records import Exhibit, Items, Table, Values
from dataworth.records.evidence import Cell
from dataworth.valuation.held_out import held_out_test, nearest_trained

__all__ = ["EXPERIMENTS", "styles"]

ALL_FEATURES: tuple[Features, ...] = ("efficientnet-lite0", "pixels")
MATCHED = 10
MADE = 1_000
HALF = 250  # of each class, so 2,500 in each half as published
BASE = 2_500
ADDED = 1_250
ADDED_NOISE = 80.0
GROUPED = 2_000
STYLES = 2  # of each class
ANOTHER_SEED = 1_000


# -- RA1 and RA2 of the first version: which half was trained on? --------------------------------


def _held_out(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist", "cifar10")
    rows: list[Row] = []
    for source in shelf:
        everyone = open_pool(source.name, setting.data)
        for seed in shelf.seeds:
            pairs = [halves(everyone, label, HALF, seed) for label in np.unique(labels_of(everyone))]
            first, second = (together(*parts) for parts in zip(*pairs, strict=True))
            both = together(first, second)
            trained = np.arange(len(both)) < len(first)
            for maker in [*makers_for(source, setting), repeats()]:
                made = maker.make(first, asked_evenly(labels_of(first), MADE), seed)
                for features in ALL_FEATURES:
                    judged, pool = (featured(items, features, setting) for items in (made, both))
                    values = match(judged, pool, MATCHED, features=features)
                    row: Row = {"data set": source.name, "made by": maker.name, "features": features, "seed": seed}
                    for table in (held_out_test(values, trained), nearest_trained(attributions_of(values), trained)):
                        row |= {name: cells[0] for name, cells in table.columns.items()}
                    rows.append(row)
    for generator, printed in published.HELD_OUT.items() if rows else ():
        row = dict.fromkeys(rows[0])
        row |= {"data set": "cifar10, one class", "made by": f"{generator}, published"}
        row |= {"mean value, trained on": printed.trained, "mean value, held out": printed.held_out}
        row |= {"t (Welch)": printed.t, "p, one-sided": printed.p, "null hypothesis rejected": True}
        rows.append(row)
    note = [
        f"Each class has {HALF} images in each of two halves; the generator is trained on the first and makes {MADE:,} "
        f"images; both halves are valued together, {MATCHED} matches an item. The null hypothesis, that the mean value "
        "of images trained on is at most that of those held out, is rejected below .01. Real images held out must not "
        "reject it, but for one time in a hundred; repeats of the first half (noise of 5 grey levels) must. The "
        "published generators are far larger and saw one class of CIFAR-10."
    ]
    return [shelf.table(experiment, rows, note)]


# -- items added ---------------------------------------------------------------------------------


def _addition(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist", "cifar10")
    rows: list[Row] = []
    for source in shelf:
        everyone = open_pool(source.name, setting.data)
        held_out = open_pool(source.name, setting.data, held_out=True)
        for seed, features in product(shelf.seeds, ALL_FEATURES):
            see = partial(featured, features=features, setting=setting)
            pool, added, real = _dealt(everyone, seed)
            asked = asked_evenly(labels_of(pool), MADE)
            compared = held_out.take(_drawn_like(labels_of(held_out), asked, seed))
            judge = Judge(see(real), see(compared))
            kinds = {kind: see(items) for kind, items in added.items()}
            for maker in _training(makers_for(source, setting)):
                make, value = _make(maker, asked, seed, features, setting), _value(features)
                for found in add_items(see(pool), kinds, make, value, judge):
                    rows.append(
                        {
                            "data set": source.name,
                            "made by": maker.name,
                            "features": features,
                            "seed": seed,
                            "added": found.kind,
                            "items": found.items,
                            "mean value, base": found.base,
                            "mean value, added": found.added,
                            "before training on them": found.untrained,
                            "accuracy": found.quality.accuracy,
                            "accuracy on real images": judge.accuracy,
                            "Frechet distance": found.quality.frechet,
                        }
                    )
    note = [
        f"A generator is trained on {BASE:,} images of half of the classes, then again with {ADDED:,} more: of the "
        "same classes, of the other classes (with their labels), of the same classes with Gaussian noise of "
        f"{ADDED_NOISE:.0f} grey levels, or copies of images it has. It makes {MADE:,} images of the first half of the "
        f"classes each time; {MATCHED} matches an item. Before training on them: what the added images would earn of "
        "what the generator made without them, by likeness alone. Accuracy: share taken for the class asked for by a "
        "logistic regression trained on other real images. Frechet distance: of the features, to real images held out, "
        "as many of each class; for comparison within a data set only. An image and its exact copy are equally near, "
        "so each earns what one alone would have shared with fewer."
    ]
    return [shelf.table(experiment, rows, note)]


def _dealt(everyone: Items, seed: int) -> tuple[Items, dict[str, Items], Items]:
    """A pool of half of the classes; by kind, what to add; and other real images of these classes."""
    classes = np.unique(labels_of(everyone))
    mine = np.isin(labels_of(everyone), classes[: classes.size // 2])
    drawn = draw(everyone.take(mine), BASE + 3 * ADDED, seed)
    pool, same, spoilt, real = (
        drawn.take(np.arange(start, stop))
        for start, stop in (
            (0, BASE),
            (BASE, BASE + ADDED),
            (BASE + ADDED, BASE + 2 * ADDED),
            (BASE + 2 * ADDED, BASE + 3 * ADDED),
        )
    )
    added = {
        "same classes": same,
        "other classes": draw(everyone.take(~mine), ADDED, seed),
        "same classes, noisy": noisy(spoilt, ADDED_NOISE, seed),
        "copies": noisy(pool.take(np.arange(ADDED)), 0, seed, name="copy"),
    }
    return pool, added, real


def _drawn_like(labels: NDArray[np.int64], asked: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Positions of random items with as many of each class as are asked for, or as there are."""
    random = np.random.default_rng(seed)
    names, counts = np.unique(asked, return_counts=True)
    parts = [random.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(names, counts, strict=True)]
    return np.concatenate(parts)


# -- groups left out -----------------------------------------------------------------------------


def _groups(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist", "cifar10")
    rows: list[Row] = []
    pictures: list[Result] = []
    for source in shelf:
        everyone = open_pool(source.name, setting.data)
        for seed, features in product(shelf.seeds, ALL_FEATURES):
            pool = featured(draw(everyone, GROUPED, seed), features, setting)
            # By what the embedder sees, whatever the items are matched by: so the groups are the same.
            groups = styles(featured(pool, ALL_FEATURES[0], setting), STYLES)
            asked = asked_evenly(labels_of(pool), MADE)
            for maker in _training(makers_for(source, setting)):
                make, again = (_make(maker, asked, s, features, setting) for s in (seed, seed + ANOTHER_SEED))
                found = leave_groups_out(pool, groups, make, again, _value(features), seed=seed)
                rows.append(
                    {
                        "data set": source.name,
                        "made by": maker.name,
                        "features": features,
                        "seed": seed,
                        "groups": found.groups.size,
                        "items a group": int(found.sizes.mean()),
                        "Spearman": found.rank.rho,
                        "p": found.rank.p,
                        "Spearman, nothing left out": found.control_rank.rho,
                        "p, nothing left out": found.control_rank.p,
                        "mean change": float(found.change.mean()),
                        "mean size of change, nothing left out": float(np.abs(found.control).mean()),
                    }
                )
                pictures.append(_points(experiment, f"{source.name}, {maker.name}, {features}, seed {seed}", found))
    note = [
        f"{GROUPED:,} images, each class cut into {STYLES} groups of one size along the first principal direction of "
        f"its features. The generator is trained with all groups and makes {MADE:,} images; a group's value is the sum "
        "of its images' values. Then it is trained without the group and makes as many, seeds alike. The change "
        "is by how much the mean cosine distance from what was made to the nearest image of the group grows. "
        "Spearman's correlation of value and change over the groups, p two-sided from random orders. Nothing left out: "
        "the same with another seed of training in place of the group left out, which must show nothing. Likeness "
        "enters both sides, so a correlation is no proof of cause, but its absence would be a refutation."
    ]
    return [shelf.table(experiment, rows, note), *pictures]


def styles(items: Items, parts: int) -> NDArray[np.int64]:
    """Groups of one size within each class: cut along the first principal direction of the class's vectors.

    Args:
        items: Embedded and labelled.
        parts: How many groups each class gives.

    Returns:
        Group numbers, class by class, shape ``(n,)``.
    """
    groups = np.empty(len(items), dtype=np.int64)
    labels = labels_of(items)
    for number, label in enumerate(np.unique(labels)):
        at = np.flatnonzero(labels == label)
        x = np.asarray(items.x, dtype=np.float64)[at]
        direction = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][0]
        order = np.argsort(x @ direction, kind="stable")
        groups[at[order]] = number * parts + np.arange(at.size) * parts // at.size
    return groups


def _points(experiment: Experiment, what: str, found: Omission) -> Exhibit:
    columns: dict[str, list[Cell]] = {
        "group": found.groups.tolist(),
        "items": found.sizes.tolist(),
        "value": found.value.tolist(),
        "change": found.change.tolist(),
        "change, nothing left out": found.control.tolist(),
    }
    name = "-".join(what.replace(",", "").split())
    table = Table(f"{experiment.name}-{name}", f"A group's value and what leaving it out changes: {what}", columns)
    return Exhibit(
        f"{table.name}-points",
        "points",
        table,
        x="value",
        y="change",
        alt=f"One point a group of {found.groups.size}: rank correlation {found.rank.rho:.2f}, p = {found.rank.p:.3g}.",
        caption="To the right what a group's images earned, upwards how much less like them the generator's images are "
        "when it is trained without them.",
    )


# -- what they share -----------------------------------------------------------------------------


def _training(makers: list[Maker]) -> list[Maker]:
    """Those that a change of the pool can change, and repeats of the pool."""
    return [*(maker for maker in makers if maker.trains), repeats()]


def _make(maker: Maker, asked: NDArray[np.int64], seed: int, features: Features, setting: Setting) -> Make:
    def make(pool: Items) -> Items:
        return featured(maker.make(pool, asked, seed), features, setting)

    return make


def _value(features: Features) -> Value:
    def value(generated: Items, train: Items) -> Values:
        return match(generated, train, MATCHED, features=features)

    return value


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment("gmvaluator-held-out", "First version, RA1 and RA2: is what was trained on worth more?", _held_out),
        Experiment("gmvaluator-addition", "Items added to the pool: what they earn, what they do", _addition),
        Experiment("gmvaluator-groups", "Groups left out: do values tell whom the generator misses?", _groups),
    )
}
"""The experiments by their names."""
