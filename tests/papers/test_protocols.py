"""Every protocol gives what it promises, and the published one draws in the original's order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.papers.datasets import Dataset, Pool
from dataworth.papers.protocols import NoiseScale, Protocol, Task, _add_noise, prepare
from tests.papers.conftest import dataset, planes, rare

PROTOCOLS: list[Protocol] = ["published", "leak-free"]


@pytest.fixture(scope="module")
def even() -> Dataset:
    return dataset("2dplanes", *planes(10_000, seed=3))


@pytest.fixture(scope="module")
def uneven() -> Dataset:
    return dataset("fraud", *rare(6_000, 300, seed=4))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("task", ["mislabel", "noisy", "clean"])
def test_sizes_balance_lengths_and_the_corrupted_tenth(uneven: Dataset, protocol: Protocol, task: Task) -> None:
    prepared = prepare(uneven, task, protocol=protocol, seed=999)
    true = uneven.rows.y[prepared.train_rows]
    assert len(prepared.train) == 2000
    assert len(prepared.validation) == 200
    assert true.sum() == 1000
    np.testing.assert_allclose(np.linalg.norm(prepared.train.x, axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(prepared.validation.x, axis=1), 1)
    assert np.flatnonzero(prepared.bad).tolist() == ([] if task == "clean" else list(range(200)))
    flipped = prepared.train.y != true
    assert flipped.tolist() == (prepared.bad if task == "mislabel" else np.zeros(2000, bool)).tolist()
    assert (prepared.validation.y == uneven.rows.y[prepared.validation_rows]).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scaling_is_fitted_on_the_training_rows_alone(even: Dataset, protocol: Protocol) -> None:
    prepared = prepare(even, "clean", protocol=protocol, seed=5)
    raw, judges = even.rows.x[prepared.train_rows], even.rows.x[prepared.validation_rows]
    scaled = (judges - raw.mean(axis=0)) / raw.std(axis=0)
    expected = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    np.testing.assert_allclose(prepared.validation.x, expected, atol=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_seed_decides_everything(uneven: Dataset, protocol: Protocol) -> None:
    one, again, other = (prepare(uneven, "noisy", protocol=protocol, seed=seed) for seed in (1, 1, 2))
    assert (one.train.x == again.train.x).all()
    assert (one.train_rows != other.train_rows).any()


def test_published_lets_copies_of_a_row_stand_on_both_sides_and_leak_free_does_not(uneven: Dataset) -> None:
    published = prepare(uneven, "clean", protocol="published", seed=999)
    leak_free = prepare(uneven, "clean", protocol="leak-free", seed=0)
    assert np.isin(published.validation_rows, published.train_rows).sum() > 50
    assert not np.isin(leak_free.validation_rows, leak_free.train_rows).any()
    # 300 rare rows, 100 of them held out: the 200 left are all used, and only they are copied.
    classes = uneven.rows.y[leak_free.train_rows]
    assert np.unique(leak_free.train_rows[classes == 1]).size == 200
    assert np.unique(leak_free.train_rows[classes == 0]).size == 1000
    assert uneven.rows.y[leak_free.validation_rows].sum() == 100


def test_leak_free_draws_no_copies_where_rows_suffice(even: Dataset) -> None:
    prepared = prepare(even, "clean", protocol="leak-free", seed=0)
    assert np.unique(np.concatenate([prepared.train_rows, prepared.validation_rows])).size == 2200


def as_told(x: NDArray[Any], y: NDArray[np.int64], *, noisy: bool) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The training side of the published preparation, array by array as it is told, for seed 999."""
    np.random.seed(999)
    smaller = int(y.mean() < 0.5)
    extra = np.random.choice(np.where(y == smaller)[0], (y != smaller).sum() - (y == smaller).sum(), replace=True)
    x, y = np.concatenate([x, x[extra]]), np.concatenate([y, y[extra]])
    order = np.random.permutation(len(y))
    x, y = x[order][200:], y[order][200:]
    a = np.random.choice(np.where(y == smaller)[0], 1000, replace=False)
    b = np.random.choice(np.where(y != smaller)[0], 1000, replace=False)
    chosen = np.concatenate([a, b])
    np.random.shuffle(chosen)
    x, y = x[chosen], y[chosen]
    if noisy:
        x[:200] += np.random.normal(0, np.sqrt((x**2).sum(axis=0)), (200, x.shape[1]))
    else:
        y[:200] = 1 - y[:200]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x / np.sqrt((x**2).sum(axis=1))[:, None], y


