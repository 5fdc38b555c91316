"""An index that generated items come to and training items leave gives the values of a fresh run, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataworth as dw
from dataworth.errors import DataError, InputError, MethodError
from dataworth.records.sealed import write_sealed
from dataworth.valuation.match_index import FORMAT, MatchIndex, index_items
from dataworth.valuation.matching import Matcher
from tests.valuation.likeness_problems import Problem, blobs, brightness, problems, same, taxi

# -- streams ---------------------------------------------------------------------------------------


@given(problem=problems(most_train=14, most_made=9), data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_stream_ends_where_a_fresh_run_does(problem: Problem, data: st.DataObject) -> None:
    """Batches come, training items leave, files are written and read, in any order."""
    index = index_items(problem.train, method=problem.method)
    here = list(range(len(problem.train)))
    added = 0
    while added < len(problem.made) or data.draw(st.booleans()):
        change = data.draw(st.sampled_from(["add", "remove", "remove nobody"]))
        if change == "add" and added < len(problem.made):
            stop = data.draw(st.integers(added + 1, len(problem.made)))
            quality = None if problem.quality is None else problem.quality[added:stop]
            index = index.add(problem.made.take(np.arange(added, stop)), quality)
            added = stop
        elif change == "remove" and len(here) > problem.method.k:
            most = len(here) - problem.method.k
            gone = data.draw(st.lists(st.sampled_from(here), min_size=1, max_size=most, unique=True))
            index = index.remove(problem.train.ids[gone])
            here = [i for i in here if i not in gone]
        else:
            index = index.remove([])
        if added:
            part = None if problem.quality is None else problem.quality[:added]
            method = problem.method if part is None else replace(problem.method, quality=part)
            made, train = problem.made.take(np.arange(added)), problem.train.take(here)
            same(index.values(), dw.value_generated(made, train, method=method))


def test_only_those_whose_candidates_left_are_matched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    train, made = blobs(200, 100)
    index = index_items(train, method=dw.SimilarityMatch(k=3, candidates=8)).add(made)
    seen: list[int] = []
    match = Matcher.match

    def counted(self: Matcher, generated: dw.Items, **rest: Any) -> int:
        seen.extend(generated.ids.tolist())
        return match(self, generated, **rest)

    monkeypatch.setattr(Matcher, "match", counted)
    smaller = index.remove([5, 6])
    touched = np.flatnonzero(np.isin(index.candidates, [5, 6]).any(axis=1)).tolist()
    assert 0 < len(touched) < 100
    assert seen == touched
    assert smaller.cost.matched == len(touched)
    assert (smaller.cost.pairs, smaller.cost.fresh_pairs) == (len(touched) * 198, 100 * 198)
    assert smaller.cost.items == 2
    assert str(smaller.cost).startswith(f"remove, 2 items: {len(touched)} generated items matched, ")
    monkeypatch.undo()
    same(
        smaller.values(),
        dw.value_generated(made, train.take(np.isin(train.ids, [5, 6], invert=True)), method=index.method),
    )


def test_an_index_never_changes() -> None:
    train, made = blobs(30, 10)
    empty = index_items(train, method=dw.SimilarityMatch(k=2))
    full = empty.add(made)
    before = full.values()
    full.remove([0, 1, 2])
    full.add(dw.Items(np.ones((1, 16)), ids=[77]))
    same(full.values(), before)
    assert (len(empty), len(full)) == (0, 10)
    assert empty.values().values.tolist() == [0.0] * 30
    assert empty.values().attributions is not None
    assert repr(full).startswith("MatchIndex(30 training items, 10 generated items, SimilarityMatch(k=2")
    with pytest.raises(ValueError, match="read-only"):
        full.at[0, 0] = 3


def test_threads_change_nothing() -> None:
    train, made = blobs(300, 40)
    one, two = (index_items(train, threads=threads).add(made, threads=threads) for threads in (1, 2))
    same(two.remove([3], threads=2).values(threads=2), one.remove([3], threads=1).values(threads=1))


def test_embedding_goes_on_with_the_same_model() -> None:
    def lengths(texts: list[str]) -> list[list[int]]:
        return [[len(text), 1] for text in texts]

    index = index_items(["a", "a long text"], method=dw.SimilarityMatch(k=1), embed=lengths)
    index = index.add(dw.Items(texts=["b"], ids=["1"])).add(dw.Items(texts=["another one"], ids=["2"]))
    assert index.values().values.tolist() == [1.0, 1.0]
    assert index.values().provenance["vectors"] == "lengths"
    with pytest.raises(DataError, match="generated has vectors and nothing that can be embedded"):
        index.add(dw.Items([[1.0, 1.0]], ids=["3"]))


def test_content_of_all_batches_is_looked_at_again() -> None:
    rng = np.random.default_rng(0)
    texts = ["x" * int(length) for length in rng.integers(1, 40, 50)]
    train = dw.Items(rng.normal(size=(30, 4)), texts=texts[:30])
    made = dw.Items(rng.normal(size=(20, 4)), texts=texts[30:])
    method = dw.SimilarityMatch(k=2, rerank=by_length, candidates=6)
    index = index_items(train, method=method)
    for start in range(0, 20, 7):
        index = index.add(made.take(np.arange(start, min(20, start + 7))))
    gone = [1, 2, 3, 29]
    stays = train.take(np.isin(train.ids, gone, invert=True))
    assert 0 < index.remove(gone).cost.matched < 20
    same(index.remove(gone).values(), dw.value_generated(made, stays, method=method))


# -- approximate recall ----------------------------------------------------------------------------

GRAPH = dw.HNSW(sample=20)
LISTS = dw.IVFPQ(lists=16, subvectors=16, bits=4, probes=12, sample=20, floor=0.3)


@pytest.mark.parametrize("recall", [GRAPH, LISTS])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_batches_of_an_approximate_index(recall: Any, metric: Any) -> None:
    train, made = blobs(700, 50)
    method = dw.SimilarityMatch(k=4, recall=recall, metric=metric, candidates=20)
    index = index_items(train, method=method)
    assert index.recall is None
    for start, stop in ((0, 1), (1, 30), (30, 50)):
        index = index.add(made.take(np.arange(start, stop)))
    fresh = dw.value_generated(made, train, method=method)
    assert index.values().values.tobytes() == fresh.values.tobytes()
    table = index.recall
    assert table is not None
    assert table.columns["sample"] == (1, 20, 20)
    assert [piece.name for piece in index.values().evidence] == ["recall-check"]


def test_removing_builds_an_approximate_index_anew() -> None:
    train, made = blobs(700, 30)
    method = dw.SimilarityMatch(k=4, recall=LISTS, candidates=20)
    index = index_items(train, method=method).add(made.take(np.arange(10))).add(made.take(np.arange(10, 30)))
    smaller = index.remove(np.arange(20))
    assert smaller.cost.matched == 30
    assert smaller.recall is not None
    assert len(smaller.recall.columns["sample"]) == 1
    same(smaller.values(), dw.value_generated(made, train.take(np.arange(20, 700)), method=method))
    with pytest.raises(MethodError, match="learns from 624 items or more"):
        index.remove(np.arange(80))


# -- what is refused -------------------------------------------------------------------------------


def index_of_vectors() -> MatchIndex:
    train = dw.Items(np.eye(4), ids=["a", "b", "c", "d"])
    return index_items(train, method=dw.SimilarityMatch(k=2)).add(dw.Items(np.eye(4)[:2], ids=[1, 2]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda index: index.add(dw.Items(np.eye(3), ids=[7, 8, 9])),
            "vectors of train have 4 numbers, but those of generated 3",
        ),
        (lambda index: index.add(np.eye(4)), "2 of 4 generated items to add have an id that the index holds"),
        (lambda index: index.add(dw.Items(np.eye(4), ids=list("abcd"))), "ids of the index are integers, so further"),
        (lambda index: index.add(dw.Items(np.zeros((1, 4)), ids=[9])), "generated: 1 of 1 rows are zero vectors"),
        (lambda index: index.add(dw.Items([[1.0] * 4], ids=[9]), [1.0]), "earlier batches had no quality="),
        (lambda index: index.add(["text"]), "train has vectors and generated none"),
        (lambda index: index.remove(["a", "a"]), "1 of the 2 ids to remove repeat"),
        (lambda index: index.remove(["a", "z"]), "1 of the 2 ids to remove are not in the index; nothing was removed"),
        (lambda index: index.remove([1]), "ids of the index are text, so further ones must be too, not integers"),
        (lambda index: index.remove([["a"]]), r"flat list of ids, not of shape \(1, 1\)"),
        (lambda index: index.remove(["a", "b", "c"]), "k=2 training items share .* but 1 of 4 would stay"),
    ],
)
def test_changes_that_do_not_fit(change: Callable[[MatchIndex], Any], message: str) -> None:
    with pytest.raises((DataError, MethodError), match=message):
        change(index_of_vectors())


def test_qualities_come_once_and_with_every_batch() -> None:
    train = dw.Items(np.eye(3))
    with pytest.raises(MethodError, match=r"index.add\(generated, quality=\.\.\.\)"):
        index_items(train, method=dw.SimilarityMatch(k=1, quality=[1.0]))
    judged = index_items(train, method=dw.SimilarityMatch(k=1, quality=brightness))
    with pytest.raises(MethodError, match="judges quality by brightness; leave out quality="):
        judged.add(np.eye(3), [1.0, 1.0, 1.0])
    index = index_items(train, method=dw.SimilarityMatch(k=1))
    with pytest.raises(MethodError, match="quality holds 2 numbers, but there are 3 generated items"):
        index.add(np.eye(3), [1.0, 1.0])
    with pytest.raises(MethodError, match="quality= takes numbers"):
        index.add(np.eye(3), "piqe")
    worthy = index.add(np.eye(3), [1.0, 2.0, 3.0])
    assert "quality=array(3)" in worthy.values().method
    with pytest.raises(MethodError, match="earlier batches came with quality="):
        worthy.add(dw.Items(np.eye(3), ids=[7, 8, 9]))


@pytest.mark.parametrize(
    ("train", "method", "message"),
    [
        (np.eye(2), dw.SimilarityMatch(), "k=10 training items share in each .* there are 2"),
        (np.zeros((2, 2)), dw.SimilarityMatch(k=1), "train: 2 of 2 rows are zero vectors"),
        (np.eye(2), dw.SimilarityMatch(k=1, rerank="ssim"), "'ssim' looks at images, but train holds vectors alone"),
        (np.eye(2), dw.KNNShapley(), "valued by SimilarityMatch"),
    ],
)
def test_training_items_that_do_not_fit(train: Any, method: Any, message: str) -> None:
    with pytest.raises((DataError, MethodError), match=message):
        index_items(train, method=method)


# -- files -----------------------------------------------------------------------------------------


@given(problem=problems(), named=st.booleans())
@settings(max_examples=60, deadline=None)
def test_files_hold_everything(tmp_path_factory: pytest.TempPathFactory, problem: Problem, named: bool) -> None:
    path = tmp_path_factory.mktemp("index") / "matches.npz"
    half = len(problem.made) // 2 + 1
    quality = [None, None] if problem.quality is None else [problem.quality[:half], problem.quality[half:]]
    index = index_items(problem.train, method=problem.method).add(problem.made.take(np.arange(half)), quality[0])
    callables = problem.method.rerank is not None or problem.method.quality is not None
    assert index.save(path) == path
    back = MatchIndex.load(path, method=problem.method if named or callables else None)
    same(back.values(), index.values())
    assert back.cost.change == "load"
    if half < len(problem.made):
        rest = problem.made.take(np.arange(half, len(problem.made)))
        same(back.add(rest, quality[1]).values(), index.add(rest, quality[1]).values())
    if len(problem.train) > problem.method.k:
        gone = problem.train.ids[-1:]
        same(back.remove(gone).values(), index.remove(gone).values())


def test_an_empty_index_can_be_saved(tmp_path: Path) -> None:
    train, made = blobs(20, 5)
    path = index_items(train).save(tmp_path / "empty.npz")
    same(MatchIndex.load(path).add(made).values(), dw.value_generated(made, train))


def test_approximate_indexes_are_built_again_when_needed(tmp_path: Path) -> None:
    train, made = blobs(300, 20)
    index = index_items(train, method=dw.SimilarityMatch(k=3, recall=GRAPH)).add(made.take(np.arange(10)))
    back = MatchIndex.load(index.save(tmp_path / "matches.npz"))
    assert back.recall is not None
    assert index.recall is not None
    assert back.recall.columns == index.recall.columns
    rest = made.take(np.arange(10, 20))
    same(back.add(rest).values(), index.add(rest).values())


def by_length(generated: list[str], train: list[str]) -> list[int]:
    return [abs(len(a) - len(b)) for a, b in zip(generated, train, strict=True)]


def lengths(texts: list[str]) -> list[list[int]]:
    return [[len(text), 1] for text in texts]


def texts_index() -> tuple[MatchIndex, dw.Items, dw.Items]:
    train = dw.Items(texts=["a", "bb", "a secret"], ids=["x", "y", "z"], owners=[1, 1, 2], labels=["u", "v", "v"])
    made = dw.Items(texts=["whisper", "c"])
    method = dw.SimilarityMatch(k=2, rerank=by_length)
    return index_items(train, method=method, embed=lengths).add(made), train, made


def test_content_is_not_saved_and_asked_for(tmp_path: Path) -> None:
    index, train, made = texts_index()
    path = index.save(tmp_path / "matches.npz")
    raw = path.read_bytes()
    assert b"secret" not in raw
    assert b"whisper" not in raw
    method = index.method
    with pytest.raises(MethodError, match="made with rerank=by_length, a callable, which no file holds"):
        MatchIndex.load(path, train, made)
    with pytest.raises(MethodError, match="looks at texts again, which no file holds; give train= to load it"):
        MatchIndex.load(path, method=method)
    with pytest.raises(DataError, match="generated lacks 1 of the 2 items"):
        MatchIndex.load(path, train, made.take([0]), method)
    with pytest.raises(DataError, match="was made of texts, but train holds vectors"):
        MatchIndex.load(path, dw.Items(np.eye(3), ids=["x", "y", "z"]), made, method)
    with pytest.raises(DataError, match="vectors of train are not those"):
        MatchIndex.load(path, train.with_vectors(np.eye(3)), made, method)
    with pytest.raises(InputError, match=r"train must be dataworth\.Items, not list"):
        MatchIndex.load(path, ["a"], made, method)  # type: ignore[arg-type]
    # In another order and among others, with the very vectors.
    more = dw.Items(texts=["a secret", "bb", "new", "a"], ids=["z", "y", "w", "x"])
    back = MatchIndex.load(path, more, dw.embed_items(made, lengths), method, embed=lengths)
    same(back.values(), index.values())
    assert back.train.labels is not None
    assert back.train.labels.tolist() == ["u", "v", "v"]
    same(back.remove(["y"]).values(), index.remove(["y"]).values())
    last = dw.Items(texts=["seven77"], ids=[9])
    same(back.add(last).values(), index.add(last).values())


def test_earlier_content_is_missed_only_when_training_items_leave(tmp_path: Path) -> None:
    index, train, _ = texts_index()
    last = dw.Items(texts=["seven77"], ids=[9])
    path = index.save(tmp_path / "matches.npz")
    back = MatchIndex.load(path, train, method=index.method, embed=lengths)
    same(back.add(last).values(), index.add(last).values())
    again = MatchIndex.load(back.add(last).save(path), train, method=index.method, embed=lengths)
    same(again.values(), index.add(last).values())
    with pytest.raises(MethodError, match=r"3 of 3 generated items .* without their texts; load it with generated="):
        again.remove(["y"])
    everyone = dw.Items(texts=["c", "seven77", "whisper"], ids=[1, 9, 0])
    whole = MatchIndex.load(path, train, everyone, index.method, embed=lengths)
    same(whole.remove(["y"]).values(), index.add(last).remove(["y"]).values())


def test_a_callable_that_embeds_is_asked_for_when_needed(tmp_path: Path) -> None:
    index, train, made = texts_index()
    path = index.save(tmp_path / "matches.npz")
    back = MatchIndex.load(path, train, made, index.method)
    same(back.remove(["z"]).values(), index.remove(["z"]).values())
    with pytest.raises(MethodError, match="were embedded by lengths, which no file holds; load it with embed="):
        back.add(dw.Items(texts=["more"], ids=[9]))
    again = MatchIndex.load(back.save(tmp_path / "again.npz"), train, made, index.method, embed=lengths)
    same(again.values(), index.values())
    with pytest.raises(MethodError, match="embedded by lengths, not by taxi"):
        MatchIndex.load(path, train, made, index.method, embed=taxi)  # type: ignore[arg-type]
    vectors = index_of_vectors().save(tmp_path / "vectors.npz")
    with pytest.raises(MethodError, match="takes no embed="):
        MatchIndex.load(vectors, embed=lengths)


def test_an_index_of_another_method(tmp_path: Path) -> None:
    path = index_of_vectors().save(tmp_path / "matches.npz")
    with pytest.raises(MethodError, match=r"was made with SimilarityMatch\(k=2.*, not with SimilarityMatch\(k=3"):
        MatchIndex.load(path, method=dw.SimilarityMatch(k=3))
    with pytest.raises(MethodError, match="method must be SimilarityMatch"):
        MatchIndex.load(path, method=dw.KNNShapley())  # type: ignore[arg-type]
    judged = index_items(np.eye(3), method=dw.SimilarityMatch(k=1, rerank=taxi)).save(tmp_path / "taxi.npz")
    with pytest.raises(MethodError, match="was made with rerank=taxi, not with"):
        MatchIndex.load(judged, method=dw.SimilarityMatch(k=1))
    with pytest.raises(MethodError, match=r"was made with rerank=taxi, not with .*by_length"):
        MatchIndex.load(judged, method=dw.SimilarityMatch(k=1, rerank=by_length))


def test_files_that_were_written_to_are_refused(tmp_path: Path) -> None:
    path = index_of_vectors().save(tmp_path / "matches.npz")
    with np.load(path) as opened:
        arrays = dict(opened)
    arrays["quality"] = arrays["quality"] + 1
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="is damaged: it does not fit its digest"):
        MatchIndex.load(path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = index_of_vectors().save(tmp_path / "matches.npz")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.choice(len(whole), 60, replace=False):
        damaged = bytearray(whole)
        damaged[at] ^= 0x41
        path.write_bytes(bytes(damaged))
        try:
            back = MatchIndex.load(path)
        except DataError:
            continue
        same(back.values(), index_of_vectors().values())  # the byte meant nothing
    for content in (b"", whole[: len(whole) // 2], b"PK\x03\x04", json.dumps({}).encode()):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is no index of matches, or a damaged one"):
            MatchIndex.load(path)
    with pytest.raises(DataError, match="there is no file"):
        MatchIndex.load(tmp_path / "nothing.npz")
    np.savez(path, about=np.array(json.dumps({"format": "other/1", "digest": ""})))
    with pytest.raises(DataError, match="has format 'other/1'"):
        MatchIndex.load(path)
    np.save(tmp_path / "one.npy", np.eye(2))
    with pytest.raises(DataError, match="no index of matches"):
        MatchIndex.load(tmp_path / "one.npy")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda about, arrays: arrays.pop("at"),
        lambda about, arrays: about.pop("method"),
        lambda about, arrays: about.update(kind=3, vectors_given=None, checks=[{"index": 1}]),
        lambda about, arrays: about["method"].update(k=3),
        lambda about, arrays: about["method"].update(strange=3),
        lambda about, arrays: about["method"].update(recall={"index": "other"}),
        lambda about, arrays: arrays.update(at=arrays["at"] + 3),
        lambda about, arrays: arrays.update(at=-arrays["at"] - 1),
        lambda about, arrays: arrays.update(at=arrays["at"].astype(float)),
        lambda about, arrays: arrays.update(distance=arrays["distance"] * np.nan),
        lambda about, arrays: arrays.update(quality=arrays["quality"] - 2),
        lambda about, arrays: arrays.update(train_ids=arrays["train_ids"][:3]),
        lambda about, arrays: arrays.update(train_x=arrays["train_x"] * np.nan),
        lambda about, arrays: arrays.pop("generated_ids"),
    ],
)
def test_files_that_make_no_sense_are_refused(tmp_path: Path, spoil: Callable[[Any, Any], Any]) -> None:
    """Even when their digest is right."""
    path = index_of_vectors().save(tmp_path / "matches.npz")
    with np.load(path) as opened:
        arrays = dict(opened)
    about = json.loads(str(arrays.pop("about")))
    del about["format"], about["digest"]
    spoil(about, arrays)
    write_sealed(path, FORMAT, about, arrays)
    with pytest.raises((DataError, MethodError)):
        MatchIndex.load(path)


def test_items_are_not_removed_by_floats() -> None:
    index = dw.index_items(dw.Items(np.eye(4)), method=dw.SimilarityMatch(k=1))
    with pytest.raises(DataError, match="not float64"):
        index.remove(np.array([2.0]))
