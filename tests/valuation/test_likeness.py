"""Evidence of values by likeness against what a plain look at the items gives."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

import dataworth as dw
from dataworth.records.evidence import evidence_to_json
from dataworth.valuation import likeness, maps

N, M, K, TEMPERATURE = 60, 24, 6, 0.2


def items(n: int, prefix: str, *, seed: int, d: int = 5, **more: Any) -> dw.Items:
    x = np.random.default_rng(seed).normal(size=(n, d)) + 0.5
    return dw.Items(x, ids=[f"{prefix}{i}" for i in range(n)], **more)


TRAIN = items(N, "t", seed=1, labels=np.arange(N) % 3, owners=[f"o{i % 4}" for i in range(N)])
MADE = items(M, "g", seed=2, labels=np.arange(M) % 3)


def valued(train: dw.Items = TRAIN, made: dw.Items = MADE, **settings: Any) -> dw.Values:
    method = dw.SimilarityMatch(**{"k": K, "temperature": TEMPERATURE, **settings})
    return dw.value_generated(made, train, method=method, threads=1, progress=False)


VALUES = valued()


def gathered(
    values: dw.Values = VALUES, train: dw.Items = TRAIN, made: dw.Items = MADE, *, map: bool = False, **more: Any
) -> dw.Values:
    return dw.gather_matches(values, train, made, map=map, threads=1, progress=False, **more)


def table(values: dw.Values, name: str) -> dw.Table:
    (found,) = [piece for piece in values.evidence if piece.name == name]
    return found.table if isinstance(found, dw.Exhibit) else found  # type: ignore[return-value]


def names(values: dw.Values) -> list[str]:
    return [piece.name for piece in values.evidence]


def beside(values: dw.Values, name: str) -> dict[Any, list[dict[str, Any]]]:
    """What stands beside each thing of a list of pairs."""
    rows: dict[Any, list[dict[str, Any]]] = {}
    whole = table(values, name)
    for row in whole.rows():
        record = dict(zip(whole.columns, row, strict=True))
        rows.setdefault(row[0], []).append(record)
    return rows


def credits(values: dw.Values) -> dw.Attributions:
    assert values.attributions is not None
    return values.attributions


def cosine(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    directions = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    return np.asarray(1 - directions[0] @ directions[1].T)


def by_hand(distance: NDArray[np.float64], k: int, temperature: float) -> NDArray[np.float64]:
    """Values from all distances, ``(m, n)``, each generated item worth 1."""
    v = np.zeros(distance.shape[1])
    for row in distance:
        nearest = np.argsort(row, kind="stable")[:k]
        weight = np.exp(-(row[nearest] - row[nearest[0]]) / temperature)
        v[nearest] += weight / weight.sum()
    return v


# -- items beside their matches --------------------------------------------------------------------


def test_the_highest_stand_beside_the_generated_items_they_earned() -> None:
    found = beside(gathered(shown=7), "highest-items")
    assert list(found) == list(VALUES.highest(7).columns["id"])
    for name, rows in found.items():
        wanted = credits(VALUES).of_item(name)
        assert [row["generated item"] for row in rows] == list(wanted.columns["generated"])[: likeness.BESIDE]
        assert [row["share"] for row in rows] == pytest.approx(list(wanted.columns["share"])[: likeness.BESIDE])
        assert [row["distance"] for row in rows] == list(wanted.columns["distance"])[: likeness.BESIDE]
        assert all(row["matched"] for row in rows)
        assert {row["value"] for row in rows} == {VALUES.values[TRAIN.ids == name][0]}


def test_shares_are_of_the_worth_of_the_generated_item() -> None:
    worth = np.arange(M) * 10.0
    seen = gathered(valued(quality=worth), shown=10)
    for name in ("highest-items", "first-generated", "concentrated-generated"):
        whole = table(seen, name)
        assert all(share is None or 0 <= share <= 1 for share in whole.columns["share"])  # type: ignore[operator]
    for rows in beside(seen, "first-generated").values():
        assert sum(row["share"] for row in rows) == pytest.approx(0.0 if rows[0]["generated item"] == "g0" else 1.0)
    assert beside(seen, "first-generated")["g0"][0]["contributors"] == 0.0  # worth nothing, earned by nobody


def test_what_nothing_matches_stands_beside_the_nearest_generated_items() -> None:
    seen = gathered(valued(k=1), shown=4)
    found = beside(seen, "lowest-items")
    unmatched = TRAIN.ids[valued(k=1).values == 0]
    assert len(found) == 4
    assert set(found) <= set(unmatched.tolist())
    assert next(iter(found)) == unmatched[0]
    assert list(found)[-1] == unmatched[-1]  # spread over the whole file, not its beginning
    for name, rows in found.items():
        gaps = cosine(TRAIN.x[TRAIN.ids == name], MADE.x)[0]  # type: ignore[index, arg-type]
        nearest = np.argsort(gaps)[:3]
        assert [row["generated item"] for row in rows] == MADE.ids[nearest].tolist()
        assert [row["distance"] for row in rows] == pytest.approx(gaps[nearest], abs=1e-9)
        assert not any(row["matched"] for row in rows)
        assert all(row["share"] == 0 for row in rows)
    (lowest,) = [piece for piece in seen.evidence if piece.name == "lowest-items"]
    assert isinstance(lowest, dw.Exhibit)
    assert f"{unmatched.size:,} of {N} training items earn nothing" in lowest.caption


def test_without_vectors_what_nothing_matches_stands_alone() -> None:
    bare = dw.Items(texts=["x"] * N, ids=TRAIN.ids), dw.Items(texts=["x"] * M, ids=MADE.ids)
    found = beside(gathered(valued(k=1), *bare, shown=4), "lowest-items")
    assert all([row["generated item"] for row in rows] == [None] for rows in found.values())


def test_generated_items_stand_beside_their_contributors() -> None:
    seen = gathered(shown=8)
    first, few = beside(seen, "first-generated"), beside(seen, "concentrated-generated")
    assert list(first) == [f"g{j}" for j in range(4)]
    top = credits(VALUES).share.max(axis=1)
    rest = sorted(range(4, M), key=lambda j: -top[j])[:4]
    assert list(few) == [f"g{j}" for j in rest]
    for name, rows in {**first, **few}.items():
        wanted = credits(VALUES).of_generated(name)
        assert [row["training item"] for row in rows] == list(wanted.columns["id"])
        assert [row["share"] for row in rows] == pytest.approx(list(wanted.columns["share"]))
        share = np.array(wanted.columns["share"], dtype=np.float64)
        assert rows[0]["contributors"] == pytest.approx(np.exp(stats.entropy(share)))


def test_one_match_leaves_nothing_to_concentrate() -> None:
    assert "concentrated-generated" not in names(gathered(valued(k=1)))


def test_few_items_are_all_shown() -> None:
    train, made = TRAIN.take(range(8)), MADE.take(range(3))
    seen = gathered(valued(train, made), train, made)
    assert list(beside(seen, "first-generated")) == ["g0", "g1", "g2"]
    shown = [name for end in ("highest-items", "lowest-items") if end in names(seen) for name in beside(seen, end)]
    assert sorted(shown) == [f"t{i}" for i in range(8)]


def test_items_are_matched_by_id() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.permutation(N), rng.permutation(M)
    mask, groups = np.arange(N) % 2 == 0, np.array([f"s{i % 5}" for i in range(N)])
    plain = gathered(trained=mask, groups=groups, show_rows=True, map=True)
    turned = gathered(VALUES, TRAIN.take(a), MADE.take(b), trained=mask[a], groups=groups[a], show_rows=True, map=True)
    assert names(turned) == names(plain)
    for ours, theirs in zip(plain.evidence, turned.evidence, strict=True):
        if ours.name not in ("train-items", "generated-items"):
            assert evidence_to_json([ours]) == evidence_to_json([theirs])
        else:  # contents are looked up by id
            assert sorted(table(plain, ours.name).rows()) == sorted(table(turned, ours.name).rows())


# -- evenness, classes, groups ---------------------------------------------------------------------


def test_evenness_is_counted() -> None:
    (row,) = table(gathered(), "evenness").rows()
    ordered = np.sort(VALUES.values)[::-1]
    half = next(i + 1 for i in range(N) if ordered[: i + 1].sum() >= M / 2)
    contributors = [np.exp(stats.entropy(share)) for share in credits(VALUES).share]
    assert row == pytest.approx((half / N, np.exp(stats.entropy(VALUES.values)), np.median(contributors)))


def test_credit_by_class_and_by_group() -> None:
    for given, wanted, what in ((None, TRAIN.labels, "class"), ([f"s{i % 5}" for i in range(N)], None, "group")):
        groups = np.asarray(wanted if given is None else given).astype(str)
        whole = table(gathered(groups=given), "credit-by-group")
        assert next(iter(whole.columns)) == what
        means = [row[2] for row in whole.rows()]
        assert means == sorted(means, reverse=True)  # type: ignore[type-var]
        assert {row[0] for row in whole.rows()} == set(groups)
        for name, count, mean, of_items, of_credit, nothing in whole.rows():
            own = VALUES.values[groups == name]
            wanted_row = (own.size, own.mean(), own.size / N, own.sum() / VALUES.values.sum(), (own == 0).mean())
            assert (count, mean, of_items, of_credit, nothing) == pytest.approx(wanted_row)


def test_items_without_labels_have_no_classes() -> None:
    seen = gathered(VALUES, items(N, "t", seed=1), items(M, "g", seed=2))
    assert not {"credit-by-group", "same-class"} & set(names(seen))


def test_too_many_classes_to_read_get_no_bars() -> None:
    train = items(120, "t", seed=1, labels=np.arange(120))
    values = valued(train)
    assert "credit-by-group" not in names(gathered(values, train))
    assert "credit-by-group" in names(gathered(values, train, groups=np.arange(120)))  # asked for


def test_matches_of_the_same_class_are_counted() -> None:
    made = items(M, "g", seed=2, labels=["0", "1", "7"] * (M // 3))  # text that reads like the numbers; 7 is unknown
    (row,) = table(gathered(VALUES, TRAIN, made), "same-class").rows()
    credit = credits(VALUES)
    same = np.array([[str(TRAIN.labels[i]) == made.labels[j] for i in credit.at[j]] for j in range(M)])  # type: ignore[index]
    chance = np.mean([np.mean(TRAIN.labels.astype(str) == label) for label in made.labels])  # type: ignore[union-attr]
    assert row == pytest.approx((same[:, 0].mean(), same.mean(), credit.share[same].sum() / M, chance))


# -- the tests of held-out items -------------------------------------------------------------------


def test_a_mask_gives_both_tests() -> None:
    mask = np.arange(N) % 2 == 0
    seen = gathered(trained=mask)
    assert table(seen, "held-out-test").rows() == dw.held_out_test(VALUES, mask).rows()
    assert table(seen, "nearest-trained").columns["share of items trained on"] == (0.5,)
    assert not {"held-out-test", "nearest-trained"} & set(names(gathered()))


# -- sensitivity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_other_settings_agree_with_valuing_again_by_hand(metric: str) -> None:
    values = valued(metric=metric)
    gaps = np.linalg.norm(MADE.x[:, np.newaxis] - TRAIN.x, axis=2)  # type: ignore[index]
    gaps = gaps if metric == "euclidean" else cosine(MADE.x, TRAIN.x)  # type: ignore[arg-type]
    rows = table(gathered(values), "sensitivity").rows()
    assert [row[0] for row in rows] == [1, 3, 6, 12, 24, *[6] * 6]
    warmths = [TEMPERATURE] * 5 + [TEMPERATURE * factor for factor in (0.01, 0.1, 1 / 3, 1, 3, 10)]
    assert [row[1] for row in rows] == pytest.approx(warmths)
    for k, temperature, count, correlation, top, nothing in rows:
        again = by_hand(gaps, int(k), float(temperature))  # type: ignore[arg-type]
        assert count == M
        assert top == pytest.approx(again.max() / M)
        if temperature > TEMPERATURE / 5:  # type: ignore[operator]  # colder, many shares are below the last digit
            wanted = (stats.spearmanr(again, values.values).statistic, (again == 0).mean())
            assert (correlation, nothing) == pytest.approx(wanted, abs=1e-9)


def test_more_matches_are_searched_for_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "_SEARCHED", 10)
    seen = gathered()
    some = np.linspace(0, M - 1, 10).astype(int)
    gaps = cosine(MADE.x, TRAIN.x)[some]  # type: ignore[arg-type]
    rows = table(seen, "sensitivity").rows()
    assert [row[2] for row in rows] == [M] * 3 + [10] * 2 + [M] * 6
    base = by_hand(gaps, K, TEMPERATURE)
    for k, temperature, _, correlation, top, _ in rows[3:5]:
        again = by_hand(gaps, int(k), float(temperature))  # type: ignore[arg-type]
        wanted = (stats.spearmanr(again, base).statistic, again.max() / 10)
        assert (correlation, top) == pytest.approx(wanted, abs=1e-9)
    assert "10 of the generated items" in table(seen, "sensitivity").note
    lines = table(seen, "sensitivity-k").rows()  # what the top holds of a sample stays out of the picture
    assert [x for x, line, _ in lines if line == "held by the top 1%"] == [1, 3, 6]
    assert [x for x, line, _ in lines if line == "rank correlation"] == [1, 3, 6, 12, 24]


def test_matches_of_another_distance_are_not_searched_again() -> None:
    def apart(made: list[Any], train: list[Any]) -> list[float]:
        return [float(np.abs(a - b).max()) for a, b in zip(made, train, strict=True)]

    values = valued(rerank=apart)
    seen = gathered(values)
    assert [row[0] for row in table(seen, "sensitivity").rows()] == [1, 3, 6, *[6] * 6]
    assert set(table(seen, "closest-generated").columns["possible copy"]) == {None}
    assert "nearest-distance" not in names(seen)
    assert "possible-copies" not in names(seen)


def test_a_single_match_has_no_temperature() -> None:
    seen = gathered(valued(k=1))
    assert [row[:2] for row in table(seen, "sensitivity").rows()] == [(1, 0.2), (2, 0.2), (4, 0.2)]
    assert "sensitivity-temperature" not in names(seen)


def test_the_temperature_is_checked_against_the_shares() -> None:
    with pytest.raises(dw.InputError, match="not made with temperature 1;"):
        gathered(temperature=1.0)
    with pytest.raises(dw.InputError, match="positive"):
        gathered(temperature=0.0)
    silent = dw.Values(VALUES.ids, VALUES.values, "by hand", M, attributions=VALUES.attributions)
    with pytest.raises(dw.InputError, match="do not say their temperature"):
        gathered(silent)
    assert table(gathered(silent, temperature=TEMPERATURE), "sensitivity").rows()
    assert "sensitivity" not in names(gathered(silent, sensitivity=False))


# -- near copies -----------------------------------------------------------------------------------


def planted(copies: int = 4) -> tuple[dw.Items, dw.Items]:
    """Training items, and new ones of the same kind, the first of which are copies with a little noise."""
    rng = np.random.default_rng(5)
    train, made = rng.normal(size=(300, 8)), rng.normal(size=(80, 8))
    made[:copies] = train[10 : 10 + copies] + rng.normal(scale=1e-3, size=(copies, 8))
    return dw.Items(train), dw.Items(made, ids=np.arange(80) + 1000)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_planted_copies_are_marked_and_few_others(metric: str) -> None:
    train, made = planted()
    seen = gathered(valued(train, made, metric=metric), train, made)
    closest = table(seen, "closest-generated")
    assert sorted(closest.columns["generated item"][:4]) == [1000, 1001, 1002, 1003]  # type: ignore[type-var]
    marked = [row[0] for row in closest.rows() if row[-1]]
    assert set(marked[:4]) == {1000, 1001, 1002, 1003}
    assert len(marked) <= 4 + 5
    assert {row[0]: row[1] for row in closest.rows()[:4]} == {1000: 10, 1001: 11, 1002: 12, 1003: 13}
    assert list(beside(seen, "possible-copies"))[:4] == marked[:4]
    assert f"{len(marked)} of 80 are marked" in closest.note


def test_ratios_are_those_of_a_plain_look() -> None:
    train, made = planted()
    assert train.x is not None
    assert made.x is not None
    closest = table(gathered(valued(train, made), train, made, shown=50), "closest-generated")
    among, between = cosine(train.x, train.x), cosine(made.x, train.x)
    np.fill_diagonal(among, np.inf)
    ratio = between.min(axis=1) / among.min(axis=1)[between.argmin(axis=1)]
    order = np.argsort(ratio)
    assert list(closest.columns["generated item"]) == (order + 1000)[:50].tolist()
    assert list(closest.columns["ratio"]) == pytest.approx(ratio[order][:50], rel=1e-4)
    reference = []
    for i in range(300):
        other = among[i].argmin()
        third = np.delete(among[other], i).min()
        reference.append(among[i, other] / third)
    limit = np.quantile(reference, 0.01, method="lower")
    assert list(closest.columns["possible copy"]) == [bool(r <= limit) for r in ratio[order][:50]]


def test_exact_copies_of_items_that_are_there_twice_are_marked() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 6))
    x[50:60] = x[:10]
    x[60:70] = x[:10]
    train, made = dw.Items(x), dw.Items(np.concatenate([x[:3], rng.normal(size=(10, 6))]))
    closest = table(gathered(valued(train, made), train, made), "closest-generated")
    assert [row[0] for row in closest.rows() if row[-1]][:3] == [0, 1, 2]
    assert closest.columns["ratio"][:3] == (0.0, 0.0, 0.0)


def test_training_items_that_are_all_alike_mark_only_what_is_no_farther() -> None:
    train, made = dw.Items(np.ones((10, 3))), dw.Items([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
    closest = table(gathered(valued(train, made, metric="euclidean"), train, made), "closest-generated")
    assert [row[-1] for row in closest.rows()] == [True, False]


def test_how_far_the_nearest_is_reaches_everyone() -> None:
    drawn = table(gathered(), "nearest-distance")
    for name in ("generated items", "training items, to another"):
        shares = [share for _, of, share in drawn.rows() if of == name]
        assert shares == sorted(shares)  # type: ignore[type-var]
        assert shares[-1] >= 0.99  # type: ignore[operator]


# -- the map ---------------------------------------------------------------------------------------


def test_the_map_holds_an_even_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "MAPPED", 40)
    drawn = table(gathered(map=True, trained=np.arange(N) < 30), "map")
    kinds = list(drawn.columns["kind"])
    assert {kind: kinds.count(kind) for kind in kinds} == {"trained on": 10, "held out": 10, "generated": 20}
    assert kinds[-20:] == ["generated"] * 20  # drawn last, so on top
    places = np.array([row[:2] for row in drawn.rows()], dtype=np.float64)
    assert np.isfinite(places).all()


def test_few_items_are_mapped_by_components() -> None:
    train, made = TRAIN.take(range(20)), MADE.take(range(5))
    seen = gathered(valued(train, made), train, made, map=True)
    drawn = table(seen, "map")
    assert list(drawn.columns) == ["first component", "second component", "kind"]
    assert set(drawn.columns["kind"]) == {"training", "generated"}
    assert TRAIN.x is not None
    (piece,) = [piece for piece in seen.evidence if piece.name == "map"]
    assert isinstance(piece, dw.Exhibit)
    assert "principal components" in piece.caption


def test_a_map_by_t_sne_says_what_it_does_not_tell_and_is_the_same_each_time() -> None:
    one, again = (gathered(map=True) for _ in range(2))
    assert table(one, "map").rows() == table(again, "map").rows()
    (piece,) = [piece for piece in one.evidence if piece.name == "map"]
    assert isinstance(piece, dw.Exhibit)
    assert "is not a measurement" in piece.caption
    assert "mean nothing" in piece.caption


def test_alike_items_lie_together_on_the_map() -> None:
    rng = np.random.default_rng(0)
    centres = 20 * np.eye(60)[:3]  # more numbers than components are kept of
    x = np.repeat(centres, 40, axis=0) + rng.normal(size=(120, 60))
    drawn = maps.item_map(x[:90], x[90:], None, on_sphere=False).table
    places = np.array([row[:2] for row in drawn.rows()], dtype=np.float64)
    kind = np.repeat(range(3), 40)
    gaps = np.linalg.norm(places[:, np.newaxis] - places, axis=2) + np.diag(np.full(120, np.inf))
    assert (kind[gaps.argmin(axis=1)] == kind).all()


@pytest.mark.parametrize("x", [np.ones((80, 4)), np.arange(80.0).reshape(-1, 1), np.arange(160.0).reshape(-1, 2)])
def test_any_vectors_make_a_map(x: NDArray[np.float64]) -> None:
    drawn = maps.item_map(x[:50], x[50:], None, on_sphere=False).table
    assert np.isfinite(np.array([row[:2] for row in drawn.rows()], dtype=np.float64)).all()


def test_no_map_without_vectors() -> None:
    bare = dw.Items(texts=["x"] * N, ids=TRAIN.ids), dw.Items(texts=["x"] * M, ids=MADE.ids)
    assert "map" not in names(gathered(VALUES, *bare, map=True))


# -- content ---------------------------------------------------------------------------------------


def everything(values: dw.Values) -> str:
    return str(evidence_to_json(values.evidence))


def worded() -> tuple[dw.Items, dw.Items]:
    train = dw.Items(TRAIN.x, texts=[f"SECRET t{i} " + "x" * 1000 for i in range(N)], ids=TRAIN.ids)
    return train, dw.Items(MADE.x, texts=[f"SECRET g{j}" for j in range(M)], ids=MADE.ids)


def test_no_content_unless_asked() -> None:
    train, made = worded()
    assert "SECRET" not in everything(gathered(VALUES, train, made, map=True, trained=np.arange(N) < 30))


def test_only_items_in_the_lists_are_shown() -> None:
    seen = gathered(VALUES, *worded(), shown=2, show_rows=True)
    lists = ("highest-items", "lowest-items", "first-generated", "concentrated-generated", "possible-copies")
    for side, name in (("training item", "train-items"), ("generated item", "generated-items")):
        wanted = {row for each in lists if each in names(seen) for row in table(seen, each).columns[side]}
        content = table(seen, name)
        assert set(content.columns["id"]) == wanted - {None}
        assert all(str(text).startswith(f"SECRET {i}") for i, text in content.rows())
    assert all(len(str(text)) == 403 for text in table(seen, "train-items").columns["text"])


def opened(address: object) -> Image.Image:
    head, _, body = str(address).partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(body, validate=True)))


def test_pictures_are_shown_small() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, size=(N, 12, 12), dtype=np.uint8)
    train = dw.Items(TRAIN.x, images=pixels, ids=TRAIN.ids, labels=TRAIN.labels)
    large = np.zeros((M, 300, 150, 3), dtype=np.uint8)
    made = dw.Items(MADE.x, images=large, ids=MADE.ids)
    seen = gathered(VALUES, train, made, show_rows=True)
    for i, label, picture in table(seen, "train-items").rows():
        at = int(str(i)[1:])
        assert label == str(at % 3)
        assert (np.asarray(opened(picture))[:, :, 0] == pixels[at]).all()
    assert {opened(picture).size for picture in table(seen, "generated-items").columns["picture"]} == {(48, 96)}


def test_pictures_without_pillow_name_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    train = dw.Items(TRAIN.x, images=np.zeros((N, 8, 8), dtype=np.uint8), ids=TRAIN.ids)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(dw.MissingExtra, match=r"dataworth\[images\]"):
        gathered(VALUES, train, show_rows=True)


def test_bare_vectors_have_no_content_but_labels() -> None:
    bare = items(N, "t", seed=1), items(M, "g", seed=2)
    assert not {"train-items", "generated-items"} & set(names(gathered(VALUES, *bare, show_rows=True)))
    assert list(table(gathered(show_rows=True), "train-items").columns) == ["id", "label"]


# -- the door --------------------------------------------------------------------------------------


def test_evidence_is_added_and_survives_saving(tmp_path: Any) -> None:
    before = VALUES.with_evidence(dw.Table("mine", "Mine", {"a": [1]}))
    seen = gathered(before, *worded(), show_rows=True, map=True, trained=np.arange(N) < 30)
    back = dw.Values.load(seen.save(tmp_path / "v.parquet"))
    assert next(iter(names(back))) == "mine"
    assert evidence_to_json(back.evidence) == evidence_to_json(seen.evidence)
    assert (seen.values == VALUES.values).all()


def test_an_approximate_index_changes_nothing_here() -> None:
    values = valued(recall=dw.HNSW(sample=8, floor=0.5))
    assert "recall-check" in names(values)
    seen = gathered(values)
    assert "recall-check" in names(seen)
    assert table(seen, "closest-generated").columns["possible copy"][0] is not None  # its distances are exact ones


def refused() -> Iterable[tuple[dict[str, Any], type[Exception], str]]:
    yield {"shown": 0}, dw.MethodError, "shown"
    yield {"shown": 51}, dw.MethodError, "from 1 to 50"
    yield {"shown": True}, dw.MethodError, "shown"
    yield {"trained": np.ones(N - 1, bool)}, dw.InputError, "boolean mask"
    yield {"groups": ["a"] * (N - 1)}, dw.InputError, "60 names"
    yield {"groups": [0.5] * N}, dw.InputError, "60 names"
    yield {"train": items(N, "u", seed=1)}, dw.DataError, "60 of 60 in the values are not among the 60 given"
    yield {"train": items(N + 1, "t", seed=1)}, dw.DataError, "0 of 60 in the values are not among the 61 given"
    yield {"made": dw.Items(MADE.x)}, dw.DataError, "generated items"
    yield {"made": items(M, "g", seed=2, d=4)}, dw.DataError, "5 numbers each, generated ones 4"


@pytest.mark.parametrize(("given", "error", "said"), list(refused()))
def test_what_cannot_be_is_refused(given: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        gathered(**given)


def test_values_of_points_have_no_matches() -> None:
    with pytest.raises(dw.MethodError, match="no attributions"):
        gathered(dw.Values(TRAIN.ids, VALUES.values, "KNNShapley(k=5)", 3))


def test_nothing_earned_is_no_obstacle() -> None:
    seen = gathered(valued(quality=np.zeros(M)), show_rows=True, trained=np.arange(N) < 30)
    assert "highest-items" not in names(seen)
    assert table(seen, "evenness").rows() == [(None, None, None)]
    assert table(seen, "held-out-test").columns["p, one-sided"] == (None,)


def test_zero_vectors_under_euclidean_are_no_obstacle() -> None:
    x = np.array(TRAIN.x)
    x[3] = 0.0
    train = dw.Items(x, ids=TRAIN.ids)
    seen = gathered(valued(train, metric="euclidean"), train)
    assert table(seen, "closest-generated").columns["possible copy"][0] is not None
