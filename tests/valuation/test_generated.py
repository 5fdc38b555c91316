"""Values by likeness: the definition by brute force, the laws, and what is refused."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import dataworth as dw
from dataworth.errors import DataError, MethodError
from dataworth.kernels.neighbors import pair_distance
from dataworth.valuation import matching
from tests.valuation.likeness_problems import Problem, blobs, brightness, problems, same, taxi

# -- by brute force --------------------------------------------------------------------------------


def by_definition(problem: Problem) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Matches, shares and values from all distances, sorted in Python."""
    method, x, made = problem.method, problem.train.x, problem.made.x
    assert x is not None
    assert made is not None
    n = len(x)
    at, share, values = [], [], np.zeros(n)
    for j, point in enumerate(made):
        by_vector = sorted((pair_distance(row, point, method.metric), i) for i, row in enumerate(x))
        kept = by_vector[: method.recalled(n)]
        if method.rerank is not None:
            kept = sorted((float(np.abs(point - x[i]).sum()), i) for _, i in kept)
        kept = kept[: method.k]
        worth = 1.0 if method.quality is None else brightness([point])[0]
        worth = worth if problem.quality is None else problem.quality[j]
        weights = [math.exp(-(distance - kept[0][0]) / method.temperature) for distance, _ in kept]
        shares = [worth * weight / math.fsum(weights) for weight in weights]
        at.append([i for _, i in kept])
        share.append(shares)
        for (_, i), part in zip(kept, shares, strict=True):
            values[i] += part
    return np.array(at), np.array(share), values


@given(problem=problems(), threads=st.sampled_from([1, 2]))
@settings(max_examples=200, deadline=None)
def test_values_are_what_the_definition_says(problem: Problem, threads: int) -> None:
    found = dw.value_generated(problem.made, problem.train, method=problem.full, threads=threads)
    at, share, values = by_definition(problem)
    credit = found.attributions
    assert credit is not None
    assert credit.at.tolist() == at.tolist()
    grain = 2.0**-52 * share.sum(axis=1, keepdims=True)  # shares are whole steps of the last digit of the quality
    assert (np.abs(credit.share - share) <= 1e-12 * share + 2 * grain).all()
    assert (np.abs(found.values - values) <= 1e-12 * values + 2 * grain.sum()).all()
    assert found.ids.tolist() == problem.train.ids.tolist()
    assert found.n_validation == len(problem.made)
    assert found.method == repr(problem.full)


@given(problem=problems())
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost(problem: Problem) -> None:
    """Shares of a generated item add up to its quality as real numbers, and values are exact sums rounded once."""
    found = dw.value_generated(problem.made, problem.train, method=problem.full)
    credit = found.attributions
    assert credit is not None
    worth = problem.quality
    if worth is None:
        made = problem.made.x
        assert made is not None
        worth = np.ones(len(made)) if problem.method.quality is None else np.array(brightness(list(made)))
    assert [sum(map(Fraction, row)) for row in credit.share.tolist()] == [Fraction(q) for q in worth.tolist()]
    for i, value in enumerate(found.values.tolist()):
        assert value == math.fsum(credit.share[credit.at == i].tolist())
    unmatched = np.setdiff1d(np.arange(len(problem.train)), credit.at)
    assert (found.values[unmatched] == 0).all()
    assert math.isclose(math.fsum(found.values), math.fsum(worth), rel_tol=1e-14)


@given(problem=problems(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_the_order_of_generated_items_changes_no_bit(problem: Problem, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(problem.made)))))
    shuffled = problem.method if problem.quality is None else replace(problem.method, quality=problem.quality[order])
    one = dw.value_generated(problem.made, problem.train, method=problem.full)
    other = dw.value_generated(problem.made.take(order), problem.train, method=shuffled)
    assert one.values.tobytes() == other.values.tobytes()