@pytest.mark.parametrize("task", ["mislabel", "noisy"])
@pytest.mark.parametrize("name", ["even", "uneven"])
def test_published_is_the_preparation_as_told(request: pytest.FixtureRequest, name: str, task: Task) -> None:
    made: Dataset = request.getfixturevalue(name)
    prepared = prepare(made, task, protocol="published", seed=999)
    x, y = as_told(made.rows.x, made.rows.y, noisy=task == "noisy")
    np.testing.assert_allclose(prepared.train.x, x, atol=1e-12)
    assert (prepared.train.y == y).all()


def test_the_first_published_rows_never_change() -> None:
    y = np.array([0, 0, 1] * 2000)
    made = dataset("cpu", np.random.default_rng(0).standard_normal((6000, 3)), y)
    prepared = prepare(made, "clean", protocol="published", seed=999)
    assert prepared.train_rows[:6].tolist() == [3248, 3914, 5789, 3871, 176, 4788]
    assert prepared.validation_rows[:6].tolist() == [1355, 2408, 5321, 3248, 2723, 2237]


@pytest.mark.parametrize("noise", ["norm", "mean"])
def test_noise_reaches_the_bad_rows_alone_at_the_scale_told(noise: NoiseScale) -> None:
    random = np.random.default_rng(0)
    clean = random.standard_normal((4000, 3)) * [1, 10, 100]
    bad = np.arange(4000) < 2000
    x = clean.copy()
    _add_noise(x, bad, noise, random)
    expected = np.linalg.norm(clean, axis=0) if noise == "norm" else np.abs(clean).mean(axis=0)
    assert (x[~bad] == clean[~bad]).all()
    np.testing.assert_allclose((x - clean)[bad].std(axis=0), expected, rtol=0.06)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_missing_numbers_become_the_training_median(protocol: Protocol) -> None:
    x, y = planes(6000, seed=6)
    x[::7, 2] = np.nan
    x[:, 9] = np.nan
    prepared = prepare(dataset("2dplanes", x, y), "clean", protocol=protocol, seed=1)
    raw = x[prepared.train_rows]
    filled = np.where(np.isnan(raw), [*np.nanmedian(raw[:, :9], axis=0), 0.0], raw)
    scaled = (filled - filled.mean(axis=0)) / np.maximum(filled.std(axis=0), 1e-12)
    np.testing.assert_allclose(prepared.train.x, scaled / np.linalg.norm(scaled, axis=1, keepdims=True), atol=1e-12)


def ten_classes(each: int, seed: int) -> Pool:
    y = np.repeat(np.arange(10), each)
    return Pool((np.random.default_rng(seed).standard_normal((y.size, 8)) + y[:, None]).astype(np.float32), y)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_many_classes_are_drawn_evenly_and_get_every_wrong_label(protocol: Protocol) -> None:
    rows = ten_classes(330, seed=0)
    prepared = prepare(dataset("dbpedia14", rows.x, rows.y), "mislabel", protocol=protocol, seed=3)
    assert np.bincount(rows.y[prepared.train_rows]).tolist() == [300] * 10
    assert np.bincount(prepared.validation.y).tolist() == [30] * 10
    assert np.unique(np.concatenate([prepared.train_rows, prepared.validation_rows])).size == 3300
    shift = (prepared.train.y - rows.y[prepared.train_rows]) % 10
    assert (shift[prepared.bad] > 0).all()
    assert not shift[~prepared.bad].any()
    assert np.bincount(shift[prepared.bad], minlength=10)[1:].min() > 15  # about 33 of each
    assert prepared.train.x.dtype == np.float32


