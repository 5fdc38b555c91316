"""RA1, RA2 and RA3 of the first version: one half of a set is trained on; is it worth more than the other?

The published case is CIFAR-10's airplanes, 2,500 in each half. Here every class of MNIST is halved too, at 100, 500
and 2,500 images a class, because what a generator owes to single images depends on how few it has seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dataworth.models.generators import Settings
from dataworth.papers.experiment import Experiment, Result, Setting
from dataworth.papers.gmvaluator import published
from dataworth.papers.gmvaluator.makers import REMEMBERED_NOISE, asked_evenly, real_images, repeats
from dataworth.papers.gmvaluator.pools import halves, labels_of, open_pool, scaled, together
from dataworth.papers.gmvaluator.running import Features, ImageShelf, Row, attributions_of, featured, match
from dataworth.papers.gmvaluator.sheets import loss_curves, sample_sheet
from dataworth.papers.gmvaluator.trained import GENERATORS, learned, train_on, trained
from dataworth.records import Exhibit, Items, Table, Values
from dataworth.valuation.held_out import ALPHA, held_out_test, nearest_trained
from dataworth.valuation.likeness import gather_matches
from dataworth.valuation.maps import item_map

__all__ = ["EXPERIMENTS", "Halves"]

ALL_FEATURES: tuple[Features, ...] = ("pixels", "efficientnet-lite0")
SIZES = (100, 500, 2_500)
AIRPLANE, AIRPLANES = 0, 2_500
MADE = 1_000
MATCHED = 10
ENDS = 100  # of the highest and of the lowest values
FACE = (40, 32)  # height and width that faces are scaled to


@dataclass(frozen=True, eq=False)
class Halves:
    """Two halves of some classes, of which the first is trained on.

    Args:
        name: What to call the set.
        size: Images of each class in each half.
        first: What is trained on.
        second: What is held out.
        generated: Images that no one trains on, for the stand-in that remembers nobody.
    """

    name: str
    size: int
    first: Items
    second: Items
    generated: Items

    @classmethod
    def of(cls, name: str, everyone: Items, held_out: Items, labels: Sequence[int], size: int, seed: int) -> Halves:
        """Random halves of the classes given."""
        pairs = [halves(everyone, label, size, seed) for label in labels]
        first, second = (together(*parts) for parts in zip(*pairs, strict=True))
        return cls(name, size, first, second, held_out.take(np.isin(labels_of(held_out), labels)))

    @property
    def trained(self) -> NDArray[np.bool_]:
        """Which of both halves together, the first before the second, is trained on."""
        return np.arange(len(self.first) + len(self.second)) < len(self.first)

    def asked(self) -> NDArray[np.int64]:
        """The classes of what is to be made, evenly; no more than the stand-in has images."""
        asked: NDArray[np.int64] = asked_evenly(labels_of(self.first), min(MADE, len(self.generated)))
        return asked


def _cases(shelf: ImageShelf, setting: Setting, seed: int) -> Iterator[Halves]:
    for source in shelf:
        everyone, held_out = (open_pool(source.name, setting.data, held_out=apart) for apart in (False, True))
        if source.name == "mnist":
            for size in SIZES:
                yield Halves.of("mnist", everyone, held_out, range(10), size, seed)
        else:
            yield Halves.of("cifar10 airplanes", everyone, held_out, [AIRPLANE], AIRPLANES, seed)


# -- RA2: the test -------------------------------------------------------------------------------


def _test(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist", "cifar10")
    rows: list[Row] = []
    by_class: list[Row] = []
    pictures: list[Result] = []
    for seed in shelf.seeds:
        for case in _cases(shelf, setting, seed):
            if seed == shelf.seeds[0]:
                pictures += _of_training(experiment, case, setting, seed)
            for name, made in _made(case, setting, seed):
                for features in ALL_FEATURES:
                    about: Row = {"data set": case.name, "images a class": case.size, "made by": name}
                    about |= {"features": features, "seed": seed}
                    row, classes = _tested(case, made, features, setting)
                    rows.append({**about, **row})
                    by_class += [{**about, **each} for each in classes]
    for generator, printed in published.HELD_OUT.items():
        row = dict.fromkeys(rows[0] if rows else ())
        row |= {"data set": "cifar10 airplanes", "images a class": AIRPLANES, "made by": f"{generator}, published"}
        row |= {"mean value, trained on": printed.trained, "mean value, held out": printed.held_out}
        row |= {"t (Welch)": printed.t, "p, one-sided": printed.p}
        rows.append(row)
    note = [
        f"Each class is halved at random; a generator is trained on the first halves and makes {MADE:,} images (fewer "
        f"where the stand-in has fewer); both halves are valued together, {MATCHED} matches an item, temperature 1. "
        f"Classes below {ALPHA}: of the one-sided Welch tests, one a class, of whether images trained on have the "
        "greater mean value, those that reject the null hypothesis that they have not. The mean values and the test "
        "beside them take all classes together. Nearest is trained on: share of what was made whose nearest image is "
        "of the half trained on; .5 if the generator remembered nothing. Distance ratio: mean distance to the nearest "
        "image trained on over that to the nearest held out; 1 if it remembered nothing, 0 if it only repeated. Real "
        "images held out bracket the generators from one side, repeats of the first half (noise of "
        f"{REMEMBERED_NOISE:.0f} grey levels) from the other. The published generators are far larger."
    ]
    each_note = "The test within each class: its images alone, of both halves, by the values of everything together."
    each = Table(
        f"{experiment.name}-by-class",
        "The held-out test in each class",
        {key: [row[key] for row in by_class] for key in by_class[0]},
        each_note,
    )
    return [shelf.table(experiment, rows, note), _rejections(experiment, rows), each, *pictures]


def _tested(case: Halves, made: Items, features: Features, setting: Setting) -> tuple[Row, list[Row]]:
    both = together(case.first, case.second)
    judged, pool = (featured(items, features, setting) for items in (made, both))
    values = match(judged, pool, MATCHED, features=features)
    labels = labels_of(both)
    classes: list[Row] = []
    for label in np.unique(labels):
        found = _first(held_out_test(_some(values, labels == label), case.trained[labels == label]))
        kept = ("mean value, trained on", "mean value, held out", "t (Welch)", "p, one-sided", "Cohen's d")
        classes.append({"class": int(label), **{name: found[name] for name in kept}})
    overall = _first(held_out_test(values, case.trained))
    near = _first(nearest_trained(attributions_of(values), case.trained))
    gaps = [
        float(attributions_of(match(judged, half, 1, features=features)).distance.mean())
        for half in (pool.take(case.trained), pool.take(~case.trained))
    ]
    below = sum(isinstance(row["p, one-sided"], float) and row["p, one-sided"] < ALPHA for row in classes)
    row: Row = {
        "classes": len(classes),
        f"classes below {ALPHA}": below,
        **{name: overall[name] for name in ("mean value, trained on", "mean value, held out", "t (Welch)")},
        **{name: overall[name] for name in ("p, one-sided", "Cohen's d")},
        "nearest is trained on": near["share of generated items nearest to one of them"],
        "distance ratio": gaps[0] / gaps[1] if gaps[1] else None,
    }
    return row, classes


def _rejections(experiment: Experiment, rows: Sequence[Row]) -> Exhibit:
    """How far each maker leans on what it was trained on, over the size of what that was."""
    shown = [row for row in rows if row["data set"] == "mnist" and row["features"] == "pixels" and row["seed"] == 0]
    table = Table(
        f"{experiment.name}-by-size",
        "How much is remembered, over the size of the training set (MNIST, pixels)",
        {
            "images a class": [row["images a class"] for row in shown],
            "nearest is trained on": [row["nearest is trained on"] for row in shown],
            "made by": [row["made by"] for row in shown],
        },
    )
    return Exhibit(
        f"{table.name}-curve",
        "curve",
        table,
        x="images a class",
        y="nearest is trained on",
        series="made by",
        alt="Lines of the share of generated images whose nearest image was trained on, over images a class.",
        caption="Share of generated images whose nearest image is one that was trained on; .5 is no memory.",
        log_x=bool(shown),
    )


# -- RA1: the map --------------------------------------------------------------------------------


def _map(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist", "cifar10")
    rows: list[Row] = []
    maps: list[Result] = []
    seed = shelf.seeds[0]
    for case in _cases(shelf, setting, seed):
        both = together(case.first, case.second)
        for name, made in _made(case, setting, seed):
            judged, pool = (featured(items, "efficientnet-lite0", setting) for items in (made, both))
            near = nearest_trained(attributions_of(match(judged, pool, MATCHED)), case.trained)
            rows.append({"data set": case.name, "images a class": case.size, "made by": name, **_first(near)})
            if judged.x is None or pool.x is None:
                continue
            drawn = item_map(pool.x, judged.x, case.trained, on_sphere=True)
            said = f"{case.name}, {case.size:,} a class, {name}"
            title = f"Map: {said}"
            figures = replace(drawn.table, name=f"{experiment.name}-{'-'.join(said.replace(',', '').split())}")
            maps.append(replace(drawn, name=figures.name, title=title, table=replace(figures, title=title)))
    note = [
        f"As a figure instead of a picture: of the {MATCHED} nearest images of what was made, and of the nearest one, "
        "how many are of the half trained on, where half would be by chance. By efficientnet-lite0 features."
    ]
    return [shelf.table(experiment, rows, note), *maps]


# -- RA3: by eye ---------------------------------------------------------------------------------


def _by_eye(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist", "att_faces")
    rows: list[Row] = []
    shown: list[Result] = []
    for source in shelf:
        for seed in shelf.seeds:
            everyone = open_pool(source.name, setting.data)
            if source.name == "mnist":
                pool = together(*(halves(everyone, label, SIZES[1], seed)[0] for label in range(10)))
            else:
                pool = scaled(everyone, FACE)
            asked = asked_evenly(labels_of(pool), MADE)
            for name, settings in _shown_generators(source.name):
                made = trained(name, settings, setting).make(pool, asked, seed)
                judged, train = (featured(items, "efficientnet-lite0", setting) for items in (made, pool))
                values = match(judged, train, MATCHED)
                rows.append(
                    {"data set": source.name, "made by": name, "seed": seed, **_ends(values, judged, train, seed)}
                )
                if seed == shelf.seeds[0]:
                    looked = gather_matches(values, train, judged, show_rows=True, shown=8)
                    shown += [*_learning(experiment, source.name, name, settings, pool, setting, seed), looked]
    note = [
        f"{MADE:,} images from a generator trained on the pool, {MATCHED} matches an item by efficientnet-lite0 "
        f"features. Mean distance from the {ENDS} training images of highest value to the nearest image made, beside "
        f"those of lowest value (worth nothing, and drawn at random among equals) and {ENDS} random ones. What earns "
        "is near by construction; the pictures say whether it looks so."
    ]
    return [shelf.table(experiment, rows, note), *shown]


def _shown_generators(source: str) -> list[tuple[str, Settings]]:
    """Faces take the diffusion model: the adversarial one needs more than 400 of them."""
    return [(name, settings) for name, settings in GENERATORS.items() if source == "mnist" or name == "diffusion"]


def _ends(values: Values, made: Items, train: Items, seed: int) -> Row:
    """Distance to the nearest generated image, of training images at both ends of the values."""
    near = attributions_of(match(train, made, 1)).distance[:, 0]
    random = np.random.default_rng(seed)
    dealt = random.permutation(near.size)
    order = dealt[np.argsort(values.values[dealt], kind="stable")]
    some = {f"highest {ENDS}": order[-ENDS:], f"lowest {ENDS}": order[:ENDS], f"random {ENDS}": dealt[:ENDS]}
    return {f"mean distance, {name}": float(near[at].mean()) for name, at in some.items()}


# -- what they share -----------------------------------------------------------------------------


def _made(case: Halves, setting: Setting, seed: int) -> Iterator[tuple[str, Items]]:
    for maker in (real_images(case.generated), repeats(), *learned(setting)):
        yield maker.name, maker.make(case.first, case.asked(), seed)


def _of_training(experiment: Experiment, case: Halves, setting: Setting, seed: int) -> list[Result]:
    make = partial(_learning, experiment, f"{case.name}, {case.size:,} a class")
    return [piece for name, settings in GENERATORS.items() for piece in make(name, settings, case.first, setting, seed)]


def _learning(
    experiment: Experiment, what: str, name: str, settings: Settings, pool: Items, setting: Setting, seed: int
) -> list[Result]:
    """How training went and what came of it."""
    generator = train_on(pool, settings, setting, seed)
    said = f"{what}, {name}"
    return [loss_curves(experiment.name, said, generator), sample_sheet(experiment.name, said, generator, seed)]


def _some(values: Values, which: NDArray[np.bool_]) -> Values:
    return Values(values.ids[which], values.values[which], values.method, values.n_validation)


def _first(table: Table) -> Row:
    return {name: cells[0] for name, cells in table.columns.items()}


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment("gmvaluator-ra1", "First version, RA1: is what was made nearer to what was trained on?", _map),
        Experiment("gmvaluator-ra2", "First version, RA2: is what was trained on worth more?", _test),
        Experiment("gmvaluator-ra3", "First version, RA3: high and low values, by eye", _by_eye),
    )
}
"""The experiments by their names."""
