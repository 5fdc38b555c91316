"""GMValuator's experiments that match and do not retrain: copies, C1 to C4.

The published numbers come from other generators, embedders and perceptual metrics, so the difference from ours does
not tell how well an experiment was repeated. What random contributors and real images reach does tell what a number
is worth.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.data.attributes import read_attributes
from dataworth.data.images import read_image
from dataworth.errors import DataError, InputError, MissingExtra
from dataworth.kernels import matching
from dataworth.kernels.neighbors import Judges, Metric, Rows, prepare
from dataworth.kernels.team import team_size
from dataworth.models.perceptual import Reranker, reranker
from dataworth.papers.experiment import Experiment, Result, Setting
from dataworth.papers.gmvaluator import published
from dataworth.papers.gmvaluator.attributes import animal_or_vehicle, into_thirds, slant, stroke_thickness, thirds
from dataworth.papers.gmvaluator.criteria import (
    agreement,
    chance_agreement,
    find_planted,
    first_is,
    random_agreement,
)
from dataworth.papers.gmvaluator.makers import Maker, asked_evenly
from dataworth.papers.gmvaluator.pools import (
    SOURCES,
    Source,
    blurred,
    darkened,
    draw,
    foreign,
    labels_of,
    noisy,
    open_pool,
    picked,
    pixels_of,
    pure_noise,
    shifted,
    together,
)
from dataworth.papers.gmvaluator.running import (
    Features,
    ImageShelf,
    Row,
    attributions_of,
    featured,
    makers_for,
    match,
    over_seeds,
)
from dataworth.records import Attributions, Exhibit, Items, Table
from dataworth.valuation.embedding import embed_images

__all__ = ["EXPERIMENTS"]

Ranking: TypeAlias = tuple[Features, str | None]
"""By which vectors items are recalled, and by what they are re-ranked."""

POOL = 10_000
MATCHED = 10
COPIES = 1_000
COPY_NOISE = (0, 5, 10, 20, 40, 80)
ALIKE_ITEMS = 100
CLASS_KS = (30, 50, 100)
ATTRIBUTE_KS = (5, 10, 15)
CANDIDATES = 200
PLANTED = 1_000
PLANTED_NOISE = 80.0
CLEANSING_ITEMS = (100, 1_000, 5_000)
TIMED_CANDIDATES = 50
ALL_FEATURES: tuple[Features, ...] = ("efficientnet-lite0", "pixels")
COPY_RANKINGS: tuple[Ranking, ...] = (("efficientnet-lite0", None), ("efficientnet-lite0", "pixels"), ("pixels", None))
RANKINGS: tuple[Ranking, ...] = (
    ("efficientnet-lite0", None),
    ("efficientnet-lite0", "pixels"),
    ("efficientnet-lite0", "ssim"),
    ("efficientnet-lite0", "st-lpips"),
    ("pixels", None),
)


# -- planted copies ------------------------------------------------------------------------------


def _copies(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist", "cifar10", "cifar10-lossless")
    rows: list[Row] = []
    for source in shelf:
        everyone = open_pool(source.name, setting.data)
        found: dict[tuple[Ranking, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for seed in shelf.seeds:
            pool = draw(everyone, _at_most(POOL, everyone), seed)
            originals, at = picked(pool, min(COPIES, len(pool) // 4), seed)
            train = _views(pool, setting, ALL_FEATURES)
            for name, changed in _changed(originals, seed).items():
                made = _views(changed, setting, ALL_FEATURES)
                for ranking in COPY_RANKINGS:
                    credit = _credit(made, train, MATCHED, ranking)
                    there = credit.at == at[:, None]
                    each = found[ranking, name]
                    each["original first"].append(float(first_is(credit.at, at).mean()))
                    each[f"original among {MATCHED}"].append(float(there.any(axis=1).mean()))
                    each["share of the original"].append(float((credit.share * there).sum(axis=1).mean()))
        for ((features, rerank), name), numbers in sorted(
            found.items(), key=lambda entry: COPY_RANKINGS.index(entry[0][0])
        ):
            row: Row = {"data set": source.name, "features": features, "re-ranked by": rerank or "nothing"}
            row |= {"pool": len(pool), "copies": len(originals), "change": name}
            for what, seeds in numbers.items():
                row |= over_seeds(what, seeds)
            rows.append(row)
    note = [
        "Random training images, changed a little, stand for generated ones: how often is the original the first of "
        f"{MATCHED} contributors, recalled exactly? Noise: Gaussian, standard deviation in grey levels of 255; blur: "
        "by a Gaussian of 1 pixel; shift: 1 pixel down and right; darker: pixels times 0.8. Where the pool holds an "
        "image twice, its twin may come first, which counts as missed. Credit is a softmax at temperature 1: where "
        f"distances differ by much less than 1, even an original at distance 0 gets hardly more than 1/{MATCHED}. "
        "Cosine distance of efficientnet-lite0 features, Euclidean distance of pixels from 0 to 1; re-ranked: the 50 "
        "nearest by features."
    ]
    table = shelf.table(experiment, rows, note)
    return [table, _noise_curve(experiment, rows)]


def _changed(originals: Items, seed: int) -> dict[str, Items]:
    """The same images, changed in one way after another."""
    return {f"noise {noise}": noisy(originals, noise, seed) for noise in COPY_NOISE} | {
        "blur": blurred(originals, 1.0),
        "shift": shifted(originals, 1),
        "darker": darkened(originals, 0.8),
    }


def _noise_curve(experiment: Experiment, rows: Sequence[Row]) -> Exhibit:
    levels = {f"noise {noise}": noise for noise in COPY_NOISE}
    noisy_rows = [row for row in rows if row["change"] in levels]
    lines = [f"{row['data set']}, {row['features']}, re-ranked by {row['re-ranked by']}" for row in noisy_rows]
    table = Table(
        f"{experiment.name}-by-noise",
        "How often the original comes first as noise grows",
        {
            "noise (grey levels)": [levels[str(row["change"])] for row in noisy_rows],
            "original first": [row["original first"] for row in noisy_rows],
            "data set and ranking": lines,
        },
    )
    told = "; ".join(
        f"{line}, {row['change']}: {row['original first']:.3f}" for line, row in zip(lines, noisy_rows, strict=True)
    )
    return Exhibit(
        f"{table.name}-curve",
        "curve",
        table,
        x="noise (grey levels)",
        y="original first",
        series="data set and ranking",
        alt=f"{table.title}: {told}.",
    )


# -- C1 and C2: contributors alike ---------------------------------------------------------------


def _same_class(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist", "cifar10")
    skipped: list[str] = []
    rankings = _installed(RANKINGS, skipped)
    rows: list[Row] = []
    for source in shelf:
        printed = published.CLASSES[source.name]
        found: dict[tuple[str, Ranking, int], list[list[float]]] = defaultdict(list)
        for seed in shelf.seeds:
            for maker, pool, made in _made(source, setting, ALIKE_ITEMS, seed):
                judged, train = _views(made, setting, ALL_FEATURES), _views(pool, setting, ALL_FEATURES)
                for ranking in rankings:
                    credit = _credit(judged, train, max(CLASS_KS), ranking, CANDIDATES)
                    for k in CLASS_KS:
                        numbers = _beside_chance(credit.at, labels_of(pool), labels_of(made), k, seed)
                        found[maker, ranking, k].append(numbers)
        for (maker, (features, rerank), k), several in found.items():
            rows.append(
                {
                    "data set": source.name,
                    "made by": maker,
                    "features": features,
                    "re-ranked by": rerank or "nothing",
                    "k": k,
                    **_over_seeds_beside_chance(several),
                    f"published ({printed.generator}, DreamSim)": printed.ours,
                    "published (VAE-TracIn)": printed.tracin,
                }
            )
    note = [
        "Share of the k first contributors that have the class the generated item was made for: mean over "
        f"{ALIKE_ITEMS} generated items, pool of {POOL:,} training images, as many of each class. Random: k training "
        f"images drawn for each item; uniform: the class's share of the pool. Re-ranked: the {CANDIDATES} nearest by "
        "features. The published k is not stated. That contributors by likeness are of the same class says that the "
        "features tell classes apart, not that these images shaped the generator."
    ]
    return [shelf.table(experiment, rows, [*note, *_said(skipped)])]


def _same_attributes(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist", "cifar10", "celeba")
    rows: list[Row] = []
    for source in shelf:
        found: dict[tuple[str, str, Features, int], list[list[float]]] = defaultdict(list)
        # Pixels of whole faces are long vectors, and faces are never in the very same place.
        several = ALL_FEATURES[:1] if source.name == "celeba" else ALL_FEATURES
        for seed in shelf.seeds:
            for maker, pool, made in (
                _faces(setting, seed) if source.name == "celeba" else _made(source, setting, ALIKE_ITEMS, seed)
            ):
                known = _attributes(source, setting, pool, made)
                judged, train = _views(made, setting, several), _views(pool, setting, several)
                for features in several:
                    credit = _credit(judged, train, max(ATTRIBUTE_KS), (features, None))
                    for name, (of_train, of_made) in known.items():
                        for k in ATTRIBUTE_KS:
                            numbers = _beside_chance(credit.at, of_train, of_made, k, seed)
                            found[maker, name, features, k].append(numbers)
        for (maker, name, features, k), every_seed in found.items():
            rows.append(
                {
                    "data set": source.name,
                    "made by": maker,
                    "attribute": name,
                    "features": features,
                    "k": k,
                    **_over_seeds_beside_chance(every_seed),
                    "published (DreamSim), at least": published.ATTRIBUTES.get(name) if k == 5 else None,
                }
            )
    printed = ", ".join(f"{name} {share:.2f}" for name, share in published.ATTRIBUTES.items())
    note = [
        f"Share of the k first contributors that have the generated item's attribute, over {ALIKE_ITEMS} items. Stroke "
        "thickness and slant are measured on the pixels, of training and generated digits alike, and cut into the "
        "training digits' thirds; animal or vehicle is of the class the item was made for; attributes of CelebA's "
        "faces are as its file has them, of real images only. Random and uniform as for the same class. Published for "
        f"CelebA at k = 5 with DreamSim, at least: {printed}."
    ]
    return [shelf.table(experiment, rows, note)]


def _faces(setting: Setting, seed: int) -> Iterator[tuple[str, Items, Items]]:
    """Real faces beside a pool of others; nothing here can say what attributes a generated face has."""
    faces = open_pool("celeba", setting.data)
    chosen, _ = picked(faces, POOL + ALIKE_ITEMS, seed)
    if len(chosen) <= ALIKE_ITEMS:
        raise DataError(f"CelebA's file names {len(chosen)} images; more than {ALIKE_ITEMS} are needed")
    made, pool = chosen.take(np.arange(ALIKE_ITEMS)), chosen.take(np.arange(ALIKE_ITEMS, len(chosen)))
    yield "real images, held out", pool, made


def _attributes(
    source: Source, setting: Setting, pool: Items, made: Items
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """By name: each training item's attribute, and each generated item's."""
    if source.name == "celeba":
        file = read_attributes(setting.data / source.file)
        train, generated = file.of(pool.ids), file.of(made.ids)
        at = {name: file.names.index(name) for name in published.ATTRIBUTES if name in file.names}
        return {name: (train[:, a], generated[:, a]) for name, a in at.items()}
    if source.name != "mnist":
        return {"animal or vehicle": (animal_or_vehicle(labels_of(pool)), animal_or_vehicle(labels_of(made)))}
    found: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    measures: dict[str, tuple[Callable[[NDArray[np.uint8]], float | None], tuple[str, str, str]]] = {
        "stroke thickness": (stroke_thickness, ("thin", "middle", "thick")),
        "slant": (slant, ("left", "upright", "right")),
    }
    for name, (measure, names) in measures.items():
        of_train, of_made = ([measure(image) for image in pixels_of(items)] for items in (pool, made))
        cuts = thirds(of_train)
        found[name] = into_thirds(of_train, cuts, names), into_thirds(of_made, cuts, names)
    return found


def _beside_chance(
    at: NDArray[np.int64], train: NDArray[Any], generated: NDArray[Any], k: int, seed: int
) -> list[float]:
    """Means over the generated items: ours, of random contributors, and what those reach on average."""
    each = (
        agreement(at, train, generated, k),
        random_agreement(train, generated, k, seed),
        chance_agreement(train, generated),
    )
    return [float(shares.mean()) for shares in each]


def _over_seeds_beside_chance(several: Sequence[Sequence[float]]) -> Row:
    ours, random, chance = zip(*several, strict=True)
    return {**over_seeds("ours", ours), "random": float(np.mean(random)), "uniform": float(np.mean(chance))}


# -- C3: odd items rank low ----------------------------------------------------------------------


def _cleansing(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist", "cifar10")
    rows: list[Row] = []
    for source in shelf:
        found: dict[tuple[str, str, Features, int], list[dict[str, float]]] = defaultdict(list)
        for seed in shelf.seeds:
            for maker, kind, features, m, numbers in _cleansed(source, setting, seed):
                found[maker, kind, features, m].append(numbers)
        for (maker, kind, features, m), several in found.items():
            row: Row = {"data set": source.name, "made by": maker, "planted": kind, "features": features}
            row["generated"] = m
            for name in several[0]:
                row |= over_seeds(name, [numbers[name] for numbers in several])
            rows.append(row)
    note = [
        f"{PLANTED:,} odd items planted among {POOL:,} training images; AUROC of finding them by low values, "
        f"{MATCHED} matches an item. Noisy: other images of the set with Gaussian noise of "
        f"{PLANTED_NOISE:.0f} grey levels; pure noise: uniformly random pixels; foreign: images of another set, "
        "resized and grey where the set is. Random: the values dealt out anew. Outlyingness: the mean distance to the "
        f"{MATCHED} nearest other training items, which needs nothing generated. Uncredited items have value 0 "
        "and tie, which counts half: with few generated items most clean items are uncredited too. The paper shows "
        "scatter plots and no number."
    ]
    return [shelf.table(experiment, rows, note)]


def _cleansed(
    source: Source, setting: Setting, seed: int
) -> Iterator[tuple[str, str, Features, int, dict[str, float]]]:
    """By maker, kind of planted items, features and number of generated items: what was found."""
    drawn = draw(open_pool(source.name, setting.data), POOL + PLANTED, seed)
    clean, rest = drawn.take(np.arange(POOL)), drawn.take(np.arange(POOL, POOL + PLANTED))
    planted = {"noisy": noisy(rest, PLANTED_NOISE, seed), "pure noise": pure_noise(clean, PLANTED, seed)}
    other = next((name for name in _others(source) if SOURCES[name].is_in(setting.data)), None)
    if other is not None:
        strangers = open_pool(other, setting.data)
        planted[f"foreign ({other})"] = foreign(strangers, clean, min(PLANTED, len(strangers)), seed)
    asked = asked_evenly(labels_of(clean), max(CLEANSING_ITEMS))
    for kind, odd in planted.items():
        spoilt = together(clean, odd)
        mask = np.arange(len(spoilt)) >= POOL
        for maker in _cleansing_makers(source, setting):
            made = maker.make(spoilt, asked, seed)
            for features in ALL_FEATURES:
                pool, judged = featured(spoilt, features, setting), featured(made, features, setting)
                alone = _outlyingness(pool, features)
                for m in CLEANSING_ITEMS:
                    values = match(judged.take(np.arange(m)), pool, MATCHED, features=features)
                    one = find_planted(values, mask, seed)
                    yield (
                        maker.name,
                        kind,
                        features,
                        m,
                        {
                            "AUROC": one.auroc,
                            "random": one.random,
                            "outlyingness": _auroc(alone, mask),
                            "uncredited, planted": one.uncredited,
                            "uncredited, clean": one.uncredited_others,
                            "mean value, planted": one.mean,
                            "mean value, clean": one.mean_others,
                        },
                    )


def _cleansing_makers(source: Source, setting: Setting) -> list[Maker]:
    """Real images; and where the paper has it, on digits, an adversarial network trained on the spoilt pool."""
    makers = makers_for(source, setting)
    return [maker for maker in makers if not maker.trains or (source.name == "mnist" and maker.name == "GAN")]


def _others(source: Source) -> tuple[str, ...]:
    return ("cifar10", "cifar10-lossless", "att_faces") if source.name == "mnist" else ("mnist", "att_faces")


def _outlyingness(pool: Items, features: Features) -> NDArray[np.float64]:
    """Mean distance of each item to its nearest others."""
    rows = _rows(pool, features)
    at, distance = matching.nearest(rows, _judges(rows, pool), MATCHED + 1, threads=team_size(None))
    others = at != np.arange(len(pool))[:, None]
    # An item with many exact copies may be pushed out of its own list; then all of the list are others at distance 0.
    return np.asarray((distance * others).sum(axis=1) / others.sum(axis=1))


def _auroc(score: NDArray[np.float64], bad: NDArray[np.bool_]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(bad, score))


# -- C4: time ------------------------------------------------------------------------------------


def _run_time(experiment: Experiment, setting: Setting) -> list[Result]:
    shelf = ImageShelf(setting, "mnist", "cifar10")
    threads = team_size(None)
    skipped: list[str] = []
    rows: list[Row] = []
    for source in shelf:
        for _, rerank in _installed(RANKINGS[:-1], skipped):
            stages: dict[str, list[float]] = defaultdict(list)
            for seed in shelf.seeds:
                _, pool, made = next(_made(source, setting, ALIKE_ITEMS, seed))
                pool = featured(pool, "efficientnet-lite0", setting)
                for stage, seconds in _stages(pool, made, rerank, threads).items():
                    stages[stage].append(seconds / len(made))
            row: Row = {"data set": source.name, "pool": len(pool), "re-ranked by": rerank or "nothing"}
            for stage, each in stages.items():
                row |= over_seeds(f"{stage} (s)", each)
            row |= over_seeds("together (s)", np.sum(list(stages.values()), axis=0))
            row |= {
                "published, no re-ranking (s)": published.SECONDS["no re-ranking"],
                "published, VAE-TracIn (s)": published.SECONDS["VAE-TracIn"],
            }
            rows.append(row)
    note = [
        f"Seconds a generated item, of {ALIKE_ITEMS} at a time: embedding it with efficientnet-lite0, recalling the "
        f"nearest of the pool exactly, re-ranking {TIMED_CANDIDATES} candidates, and dividing the credit; the pool is "
        f"embedded already. {threads} threads for recall, {os.cpu_count()} processors; weights are loaded and code is "
        "compiled before. The published numbers are of MNIST and a VAE on the authors' machine, which is not ours: "
        "compare orders of magnitude at most."
    ]
    return [shelf.table(experiment, rows, [*note, *_said(skipped)])]


def _stages(pool: Items, made: Items, rerank: str | None, threads: int) -> dict[str, float]:
    """Seconds each stage took, for all generated items."""
    images = pixels_of(made)
    rows = _rows(pool, "efficientnet-lite0")
    judge = None if rerank is None else reranker(rerank)
    recalled = TIMED_CANDIDATES if judge else MATCHED
    seconds: dict[str, float] = {}
    for repeat in range(2):  # the first run compiles and loads
        some = slice(0, 2) if repeat == 0 else slice(None)
        begun = time.perf_counter()
        few = Items(embed_images(images[some], cache=False, progress=False), images=images[some])
        seconds["embed"] = time.perf_counter() - begun
        begun = time.perf_counter()
        at, distance = matching.nearest(rows, _judges(rows, few), recalled, threads=threads)
        seconds["recall"] = time.perf_counter() - begun
        begun = time.perf_counter()
        if judge is not None:
            at, distance = _reranked(judge, few, pool, at)
        seconds["re-rank"] = time.perf_counter() - begun
        begun = time.perf_counter()
        matching.add_credit(at, matching.credit(distance, np.ones(len(few)), 1.0), len(pool))
        seconds["credit"] = time.perf_counter() - begun
    return seconds


def _reranked(
    judge: Reranker, made: Items, pool: Items, at: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    distance = judge.pairs(
        lambda j: read_image(j, (made.content or ())[j]),
        lambda i: read_image(i, (pool.content or ())[i]),
        at,
    )
    return matching.keep_nearest(at, distance, MATCHED)


# -- what they share -----------------------------------------------------------------------------


def _made(source: Source, setting: Setting, m: int, seed: int) -> Iterator[tuple[str, Items, Items]]:
    """Each maker's name, with the pool it trained on and what it made."""
    pool = draw(open_pool(source.name, setting.data), POOL, seed)
    for maker in makers_for(source, setting):
        yield maker.name, pool, maker.make(pool, asked_evenly(labels_of(pool), m), seed)