def test_the_order_of_training_items_permutes_values() -> None:
    train, made = blobs(60, 30)
    order = np.random.default_rng(1).permutation(60)
    one = dw.value_generated(made, train, method=dw.SimilarityMatch(k=5))
    other = dw.value_generated(made, train.take(order), method=dw.SimilarityMatch(k=5))
    assert other.values.tobytes() == one.values[order].tobytes()
    assert other.owners is not None
    assert one.owners is not None
    assert other.owners.tolist() == one.owners[order].tolist()


def test_one_match_takes_all() -> None:
    train, made = blobs(50, 20)
    quality = np.random.default_rng(0).random(20)
    found = dw.value_generated(made, train, method=dw.SimilarityMatch(k=1, quality=quality))
    assert found.attributions is not None
    assert found.attributions.share[:, 0].tolist() == quality.tolist()


def test_planted_copies_rank_first() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8))
    copied = [3, 50, 51, 120, 199]
    made = np.repeat(x[copied], 4, axis=0) + 1e-3 * rng.normal(size=(20, 8))
    method = dw.SimilarityMatch(k=10, metric="euclidean", temperature=0.1)
    found = dw.value_generated(dw.Items(made), dw.Items(x), method=method)
    assert set(found.highest(5).columns["id"]) == set(copied)
    assert (found.values[copied] > 3.9).all()


def test_exact_copies_share_and_the_earlier_one_is_kept() -> None:
    train = dw.Items([[1.0, 0.0]] * 4 + [[0.0, 1.0]])
    made = dw.Items([[2.0, 0.0]])
    found = dw.value_generated(made, train, method=dw.SimilarityMatch(k=2))
    assert found.values.tolist() == [0.5, 0.5, 0.0, 0.0, 0.0]


def test_k_of_all_and_one_item() -> None:
    assert dw.value_generated([[3.0]], [[1.0]], method=dw.SimilarityMatch(k=1)).values.tolist() == [1.0]
    equal = dw.value_generated(
        [[0.0, 1.0]], [[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0]], method=dw.SimilarityMatch(k=3)
    ).values
    assert equal.sum() == 1.0
    np.testing.assert_allclose(equal, 1 / 3, rtol=1e-15)


def test_numbers_that_only_float64_can_square() -> None:
    x = np.array([[1e20], [3e20], [-1e20]])
    found = dw.value_generated([[0.9e20], [-2e20]], x, method=dw.SimilarityMatch(k=1, metric="euclidean"))
    assert found.values.tolist() == [1.0, 0.0, 1.0]
    far = dw.value_generated([[0.9e20]], [[1.0], [3e14], [-1.0]], method=dw.SimilarityMatch(k=1, metric="euclidean"))
    assert far.values.tolist() == [0.0, 1.0, 0.0]


# -- panels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rerank", [None, taxi])
def test_panels_change_nothing(monkeypatch: pytest.MonkeyPatch, rerank: Any) -> None:
    train, made = blobs(80, 50)
    method = dw.SimilarityMatch(k=3, rerank=rerank, candidates=9)
    whole = dw.value_generated(made, train, method=method)
    monkeypatch.setattr(matching, "_PANEL", 7)
    same(dw.value_generated(made, train, method=method, threads=2), whole)
    monkeypatch.setattr(matching, "_CANDIDATES", 1)
    same(dw.value_generated(made, train, method=method), whole)