def test_a_held_out_part_judges_where_there_is_one() -> None:
    rows, held_out = ten_classes(300, seed=0), ten_classes(40, seed=1)
    prepared = prepare(dataset("mnist", rows.x, rows.y, held_out), "clean", protocol="published", seed=1, at_most=2000)
    assert np.bincount(prepared.train.y).tolist() == [200] * 10
    assert np.bincount(prepared.validation.y).tolist() == [20] * 10
    centred = held_out.x[prepared.validation_rows] - rows.x[prepared.train_rows].mean(axis=0)
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(prepared.validation.x, expected, atol=1e-5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_too_few_rows_are_refused(protocol: Protocol) -> None:
    with pytest.raises(DataError, match="2dplanes needs at least"):
        prepare(dataset("2dplanes", *rare(900, 50, seed=0)), "clean", protocol=protocol, seed=0)
    few = ten_classes(8, seed=0)
    with pytest.raises(DataError, match="mnist needs at least 11 rows of each class here, but one has 8"):
        prepare(dataset("mnist", few.x, few.y), "clean", protocol=protocol, seed=0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_table_with_three_labels_is_refused(protocol: Protocol) -> None:
    x, y = planes(6000, seed=0)
    y[0] = 2
    with pytest.raises(DataError, match="2dplanes must have two labels, not 3"):
        prepare(dataset("2dplanes", x, y), "clean", protocol=protocol, seed=0)


# -- shifted -------------------------------------------------------------------------------------


def as_told_shifted(
    x: NDArray[Any], y: NDArray[np.int64], seed: int
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any], NDArray[np.int64]]:
    """The shifted preparation with wrong labels, array by array as it is told."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(y))
    x, y = x[order], y[order]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    judges, pool = x[:200], x[200:]
    direction = random.normal(size=x.shape[1])
    t = pool @ (direction / np.sqrt(np.sum(direction**2)))
    t = (t - t.mean()) / t.std()
    chances = np.exp(2 * t) / np.exp(2 * t).sum()
    chosen = random.choice(len(pool), min(2000, len(pool) // 2), replace=False, p=chances)
    train, labels = pool[chosen], y[200:][chosen]
    bad = len(chosen) // 10
    labels[:bad] = 1 - labels[:bad]
    length = np.linalg.norm
    return (
        train / length(train, axis=1, keepdims=True),
        labels,
        judges / length(judges, axis=1, keepdims=True),
        y[:200],
    )


@pytest.mark.parametrize(("name", "seed"), [("even", 0), ("even", 1), ("uneven", 2)])
def test_shifted_is_the_preparation_as_told(request: pytest.FixtureRequest, name: str, seed: int) -> None:
    made: Dataset = request.getfixturevalue(name)
    prepared = prepare(made, "mislabel", protocol="shifted", seed=seed)
    x, y, judges, judged = as_told_shifted(made.rows.x, made.rows.y, seed)
    np.testing.assert_allclose(prepared.train.x, x, atol=1e-9)
    np.testing.assert_allclose(prepared.validation.x, judges, atol=1e-9)
    assert (prepared.train.y == y).all()
    assert (prepared.validation.y == judged).all()


def test_shifted_draws_each_row_once_on_one_side_and_copies_none(uneven: Dataset) -> None:
    prepared = prepare(uneven, "clean", protocol="shifted", seed=3)
    assert np.unique(np.concatenate([prepared.train_rows, prepared.validation_rows])).size == 2200
    # No balancing: the rare class stays rare.
    assert uneven.rows.y[prepared.train_rows].mean() < 0.2


def test_shifted_training_rows_lie_to_one_side_of_the_validation_rows(even: Dataset) -> None:
    for seed in (0, 1):
        apart = []
        protocols: list[Protocol] = ["leak-free", "shifted"]
        for protocol in protocols:
            prepared = prepare(even, "clean", protocol=protocol, seed=seed)
            raw = (even.rows.x - even.rows.x.mean(axis=0)) / even.rows.x.std(axis=0)
            gap = raw[prepared.train_rows].mean(axis=0) - raw[prepared.validation_rows].mean(axis=0)
            apart.append(np.linalg.norm(gap))
        # A normal spread drawn in proportion to exp(2t) moves by 2 deviations, by less where a fifth is drawn.
        assert apart[0] < 0.35
        assert 0.9 < apart[1] < 2


def test_shifted_is_decided_by_its_seed(even: Dataset) -> None:
    one, again, other = (prepare(even, "noisy", protocol="shifted", seed=seed) for seed in (1, 1, 2))
    assert (one.train.x == again.train.x).all()
    assert (np.sort(one.train_rows) != np.sort(other.train_rows)).any()
    assert (np.sort(one.validation_rows) != np.sort(other.validation_rows)).any()


@pytest.mark.parametrize("noise", ["norm", "mean"])
def test_shifted_noise_is_added_to_the_scaled_rows_of_the_first_tenth(even: Dataset, noise: NoiseScale) -> None:
    prepared = prepare(even, "noisy", protocol="shifted", seed=4, noise=noise)
    clean = prepare(even, "clean", protocol="shifted", seed=4)
    assert (prepared.train_rows == clean.train_rows).all()
    assert (prepared.train.y == clean.train.y).all()
    assert np.flatnonzero(prepared.bad).tolist() == list(range(200))
    assert (prepared.train.x[200:] == clean.train.x[200:]).all()
    turned = np.einsum("ij,ij->i", prepared.train.x[:200], clean.train.x[:200])
    # Noise far longer than the rows leaves them no direction of their own.
    assert np.abs(turned.mean()) < 0.1 if noise == "norm" else 0.3 < turned.mean() < 0.95
    np.testing.assert_allclose(np.linalg.norm(prepared.train.x, axis=1), 1)


def test_shifted_takes_half_of_a_small_pool_and_scales_by_the_whole_file() -> None:
    x, y = planes(1200, seed=7)
    x[::5, 1] = np.nan
    x[:, 9] = 4.0
    prepared = prepare(dataset("2dplanes", x, y), "clean", protocol="shifted", seed=0)
    assert (len(prepared.train), len(prepared.validation)) == (500, 200)
    filled = np.where(np.isnan(x), np.nanmedian(x, axis=0), x)
    scaled = (filled - filled.mean(axis=0)) / np.maximum(filled.std(axis=0), 1e-12)
    expected = scaled[prepared.validation_rows]
    np.testing.assert_allclose(prepared.validation.x, expected / np.linalg.norm(expected, axis=1)[:, None], atol=1e-12)
    assert len(prepare(dataset("2dplanes", x, y), "clean", protocol="shifted", seed=0, at_most=100).train) == 100


def test_what_cannot_be_shifted_is_refused() -> None:
    rows = ten_classes(330, seed=0)
    with pytest.raises(DataError, match="mnist holds images, but only tables can be shifted"):
        prepare(dataset("mnist", rows.x, rows.y), "clean", protocol="shifted", seed=0)
    with pytest.raises(DataError, match="2dplanes needs at least 220 rows here, but has 219"):
        prepare(dataset("2dplanes", *planes(219, seed=0)), "clean", protocol="shifted", seed=0)
    assert len(prepare(dataset("2dplanes", *planes(220, seed=0)), "clean", protocol="shifted", seed=0).train) == 10
    x, y = planes(6000, seed=0)
    y[0] = 2
    with pytest.raises(DataError, match="2dplanes must have two labels, not 3"):
        prepare(dataset("2dplanes", x, y), "clean", protocol="shifted", seed=0)
    x, y = planes(300_000, seed=0)
    x[0] = 1e6
    with pytest.raises(DataError, match="so far out"):
        prepare(dataset("2dplanes", x, y), "clean", protocol="shifted", seed=_seed_that_trains_on_row_0(300_000))


def _seed_that_trains_on_row_0(rows: int) -> int:
    """Row 0 lies far out along the direction, and validation does not take it."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        if 0 not in random.permutation(rows)[:200] and float(np.sum(random.normal(size=10))) > 3:
            return seed
    raise AssertionError
