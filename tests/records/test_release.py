"""A release as a record: who is told what, what is refused, and how it leaves and comes back."""

from __future__ import annotations

import csv
import json
import os
import stat
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dataworth as dw
from dataworth.records.release import NOT_COVERED, REASONS

OWNERS = ["bob", "ann", "bob", "zoë", "ann", "bob"]


def made(owners: Any = OWNERS, *, ids: Any = None, private: bool = True, **changed: Any) -> dw.Release:
    n = len(owners)
    rng = np.random.default_rng(n)
    promises = tuple(
        dw.Guarantee(dw.Budget("0.5", "5e-7"), dw.Row(), relation, private) for relation in ("add_or_remove", "replace")
    )
    parts: dict[str, Any] = {
        "population": "patients",
        "method": "ThresholdKNNShapley(radius=0.5)",
        "mechanism": "CappedLinks(links=5)",
        "guarantees": promises,
        "noisy": np.array([[4, -1], [2**40, 0], [7, 3]], dtype=np.int64),
        "sigma": Fraction(41, 2),
        "noisy_rows": 812,
        "rows_sigma": Fraction(60),
        "public": {"classes": 2, "expected rows": None, "data version": "", "expected error": 0.001},
        "made": "2026-01-02T03:04:05Z",
        "number": None,
        "rows": {
            "ids": np.arange(n) if ids is None else np.array(ids),
            "owners": np.array(owners),
            **{name: rng.normal(size=n) for name in ("values", "band", "vote", "proxy")},
            "reason": np.arange(n).astype(np.int8) % 3,
        },
    }
    return dw.Release(**{**parts, **changed})


def same(one: dw.Release, other: dw.Release) -> None:
    for part in ("population", "method", "mechanism", "guarantees", "sigma", "noisy_rows", "rows_sigma", "public",
                 "made", "number"):  # fmt: skip
        assert getattr(one, part) == getattr(other, part), part
    assert type(one.sigma) is type(other.sigma) is Fraction
    np.testing.assert_array_equal(one.noisy, other.noisy)
    assert one.noisy.dtype == other.noisy.dtype == np.int64
    assert list(one.rows) == list(other.rows)
    for name, column in one.rows.items():
        assert column.dtype == other.rows[name].dtype, name
        assert column.tobytes() == other.rows[name].tobytes(), name


# -- who is told what ------------------------------------------------------------------------------


def test_each_owner_is_told_their_own_rows() -> None:
    release = made(ids=[f"r{i}" for i in range(6)])
    answer = release.for_owner("bob")
    assert answer.ids.tolist() == ["r0", "r2", "r5"]
    for part in ("values", "band", "vote", "proxy"):
        np.testing.assert_array_equal(getattr(answer, part), release.rows[part][[0, 2, 5]])
    assert answer.reasons == (REASONS[0], REASONS[2], REASONS[2])
    assert answer.guarantees == release.words
    assert len(answer) == 3
    told = json.loads(answer.to_json())
    assert [row["id"] for row in told["rows"]] == ["r0", "r2", "r5"]
    assert [row["value"] for row in told["rows"]] == answer.values.tolist()
    assert told["guarantee"] == list(release.words)
    assert told["not_covered"] == NOT_COVERED


@pytest.mark.parametrize("owners", [OWNERS, [3, 1, 3, 2, 1, 3], np.array([2**64 - 1, 0, 1, 1, 0, 2], np.uint64)])
@pytest.mark.parametrize(
    "name",
    ["nobody", "", "ann\0", "Ann", "ann ", "a", 3.5, -1, 10**30, True, None, "01", "../../x", "*", "bob' OR '1'='1"],
)
def test_unknown_and_absent_owners_get_one_answer(owners: Any, name: Any) -> None:
    release = made(owners)
    answer, other = release.for_owner(name), release.for_owner("never seen")
    assert len(answer) == 0
    assert answer.to_json() == other.to_json()
    assert answer.table().to_csv() == other.table().to_csv()


def test_large_whole_numbers_are_names() -> None:
    release = made(np.array([2**64 - 1, 2**63, 2**64 - 1], dtype=np.uint64))
    assert len(release.for_owner(2**64 - 1)) == 2
    assert len(release.for_owner(2**63)) == 1
    assert len(release.for_owner(2**63 + 1)) == 0


def test_nothing_can_be_written_to() -> None:
    release = made()
    with pytest.raises(ValueError, match="read-only"):
        release.noisy[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        release.rows["values"][0] = 1
    with pytest.raises(TypeError):
        release.rows["values"] = np.zeros(6)  # type: ignore[index]


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["publish", "by_owner", "ranking", "payout", "bench_values"])
def test_what_is_not_covered_is_refused_with_the_reason(asked: str) -> None:
    with pytest.raises(dw.MethodError, match="not covered by joint differential privacy: each owner's values"):
        getattr(made(), asked)()


