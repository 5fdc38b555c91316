"""GMValuator's experiments that train generators again and again: items added, groups left out.

Likeness says who resembles what was made. These experiments ask whether that has anything to do with who shaped the
generator, and report the answer whatever it is. A stand-in that repeats its pool, and that nothing
else shapes, shows what the most faithful of all generators would give.
"""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dataworth.models.generators import ConditionalGAN, GuidedDiffusion, Settings
from dataworth.papers.experiment import Experiment, Result, Setting
from dataworth.papers.gmvaluator.makers import Maker, asked_evenly, repeats
from dataworth.papers.gmvaluator.pools import draw, labels_of, noisy, open_pool
from dataworth.papers.gmvaluator.retraining import Judge, Make, Omission, Value, add_items, leave_groups_out
from dataworth.papers.gmvaluator.running import Features, ImageShelf, Row, featured, match
from dataworth.papers.gmvaluator.trained import trained
from dataworth.records import Exhibit, Items, Table, Values
from dataworth.records.evidence import Cell

__all__ = ["EXPERIMENTS", "styles"]

ALL_FEATURES: tuple[Features, ...] = ("efficientnet-lite0", "pixels")
MATCHED = 10
MADE = 1_000
BASE = 2_500
ADDED = 1_250
ADDED_NOISE = 80.0
GROUPED = 1_000
STYLES = 2  # of each class
ANOTHER_SEED = 1_000
# Trained over and over, so not for long; each pool's generators are kept for the next run.
BRIEF: dict[str, Settings] = {
    "GAN": ConditionalGAN(steps=3_000),
    "diffusion": GuidedDiffusion(steps=2_000, channels=(32, 64)),
}
TINY: dict[str, Settings] = {"tiny GAN": ConditionalGAN(steps=1_000, width=16)}
"""Once for each group that is left out, and three times more."""


# -- items added ---------------------------------------------------------------------------------


def _addition(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist")
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
            for maker in _makers(BRIEF, setting):
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
    shelf = ImageShelf(setting, "mnist")
    rows: list[Row] = []
    pictures: list[Result] = []
    for source in shelf:
        everyone = open_pool(source.name, setting.data)
        for seed, features in product(shelf.seeds, ALL_FEATURES):
            pool = featured(draw(everyone, GROUPED, seed), features, setting)
            # By what the embedder sees, whatever the items are matched by: so the groups are the same.
            groups = styles(featured(pool, ALL_FEATURES[0], setting), STYLES)
            asked = asked_evenly(labels_of(pool), MADE)
            for maker in _makers(TINY, setting):
                seeds = (seed + i * ANOTHER_SEED for i in range(3))
                make, again, valued = (_make(maker, asked, s, features, setting) for s in seeds)
                found = leave_groups_out(pool, groups, make, again, valued, _value(features), seed=seed)
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
        f"its features. A generator trained with all groups makes {MADE:,} images; a group's value is the sum of its "
        "images' values. Another, of another seed, is trained with all groups and then without the group, seeds alike, "
        "and makes as many. The change is by how much the mean cosine distance from what was made to the nearest image "
        "of the group grows. Spearman's correlation of value and change over the groups, p two-sided from random "
        "orders. Nothing left out: the same with a third seed of training in place of the group left out, which should "
        "show nothing. Likeness enters both sides, so a correlation is no proof of cause, but its absence would be a "
        "refutation."
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


def _makers(generators: dict[str, Settings], setting: Setting) -> list[Maker]:
    return [repeats(), *(trained(name, settings, setting) for name, settings in generators.items())]


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
        Experiment("gmvaluator-addition", "Items added to the pool: what they earn, what they do", _addition),
        Experiment("gmvaluator-groups", "Groups left out: do values tell whom the generator misses?", _groups),
    )
}
"""The experiments by their names."""