def test_candidates_of_one_panel_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    train, made = blobs(600, 4000, d=4)
    method = dw.SimilarityMatch(k=1, candidates=500)
    monkeypatch.setattr(matching, "_CANDIDATES", 50_000)
    dw.value_generated(made.take(np.arange(10)), train, method=method, threads=1)  # compiles
    tracemalloc.start()
    dw.value_generated(made, train, method=method, threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000 * 500 * 16 / 3


def test_errors_of_a_panel_say_where_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(generated: list[Any], train: list[Any]) -> list[float]:
        return [math.nan if generated[0][0] == 5 else 0.0] * len(train)

    monkeypatch.setattr(matching, "_PANEL", 2)
    made = np.ones((6, 2))
    made[5, 0] = 5
    with pytest.raises(DataError, match=r"NaN or infinity for 3 of 3 .*item 1 \(generated items counted from item 4\)"):
        dw.value_generated(made, np.eye(3, 2) + 1, method=dw.SimilarityMatch(k=1, rerank=odd))


# -- approximate recall ----------------------------------------------------------------------------


def check_of(values: dw.Values) -> dict[str, Any]:
    table = next(piece for piece in values.evidence if piece.name == "recall-check")
    assert isinstance(table, dw.Table)
    return {name: column[0] for name, column in table.columns.items()}


EVERY_LIST = dw.IVFPQ(lists=16, subvectors=8, bits=4, probes=16)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_an_index_that_proposes_everything_is_exact(metric: Any) -> None:
    train, made = blobs(700, 40)
    exact = dw.SimilarityMatch(k=10, metric=metric)
    found = dw.value_generated(made, train, method=replace(exact, recall=EVERY_LIST, candidates=700))
    expected = dw.value_generated(made, train, method=exact)
    assert found.values.tobytes() == expected.values.tobytes()
    check = check_of(found)
    assert (check["recall@k"], check["recall@candidates"], check["sample"]) == (1.0, 1.0, 40)
    assert found.provenance["recall"] == "IVFPQ"
    assert found.provenance["searched again exactly"] == 0


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_graph_finds_nearly_all_and_says_so(metric: Any) -> None:
    train, made = blobs(600, 60)
    exact = dw.value_generated(made, train, method=dw.SimilarityMatch(k=5, metric=metric))
    method = dw.SimilarityMatch(k=5, recall=dw.HNSW(sample=20), metric=metric)
    found = dw.value_generated(made, train, method=method, threads=2)
    again = dw.value_generated(made, train, method=method, threads=1)
    assert found.values.tobytes() == again.values.tobytes()
    check = check_of(found)
    assert check["sample"] == 20
    assert check["recall@k"] >= 0.9
    assert check["index"] == repr(method.recall)
    assert found.attributions is not None
    assert exact.attributions is not None
    hits = [np.isin(a, b).mean() for a, b in zip(exact.attributions.at, found.attributions.at, strict=True)]
    assert np.mean(hits) > 0.95


def test_what_an_index_does_not_find_is_searched_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """One list of sixteen holds fewer than 300 items, so every search falls short and is done again."""
    monkeypatch.setattr(matching, "_PANEL", 7)
    train, made = blobs(700, 30)
    poor = dw.IVFPQ(lists=16, subvectors=8, bits=4, probes=1)
    method = dw.SimilarityMatch(k=10, candidates=300)
    found = dw.value_generated(made, train, method=replace(method, recall=poor))
    assert found.provenance["searched again exactly"] == 30
    assert found.values.tobytes() == dw.value_generated(made, train, method=method).values.tobytes()


def test_an_index_that_misses_too_much_is_refused() -> None:
    train, made = blobs(700, 40)
    poor = dw.IVFPQ(lists=16, subvectors=1, bits=4, probes=2)
    with pytest.raises(
        MethodError, match=r"finds \d+\.\d% of the 10 nearest on 40 .* floor of 90\.0%; use more probes"
    ):
        dw.value_generated(made, train, method=dw.SimilarityMatch(k=10, recall=poor))
    found = dw.value_generated(made, train, method=dw.SimilarityMatch(k=10, recall=replace(poor, floor=0.0)))
    assert check_of(found)["recall@k"] < 0.9
    assert found.provenance["recall at k"] == round(check_of(found)["recall@k"], 4)
    assert found.attributions is not None
    assert (found.attributions.share.sum(axis=1) == 1).all()
    with pytest.raises(MethodError, match=r"of the 50 candidates for taxi on 40"):
        dw.value_generated(made, train, method=dw.SimilarityMatch(k=10, recall=poor, rerank=taxi))


def test_distances_of_proposed_items_are_true() -> None:
    train, made = blobs(700, 20)
    method = dw.SimilarityMatch(k=4, recall=replace(EVERY_LIST, probes=2, floor=0.0), metric="euclidean")
    credit = dw.value_generated(made, train, method=method).attributions
    assert credit is not None
    assert train.x is not None
    assert made.x is not None
    for j in range(20):
        for at, distance in zip(credit.at[j], credit.distance[j], strict=True):
            assert distance == pair_distance(train.x[at], made.x[j], "euclidean")


# -- what is told ----------------------------------------------------------------------------------


def test_provenance_tells_how() -> None:
    train = dw.Items(np.eye(4), skipped=["a.png"])
    made = dw.Items(np.eye(4)[:3] + 0.1, skipped=["b.png", "c.png"])
    told = dw.value_generated(made, train, method=dw.SimilarityMatch(k=2, rerank=taxi, temperature=0.25)).provenance
    expected = {
        "rows": 4,
        "features": 4,
        "generated": 3,
        "k": 2,
        "temperature": 0.25,
        "metric": "cosine",
        "recall": "exact",
        "candidates": 4,
        "rerank": "taxi",
        "vectors": "given",
        "skipped in train": 1,
        "skipped in generated": 2,
    }
    assert {name: told[name] for name in expected} == expected


def test_a_method_is_told_by_names_and_counts() -> None:
    method = dw.SimilarityMatch(k=np.int64(3), rerank=taxi, quality=[1, 2], temperature=1, recall=dw.HNSW())  # type: ignore[arg-type]
    assert repr(method) == (
        "SimilarityMatch(k=3, recall=HNSW(links=32, depth_build=200, depth=64, sample=200, floor=0.9), rerank=taxi, "
        "quality=array(2), temperature=1.0, metric='cosine', candidates=None)"
    )
    assert method == dw.SimilarityMatch(k=3, rerank=taxi, quality=np.array([1.0, 2.0]), recall=dw.HNSW())
    assert method != dw.SimilarityMatch(k=3, rerank=taxi, quality=[1.0, 3.0], recall=dw.HNSW())
    assert method != replace(method, quality=None)
    assert hash(method) == hash(replace(method, quality=None))
    assert dw.SimilarityMatch() == dw.SimilarityMatch()
    with pytest.raises(ValueError, match="read-only"):
        method.quality[0] = 5  # type: ignore[index]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"k": 0}, "k must be an integer of 1 or more, not 0"),
        ({"k": True}, "k must be an integer"),
        ({"k": 2.0}, "k must be an integer"),
        ({"recall": "faiss"}, "recall must be one of 'exact', IVFPQ"),
        ({"rerank": "vgg"}, "rerank must be one of .*'ssim'.* a callable or None, not 'vgg'"),
        ({"rerank": 3}, "rerank must be one of"),
        ({"quality": "maniqa"}, "quality must be one of .*'piqe'"),
        ({"quality": [1.0, -1.0, math.nan]}, "2 of 3 qualities are negative or not finite"),
        ({"quality": 3.0}, r"flat list of numbers, one a generated item, not of shape \(\)"),
        ({"quality": [[1.0]]}, "flat list"),
        ({"quality": ["1"]}, "flat list"),
        ({"quality": object()}, "quality must be one of"),
        ({"temperature": 0}, "temperature must be a number above 0"),
        ({"temperature": math.inf}, "temperature must be a number above 0 and finite"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"metric": "manhattan"}, "metric must be one of 'cosine', 'euclidean'"),
        ({"candidates": 9}, "candidates must be k, 10, or more, not 9"),
        ({"candidates": 0}, "candidates must be an integer of 1 or more"),
    ],
)
def test_methods_out_of_range(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        dw.SimilarityMatch(**parts)


def test_how_many_are_recalled() -> None:
    assert dw.SimilarityMatch(k=3).recalled(100) == 3
    assert dw.SimilarityMatch(k=3, rerank=taxi).recalled(100) == 50
    assert dw.SimilarityMatch(k=30, rerank=taxi).recalled(1000) == 150
    assert dw.SimilarityMatch(k=3, rerank=taxi).recalled(20) == 20
    assert dw.SimilarityMatch(k=3, candidates=7).recalled(100) == 7


# -- what is refused -------------------------------------------------------------------------------

PICTURES = np.zeros((4, 2, 2, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("made", "train", "method", "message"),
    [
        (np.eye(2), np.eye(2), dw.SimilarityMatch(), "k=10 training items share in each .* but there are 2;"),
        (np.eye(2), np.eye(3), dw.SimilarityMatch(k=1), "vectors of train have 3 numbers, but those of generated 2"),
        (np.zeros((2, 3)), np.eye(3), dw.SimilarityMatch(k=1), "generated: 2 of 2 rows are zero vectors"),
        (np.eye(3), np.diag([1, 1, 0]), dw.SimilarityMatch(k=1), "train: 1 of 3 rows are zero vectors"),
        (np.eye(2) * 1e160, np.eye(2), dw.SimilarityMatch(k=1, metric="euclidean"), "too large for euclidean"),
        (np.eye(2), np.eye(2), dw.SimilarityMatch(k=1, quality=[1.0]), "quality holds 1 numbers, but there are 2"),
        (np.eye(2), np.eye(2), dw.SimilarityMatch(k=1, quality="sharpness"), "generated holds vectors alone"),
        (["a"], np.eye(2), dw.SimilarityMatch(k=1), "train has vectors and generated none"),
        (np.eye(2), ["a", "b"], dw.SimilarityMatch(k=1), "generated has vectors and nothing that can be embedded"),
        (["a"], dw.Items(images=PICTURES), dw.SimilarityMatch(k=1), "train holds images and generated texts"),
        (
            dw.Items(np.eye(2), texts=["a", "b"]),
            dw.Items(np.eye(4, 2) + 1, images=PICTURES),
            dw.SimilarityMatch(k=1),
            "train holds images and generated texts",
        ),
        (
            dw.Items(np.eye(2), texts=["a", "b"]),
            ["a", "b"],
            dw.SimilarityMatch(k=1),
            "generated has vectors and train none",
        ),
        (
            np.eye(2),
            np.eye(2),
            dw.SimilarityMatch(k=1, rerank="pixels"),
            r"'pixels' looks at images, but train holds vec",
        ),
        (
            np.eye(2),
            dw.Items(np.eye(4, 2) + 1, images=PICTURES),
            dw.SimilarityMatch(k=1, rerank="pixels"),
            r"generated holds vectors alone: give Items\(x, images=\.\.\.\), or leave rerank out",
        ),
        (
            np.eye(2),
            dw.Items(np.eye(4, 2) + 1, images=PICTURES),
            dw.SimilarityMatch(k=1, rerank=taxi),
            "rerank=taxi looks at pairs of one kind, but train holds images and generated vectors",
        ),
        (np.eye(2), np.eye(2), dw.ThresholdKNNShapley(0.5), "valued by SimilarityMatch"),
        (
            np.eye(4),
            np.eye(4),
            dw.SimilarityMatch(k=1, recall=dw.IVFPQ(subvectors=4)),
            r"IVFPQ with lists=256 and bits=8 learns from 9,984 items or more .* but there are 4; use HNSW, or search",
        ),
        (
            np.ones((1, 9)),
            np.ones((700, 9)),
            dw.SimilarityMatch(k=1, recall=EVERY_LIST),
            "subvectors=8 does not divide the 9 numbers of a vector; 1, 3 or 9 would",
        ),
    ],
)
def test_what_does_not_fit_is_refused(made: Any, train: Any, method: Any, message: str) -> None:
    with pytest.raises((DataError, MethodError), match=message):
        dw.value_generated(made, train, method=method)


def test_vectors_alone_cannot_be_embedded() -> None:
    def lengths(texts: list[str]) -> list[list[int]]:
        return [[len(text), 1] for text in texts]

    with pytest.raises(DataError, match=r"train has vectors and nothing that can be embedded.*made by embed=lengths"):
        dw.value_generated(["a"], np.eye(2), method=dw.SimilarityMatch(k=1), embed=lengths)


def test_both_sides_are_embedded_by_one_model() -> None:
    def lengths(texts: list[str]) -> list[list[int]]:
        return [[len(text), 1] for text in texts]

    train = dw.Items(np.zeros((2, 5)) + 1, texts=["a", "a long text"])  # these vectors are replaced
    found = dw.value_generated(["another one"], train, method=dw.SimilarityMatch(k=1, temperature=0.1), embed=lengths)
    assert found.values.tolist() == [0.0, 1.0]
    assert found.provenance["vectors"] == "lengths"


def test_texts_are_compared_again() -> None:
    def by_length(generated: list[str], train: list[str]) -> list[int]:
        return [abs(len(a) - len(b)) for a, b in zip(generated, train, strict=True)]

    train = dw.Items(np.eye(3), texts=["a", "bb", "cccc"])
    made = dw.Items([[1.0, 0.0, 0.0]], texts=["ddd"])
    method = dw.SimilarityMatch(k=2, rerank=by_length, quality=lambda texts: [len(text) for text in texts])
    credit = dw.value_generated(made, train, method=method).attributions
    assert credit is not None
    assert credit.of_generated(0).rows() == [(1, 1.0, 1.5), (2, 1.0, 1.5)]


def test_images_are_compared_again_and_judged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (6, 12, 12, 3), dtype=np.uint8)
    flat = pictures.reshape(6, -1).astype(float)
    train, made = dw.Items(flat, images=pictures), dw.Items(flat[:2] + 1, images=pictures[:2])
    method = dw.SimilarityMatch(k=2, rerank="pixels", quality="entropy", temperature=0.1)
    found = dw.value_generated(made, train, method=method)
    assert found.attributions is not None
    assert found.attributions.at[:, 0].tolist() == [0, 1]
    assert found.attributions.distance[:, 0].tolist() == [0.0, 0.0]
    assert (found.attributions.quality > 0).all()
    assert (found.attributions.quality < 1).all()
    saved = dw.Values.load(found.save(tmp_path / "credit.parquet"))
    same(saved, found)


# -- what is not installed -------------------------------------------------------------------------


def test_vectors_need_no_optional_package() -> None:
    code = """
import sys
class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "PIL", "faiss", "transformers", "matplotlib", "pypiqe"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Barred())
import numpy as np
import dataworth as dw
rng = np.random.default_rng(0)
x = rng.normal(size=(30, 4))
found = dw.value_generated(x[:9] + 0.1, x, method=dw.SimilarityMatch(k=3))
index = dw.index_items(x, method=dw.SimilarityMatch(k=3)).add(x[:9] + 0.1).remove([4])
assert found.values.sum() > 8.99 and index.values().values.sum() > 8.99
try:
    dw.value_generated(x[:9], x, method=dw.SimilarityMatch(k=3, recall=dw.HNSW()))
except dw.MissingExtra as error:
    assert "dataworth[generated]" in str(error)
else:
    sys.exit("FAISS is there")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_qualities_beyond_float64_are_refused() -> None:
    with pytest.raises(MethodError, match="smaller scale"):
        dw.value_generated(
            dw.Items(np.eye(3)), dw.Items(np.eye(3)), method=dw.SimilarityMatch(k=1, quality=np.full(3, 1.7e308))
        )


def test_numbers_that_float32_cannot_square_reach_the_evidence() -> None:
    x = np.random.default_rng(0).normal(size=(30, 3)) * 1e25
    train, made = dw.Items(x), dw.Items(x[:8] * (1 + 1e-9))
    values = dw.value_generated(made, train, method=dw.SimilarityMatch(k=2, metric="euclidean"))
    seen = dw.gather_matches(values, train, made)
    assert {piece.name for piece in seen.evidence} >= {"map", "sensitivity", "closest-generated"}