def test_values_of_an_exercise_may_be_had_at_once() -> None:
    release = made(private=False)
    assert release.stamp == "NOT PRIVATE"
    np.testing.assert_array_equal(release.bench_values(), release.rows["values"])
    for asked in ("publish", "by_owner", "ranking", "payout"):
        with pytest.raises(dw.MethodError, match="not covered"):
            getattr(release, asked)()


def test_the_stamp_is_everywhere(tmp_path: Path) -> None:
    for release in (made(private=False), made(guarantees=(), sigma=Fraction(0))):
        assert release.stamp == "NOT PRIVATE"
        assert repr(release).startswith("Release(NOT PRIVATE")
        assert "NOT PRIVATE" in release.summary().title
        assert "NOT PRIVATE" in release.counts().note
        assert "NOT PRIVATE" in release.for_owner("nobody").to_json()
        assert release.manifest()["stamp"] == "NOT PRIVATE"
        assert dw.Release.from_bytes(release.to_bytes()).stamp == "NOT PRIVATE"
    assert made().stamp == ""
    assert "NOT PRIVATE" not in repr(made()) + json.dumps(made().manifest())
    one = (made().guarantees[0], made(private=False).guarantees[0])
    assert made(guarantees=one).stamp == "NOT PRIVATE"


# -- what everybody may see depends on nothing but noisy counts ------------------------------------


def test_what_anybody_may_see_does_not_depend_on_the_rows(tmp_path: Path) -> None:
    """Same noisy counts, other data: other owners, another number of rows, other values."""
    one, other = made(), made(["carl"] * 40, ids=np.arange(40) + 100)
    for release, folder in ((one, tmp_path / "one"), (other, tmp_path / "other")):
        release.save(folder)
    for name in ("manifest.json", "counts.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    assert one.summary().to_csv() + one.summary().note == other.summary().to_csv() + other.summary().note
    assert repr(one) == repr(other)
    assert one.for_owner("nobody").to_json() == other.for_owner("nobody").to_json()


def test_the_manifest_names_no_number_of_rows_or_owners() -> None:
    n = 4099
    text = json.dumps(made([f"o{i % 613}" for i in range(n)]).manifest())
    assert "4099" not in text
    assert "613" not in text


# -- one folder ------------------------------------------------------------------------------------


def test_one_file_an_owner_under_a_name_that_says_nothing(tmp_path: Path) -> None:
    release = made()
    folder = release.save(tmp_path / "release")
    assert sorted(path.name for path in folder.iterdir()) == ["counts.csv", "deliver.csv", "manifest.json", "owners"]
    with (folder / "deliver.csv").open(encoding="utf-8", newline="") as lines:
        files = {line["owner"]: line["file"] for line in csv.DictReader(lines)}
    assert set(files) == set(OWNERS)
    assert {path.name for path in (folder / "owners").iterdir()} == set(files.values())
    for owner, file in files.items():
        assert len(file) == len("0" * 32 + ".json")
        assert (folder / "owners" / file).read_text(encoding="utf-8") == release.for_owner(owner).to_json()
    again = release.save(tmp_path / "again")
    assert not {path.name for path in (again / "owners").iterdir()} & set(files.values())


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_only_the_operator_can_open_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = made().save(tmp_path / "release")
    finally:
        os.umask(before)
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "..", ".", "a/b", "C:\\x", 'quo"te', "a,b", "=1+1", "'", "x" * 500, "żółw"]
)
def test_no_name_of_an_owner_is_a_path(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    folder = made([name, "ann"]).save(inside / "release")
    found = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert all(path.is_relative_to(folder) for path in found)
    assert len(found) == 3 + 2
    with (folder / "deliver.csv").open(encoding="utf-8", newline="") as lines:
        assert {line["owner"] for line in csv.DictReader(lines)} == {name, "ann"}


def test_whole_number_owners_have_files_too(tmp_path: Path) -> None:
    folder = made([3, 1, 3]).save(tmp_path / "release")
    with (folder / "deliver.csv").open(encoding="utf-8", newline="") as lines:
        assert [line["owner"] for line in csv.DictReader(lines)] == ["1", "3"]


def test_nothing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("mine")
    for name in ("there", "file"):
        with pytest.raises(dw.InputError, match="exists already"):
            made().save(tmp_path / name)
    with pytest.raises(dw.InputError, match="does not exist"):
        made().save(tmp_path / "nowhere" / "release")
    assert {path.name for path in tmp_path.iterdir()} == {"there", "file"}
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", range(6))
def test_all_of_it_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, at: int) -> None:
    """Whichever of the six files fails."""
    from dataworth.records import release as module

    calls = iter(range(10))

    def failing(make: Any) -> Any:
        def fail(path: Path, **more: Any) -> Any:
            if next(calls) == at:
                path.write_text("cut")
                raise error
            return make(path, **more)

        return fail

    for name in ("_new_file", "whole_file"):
        monkeypatch.setattr(module, name, failing(getattr(module, name)))
    with pytest.raises(type(error)):
        made().save(tmp_path / "release")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_last_step_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: object, target: object) -> NoReturn:
        raise PermissionError("no")

    monkeypatch.setattr("dataworth.records.release.os.replace", fail)
    with pytest.raises(PermissionError):
        made().save(tmp_path / "release")
    assert list(tmp_path.iterdir()) == []


