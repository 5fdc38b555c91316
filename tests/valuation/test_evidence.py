"""Evidence against what a plain look at the points gives."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

import dataworth as dw
from dataworth.kernels.neighbors import Metric


def points(n: int, d: int = 4, *, seed: int, prefix: str, **more: object) -> dw.Points:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), np.array(["cat", "dog", "eel"])[rng.integers(0, 3, n)]
    return dw.Points(x, y, ids=[f"{prefix}{i}" for i in range(n)], **more)  # type: ignore[arg-type]


def valued(train: dw.Points, seed: int = 9) -> dw.Values:
    values = np.random.default_rng(seed).normal(size=len(train))
    return dw.Values(train.ids, values, method="by hand", n_validation=30, owners=train.owners)


TRAIN, VALIDATION = points(80, seed=1, prefix="t"), points(30, seed=2, prefix="v")
VALUES = valued(TRAIN)


def pieces(values: dw.Values) -> dict[str, dw.Links | dw.Table | dw.Exhibit]:
    return {piece.name: piece for piece in values.evidence}


def links(values: dw.Values, name: str) -> dw.Links:
    found = pieces(values)[name]
    assert isinstance(found, dw.Links)
    return found


def exhibit(values: dw.Values, name: str) -> dw.Exhibit:
    found = pieces(values)[name]
    assert isinstance(found, dw.Exhibit)
    return found


def distances(a: NDArray[np.float64], b: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    if metric == "euclidean":
        return np.asarray(np.linalg.norm(b - a, axis=1))
    return np.asarray(1 - b @ a / np.linalg.norm(a) / np.linalg.norm(b, axis=1))


# -- neighbours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_links_are_the_nearest_validation_points(metric: Metric) -> None:
    seen = dw.gather_evidence(VALUES, TRAIN, VALIDATION, metric=metric, rows=7, neighbours=4)
    for end, ordered in (("lowest", VALUES.lowest(7)), ("highest", VALUES.highest(7))):
        found = links(seen, f"{end}-neighbours")
        assert list(dict.fromkeys(found.row_ids.tolist())) == list(ordered.columns["id"])
        for row in ordered.columns["id"]:
            at = TRAIN.ids.tolist().index(row)
            gaps = distances(TRAIN.x[at], VALIDATION.x, metric)
            nearest = np.argsort(gaps)[:4]
            shown = found.of_row(row)
            assert [point for point, _, _ in shown] == VALIDATION.ids[nearest].tolist()
            assert [gap for _, gap, _ in shown] == pytest.approx(gaps[nearest], abs=1e-12)
            assert [same for _, _, same in shown] == (VALIDATION.y[nearest] == TRAIN.y[at]).tolist()


FACTS = {"players": "rows", "path": "by hand"}


def retrained(train: dw.Points) -> dw.Values:
    values = np.random.default_rng(9).normal(size=len(train))
    return dw.Values(train.ids, values, "DataShapley(x)", 30, provenance=FACTS, errors=np.full(len(train), 0.1))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("slab", [4_000_000, 4 * 7])
def test_links_of_values_by_retraining_do_not_go_by_units(
    metric: Metric, slab: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataworth.valuation.evidence._SLAB", slab)
    units, offset = np.array([1.0, 1e6, 1e-3, 7.0]), np.array([0.0, 5.0, -3.0, 0.1])
    x = VALIDATION.x * [1.0, 1.0, 1.0, 0.0]  # the last is the same for all
    train, validation = (dw.Points(a * units + offset, p.y, ids=p.ids) for a, p in ((TRAIN.x, TRAIN), (x, VALIDATION)))
    found = links(dw.gather_evidence(retrained(train), train, validation, metric=metric, rows=5), "lowest-neighbours")
    mean, width = validation.x.mean(axis=0), validation.x.std(axis=0)
    width[3], mean[3] = 1.0, 0.1
    for row in dict.fromkeys(found.row_ids.tolist()):
        at = train.ids.tolist().index(row)
        gaps = distances((train.x[at] - mean) / width, (validation.x - mean) / width, metric)
        nearest = np.argsort(gaps)[:5]
        assert [point for point, _, _ in found.of_row(row)] == validation.ids[nearest].tolist()
        assert [gap for _, gap, _ in found.of_row(row)] == pytest.approx(gaps[nearest], rel=1e-6)
    assert f"by {metric} distance in features standardised by the validation rows" in found.note


def test_rows_without_a_direction_stop_only_values_of_nearness() -> None:
    train = dw.Points([[0.0, 0.0], [1.0, 2.0], [4.0, 1.0]], ["a", "b", "b"])
    validation = dw.Points([[-2.0, 1.0], [2.0, -1.0], [0.0, 0.0]], ["a", "b", "a"])
    with pytest.raises(dw.DataError, match="no direction"):
        dw.gather_evidence(dw.Values(train.ids, [0.0, 1.0, 2.0], "m", 3), train, validation)
    seen = dw.gather_evidence(retrained(train), train, validation)
    found = links(seen, "lowest-neighbours")
    assert [gap for _, gap, _ in found.of_row(0)] == [1.0, 1.0, 1.0]
    assert 1.0 in [gap for point, gap, _ in found.of_row(1) if point == 2]


def test_links_do_not_depend_on_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = links(dw.gather_evidence(VALUES, TRAIN, VALIDATION), "lowest-neighbours")
    monkeypatch.setattr("dataworth.valuation.evidence._SLAB", 4 * 7)
    parts = links(dw.gather_evidence(VALUES, TRAIN, VALIDATION), "lowest-neighbours")
    assert parts.point_ids.tolist() == whole.point_ids.tolist()
    assert parts.distance.tolist() == whole.distance.tolist()


def test_far_from_the_origin_distances_keep_their_digits() -> None:
    far = 1e8
    train = dw.Points([[far, 0.0], [far + 1.0, 0.0]], ["a", "b"])
    validation = dw.Points([[far + 0.25, 0.0], [far + 0.5, 0.0]], ["a", "b"], ids=["near", "far"])
    values = dw.Values(train.ids, [0.0, 1.0], method="x", n_validation=2)
    seen = links(dw.gather_evidence(values, train, validation, metric="euclidean", rows=1), "lowest-neighbours")
    assert seen.of_row(0) == [("near", 0.25, True), ("far", 0.5, False)]


def test_more_neighbours_than_points_gives_them_all() -> None:
    seen = links(dw.gather_evidence(VALUES, TRAIN, VALIDATION, rows=1, neighbours=500), "lowest-neighbours")
    assert len(seen) == len(VALIDATION)


def test_values_are_matched_by_id() -> None:
    turned = np.random.default_rng(3).permutation(len(TRAIN))
    shuffled = dw.Values(VALUES.ids[turned], VALUES.values[turned], method="by hand", n_validation=30)
    mask = np.arange(len(TRAIN)) % 5 == 0
    ours = dw.gather_evidence(shuffled, TRAIN, VALIDATION, bad=mask)
    plain = dw.gather_evidence(VALUES, TRAIN, VALIDATION, bad=mask)
    assert [piece.name for piece in ours.evidence] == [piece.name for piece in plain.evidence]
    assert exhibit(ours, "class-values").table.rows() == exhibit(plain, "class-values").table.rows()
    assert exhibit(ours, "detection-curve").table.rows() == exhibit(plain, "detection-curve").table.rows()
    assert links(ours, "lowest-neighbours").row_ids.tolist() == links(plain, "lowest-neighbours").row_ids.tolist()
    assert ours.ids.tolist() == shuffled.ids.tolist()  # the values themselves stay as they were


# -- classes ---------------------------------------------------------------------------------------


def test_classes_are_summed_up() -> None:
    seen = dw.gather_evidence(VALUES, TRAIN, VALIDATION)
    means = {row[0]: row[1:] for row in exhibit(seen, "class-values").table.rows()}
    below = {row[0]: row[1:] for row in exhibit(seen, "class-below-zero").table.rows()}
    assert set(means) == {"cat", "dog", "eel"}
    for name, figures in means.items():
        own = VALUES.values[TRAIN.y == name]
        assert figures == pytest.approx((own.size, own.mean(), *np.quantile(own, [0.05, 0.5, 0.95])))
        assert below[name] == pytest.approx((own.size, (own < 0).sum(), (own < 0).mean()))
    ordered = exhibit(seen, "class-values").table.columns["mean value"]
    assert list(ordered) == sorted(ordered)  # type: ignore[type-var]


def test_numeric_targets_have_no_classes() -> None:
    train = dw.Points(TRAIN.x, np.linspace(0, 1, len(TRAIN)), ids=TRAIN.ids)
    validation = dw.Points(VALIDATION.x, np.linspace(0, 1, len(VALIDATION)), ids=VALIDATION.ids)
    seen = dw.gather_evidence(VALUES, train, validation)
    assert list(pieces(seen)) == ["lowest-neighbours", "highest-neighbours"]
    assert "same target" in links(seen, "lowest-neighbours").note


def test_whole_float_labels_are_classes() -> None:
    train, validation = (dw.Points(p.x, np.arange(len(p)) % 2.0, ids=p.ids) for p in (TRAIN, VALIDATION))
    seen = dw.gather_evidence(VALUES, train, validation)
    assert set(exhibit(seen, "class-values").table.columns["class"]) == {"0.0", "1.0"}
    assert "same label" in links(seen, "lowest-neighbours").note


def test_one_class_and_one_row() -> None:
    one = dw.Points([[1.0, 2.0]], ["only"])
    seen = dw.gather_evidence(dw.Values(one.ids, [0.5], method="x", n_validation=1), one, one)
    assert exhibit(seen, "class-values").table.rows() == [("only", 1, 0.5, 0.5, 0.5, 0.5)]


# -- curves ----------------------------------------------------------------------------------------


def test_detection_figures() -> None:
    mask = VALUES.values < np.quantile(VALUES.values, 0.1)
    mask[np.argmax(VALUES.values)] = True  # eight found at once, one not until the end
    seen = dw.gather_evidence(VALUES, TRAIN, VALIDATION, bad=mask)
    figures = pieces(seen)["detection"]
    assert isinstance(figures, dw.Table)
    found = VALUES.detection(mask)
    assert figures.rows() == [("9 of 80", found.auroc, found.average_precision, "8 of 8")]
    drawn = exhibit(seen, "detection-curve").table.rows()
    line = [reached for _, order, reached in drawn if order == "lowest value first"]
    assert line == list(found.curve.columns["found"])
    assert "finds 89% of the bad rows" in exhibit(seen, "detection-curve").caption


def test_equal_values_share_the_bad_rows_among_the_lowest() -> None:
    """With no information, a tenth of the rows holds a tenth of the bad ones, wherever they lie in the file."""
    flat = dw.Values(TRAIN.ids, np.zeros(80), method="x", n_validation=30)
    mask = np.arange(80) < 40
    figures = pieces(dw.gather_evidence(flat, TRAIN, VALIDATION, bad=mask))["detection"]
    assert isinstance(figures, dw.Table)
    assert figures.columns["bad among the lowest 10%"] == ("4 of 8",)


@pytest.mark.parametrize("bad", [np.zeros(79, bool), np.zeros(80, int), np.zeros(80, bool), np.ones(80, bool)])
def test_masks_that_say_nothing_are_refused(bad: NDArray[np.bool_]) -> None:
    with pytest.raises(dw.InputError, match="bad"):
        dw.gather_evidence(VALUES, TRAIN, VALIDATION, bad=bad)


def test_removal_curve_is_the_one_of_removal_curve() -> None:
    model = KNeighborsClassifier(3)
    curve = dw.removal_curve(VALUES, TRAIN, VALIDATION, model, seed=4)
    drawn = exhibit(dw.gather_evidence(VALUES, TRAIN, VALIDATION, model=model, seed=4), "removal-curve")
    for name in ("lowest first", "random", "highest first"):
        line = [(x, y) for x, order, y in drawn.table.rows() if order == name]
        assert line == list(zip(curve.columns["removed"], curve.columns[name], strict=True))


# -- content ---------------------------------------------------------------------------------------


def test_no_content_unless_asked() -> None:
    train = points(80, seed=1, prefix="t", items=[f"SECRET {i}" for i in range(80)], features=list("abcd"))
    seen = dw.gather_evidence(valued(train), train, VALIDATION, bad=np.arange(80) < 8)
    assert "train-rows" not in pieces(seen)
    assert "SECRET" not in str([piece.table.rows() for piece in seen.evidence if isinstance(piece, dw.Exhibit)])


def test_texts_are_shown_shortened() -> None:
    train = points(80, seed=1, prefix="t", items=[f"text {i} " + "x" * 1000 for i in range(80)])
    shown = exhibit(dw.gather_evidence(valued(train), train, VALIDATION, rows=2, show_rows=True), "train-rows")
    assert (shown.x, shown.y) == ("id", "text")
    assert len(shown.table) == 4  # the two lowest and the two highest, no other row
    assert all(isinstance(text, str) and len(text) == 403 for text in shown.table.columns["text"])


def test_features_are_shown_by_name() -> None:
    train = points(80, seed=1, prefix="t", features=["a", "id", "c", "d"])
    shown = exhibit(dw.gather_evidence(valued(train), train, VALIDATION, rows=1, show_rows=True), "train-rows")
    assert list(shown.table.columns) == ["id", "label", "a", "id (feature)", "c", "d"]
    at = train.ids.tolist().index(shown.table.columns["id"][0])
    assert shown.table.rows()[0][2:] == tuple(train.x[at])


def test_many_features_are_cut_and_it_is_said() -> None:
    train, validation = points(10, 40, seed=1, prefix="t"), points(10, 40, seed=2, prefix="v")
    shown = exhibit(dw.gather_evidence(valued(train), train, validation, show_rows=True), "validation-rows")
    assert len(shown.table.columns) == 2 + 12
    assert shown.table.note == "The first 12 of 40 features."


def picture(kind: str, size: tuple[int, int], **more: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, kind, **more)
    return out.getvalue()


def opened(address: object) -> Image.Image:
    assert isinstance(address, str)
    head, _, body = address.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(body, validate=True)))


def test_pictures_are_shown_small_and_without_what_the_camera_wrote(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    path = tmp_path / "photo.jpg"
    path.write_bytes(picture("jpeg", (800, 400), exif=exif))
    train = dw.Points([[1.0], [2.0], [3.0]], list("abc"), items=[path, picture("png", (8, 8)), b"no picture"])
    values = dw.Values(train.ids, [0.1, 0.2, 0.3], method="x", n_validation=1)
    seen = dw.gather_evidence(values, train, train, rows=3, show_rows=True)
    photo, icon, broken = exhibit(seen, "train-rows").table.columns["picture"]
    assert opened(photo).size == (96, 48)
    assert not opened(photo).getexif()
    assert b"taken at home" not in base64.b64decode(str(photo).partition(",")[2])
    assert opened(icon).size == (8, 8)
    assert broken == "(this picture cannot be read)"


# -- the door --------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(dw.MethodError, match="metric"):
        dw.gather_evidence(VALUES, TRAIN, VALIDATION, metric="manhattan")  # type: ignore[arg-type]
    with pytest.raises(dw.MethodError, match="rows"):
        dw.gather_evidence(VALUES, TRAIN, VALIDATION, rows=0)
    with pytest.raises(dw.MethodError, match="neighbours"):
        dw.gather_evidence(VALUES, TRAIN, VALIDATION, neighbours=True)
    with pytest.raises(dw.DataError, match="features"):
        dw.gather_evidence(VALUES, TRAIN, points(5, 3, seed=1, prefix="v"))
    with pytest.raises(dw.DataError, match="other rows"):
        dw.gather_evidence(VALUES, VALIDATION, VALIDATION)


def test_zero_vectors_have_no_direction() -> None:
    zero = dw.Points([[0.0], [1.0]], ["a", "b"])
    values = dw.Values(zero.ids, [0.1, 0.2], method="x", n_validation=2)
    with pytest.raises(dw.DataError, match="1 of 2 rows are zero vectors"):
        dw.gather_evidence(values, zero, zero)
    tiny = dw.Points([[1e-150], [1.0]], ["a", "b"])
    with pytest.raises(dw.DataError, match="too long or too short"):
        dw.gather_evidence(values, tiny, tiny)
    assert len(dw.gather_evidence(values, zero, zero, metric="euclidean").evidence) == 4


def test_evidence_is_added_and_survives_saving(tmp_path: Path) -> None:
    before = VALUES.with_evidence(dw.Table("mine", "Mine", {"a": [1]}))
    seen = dw.gather_evidence(before, TRAIN, VALIDATION, bad=np.arange(80) < 8, show_rows=True)
    back = dw.Values.load(seen.save(tmp_path / "v.parquet"))
    assert next(iter(pieces(back))) == "mine"
    assert list(pieces(back)) == list(pieces(seen))
    assert exhibit(back, "train-rows").table.rows() == exhibit(seen, "train-rows").table.rows()
    assert links(back, "lowest-neighbours").of_row(seen.ids[np.argmin(seen.values)]) == links(
        seen, "lowest-neighbours"
    ).of_row(seen.ids[np.argmin(seen.values)])


def test_classes_too_many_to_read_get_no_bars() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    for n_classes, bars in ((100, True), (101, False)):
        points = dw.Points(x, np.arange(300) % n_classes)
        values = dw.Values(points.ids, rng.normal(size=300), method="by hand", n_validation=300)
        names = [piece.name for piece in dw.gather_evidence(values, points, points).evidence]
        assert ("class-values" in names) == bars


def test_values_of_owners_are_not_about_rows() -> None:
    points = dw.Points([[0.0], [1.0], [2.0]], ["a", "b", "b"], owners=["x", "y", "y"])
    values = dw.Values(["x", "y"], [0.1, 0.2], "by hand", 3, provenance={"players": "owners"})
    with pytest.raises(dw.MethodError, match="values of owners"):
        dw.gather_evidence(values, points, points)
    with pytest.raises(dw.MethodError, match="values of owners"):
        dw.removal_curve(values, points, points, None)
