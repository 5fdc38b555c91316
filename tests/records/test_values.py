"""Values: what they refuse, show, sum up, save and bring back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score

import dataworth as dw

EVIL = "<script>alert(1)</script>&\"'"


def values(
    n: int = 6, *, owners: bool = True, evidence: tuple[dw.Links | dw.Table | dw.Exhibit, ...] = ()
) -> dw.Values:
    rng = np.random.default_rng(n)
    return dw.Values(
        [f"row {i}" for i in range(n)],
        rng.normal(size=n),
        method="by hand",
        n_validation=3,
        owners=rng.integers(0, 3, n) if owners else None,
        provenance={"when": "today", "seed": 3, "share": 0.5},
        evidence=evidence,
    )


def every_kind_of_evidence() -> tuple[dw.Links | dw.Table | dw.Exhibit, ...]:
    table = dw.Table("t", "A table", {"name": ["a", None], "n": [1, 2], "x": [0.5, None], "on": [True, False]}, "note")
    links = dw.Links(
        "l", "Links", np.array(["a", "a"]), np.array([7, 9]), np.array([0.1, 0.2]), np.array([True, False]), "note"
    )
    picture = dw.Exhibit("e", "bars", table, x="x", y="name", alt="Bars.", series="on", caption="c", title="Other")
    return table, links, picture


# -- the door --------------------------------------------------------------------------------------


def test_lengths_must_agree() -> None:
    with pytest.raises(dw.InputError, match="equally long"):
        dw.Values(["a"], [1.0, 2.0], method="x", n_validation=1)
    with pytest.raises(dw.InputError, match="equally long"):
        dw.Values(["a", "b"], [1.0, 2.0], method="x", n_validation=1, owners=["o"])


def test_values_must_be_finite() -> None:
    with pytest.raises(dw.InputError, match="2 of 3 values are not finite"):
        dw.Values([1, 2, 3], [np.nan, 0.0, np.inf], method="x", n_validation=1)


def test_values_cannot_be_changed() -> None:
    mine = np.array([1.0, 2.0])
    names = np.array([1, 2])
    kept = dw.Values(names, mine, method="x", n_validation=1)
    names[0] = 7  # the caller's arrays stay the caller's
    mine[0] = 9.0
    assert kept.values.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        kept.values[0] = 3.0
    with pytest.raises(ValueError, match="read-only"):
        kept.ids[0] = 3
    with pytest.raises(TypeError):
        kept.provenance["more"] = 1  # type: ignore[index]


def test_no_rows_can_be_shown() -> None:
    none = dw.Values([], [], method="by hand", n_validation=3)
    assert repr(none) == "Values(0 rows by by hand, 3 validation points)"
    assert "0 rows" in none._repr_html_()


def test_facts_from_numpy_become_plain_and_can_be_saved(tmp_path: Path) -> None:
    facts = {"rows": np.int64(3), "share": np.float32(0.5), "who": np.str_("me"), "on": np.True_}
    before = dw.Values([1], [0.5], method="x", n_validation=np.int32(4), provenance=facts)  # type: ignore[arg-type]
    assert {key: type(fact) for key, fact in before.provenance.items()} == {
        "rows": int,
        "share": float,
        "who": str,
        "on": bool,
    }
    after = dw.Values.load(before.save(tmp_path / "v.parquet"))
    assert (dict(after.provenance), after.n_validation) == (dict(before.provenance), 4)


@pytest.mark.parametrize("fact", [None, [1], b"text", 1j, np.datetime64("2020-01-01"), np.array([1])])
def test_facts_that_are_not_plain_are_refused(fact: object) -> None:
    with pytest.raises(dw.InputError, match="'when' has"):
        dw.Values([1], [0.5], method="x", n_validation=1, provenance={"when": fact})  # type: ignore[dict-item]
    with pytest.raises(dw.InputError, match="provenance holds"):
        dw.Values([1], [0.5], method="x", n_validation=1, provenance={3: "x"})  # type: ignore[dict-item]


def test_method_and_points_are_text_and_a_number() -> None:
    with pytest.raises(dw.InputError, match="not int and str"):
        dw.Values([1], [0.5], method=3, n_validation="many")  # type: ignore[arg-type]


# -- looking ---------------------------------------------------------------------------------------


def test_lowest_and_highest() -> None:
    some = dw.Values(["a", "b", "c"], [0.2, -0.1, 0.3], method="x", n_validation=1, owners=["o", "p", "o"])
    assert some.lowest(2).rows() == [("b", "p", -0.1), ("a", "o", 0.2)]
    assert some.highest(1).rows() == [("c", "o", 0.3)]
    assert len(some.lowest(100)) == 3


def test_equal_values_keep_their_order() -> None:
    same = dw.Values(["a", "b", "c"], [0.0, 0.0, 0.0], method="x", n_validation=1)
    assert same.lowest(3).columns["id"] == same.highest(3).columns["id"] == ("a", "b", "c")


def test_by_owner_sums_and_says_what_a_sum_is_not() -> None:
    some = dw.Values([1, 2, 3], [0.2, -0.1, 0.3], method="x", n_validation=1, owners=["o", "p", "o"])
    table = some.by_owner()
    assert [row[:2] for row in table.rows()] == [("o", 2), ("p", 1)]
    assert table.columns["sum of values"] == pytest.approx((0.5, -0.1))
    assert table.columns["mean value"] == pytest.approx((0.25, -0.1))
    assert "not the owner's own Shapley value" in table.note


def test_by_owner_needs_owners() -> None:
    with pytest.raises(dw.InputError, match="owner="):
        values(owners=False).by_owner()


def test_notebook_view_escapes() -> None:
    shown = dw.Values([EVIL], [0.1], method=EVIL, n_validation=1, owners=[EVIL])._repr_html_()
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 5  # the method, and id and owner in both lists


# -- detection -------------------------------------------------------------------------------------


@given(st.integers(2, 60), st.integers(0, 2**32 - 1), st.booleans())
def test_detection_agrees_with_sklearn(n: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, n).astype(float) if ties else rng.normal(size=n)
    bad = rng.random(n) < 0.4
    bad[0], bad[1] = True, False
    found = dw.Values(np.arange(n), scores, method="x", n_validation=1).detection(bad)
    assert found.auroc == pytest.approx(roc_auc_score(bad, -scores))
    assert found.average_precision == pytest.approx(average_precision_score(bad, -scores))
    assert found.n_bad == bad.sum()
    curve = np.array(found.curve.columns["found"])
    assert curve[0] == 0.0
    assert curve[-1] == pytest.approx(1.0)
    assert (np.diff(curve) >= -1e-12).all()


def test_detection_curve_counts_what_is_found() -> None:
    bad = np.zeros(100, dtype=bool)
    bad[:10] = True
    perfect = dw.Values(np.arange(100), np.arange(100.0), method="x", n_validation=1).detection(bad)
    assert perfect.found_in_lowest(0.05) == pytest.approx(0.5)
    assert perfect.found_in_lowest(0.1) == pytest.approx(1.0)
    blind = dw.Values(np.arange(100), np.zeros(100), method="x", n_validation=1).detection(bad)
    assert blind.found_in_lowest(0.3) == pytest.approx(0.3)  # the bad ones coming first in order does not help


@pytest.mark.parametrize("bad", [[True, True], [False, False], [1, 0], [True]])
def test_detection_refuses_masks_that_say_nothing(bad: list[bool]) -> None:
    with pytest.raises(dw.InputError, match="bad "):
        dw.Values([1, 2], [0.0, 1.0], method="x", n_validation=1).detection(bad)


# -- leaving and coming back -----------------------------------------------------------------------


@pytest.mark.parametrize("owners", [True, False])
def test_saved_values_come_back(tmp_path: Path, owners: bool) -> None:
    before = values(owners=owners, evidence=every_kind_of_evidence())
    after = dw.Values.load(before.save(tmp_path / "v.parquet"))
    assert_array_equal(after.ids, before.ids)
    assert_array_equal(after.values, before.values)  # bit for bit
    assert (after.owners is None) == (not owners)
    if owners:
        assert_array_equal(after.owners, before.owners)
    assert (after.method, after.n_validation, dict(after.provenance)) == ("by hand", 3, dict(before.provenance))
    table, links, picture = after.evidence
    assert isinstance(table, dw.Table)
    assert isinstance(links, dw.Links)
    assert isinstance(picture, dw.Exhibit)
    assert table.rows() == [("a", 1, 0.5, True), (None, 2, None, False)]
    assert links.of_row("a") == [(7, 0.1, True), (9, 0.2, False)]
    assert (picture.kind, picture.series, picture.title, picture.caption) == ("bars", "on", "Other", "c")
    assert picture.table.rows() == table.rows()


@pytest.mark.parametrize("ids", [[3, 2**63], [2**64 - 1, 1], [-1, 5], np.array([1, 2], np.int16)])
def test_integer_names_stay_integers(tmp_path: Path, ids: ArrayLike) -> None:
    links = dw.Links("l", "L", ids, ids, np.array([0.1, 0.2]), np.array([True, False]))  # type: ignore[arg-type]
    before = dw.Values(ids, [0.1, 0.2], method="x", n_validation=1, owners=ids, evidence=[links])
    after = dw.Values.load(before.save(tmp_path / "v.parquet"))
    (found,) = after.evidence
    assert isinstance(found, dw.Links)
    for array in (after.ids, after.owners, found.row_ids, found.point_ids):
        assert array is not None
        assert array.dtype.kind in "iu"
        assert_array_equal(array, np.asarray(ids, dtype=object))
    assert after.ids.dtype == before.ids.dtype


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = values().save(tmp_path / "v.parquet")
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"dataworth"]) | {"format": "dataworth.values/2"}
    pq.write_table(table.replace_schema_metadata({"dataworth": json.dumps(about)}), path)
    with pytest.raises(dw.DataError, match=r"this dataworth reads 'dataworth\.values/1'"):
        dw.Values.load(path)


def test_evidence_of_a_newer_kind_is_refused(tmp_path: Path) -> None:
    path = values().save(tmp_path / "v.parquet")
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"dataworth"]) | {"evidence": [{"is": "hologram"}]}
    pq.write_table(table.replace_schema_metadata({"dataworth": json.dumps(about)}), path)
    with pytest.raises(dw.DataError, match="hologram"):
        dw.Values.load(path)


def redescribed(path: Path, about: bytes) -> Path:
    """The same file with other words about it."""
    pq.write_table(pq.read_table(path).replace_schema_metadata({"dataworth": about}), path)
    return path


@pytest.mark.parametrize("about", [b"{", b"\xff", b"[]", b"null", b"{}", b'{"format": "dataworth.values/1"}'])
def test_a_damaged_description_is_refused(tmp_path: Path, about: bytes) -> None:
    with pytest.raises(dw.DataError, match="damaged"):
        dw.Values.load(redescribed(values().save(tmp_path / "v.parquet"), about))


@pytest.mark.parametrize(
    "change",
    [
        {"method": None},
        {"n_validation": "3"},
        {"provenance": [1]},
        {"evidence": 5},
        {"evidence": [7]},
        {"evidence": [{"is": "table"}]},
        {"evidence": [{"is": "table", "name": "t", "title": "T", "columns": {"a": [[]]}}]},
        {"evidence": [{"is": "exhibit", "kind": "bars"}]},
    ],
)
def test_a_description_with_a_damaged_part_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = values().save(tmp_path / "v.parquet")
    about = json.loads(pq.read_schema(path).metadata[b"dataworth"]) | change
    with pytest.raises(dw.DataError, match="damaged"):
        dw.Values.load(redescribed(path, json.dumps(about).encode()))


def test_a_lost_column_is_refused(tmp_path: Path) -> None:
    path = values().save(tmp_path / "v.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["value"]), path)
    with pytest.raises(dw.DataError, match="damaged"):
        dw.Values.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(dw.DataError, match="there is no file"):
        dw.Values.load(tmp_path / "nothing.parquet")
    plain = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"id": [1]}), plain)
    with pytest.raises(dw.DataError, match="holds no dataworth values"):
        dw.Values.load(plain)
    cut = values().save(tmp_path / "cut.parquet")
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(dw.DataError, match="cannot be read as Parquet"):
        dw.Values.load(cut)


def test_a_failed_save_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = values().save(tmp_path / "v.parquet")
    before = path.read_bytes()

    def half(table: object, where: Path) -> None:
        Path(where).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", half)
    with pytest.raises(OSError, match="disk full"):
        values(9).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_tables_for_others() -> None:
    some = values()
    assert some.to_arrow().column_names == some.to_pandas().columns.tolist() == some.to_polars().columns
    assert some.to_arrow().column_names == ["id", "owner", "value"]
    assert_array_equal(some.to_pandas()["value"].to_numpy(), some.values)
    assert_array_equal(some.to_polars()["value"].to_numpy(), some.values)
    assert values(owners=False).to_arrow().column_names == ["id", "value"]


def test_plot_shows_every_row() -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    some = values()
    axes = some.plot()
    try:
        assert_array_equal(axes.get_lines()[0].get_ydata(), np.sort(some.values))
    finally:
        plt.close(axes.figure)


# -- standard errors -------------------------------------------------------------------------------


def sampled(errors: ArrayLike | None = (0.0, 0.125, np.nan), **more: ArrayLike) -> dw.Values:
    return dw.Values(["a", "b", "c"], [0.2, -0.1, 0.3], method="x", n_validation=1, errors=errors, **more)  # type: ignore[arg-type]


@given(errors=st.lists(st.floats(0, allow_infinity=False) | st.just(float("nan")), min_size=3, max_size=3))
def test_errors_come_back_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, errors: list[float]) -> None:
    before = sampled(errors)
    after = dw.Values.load(before.save(tmp_path_factory.mktemp("values") / "v.parquet"))
    assert before.errors is not None
    assert after.errors is not None
    assert_array_equal(after.errors, before.errors)
    assert_array_equal(np.isnan(after.errors), np.isnan(errors))
    assert after.errors.dtype == np.float64


def test_values_without_errors_have_none_before_and_after(tmp_path: Path) -> None:
    path = sampled(None).save(tmp_path / "v.parquet")
    assert pq.read_table(path).column_names == ["id", "value"]  # what files held before there were errors
    assert dw.Values.load(path).errors is None
    assert list(sampled(None).lowest().columns) == ["id", "value"]


def test_errors_stand_beside_values() -> None:
    some = sampled(owners=["o", "p", "o"])
    assert some.lowest(3).rows() == [("b", "p", -0.1, 0.125), ("a", "o", 0.2, 0.0), ("c", "o", 0.3, None)]
    assert some.highest(1).columns["standard error"] == (None,)
    assert "0.125" in some._repr_html_()
    assert some.to_arrow().column_names == some.to_pandas().columns.tolist() == some.to_polars().columns
    assert some.to_arrow().column_names == ["id", "owner", "value", "error"]
    for column in (some.to_pandas()["error"], some.to_polars()["error"], some.to_arrow()["error"]):
        assert_array_equal(column.to_numpy(), [0.0, 0.125, np.nan])


def test_exact_values_have_no_column_of_errors() -> None:
    exact = sampled([0.0, 0.0, 0.0])
    assert list(exact.lowest(2).columns) == list(exact.highest(2).columns) == ["id", "value"]
    assert exact.to_pandas()["error"].tolist() == [0.0, 0.0, 0.0]
    for errors in ([0.0, 0.0, np.nan], [0.0, 0.0, 0.1]):
        assert "standard error" in sampled(errors).lowest(1).columns  # one for all lists, whichever rows they show


def test_a_list_of_all_values_says_so() -> None:
    some = sampled()
    assert [some.lowest(n).title for n in (2, 3, 9)] == ["The 2 lowest values", *["All 3 values, lowest first"] * 2]
    assert [some.highest(n).title for n in (2, 3)] == ["The 2 highest values", "All 3 values, highest first"]


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ([0.1, -0.1, 0.0], "1 of 3 standard errors are negative or infinite"),
        ([np.inf, -np.inf, -1e-300], "3 of 3 standard errors are negative or infinite"),
        ([0.1, 0.1], r"as many as the values, of shape \(3,\), not \(2,\)"),
        ([[0.1, 0.1, 0.1]], r"of shape \(3,\), not \(1, 3\)"),
        (0.1, r"of shape \(3,\), not \(\)"),
    ],
)
def test_errors_that_cannot_be_are_refused(errors: ArrayLike, words: str) -> None:
    with pytest.raises(dw.InputError, match=words):
        sampled(errors)


def test_errors_cannot_be_changed() -> None:
    mine = np.array([0.1, 0.2, 0.3])
    some = sampled(mine)
    mine[0] = 9.0
    assert some.errors is not None
    assert some.errors.tolist() == [0.1, 0.2, 0.3]
    with pytest.raises(ValueError, match="read-only"):
        some.errors[0] = 1.0
    assert some.with_evidence().errors is not None