# -- what comes back -------------------------------------------------------------------------------

_NAMES = st.one_of(
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8), min_size=1, max_size=5),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5).map(lambda names: np.array(names, np.int64)),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5).map(lambda names: np.array(names, np.uint64)),
)


@settings(deadline=None)
@given(owners=_NAMES, ids=_NAMES, number=st.none() | st.integers(1, 2**40), data=st.data())
def test_bytes_bring_back_exactly_what_was(owners: Any, ids: Any, number: int | None, data: st.DataObject) -> None:
    n = min(len(owners), len(ids))
    pairs = st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 2)
    counts = data.draw(st.lists(pairs, min_size=1, max_size=3))
    release = made(
        owners[:n],
        ids=ids[:n],
        number=number,
        noisy=np.array(counts, dtype=np.int64),
        sigma=data.draw(st.fractions(0, 10**6)),
        noisy_rows=data.draw(st.none() | st.integers(-10, 10**9)),
        rows_sigma=data.draw(st.none() | st.fractions(1, 10**6)),
        guarantees=(dw.Guarantee(dw.Budget("0.100000001", "3e-9"), dw.Owner(7), "replace"),),
    )
    back = dw.Release.from_bytes(release.to_bytes())
    same(release, back)
    assert back.to_bytes() == release.to_bytes()
    same(replace(release, number=9), back.numbered(9))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_refused(data: st.DataObject) -> None:
    good = made().to_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    flipped = bytes([good[at] ^ data.draw(st.integers(1, 255))])
    for bad in (good[:at] + flipped + good[at + 1 :], good[:at], good + b"\0", b"", data.draw(st.binary(max_size=50))):
        with pytest.raises(dw.DataError, match="no release"):
            dw.Release.from_bytes(bad)


def test_another_format_is_named() -> None:
    import hashlib

    import pyarrow as pa

    table = pa.table({"a": [1]})
    for about, said in (
        ({"format": "dataworth.release/9", "noisy": []}, "release/9"),
        ({}, "KeyError"),
        ([], "TypeError"),
    ):
        sink = pa.BufferOutputStream()
        told = table.replace_schema_metadata({"dataworth": json.dumps(about)})
        with pa.ipc.new_file(sink, table.schema.with_metadata(told.schema.metadata)) as writer:
            writer.write_table(told)
        body = bytes(sink.getvalue().to_pybytes())
        with pytest.raises(dw.DataError, match=said):
            dw.Release.from_bytes(hashlib.sha256(body).digest() + body)
    with pytest.raises(dw.DataError, match="no release"):
        dw.Release.from_bytes(hashlib.sha256(b"text").digest() + b"text")


def test_a_folder_brings_back_what_anybody_may_see(tmp_path: Path) -> None:
    release = made(number=4)
    back = dw.Release.from_folder(release.save(tmp_path / "release"))
    same(replace(release, rows={}), back)
    assert back.manifest() == release.manifest()
    for asked in (lambda: back.for_owner("ann"), lambda: back.save(tmp_path / "again")):
        with pytest.raises(dw.MethodError, match="hold nobody's values"):
            asked()
    stamped = dw.Release.from_folder(made(private=False).save(tmp_path / "stamped"))
    with pytest.raises(dw.MethodError, match="hold nobody's values"):
        stamped.bench_values()


def test_a_folder_that_was_changed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(dw.DataError, match="holds no release"):
        dw.Release.from_folder(tmp_path / "nothing")
    folder = made().save(tmp_path / "release")
    counts, manifest = (folder / "counts.csv").read_text(), (folder / "manifest.json").read_text()
    (folder / "counts.csv").write_text(counts.replace("0,4,-1", "0,5,-1"))
    with pytest.raises(dw.DataError, match="not those of its manifest"):
        dw.Release.from_folder(folder)
    (folder / "counts.csv").write_text("a,b\n1,2\n")
    with pytest.raises(dw.DataError, match="holds no release"):
        dw.Release.from_folder(folder)
    (folder / "counts.csv").write_text(counts)
    for text in (manifest[:40], "[]", "{}", manifest.replace('"sigma": "41/2"', '"sigma": "x"')):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(dw.DataError, match="holds no release"):
            dw.Release.from_folder(folder)


# -- names at the door -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", " ", "\t", "a\nb", "a\0b", "\u202eevil", "x" * 501])
def test_an_owner_without_a_usable_name_is_refused(name: str) -> None:
    train = dw.Points([[1.0, 0.0], [0.0, 1.0]], [0, 1], owners=["ann", name])
    validation = dw.Points([[1.0, 0.1], [0.1, 1.0]], [0, 1])
    with pytest.raises(dw.DataError, match="1 owner name is empty"):
        dw.release_points(
            train, validation, method=dw.ThresholdKNNShapley(radius=0.5), spend=None, ledger=None, insecure_seed=1
        )
