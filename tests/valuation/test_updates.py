"""An index that rows come to and go from gives the values of a fresh run, bit for bit."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import dataworth as dw
from dataworth.errors import DataError, InputError, MethodError, UnmatchedLabels
from dataworth.valuation import task
from dataworth.valuation.updates import ThresholdIndex, index_points
from tests import strategies
from tests.strategies import Problem

SEMIVALUES = ("shapley", "banzhaf", "leave-one-out", dw.Beta(4, 1), dw.Beta(1, 4))


def same_as_fresh(index: ThresholdIndex, train: dw.Points, classes: Any = None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnmatchedLabels)
        fresh = dw.value_points(train, index.validation, method=index.method, classes=classes)
    values = index.values()
    assert values.values.tobytes() == fresh.values.tobytes()
    assert values.ids.tolist() == fresh.ids.tolist()
    assert (None if values.owners is None else values.owners.tolist()) == (
        None if fresh.owners is None else fresh.owners.tolist()
    )
    assert (values.method, values.n_validation) == (fresh.method, fresh.n_validation)
    assert {**values.provenance, "made": 0, "seconds": 0} == {**fresh.provenance, "made": 0, "seconds": 0}


def blobs(n: int, m: int, d: int = 8, classes: int = 3, seed: int = 0) -> tuple[dw.Points, dw.Points]:
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=(classes, d))
    y, v = rng.integers(0, classes, n), np.arange(m) % classes
    x = (middle[y] + rng.normal(size=(n, d))).astype(np.float32)
    owners = [f"owner-{i % 5}" for i in range(n)]
    return dw.Points(x, y, owners=owners), dw.Points((middle[v] + rng.normal(size=(m, d))).astype(np.float32), v)


@given(
    problem=strategies.classification_problems(max_train=16, max_validation=19),
    semivalue=st.sampled_from(SEMIVALUES),
    named=st.booleans(),
    owned=st.booleans(),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_any_changes_end_where_a_fresh_run_does(
    problem: Problem, semivalue: Any, named: bool, owned: bool, data: st.DataObject
) -> None:
    """Rows leave and return, alone or together, of classes or not."""
    n = len(problem.train_x)
    names: list[Any] = [f"row {i}" for i in range(n)] if named else list(range(n))
    classes = None if data.draw(st.booleans()) else [*dict.fromkeys([*problem.validation_y.tolist()])]

    def points(rows: list[int]) -> dw.Points:
        owners = [i % 3 for i in rows] if owned else None
        return dw.Points(problem.train_x[rows], problem.train_y[rows], ids=[names[i] for i in rows], owners=owners)

    method = dw.ThresholdKNNShapley(problem.radius, semivalue=semivalue, metric=problem.metric)
    held = data.draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnmatchedLabels)
        index = index_points(points(held), problem.validation, method=method, classes=classes)
        for _ in range(data.draw(st.integers(0, 4))):
            away = [i for i in range(n) if i not in held]
            grows: bool = data.draw(st.booleans())
            if away and grows:
                more = data.draw(st.lists(st.sampled_from(away), min_size=1, unique=True))
                index, held = index.add(points(more)), held + more
                assert index.cost.pairs == len(more) * len(problem.validation_x)
            else:
                fewer = [i for i in held if data.draw(st.booleans())]
                index, held = index.remove([names[i] for i in fewer]), [i for i in held if i not in fewer]
                assert index.cost.pairs == 0
            assert index.cost.fresh_pairs == len(held) * len(problem.validation_x)
            if held:
                same_as_fresh(index, points(held), classes)
            else:
                assert len(index) == len(index.values()) == index.n_same.sum() == index.n_other.sum() == 0


def test_larger_sets_in_any_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    train, validation = blobs(3000, 101)
    monkeypatch.setattr(task, "_BITS_BYTES", 3000 * 3)  # a fresh run takes the points in panels of 24
    for metric, radius in (("cosine", 0.6), ("euclidean", 4.0)):
        method = dw.ThresholdKNNShapley(radius, metric=metric)  # type: ignore[arg-type]
        index = index_points(train.take(np.arange(2000)), validation, method=method, threads=2)
        index = index.add(train.take(np.arange(2000, 2900))).remove(np.arange(500, 700))
        index = index.add(train.take(np.arange(2900, 3000))).remove([0, 2999]).add(train.take([2999, 600]))
        kept = [*range(1, 500), *range(700, 2999), 2999, 600]
        assert int(index.n_same.sum()) > 1000
        same_as_fresh(index, train.take(kept))


def test_an_index_does_not_change() -> None:
    train, validation = blobs(50, 10)
    index = index_points(train.take(np.arange(40)), validation, method=dw.ThresholdKNNShapley(0.5))
    before = index.values().values
    index.add(train.take(np.arange(40, 50)))
    index.remove([3, 4])
    assert (index.values().values == before).all()
    assert len(index) == 40
    with pytest.raises(ValueError, match="read-only"):
        index.bits[:] = 0


def test_classes_are_fixed_when_the_index_is_made() -> None:
    train, validation = blobs(30, 9, classes=2)
    newcomer = dw.Points(train.x[:2], [7, 0], ids=[100, 101], owners=["a", "b"])
    index = index_points(train, validation, method=dw.ThresholdKNNShapley(0.9))
    with pytest.warns(UnmatchedLabels, match="1 of 2 train labels are no validation class") as caught:
        index = index.add(newcomer)
    assert caught[0].filename == __file__
    assert index.codes[-2:].tolist() == [-1, 0]
    both = dw.Points(
        np.vstack([train.x, newcomer.x]),
        np.concatenate([train.y, newcomer.y]),
        ids=[*train.ids, 100, 101],
        owners=[*train.owners.tolist(), "a", "b"],  # type: ignore[union-attr]
    )
    same_as_fresh(index, both)
    with pytest.raises(DataError, match="train labels are text"):
        index.add(dw.Points(train.x[:1], ["cat"], ids=[102], owners=["a"]))
    declared = index_points(train, validation, method=dw.ThresholdKNNShapley(0.9), classes=[7, 1, 0])
    same_as_fresh(declared.add(newcomer), both, classes=[0, 1, 7])


def test_ids_of_64_bits_stay_what_they_are() -> None:
    train, validation = blobs(4, 5)
    big = [2**63 + 1, 2**63]
    index = index_points(dw.Points(train.x[:2], train.y[:2], ids=[1, 2]), validation, method=dw.ThresholdKNNShapley(1))
    index = index.add(dw.Points(train.x[2:], train.y[2:], ids=big))
    assert index.ids.tolist() == [1, 2, *big]
    assert index.remove([2**63]).ids.tolist() == [1, 2, 2**63 + 1]


def test_what_does_not_fit_is_refused_with_counts_and_no_content() -> None:
    train, validation = blobs(20, 6)
    index = index_points(train, validation, method=dw.ThresholdKNNShapley(0.5))
    new = dw.Points(train.x[:3], train.y[:3], ids=[50, 51, 52], owners=["a"] * 3)
    refusals: list[tuple[Any, str]] = [
        (lambda: index.remove([3, 77, 78]), "2 of the 3 ids to remove are not in the index"),
        (lambda: index.remove([3, 3]), "1 of the 2 ids to remove repeat another"),
        (lambda: index.remove(["3"]), "ids of the index are integers"),
        (lambda: index.remove([3.0]), "ids of the index are integers"),
        (lambda: index.remove(3), "flat list of ids"),
        (lambda: index.remove(np.array([None])), "ids is missing in 1 of 1"),
        (lambda: index.add(train.take([1, 2])), "2 of 2 rows to add have an id that the index holds"),
        (lambda: index.add(dw.Points(new.x, new.y, ids=new.ids)), "name no owners, but those of the index do;"),
        (lambda: index.add(dw.Points(new.x, new.y, ids=["a", "b", "c"], owners=["a"] * 3)), "ids of the index are int"),
        (lambda: index.add(dw.Points(new.x, new.y, ids=new.ids, owners=[1, 2, 3])), "owners of the index are text"),
        (lambda: index.add(dw.Points(new.x[:, :5], new.y, ids=new.ids, owners=["a"] * 3)), "train has 5 of them"),
        (lambda: index.add(dw.Points(0 * new.x, new.y, ids=new.ids, owners=["a"] * 3)), "3 of 3 rows are zero vectors"),
        (lambda: index.add(new.x), "must be dataworth.Points, not ndarray"),  # type: ignore[arg-type]
        (lambda: index_points(train, validation, method=dw.ValidationVote(0.5)), "ThresholdKNNShapley alone"),  # type: ignore[arg-type]
        (lambda: index_points(train, validation, method=index.method, dtype="half"), "dtype must be"),  # type: ignore[arg-type]
        (lambda: index_points(train, validation, method=index.method, classes=[0, 1]), "validation labels are not"),
    ]
    for call, message in refusals:
        with pytest.raises(InputError, match=message):
            call()
    assert len(index) == 20


@pytest.mark.parametrize("semivalue", SEMIVALUES, ids=str)
def test_an_index_comes_back_from_its_file(tmp_path: Path, semivalue: Any) -> None:
    train, validation = blobs(60, 13)
    method = dw.ThresholdKNNShapley(0.7, semivalue=semivalue)
    index = index_points(train.take(np.arange(50)), validation, method=method, classes=[0, 1, 2, 3])
    path = tmp_path / "links"
    assert index.save(path) == path
    assert list(tmp_path.iterdir()) == [path]
    back = ThresholdIndex.load(path, validation, method=method)
    assert back.cost.pairs == 0
    for name in ("ids", "owners", "codes", "bits", "n_same", "n_other", "classes"):
        assert getattr(back, name).tolist() == getattr(index, name).tolist()
    back = back.add(train.take(np.arange(50, 60))).remove([0, 55])
    same_as_fresh(back, train.take([i for i in range(60) if i not in (0, 55)]), classes=[0, 1, 2, 3])
    assert ThresholdIndex.load(index.remove(index.ids).save(path), validation).add(train).cost.rows == 60


def test_labels_and_ids_of_any_kind_come_back(tmp_path: Path) -> None:
    train, validation = blobs(12, 6)
    text = np.array(["żółw", "a", "b"])
    index = index_points(
        dw.Points(train.x, text[train.y], ids=[f"r{i}" for i in range(12)]),
        dw.Points(validation.x, text[validation.y]),
        method=dw.ThresholdKNNShapley(1, metric="euclidean"),
    )
    back = ThresholdIndex.load(index.save(tmp_path / "i.npz"), index.validation)
    assert (back.ids.tolist(), back.owners, back.method) == (index.ids.tolist(), None, index.method)
    assert (back.values().values == index.values().values).all()
    with pytest.raises(DataError, match="another validation set"):
        ThresholdIndex.load(tmp_path / "i.npz", dw.Points(validation.x, validation.y))


def test_another_validation_set_or_method_is_refused(tmp_path: Path) -> None:
    train, validation = blobs(12, 6)
    index = index_points(train, validation, method=dw.ThresholdKNNShapley(0.5))
    path = index.save(tmp_path / "index.npz")
    moved = validation.x.copy()
    moved[3, 2] = np.nextafter(moved[3, 2], 9)
    others = [
        dw.Points(moved, validation.y),
        dw.Points(validation.x, np.roll(validation.y, 1)),
        validation.take(np.arange(5)),
        validation.take(np.arange(6)[::-1]),
    ]
    for other in others:
        with pytest.raises(DataError, match="another validation set"):
            ThresholdIndex.load(path, other)
    for method in (dw.ThresholdKNNShapley(0.6), dw.ThresholdKNNShapley(0.5, semivalue="banzhaf")):
        with pytest.raises(MethodError, match=r"made with ThresholdKNNShapley\(radius=0.5"):
            ThresholdIndex.load(path, validation, method=method)
    in_double = dw.Points(validation.x.astype(np.float64), validation.y)
    assert (ThresholdIndex.load(path, in_double).values().values == index.values().values).all()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    train, validation = blobs(12, 6)
    index = index_points(train, validation, method=dw.ThresholdKNNShapley(0.5))
    path = index.save(tmp_path / "index.npz")
    whole = path.read_bytes()
    with np.load(path) as opened:
        arrays = {name: opened[name] for name in opened.files}

    def rewritten(**changes: NDArray[Any]) -> bytes:
        with path.open("wb") as file:
            np.savez(file, **{**arrays, **changes})
        return path.read_bytes()

    bits = arrays["bits"].copy()
    bits[0, 3] ^= 1
    about = json.loads(str(arrays["about"]))
    another = np.array(json.dumps({**about, "format": "dataworth.threshold-index/9"}))
    files = [
        ("damaged: it does not fit", rewritten(bits=bits)),
        ("has format 'dataworth.threshold-index/9'", rewritten(about=another)),
        ("no index, or a damaged one", rewritten(ids=np.array([None] * 12, dtype=object))),
        ("no index, or a damaged one", rewritten(about=np.array("{"))),
        ("no index, or a damaged one", rewritten(about=np.array("{}"))),
        ("no index, or a damaged one", whole[: len(whole) // 2]),
        ("no index, or a damaged one", b""),
        ("no index, or a damaged one", b"not an index"),
    ]
    for message, content in files:
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            ThresholdIndex.load(path, validation)
    for at in range(0, len(whole), 97):  # no byte can change unseen, whatever part of the file it is in
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        with suppress(DataError):
            assert (ThresholdIndex.load(path, validation).values().values == index.values().values).all()
    with pytest.raises(DataError, match="there is no file"):
        ThresholdIndex.load(tmp_path / "nowhere.npz", validation)


def test_arrays_that_do_not_fit_together_never_reach_compiled_code() -> None:
    train, validation = blobs(12, 6)
    index = index_points(train, validation, method=dw.ThresholdKNNShapley(0.5))
    wrong: list[dict[str, Any]] = [
        {"bits": index.bits[:, :5]},
        {"bits": index.bits[:0]},
        {"bits": index.bits.astype(np.int64)},
        {"codes": index.codes + 5},
        {"codes": index.codes - 2},
        {"ids": index.ids[:3]},
        {"n_same": index.n_same[:3]},
    ]
    for changes in wrong:
        with pytest.raises(DataError, match="do not fit together"):
            replace(index, **changes)


def test_the_cost_says_what_was_linked() -> None:
    train, validation = blobs(40, 10)
    index = index_points(train.take(np.arange(30)), validation, method=dw.ThresholdKNNShapley(0.5))
    assert (index.cost.change, index.cost.pairs, index.cost.fresh_pairs) == ("index", 300, 300)
    index = index.add(train.take(np.arange(30, 40)))
    assert (index.cost.change, index.cost.rows, index.cost.pairs, index.cost.fresh_pairs) == ("add", 10, 100, 400)
    assert str(index.cost).startswith("add, 10 rows: 100 pairs linked where a fresh run links 400, in 0.")
    index = index.remove([1, 2])
    assert (index.cost.change, index.cost.rows, index.cost.pairs, index.cost.fresh_pairs) == ("remove", 2, 0, 380)
    assert repr(index) == f"ThresholdIndex(38 rows, 10 validation points, {index.method!r})"