def _views(items: Items, setting: Setting, several: Sequence[Features]) -> dict[Features, Items]:
    """The items with the vectors of each kind."""
    return {features: featured(items, features, setting) for features in several}


def _credit(
    made: Mapping[Features, Items],
    pool: Mapping[Features, Items],
    k: int,
    ranking: Ranking,
    candidates: int | None = None,
) -> Attributions:
    features, rerank = ranking
    return attributions_of(
        match(
            made[features],
            pool[features],
            k,
            features=features,
            rerank=rerank,
            candidates=candidates if rerank else None,
        )
    )


def _installed(rankings: Sequence[Ranking], skipped: list[str]) -> list[Ranking]:
    """The rankings that can run here; why the others cannot is added to ``skipped``."""
    there = []
    for features, rerank in rankings:
        try:
            if rerank is not None:
                reranker(rerank)
            there.append((features, rerank))
        except MissingExtra as missing:
            skipped.append(str(missing))
    return there


def _said(skipped: list[str]) -> list[str]:
    return [f"Skipped: {'; '.join(skipped)}."] if skipped else []


def _at_most(n: int, items: Items) -> int:
    """``n``, or as many as can be drawn evenly if that is fewer."""
    classes, counts = np.unique(labels_of(items), return_counts=True)
    return min(n, int(counts.min() * classes.size))


def _rows(items: Items, features: Features) -> Rows:
    metric: Metric = "euclidean" if features == "pixels" else "cosine"
    return prepare(_x(items), np.zeros(len(items), dtype=np.int64), 1, metric)


def _judges(rows: Rows, items: Items) -> Judges:
    return Judges.ready(rows, _x(items), np.zeros(len(items), dtype=np.int64), None)


def _x(items: Items) -> NDArray[Any]:
    if items.x is None:
        raise InputError("the items need vectors; embed them first")
    return items.x


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment("gmvaluator-copies", "Noisy copies: does the original come first?", _copies),
        Experiment("gmvaluator-c1", "C1: contributors of the same class", _same_class),
        Experiment("gmvaluator-c2", "C2: contributors with the same attributes", _same_attributes),
        Experiment("gmvaluator-c3", "C3: noisy and foreign training images by low values", _cleansing),
        Experiment("gmvaluator-c4", "C4: time a generated item", _run_time),
    )
}
"""The experiments by their names."""
