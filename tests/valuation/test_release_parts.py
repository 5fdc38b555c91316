"""Releases of rows in files: those of rows in memory to the last bit, charged once however a run was stopped."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

import dataworth as dw
from dataworth.data.sources import Source
from dataworth.engines.local import Local
from dataworth.errors import BudgetExceeded, DataError, InputError, LedgerError, MethodError, WeakDelta
from dataworth.privacy.mechanisms import SecureSource
from dataworth.records import Unit
from dataworth.records.stored_release import StoredRelease
from dataworth.valuation import part_memory, planning, release_parts
from dataworth.valuation.part_job import PartJob
from dataworth.valuation.release_kept import Begun, ReleaseKept
from dataworth.valuation.release_parts import release_source
from dataworth.valuation.release_request import links_of_a_row
from tests.privacy.checks import Scripted, new_ledger, spent
from tests.strategies import Problem, classification_problems
from tests.valuation.release_problems import (
    ASK,
    COLUMNS,
    METHOD,
    SPEND,
    answer,
    at_moment,
    bytes_of,
    owned_rows,
    release,
    without_accountant,
    write_owned,
)
from tests.valuation.streaming_problems import Stopped, judges, some_rows, table_of, write_files

pytest.importorskip("opendp")
pytest.importorskip("dp_accounting")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_owned(tmp_path_factory.mktemp("rows") / "rows")


@pytest.fixture
def held() -> Iterator[tuple[dw.Ledger, Path]]:
    with new_ledger() as (ledger, path):
        yield ledger, path


# -- the very same release ---------------------------------------------------------------------------


@st.composite
def owned(draw: st.DrawFn) -> tuple[Problem, dict[str, Any], list[int], int, dict[str, Any]]:
    """A problem, names for its rows, how they are cut into files and groups, and what is asked."""
    problem = draw(classification_problems(max_train=12, max_validation=9))
    n = len(problem.train_y)
    columns: dict[str, Any] = {}
    kind = draw(st.sampled_from(["none", "whole", "text", "mixed text"]))
    if kind != "none":
        places = draw(st.permutations(range(n)))
        columns["id"] = {
            "whole": [place - 3 for place in places],
            "text": [f"row {place}é" for place in places],
            "mixed text": [str(place) if place % 2 else f"x{place}" for place in places],
        }[kind]
    known: list[list[Any]] = [[], ["ann", "bob", "żółw"], [7, -1, 2**40], ["7", "seven"]]
    who = draw(st.sampled_from(known))
    if who:
        columns["who"] = draw(st.lists(st.sampled_from(who), min_size=n, max_size=n))
    units: list[Unit] = [dw.Row(), dw.Owner(1), dw.Owner(3)] if who else [dw.Row()]
    unit = draw(st.sampled_from(units))
    sizes = draw(st.lists(st.integers(0, n), min_size=1, max_size=4))
    asked = {
        "method": dw.ThresholdKNNShapley(
            radius=problem.radius, metric=problem.metric, semivalue=draw(st.sampled_from(["shapley", "banzhaf"]))
        ),
        "spend": draw(st.sampled_from([SPEND, SPEND, None])),
        "mechanism": draw(st.sampled_from([None, dw.CappedLinks(1), dw.CappedLinks(2), dw.CappedLinks(20)])),
        "expected_rows": draw(st.sampled_from([None, 9])),
        "unit": unit,
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "insecure_seed": draw(st.integers(0, 5)),
        "data_version": "v",
        "ledger": None,
        "progress": False,
    }
    return problem, columns, sizes, draw(st.integers(1, 5)), asked


PROBLEMS: dict[str, Any] = {
    "given_": owned(),
    "part_rows": st.integers(1, 20),
    "workers": st.sampled_from([1, 2]),
    "spill": st.booleans(),
    "spoil": st.lists(st.sampled_from(["fine", "nan", "inf", "zero"]), min_size=12, max_size=12),
    "label": st.sampled_from(["same", "text", "strange"]),
}


@settings(max_examples=15)
@given(**PROBLEMS)
def test_answers_are_those_of_rows_in_memory_to_the_last_bit(**problem: Any) -> None:
    check_answers(**problem)


@pytest.mark.slow
@settings(max_examples=400)
@given(**PROBLEMS)
def test_answers_are_those_of_rows_in_memory_in_many_cases(**problem: Any) -> None:
    check_answers(**problem)


def check_answers(
    given_: tuple[Problem, dict[str, Any], list[int], int, dict[str, Any]],
    part_rows: int,
    workers: int,
    spill: bool,
    spoil: list[str],
    label: str,
) -> None:
    """Any rows, names, owners, units, files and parts; rows that cannot be linked; labels of other kinds."""
    problem, columns, sizes, group, asked = given_
    x = problem.train_x.astype(np.float64)
    for at, how in zip(range(len(x)), spoil, strict=False):
        x[at] = {"fine": x[at], "nan": np.nan, "inf": -np.inf, "zero": 0.0}[how]
    y = problem.train_y
    if label == "text":
        y = np.array([str(one) for one in y.tolist()])
    elif label == "strange" and y.dtype.kind in "iu":
        y = y + 0.5 * (np.arange(len(y)) % 2)
    train = dw.Points(x, y, ids=columns.get("id"), owners=columns.get("who"), allow_missing=True)
    points = problem.validation
    if problem.metric == "cosine" and not problem.validation_x.any(axis=1).all():
        return
    with tempfile.TemporaryDirectory() as folder, without_accountant():
        planned = ("method", "spend", "mechanism", "expected_rows", "unit", "dtype", "progress")
        plan = dw.plan_release(points, threads=1, **{name: asked[name] for name in planned})
        asked |= {"plan": plan, "mechanism": None, "expected_rows": None}
        whole = dw.release_points(train, points, threads=1, **asked)
        files = write_files(Path(folder, "rows"), table_of(x, y, **columns), sizes, group)
        source = Source.open(
            files, label="y", id="id" if "id" in columns else None, owner="who" if "who" in columns else None,
            allow_missing=True,
        )  # fmt: skip
        stored = release_source(
            source, points, out=Path(folder, "out"), engine=Local(workers), part_rows=part_rows, spill=spill, **asked
        )
        for facts in (stored.head.manifest(), StoredRelease.open(stored.folder).head.manifest()):
            assert {**facts, "made": ""} == {**whole.manifest(), "made": ""}
        np.testing.assert_array_equal(stored.head.noisy, whole.noisy)
        names = set(whole.rows["owners"].tolist())
        for owner in [*names, *map(str, names), "nobody", -5, "7", 3.5, None, "ann\0"]:
            assert answer(stored, owner) == answer(whole, owner)
        assert not (Path(folder, "out") / "_work").exists()


def test_the_law_finds_links_and_rows_without_any() -> None:
    """Or it would hold of nothing."""
    with tempfile.TemporaryDirectory() as folder, without_accountant():
        stored = release(write_owned(Path(folder, "rows")), Path(folder, "out"), ledger=None, insecure_seed=0)
        told = [stored.for_owner(f"owner {number}") for number in range(7)]
    assert sum(len(one) for one in told) == 120
    reasons = [reason for one in told for reason in one.reasons]
    assert 0 < sum(map(bool, reasons)) < 120
    assert all(one.values.any() and one.vote.any() and one.band.any() and np.nansum(one.proxy) for one in told)


def test_parts_workers_and_links_on_disk_change_no_byte(rows: Path, tmp_path: Path) -> None:
    """Of any file, at one size of parts; and no answer at any."""
    bytes_: dict[int, list[dict[str, str]]] = {}
    answers = []
    with without_accountant(), mock.patch("time.strftime", return_value="then"):
        for number, (part_rows, workers, spill) in enumerate(product((1, 16, 500), (1, 3), (True, False))):
            out = tmp_path / str(number)
            stored = release(
                rows, out, part_rows=part_rows, engine=Local(workers), spill=spill, ledger=None, insecure_seed=4
            )
            bytes_.setdefault(part_rows, []).append(bytes_of(out))
            answers.append([answer(stored, f"owner {owner}") for owner in range(8)])
    assert all(one == answers[0] for one in answers)
    assert all(found == [found[0]] * 4 for found in bytes_.values())
    assert [len(found[0]) for found in bytes_.values()] == [15 + 3, 9 + 3, 3 + 3]


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_dask_gives_the_same_bytes(rows: Path, tmp_path: Path, processes: bool) -> None:
    pytest.importorskip("distributed")
    from dataworth.engines.dask import Dask

    with without_accountant(), mock.patch("time.strftime", return_value="then"):
        for name, engine in {"here": Local(1), "dask": Dask(workers=1, threads=2, processes=processes)}.items():
            release(rows, tmp_path / name, engine=engine, ledger=None, insecure_seed=4, unit=dw.Owner(5))
    assert bytes_of(tmp_path / "here") == bytes_of(tmp_path / "dask")


def test_a_filter_leaves_rows_out(tmp_path: Path) -> None:
    """Without ids and owners a row's name is its place among all rows of all files, as in values part by part."""
    x, y = some_rows(40)
    age = np.arange(40) % 4
    files = write_files(tmp_path / "rows", table_of(x, y, age=age), [11, 29], 5)
    source = Source.open(files, label="y", features=["x0", "x1", "x2"], filter="age >= 2")
    with without_accountant():
        stored = release(source, tmp_path / "out", ledger=None, insecure_seed=1)
        passing = np.flatnonzero(age >= 2)
        whole = dw.release_points(
            dw.Points(x[passing], y[passing], ids=passing), judges(), ledger=None, insecure_seed=1, **ASK
        )
    np.testing.assert_array_equal(stored.head.noisy, whole.noisy)
    for place in range(40):
        assert stored.for_owner(place).values.tobytes() == whole.for_owner(place).values.tobytes()
        assert stored.for_owner(place).ids.tolist() == (["0"] if place in passing else [])


# -- what leaves ---------------------------------------------------------------------------------------


def neighbours(folder: Path) -> tuple[Path, Path]:
    """Rows, and the same with one row less, another label, another owner."""
    table = owned_rows()
    one = write_files(folder / "one", table, [40, 40, 40], 8)
    less = table.slice(1).to_pydict()
    less["y"][5] = 1 - min(less["y"][5], 1)
    less["who"][7] = "somebody whom nobody knows"
    return one, write_files(folder / "other", pa.table(less), [50, 10, 5], 8)


def ledger_rows(path: Path) -> list[Any]:
    """Every column of every table of a ledger, but for what is drawn or counted by the clock."""
    found = []
    ledger = dw.Ledger.open(path)
    with ledger._store.reading() as connection:
        for table in ("dataworth_ledger", "dataworth_releases", "dataworth_noisy"):
            for row in connection.execute(text(f"SELECT * FROM {table}")).mappings():  # noqa: S608 - names of ours
                found.append(
                    {name: cell for name, cell in row.items() if name not in ("hash", "head", "made", "previous")}
                )
        (payload,) = connection.execute(text("SELECT payload FROM dataworth_outbox")).scalars()
    return [*found, len(payload)]


def test_neighbouring_rows_with_the_same_noisy_counts_leave_the_same_bytes(tmp_path: Path) -> None:
    """In what anybody may see, in what any other owner is told, and in the ledger: it keeps no number of rows."""
    shown, kept, told = [], [], []
    noisy = np.arange(40).reshape(20, 2)
    assert not {"owner 3"} & {owned_rows()["who"][at].as_py() for at in (0, 6, 8)}  # none of these is theirs
    for number, files in enumerate(neighbours(tmp_path)):
        out = tmp_path / f"out{number}"
        with new_ledger() as (ledger, path), mock.patch("time.strftime", return_value="then"):
            with mock.patch.object(SecureSource, "add_noise", Scripted([noisy, [77]]).add_noise):
                stored = release(files, out, ledger=ledger, request_key="k", expected_rows=None)
            kept.append(ledger_rows(path))
            shown.append([(out / name).read_bytes() for name in ("manifest.json", "counts.csv")])
            told.append([answer(stored, "owner 3"), answer(stored, "nobody"), repr(stored), stored.words])
            assert stored.stamp == ""
    assert kept[0] == kept[1]
    assert shown[0] == shown[1]
    assert told[0] == told[1]
    assert len(stored.for_owner("owner 3")) > 5
    assert stored.for_owner("owner 3").values.any()


def test_the_answer_in_the_ledger_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    sizes = []
    for n in (30, 600):
        with new_ledger() as (ledger, _):
            with mock.patch.object(SecureSource, "add_noise", Scripted([np.ones((20, 2), int)]).add_noise):
                release(write_owned(tmp_path / str(n), n), tmp_path / f"out{n}", ledger=ledger, part_rows=64)
            sizes.append(len(ledger.stored(1).payload))
    assert sizes[0] == sizes[1]


def test_canaries_stay_in_the_rows(tmp_path: Path, held: tuple[dw.Ledger, Path]) -> None:
    """Names and how many rows there are: neither printed, nor in files for others, nor in the ledger."""
    ledger, path = held
    n = 8191
    table = owned_rows(n, owners=613)
    names = table["who"].to_pylist()
    names[17] = "canary-owner"
    table = table.set_column(table.column_names.index("who"), "who", pa.array(names))
    ids = table["id"].to_pylist()
    ids[17] = "canary-row"
    table = table.set_column(table.column_names.index("id"), "id", pa.array(ids))
    files = write_files(tmp_path / "rows", table, [3000, 5191], 500)
    said = io.StringIO()
    scripted = mock.patch.object(SecureSource, "add_noise", Scripted([np.ones((20, 2), int)]).add_noise)
    with scripted, redirect_stdout(said), redirect_stderr(io.StringIO()):  # no number comes up by chance
        stored = release(files, tmp_path / "out", ledger=ledger, part_rows=1000)
        print(stored, stored.words, stored.head.summary().to_text())
    assert stored.for_owner("canary-owner").ids.tolist() == ["canary-row"]
    public = [(tmp_path / "out" / name).read_text() for name in ("manifest.json", "counts.csv")]
    payload = ledger.stored(1).payload
    for kept in (said.getvalue().encode(), *[one.encode() for one in public], payload, path.read_bytes()):
        assert b"canary" not in kept
    for shown in (said.getvalue(), *public):
        assert not any(number in shown for number in ("8191", "8,191", "613", "614"))
    recipe = dw.Release.from_bytes(payload).recipe
    for digest in (Source.open(files, **COLUMNS).digest, str(recipe["files"])):
        assert not any(digest in shown for shown in (said.getvalue(), *public))


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_only_the_operator_can_open_it_while_it_is_made_and_after(rows: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    class Watching(Local):
        def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
            for found in super().run(job, shared, tasks, tick=tick):
                check()
                yield found

    def check() -> None:
        there = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
        seen.append(len(there))
        for path in there:
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path

    before = os.umask(0)
    try:
        with without_accountant():
            release(rows, tmp_path / "out", ledger=None, insecure_seed=1, engine=Watching(1), unit=dw.Owner(2))
        check()
        StoredRelease.open(tmp_path / "out").deliver(tmp_path / "delivered")
        check()
        for path in [tmp_path / "delivered", *(tmp_path / "delivered").rglob("*")]:
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    finally:
        os.umask(before)
    assert max(seen) > 30


# -- the ledger ------------------------------------------------------------------------------------------


def test_it_is_charged_before_any_value_is_written(rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]) -> None:
    ledger, path = held

    class Watching(Local):
        def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
            for found in super().run(job, shared, tasks, tick=tick):
                values = list((tmp_path / "out" / "rows").glob("part-*"))
                assert spent(path)[2] == int(bool(values))
                yield found

    release(rows, tmp_path / "out", ledger=ledger, engine=Watching(1))
    assert spent(path) == (*SPEND.charge(), 1)
    assert ledger.verify().ok
    assert dw.Release.from_bytes(ledger.stored(1).payload).rows == {}


def test_noise_is_drawn_once_and_by_whoever_asked(rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]) -> None:
    """Workers never draw, after all of them have counted; the counts are the exact ones, the scales the charged."""
    ledger, _ = held
    drawn: list[Any] = []
    inner = SecureSource.add_noise

    def add_noise(self: SecureSource, counts: Any, sigma: Fraction) -> Any:
        drawn.append((threading.get_ident(), counts.shape, sigma, int(counts.sum())))
        assert len(list((tmp_path / "out" / "_work").glob("counts-*"))) == 9
        return inner(self, counts, sigma)

    with mock.patch.object(SecureSource, "add_noise", add_noise):
        release(rows, tmp_path / "out", ledger=ledger, engine=Local(2), expected_rows=None, unit=None)
    assert [one[:2] for one in drawn] == [(threading.get_ident(), (20, 2)), (threading.get_ident(), (1,))]
    assert drawn[1][3] == 120
    stored = dw.Release.from_bytes(ledger.stored(1).payload)
    assert [one[2] for one in drawn] == [stored.sigma, stored.rows_sigma]


def test_a_refusal_touches_nothing(rows: Path, tmp_path: Path) -> None:
    with new_ledger("0.4") as (ledger, path):
        before = spent(path)
        with (
            mock.patch.object(Source, "read", None),
            mock.patch.object(Source, "survey", None),
            mock.patch.object(SecureSource, "add_noise", None),
            pytest.raises(BudgetExceeded),
        ):
            release(rows, tmp_path / "out", ledger=ledger)
        assert spent(path) == before
        assert not (tmp_path / "out").exists()


def test_a_key_gives_the_same_bytes_for_nothing(rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]) -> None:
    """Here, in a new folder, after the first was lost, with other workers, without planning or drawing again."""
    ledger, path = held
    first = release(rows, tmp_path / "one", ledger=ledger, request_key="june")
    before, whole = spent(path), bytes_of(tmp_path / "one")
    with (
        mock.patch.object(SecureSource, "add_noise", None),
        mock.patch("dataworth.valuation.release_request.plan_release", None),
    ):
        again = release(rows, tmp_path / "one", ledger=dw.Ledger.open(path), request_key="june")
        assert again.head.to_bytes()[32:] != b""
        other = release(rows, tmp_path / "two", ledger=ledger, request_key="june", engine=Local(2), spill=False)
        shutil.rmtree(tmp_path / "one")
        release(rows, tmp_path / "one", ledger=ledger, request_key="june")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two") == whole
    assert answer(first if first.folder != str(tmp_path / "one") else other, "owner 2") == answer(other, "owner 2")
    assert spent(path) == before


def test_without_a_key_every_call_is_new_and_a_finished_folder_is_refused(
    rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]
) -> None:
    ledger, path = held
    release(rows, tmp_path / "one", ledger=ledger)
    whole = bytes_of(tmp_path / "one")
    with pytest.raises(InputError, match="holds a release already"):
        release(rows, tmp_path / "one", ledger=ledger)
    with pytest.raises(InputError, match="holds a release already"):
        release(rows, tmp_path / "one", ledger=ledger, request_key="new")
    assert bytes_of(tmp_path / "one") == whole
    assert spent(path)[2] == 1
    release(rows, tmp_path / "two", ledger=ledger)
    assert spent(path)[2] == 2


def test_a_key_is_for_one_request_and_for_the_files_that_were_counted(
    rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]
) -> None:
    ledger, path = held
    release(rows, tmp_path / "one", ledger=ledger, request_key="june")
    for change in ({"data_version": "2"}, {"expected_rows": 7}, {"validation": judges(21)}, {"dtype": "float64"}):
        with pytest.raises(LedgerError, match="used for another request"):
            release(rows, tmp_path / "two", ledger=ledger, request_key="june", **change)
    table = owned_rows()
    changed = table.to_pydict()
    changed["y"][0] = 1 - min(changed["y"][0], 1)
    others = write_files(tmp_path / "rows", pa.table(changed), [40, 40, 0], 8)
    for folder in ("one", "two"):
        with pytest.raises(LedgerError, match="files are not those that release 1 was counted from"):
            release(others, tmp_path / folder, ledger=ledger, request_key="june")
    in_memory = dw.Points(*some_rows(30))
    dw.release_points(in_memory, judges(), ledger=ledger, request_key="memory", **ASK)
    with pytest.raises(LedgerError, match="rows in memory"):
        release(rows, tmp_path / "two", ledger=ledger, request_key="memory")
    with pytest.raises(MethodError, match="of the same files and with the same request key"):
        dw.release_points(in_memory, judges(), ledger=ledger, request_key="june", **ASK).for_owner("0")
    assert not (tmp_path / "two").exists()
    assert spent(path)[2] == 2


# -- runs that were stopped --------------------------------------------------------------------------


def undrawn(charged: bool) -> AbstractContextManager[Any]:
    """Where it was charged before, noise must not be drawn again."""
    return mock.patch.object(SecureSource, "add_noise", None) if charged else nullcontext()


@pytest.mark.parametrize("key", ["june", None])
def test_a_run_stopped_at_any_job_is_charged_once_and_ends_with_the_same_answers(
    rows: Path, tmp_path: Path, key: str | None
) -> None:
    """Before the charge and after it; files that are there stay, whether links were kept or not."""
    noisy = np.arange(40).reshape(20, 2)
    scripted = mock.patch.object(
        SecureSource, "add_noise", return_value=Scripted([noisy]).add_noise(noisy, Fraction(1))
    )
    with scripted, mock.patch("time.strftime", return_value="then"), new_ledger(100, "0.1") as (ledger, path):
        release(rows, tmp_path / "whole", ledger=ledger, request_key="whole")
        whole, done = bytes_of(tmp_path / "whole"), 1
        for at in (0, 4, 9, 13, 18):
            out, mine = tmp_path / str(at), None if key is None else f"{key}{at}"
            more = {"ledger": ledger, "request_key": mine}
            if at < 18:
                with pytest.raises(KeyboardInterrupt):
                    release(rows, out, engine=Stopped(Local(1), at), spill=at % 2 == 0, **more)
                assert spent(path)[2] == done + (at >= 9)
            with undrawn(9 <= at < 18):
                release(rows, out, **more)
            done += 1
            assert spent(path)[2] == done
            mine_now = bytes_of(out)
            assert set(mine_now) == set(whole)
            assert {name for name in whole if mine_now[name] != whole[name]} <= {"manifest.json"}  # its number


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
@pytest.mark.parametrize("key", ["june", None])
def test_of_two_runs_in_one_folder_the_second_is_told(
    rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path], key: str | None
) -> None:
    """Before the charge and after it; the first is not disturbed."""
    ledger, path = held
    told: list[int] = []

    class Second(Local):
        def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
            for found in super().run(job, shared, tasks, tick=tick):
                with pytest.raises(InputError, match="another run is at work"):
                    release(rows, tmp_path / "out", ledger=ledger, request_key=key)
                told.append(spent(path)[2])
                yield found

    release(rows, tmp_path / "out", ledger=ledger, request_key=key, engine=Second(1))
    assert set(told) == {0, 1}
    assert spent(path)[2] == 1
    assert not list((tmp_path / "out").glob(".*"))


def test_without_locks_and_hard_links_two_runs_in_one_folder_are_charged_once(
    rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]
) -> None:
    """The note of the first is that of both."""
    ledger, path = held
    inner = ReleaseKept._write_note
    began: list[str] = []

    def write(self: ReleaseKept, begun: Begun) -> None:
        if not began:  # the first is charged, and killed, when the second has looked and is about to take its note
            began.append(begun.request_key)
            killed = mock.patch.object(release_parts._Run, "add_all", side_effect=KeyboardInterrupt)
            with killed, pytest.raises(KeyboardInterrupt):
                release(rows, tmp_path / "out", ledger=ledger)
            assert spent(path)[2] == 1
        inner(self, begun)

    with (
        mock.patch("dataworth.records.files._locked", return_value=True),
        mock.patch("os.link", side_effect=PermissionError(errno.EPERM, "no links")),
        mock.patch.object(ReleaseKept, "_write_note", write),
    ):
        stored = release(rows, tmp_path / "out", ledger=ledger)
    assert stored.head.number == 1
    assert spent(path)[2] == 1


def test_other_memory_and_workers_go_on_with_a_run(rows: Path, tmp_path: Path) -> None:
    """Heaps of owners are dealt anew if there shall be another number of them."""
    with without_accountant(), mock.patch("time.strftime", return_value="then"):
        more = {"ledger": None, "insecure_seed": 3, "unit": dw.Owner(5)}
        release(rows, tmp_path / "whole", **more)
        with mock.patch.object(release_parts, "heaps_for", side_effect=(3, 5)):
            with pytest.raises(KeyboardInterrupt):
                release(rows, tmp_path / "out", engine=Stopped(Local(1), 16), **more)
            release(rows, tmp_path / "out", engine=Local(2), **more)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize("step", ["looked up", "spent", "outbox written", "before commit", "committed"])
def test_a_run_that_dies_while_it_is_charged(rows: Path, tmp_path: Path, step: str) -> None:
    """It is charged once, and what the ledger keeps is what comes out."""

    def at(now: str) -> None:
        if now == step:
            raise ConnectionError

    with new_ledger() as (ledger, path):
        with mock.patch("dataworth.privacy.ledger.steps.at", at), pytest.raises(ConnectionError):
            release(rows, tmp_path / "out", ledger=ledger)
        assert spent(path)[2] == (step == "committed")
        stored = release(rows, tmp_path / "out", ledger=ledger)
        assert spent(path)[2] == 1
        assert stored.head.noisy.tolist() == ledger.stored(1).noisy.tolist()


def test_a_run_without_a_ledger_goes_on_to_the_same_release(rows: Path, tmp_path: Path) -> None:
    with without_accountant():
        more = {"ledger": None, "insecure_seed": 3}
        with pytest.raises(KeyboardInterrupt):
            release(rows, tmp_path / "out", engine=Stopped(Local(1), 12), **more)
        with mock.patch("time.strftime", None):  # it has its time
            stored = release(rows, tmp_path / "out", **more)
        other = release(rows, tmp_path / "other", **more)
    assert stored.head.noisy.tolist() == other.head.noisy.tolist()
    assert not (tmp_path / "out" / "_work").exists()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A few rows, and how many moments a release of them has."""
    folder = tmp_path_factory.mktemp("few")
    rows = write_owned(folder / "rows", 36)
    with new_ledger() as (ledger, _), at_moment(folder / "counted", -1, lambda: None) as passed:
        release(rows, folder / "counted", ledger=ledger)
    return rows, passed[0]


def again(rows: Path, out: Path, ledger: dw.Ledger, key: str | None) -> StoredRelease:
    """The same call again or, where a run without a key was stopped when all was done, what it made."""
    if key is None and (out / "manifest.json").exists() and not (out / "_work").exists():
        return StoredRelease.open(out)
    return release(rows, out, ledger=ledger, request_key=key)


def check_killed(few: tuple[Path, int], tmp_path: Path, shares: list[float]) -> list[bool]:
    """A run is killed at moments and called again: one charge, what the ledger keeps, the bytes of a new folder.

    Returns:
        Whether it was charged before it was killed, for each moment.
    """
    rows, moments = few
    charged_before = []
    with new_ledger(100, "0.1") as (ledger, path):
        for done, share in enumerate(shares):
            out, key = tmp_path / str(done), "" if done % 2 else f"key {done}"
            told = [str(rows), str(out), str(path), key, str(round(share * (moments - 1)))]
            ran = subprocess.run(
                [sys.executable, "-m", "tests.valuation.release_problems", *told],
                env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=False,
            )  # fmt: skip
            assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()
            charged = spent(path)[2]
            noisy = None if charged == done else ledger.stored(charged).noisy.tolist()
            charged_before.append(noisy is not None)
            with undrawn(noisy is not None):
                stored = again(rows, out, ledger, key or None)
            assert spent(path)[2] == done + 1
            assert noisy in (None, stored.head.noisy.tolist())
            assert stored.head.noisy.tolist() == ledger.stored(done + 1).noisy.tolist()
            if key:
                other = release(rows, tmp_path / f"{done} again", ledger=ledger, request_key=key)
                assert bytes_of(Path(other.folder)) == bytes_of(out)
        assert ledger.verify().ok
    return charged_before


@pytest.mark.parametrize(("share", "charged"), [(0.2, False), (0.6, True), (0.95, True)])
def test_a_run_killed_is_charged_once(few: tuple[Path, int], tmp_path: Path, share: float, charged: bool) -> None:
    assert check_killed(few, tmp_path, [share]) == [charged]


@pytest.mark.slow
def test_runs_killed_at_many_moments_are_charged_once_each(few: tuple[Path, int], tmp_path: Path) -> None:
    charged = check_killed(few, tmp_path, np.linspace(0, 1, 30).tolist())
    assert charged == sorted(charged)
    assert set(charged) == {False, True}


def check_stopped(few: tuple[Path, int], tmp_path: Path, start: int, step: int) -> None:
    """Every moment at which a file takes its place or the ledger takes a step, in this process."""

    class EndedError(BaseException):
        pass

    def end() -> None:
        raise EndedError

    rows, moments = few
    with new_ledger(100, "0.1") as (ledger, path):
        for done, at in enumerate(range(start, moments, step)):
            out = tmp_path / str(at)
            with pytest.raises(EndedError), at_moment(out, at, end):
                release(rows, out, ledger=ledger)
            charged = spent(path)[2]
            assert charged in (done, done + 1)
            with undrawn(charged > done):
                stored = again(rows, out, ledger, None)
            assert spent(path)[2] == done + 1
            assert stored.head.noisy.tolist() == ledger.stored(done + 1).noisy.tolist()


def test_a_run_stopped_at_any_moment_is_charged_once(few: tuple[Path, int], tmp_path: Path) -> None:
    check_stopped(few, tmp_path, 2, 5)


@pytest.mark.slow
def test_a_run_stopped_at_every_moment_is_charged_once(few: tuple[Path, int], tmp_path: Path) -> None:
    check_stopped(few, tmp_path, 0, 1)


# -- other plans of the same request -----------------------------------------------------------------


def a_plan(links: int) -> dw.Plan:
    """As if these were the best for a request that leaves the cap open."""
    asked = {name: ASK[name] for name in ("method", "spend", "expected_rows", "progress")}
    return replace(dw.plan_release(judges(), mechanism=dw.CappedLinks(links), **asked), asked=dw.CappedLinks())


def test_a_run_goes_on_under_the_cap_that_it_counted_under(
    rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]
) -> None:
    """Whatever is best now: noise and charge are of the cap that bounds what one row did to the counts."""
    ledger, path = held
    drawn: list[tuple[int, int]] = []
    inner = release_parts._Run.draw

    def draw(self: Any, counted: Any, request: Any) -> Any:
        drawn.append((int(counted.counts.sum()), links_of_a_row(self.plan)))
        return inner(self, counted, request)

    def best_is(links: int) -> Any:
        return mock.patch.object(planning, "_caps", lambda asked, *_, **__: [asked.links or links])

    with best_is(20), pytest.raises(KeyboardInterrupt):
        release(rows, tmp_path / "out", ledger=ledger, mechanism=None, engine=Stopped(Local(1), 8))
    with best_is(1), mock.patch.object(release_parts._Run, "draw", draw):
        stored = release(rows, tmp_path / "out", ledger=ledger, mechanism=None)
    ((total, links),) = drawn
    assert links == 20
    assert total > 120  # more than one link a row would allow
    assert stored.head.mechanism == "CappedLinks(links=20)"
    assert stored.head.sigma == a_plan(20).sigma
    assert spent(path)[2] == 1


def test_a_run_goes_on_with_its_plan_alone(rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]) -> None:
    ledger, path = held
    more: dict[str, Any] = {"ledger": ledger, "mechanism": None, "expected_rows": None}
    with pytest.raises(KeyboardInterrupt):
        release(rows, tmp_path / "out", plan=a_plan(20), engine=Stopped(Local(1), 8), **more)
    with pytest.raises(InputError, match="keeps 20 links a row, but the plan 5; give the plan of that run"):
        release(rows, tmp_path / "out", plan=a_plan(5), **more)
    assert spent(path)[2] == 0
    stored = release(rows, tmp_path / "out", plan=a_plan(20), **more)
    release(rows, tmp_path / "other", plan=a_plan(20), **more)
    assert answer(stored, "owner 2")[4] == answer(StoredRelease.open(tmp_path / "other"), "owner 2")[4]  # its vote


@pytest.mark.parametrize("spill", [True, False])
@pytest.mark.parametrize(("first", "second"), [(20, 5), (5, 20)])
def test_values_are_of_the_cap_that_was_charged(
    rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path], first: int, second: int, spill: bool
) -> None:
    """Where two folders of one key were counted under two plans: whoever is charged first has both."""
    ledger, path = held
    more: dict[str, Any] = {"ledger": ledger, "mechanism": None, "expected_rows": None, "request_key": "k"}
    inner = release_parts._Run.draw

    def draw(self: Any, counted: Any, request: Any) -> Any:
        with mock.patch.object(release_parts._Run, "draw", inner):
            release(rows, tmp_path / "one", plan=a_plan(first), **more)
        return inner(self, counted, request)

    with mock.patch.object(release_parts._Run, "draw", draw):
        release(rows, tmp_path / "two", plan=a_plan(second), spill=spill, **more)
    assert spent(path)[2] == 1
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    assert f"links={first})" in StoredRelease.open(tmp_path / "two").head.mechanism


def test_counts_and_links_are_found_under_their_cap_alone(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "_work").mkdir(parents=True)
    kept, part = ReleaseKept(tmp_path / "out", "a job", 3), Source.open(rows, **COLUMNS).parts(16)[1]
    kept.keep(part, "counts", {"counts": np.ones(2)})
    assert kept.find(part, "counts") is not None
    assert kept.under(2).find(part, "counts") is None
    assert kept.under(2).under(3).find(part, "counts") is not None


def test_a_share_that_is_gone_for_a_moment_costs_no_work(
    rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]
) -> None:
    """Neither while parts are counted nor before any is, nor when values are added."""
    ledger, path = held
    here = Path(shutil.copytree(rows, tmp_path / "rows"))
    source, out = Source.open(here, **COLUMNS), tmp_path / "out"

    class Gone(Local):
        """The share goes after so many jobs."""

        def __init__(self, jobs: int, comes_back: bool) -> None:
            super().__init__(1)
            self.jobs, self.comes_back = jobs, comes_back

        def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
            def going(shared: Any, task: Any) -> Any:
                if self.jobs == 0:
                    here.rename(tmp_path / "away")
                self.jobs -= 1
                try:
                    return job(shared, task)
                finally:
                    if self.comes_back and not here.exists():
                        (tmp_path / "away").rename(here)

            yield from super().run(going, shared, tasks, tick=tick)

    counted = []
    for jobs, comes_back in ((0, False), (5, True), (5, False)):
        with pytest.raises(DataError):
            release(source, out, ledger=ledger, engine=Gone(jobs, comes_back), spill=False)
        if not comes_back:
            (tmp_path / "away").rename(here)
        assert (out / "_work" / "surveyed").exists()
        counted.append(len(list((out / "_work").glob("counts-*"))))
    assert counted == [0, 5, 9]
    assert spent(path)[2] == 1
    release(source, out, ledger=ledger)
    assert spent(path)[2] == 1


def test_a_key_that_the_ledger_may_know_is_never_lost(rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]) -> None:
    """Where no locks are known, another run in the folder may have been charged under it."""
    ledger, path = held
    out, inner = tmp_path / "out", release_parts._Run._survey
    killed = mock.patch.object(release_parts._Run, "add_all", side_effect=KeyboardInterrupt)

    def survey(self: Any) -> None:
        with mock.patch.object(release_parts._Run, "_survey", inner), killed, pytest.raises(KeyboardInterrupt):
            release(rows, out, ledger=ledger)
        for path in (out / "_work").glob("counts-*"):
            path.unlink()
        raise DataError("rows that cannot be read")

    with (
        mock.patch("dataworth.records.files._locked", return_value=True),
        mock.patch.object(release_parts._Run, "_survey", survey),
        pytest.raises(DataError, match="cannot be read"),
    ):
        release(rows, out, ledger=ledger)
    assert spent(path)[2] == 1
    assert release(rows, out, ledger=ledger).head.number == 1
    assert spent(path)[2] == 1


@pytest.mark.parametrize("opened", [True, False])
def test_exact_counts_do_not_outlast_a_run_killed_while_they_are_removed(
    rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path], opened: bool
) -> None:
    ledger, _ = held
    out = tmp_path / "out"
    with mock.patch("shutil.rmtree", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        release(rows, out, ledger=ledger)
    assert list(out.glob(".work.*.part/counts-*"))
    if opened:
        StoredRelease.open(out)
    else:
        with pytest.raises(InputError, match="holds a release already"):
            release(rows, out, ledger=ledger)
    assert sorted(path.name for path in out.iterdir()) == ["counts.csv", "manifest.json", "rows"]


def test_a_charged_release_of_files_that_were_touched_is_not_given_up_for_lost(
    tmp_path: Path, held: tuple[dw.Ledger, Path]
) -> None:
    ledger, path = held
    rows = write_owned(tmp_path / "rows")
    file, out = rows / "000.parquet", tmp_path / "out"
    about = file.stat()
    with pytest.raises(KeyboardInterrupt):
        release(rows, out, ledger=ledger, engine=Stopped(Local(1), 12))
    os.utime(file, (1, 1))
    with pytest.raises(LedgerError, match="release 1, which is charged but not finished, and the files are not as"):
        release(rows, out, ledger=ledger)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    with pytest.raises(LedgerError, match="of another request, which is charged; ask exactly as then"):
        release(rows, out, ledger=ledger, data_version="2")
    with pytest.raises(LedgerError, match="release 1, which is charged, under another request key"):
        release(rows, out, ledger=ledger, request_key="mine")
    assert release(rows, out, ledger=ledger).head.number == 1
    assert spent(path)[2] == 1


def test_a_folder_among_the_files_is_refused(tmp_path: Path, held: tuple[dw.Ledger, Path]) -> None:
    ledger, path = held
    rows = write_owned(tmp_path / "rows")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="lies among the files that are read"):
        release(rows, rows / "out", ledger=ledger)
    assert sorted(tmp_path.rglob("*")) == before
    assert spent(path)[2] == 0


# -- damage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["counts", "links", "part"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "swapped"])
def test_what_is_damaged_is_made_again(rows: Path, tmp_path: Path, kind: str, damage: str) -> None:
    with without_accountant(), mock.patch("time.strftime", return_value="then"):
        more = {"ledger": None, "insecure_seed": 3}
        release(rows, tmp_path / "whole", **more)
        at = 5 if kind == "counts" else 12
        with pytest.raises(KeyboardInterrupt):
            release(rows, tmp_path / "out", engine=Stopped(Local(1), at), **more)
        files = sorted((tmp_path / "out").rglob(f"{kind}-*"))
        hurt = files[-1 if kind == "links" else 1]
        content = bytearray(hurt.read_bytes())
        content[len(content) // 2] ^= 16
        if damage == "gone":
            hurt.unlink()
        else:
            changed = {"cut": bytes(content[:30]), "flipped": bytes(content), "swapped": files[0].read_bytes()}
            hurt.write_bytes(changed[damage])
        release(rows, tmp_path / "out", **more)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_values_of_other_noise_are_made_again(rows: Path, tmp_path: Path) -> None:
    with without_accountant(), mock.patch("time.strftime", return_value="then"):
        more = {"ledger": None, "insecure_seed": 3}
        release(rows, tmp_path / "whole", **more)
        with pytest.raises(KeyboardInterrupt):
            release(rows, tmp_path / "out", engine=Stopped(Local(1), 12), **more)
        job = json.loads((tmp_path / "out" / "_work" / "job.json").read_text())["job"]
        part = Source.open(rows, **COLUMNS).parts(16)[1]
        kept = ReleaseKept(tmp_path / "out", job)
        kept.keep_rows(part, "other noise", {"value": np.zeros(part.rows)})
        assert kept.has_rows(part, "other noise")
        release(rows, tmp_path / "out", **more)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize("where", ["release_kept.write_sealed", "release_owners.deal", "release_kept.encode_rows"])
def test_a_disk_that_gets_full_is_told_and_the_run_goes_on(
    rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path], where: str
) -> None:
    ledger, path = held
    named = Source.open(rows, label="y", owner="who", features=["x0", "x1", "x2"], allow_missing=True)
    full = mock.patch(f"dataworth.valuation.{where}", side_effect=OSError(errno.ENOSPC, "full"))
    with full, pytest.raises(InputError, match="has no room left"):
        release(named, tmp_path / "out", ledger=ledger)
    release(named, tmp_path / "out", ledger=ledger)
    assert spent(path)[2] == 1


# -- bad input -------------------------------------------------------------------------------------------


def test_what_cannot_be_released(rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]) -> None:
    """A clear error, nothing spent, and no folder."""
    ledger, path = held
    source = Source.open(rows, **COLUMNS)
    unlabelled = Source.open(rows, label=None, features=["x0", "x1", "x2"], allow_missing=True)
    subsampled = {"mechanism": dw.Subsampled("1/10")}
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        (subsampled, MethodError, "random bits of a private release are never stored"),
        ({"method": dw.KNNShapley()}, MethodError, "only ThresholdKNNShapley"),
        ({"validation": "points"}, InputError, "validation must be"),
        ({"validation": judges(width=4)}, DataError, "the files have 3 features"),
        ({"insecure_seed": 1}, LedgerError, "seeded noise"),
        ({"spend": None}, LedgerError, "without noise"),
        ({"unit": dw.Owner(2)}, LedgerError, "keeps account"),
        ({"request_key": ""}, MethodError, "request_key"),
        ({"memory": "much"}, InputError, "memory must be a size"),
        ({"memory": "1MiB", "part_rows": None}, InputError, "too little"),
        ({"part_rows": 0}, InputError, "part_rows must be"),
        ({"classes": [0]}, InputError, "not among the classes"),
    ]
    for change, error, message in cases:
        with pytest.raises(error, match=message):
            release(source, tmp_path / "out", ledger=ledger, **change)
    with pytest.raises(InputError, match="Source of files"):
        release_source(rows, judges(), out=tmp_path / "out", ledger=ledger, **ASK)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="label"):
        release(unlabelled, tmp_path / "out", ledger=ledger)
    nobody = Source.open(rows, label="y", id="id", features=["x0", "x1", "x2"], allow_missing=True)
    with without_accountant(), pytest.raises(InputError, match="no owners"):
        release(nobody, tmp_path / "out", ledger=None, insecure_seed=1, unit=dw.Owner(2))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for name, message in {
        "mine": "holds other files",
        "no/where": "does not exist",
        "mine/notes.txt": "is a file",
    }.items():
        with pytest.raises(InputError, match=message):
            release(source, tmp_path / name, ledger=ledger)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]
    assert spent(path)[2] == 0


def set_cell(name: str, at: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        cells = table[name].to_pylist()
        cells[at] = value
        return table.set_column(table.column_names.index(name), name, pa.array(cells))

    return change


BAD: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "no label": (set_cell("y", 3, None), "'y'"),
    "no owner": (set_cell("who", 3, None), "'who'"),
    "no id": (set_cell("id", 3, None), "'id'"),
    "same id": (set_cell("id", 3, "row-00007"), "ids must be unique"),
    "a name of nothing": (set_cell("who", 3, " "), "1 owner name is empty"),
    "an id of lines": (set_cell("id", 3, "secret\nline"), "1 row id is empty"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_with_rows_is_told_before_anything_is_spent(
    tmp_path: Path, held: tuple[dw.Ledger, Path], what: str
) -> None:
    """To the operator, by file and number, never by a row; and the folder is free when the files are right."""
    ledger, path = held
    change, message = BAD[what]
    files = write_files(tmp_path / "rows", change(owned_rows(40)), [20, 20], 8)
    with pytest.raises(DataError, match=message) as told:
        release(files, tmp_path / "out", ledger=ledger)
    assert not any(word in str(told.value) for word in ("secret", "row-0", "owner 3"))
    assert not (tmp_path / "out").exists()
    assert spent(path)[2] == 0


def test_rows_without_features_or_direction_neither_fail_nor_warn(tmp_path: Path) -> None:
    """Nor labels that are no class, or of another kind, nor a set of nothing else."""
    x = np.full((9, 3), np.nan, dtype=np.float32)
    x[4:] = 0.0
    with without_accountant(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, y in enumerate((np.arange(9), np.arange(9) + 0.5, [f"label {at}" for at in range(9)])):
            files = write_files(tmp_path / str(number), table_of(x, y), [4, 5], 2)
            source = Source.open(files, label="y", allow_missing=True)
            noisy = [np.ones((20, 2), dtype=int), [5]]
            source_of_noise = Scripted(noisy)
            with mock.patch("dataworth.valuation.release_request.random_source", lambda _, s=source_of_noise: s):
                stored = release(
                    source, tmp_path / f"out{number}", ledger=None, insecure_seed=1, part_rows=2, expected_rows=None
                )
            assert [seen.tolist() for seen in source_of_noise.seen] == [[[0, 0]] * 20, [9]]  # they are there
            for place in range(9):
                told = stored.for_owner(place)
                assert told.values.tolist() == told.vote.tolist() == [0.0]
                assert "no links" in told.reasons[0]


def test_a_weak_delta_is_told_to_the_operator(rows: Path, tmp_path: Path) -> None:
    with without_accountant():
        for delta, weak in (("0.01", True), ("0.008", False)):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                release(rows, tmp_path / delta, ledger=None, insecure_seed=1, spend=dw.Budget("0.5", delta))
            assert [warning.category for warning in told] == [WeakDelta] * weak
            assert all("120" not in str(warning.message) for warning in told)


def test_files_that_change_while_a_run_lasts(tmp_path: Path, held: tuple[dw.Ledger, Path]) -> None:
    """Before the charge nothing is spent."""
    ledger, path = held
    rows = write_owned(tmp_path / "rows")
    source = Source.open(rows, **COLUMNS)

    class Changing(Local):
        def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
            yield from super().run(job, shared, tasks, tick=tick)
            os.utime(rows / "000.parquet")

    with pytest.raises(DataError, match=r"000\.parquet' has changed since the run began"):
        release(source, tmp_path / "out", ledger=ledger, engine=Changing(1))
    assert spent(path)[2] == 0


def test_files_that_change_after_the_charge(tmp_path: Path, held: tuple[dw.Ledger, Path]) -> None:
    """Values of other rows than those that were counted are never finished."""
    ledger, path = held
    rows = write_owned(tmp_path / "rows")
    source = Source.open(rows, **COLUMNS)

    class Changing(Local):
        def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
            yield from super().run(job, shared, tasks, tick=tick)
            if spent(path)[2]:
                os.utime(rows / "000.parquet")

    with pytest.raises(DataError, match=r"000\.parquet' has changed since the run began"):
        release(source, tmp_path / "out", ledger=ledger, engine=Changing(1))
    assert spent(path)[2] == 1
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_key_that_was_charged_for_other_files_meanwhile(
    rows: Path, tmp_path: Path, held: tuple[dw.Ledger, Path]
) -> None:
    """No value of these files comes of the noise on the counts of those."""
    ledger, path = held
    others, inner = write_owned(tmp_path / "others", seed=5), release_parts._Run.draw

    def draw(self: Any, counted: Any, request: Any) -> Any:
        with mock.patch.object(release_parts._Run, "draw", inner):
            release(others, tmp_path / "one", ledger=ledger, request_key="k")
        return inner(self, counted, request)

    with (
        mock.patch.object(release_parts._Run, "draw", draw),
        pytest.raises(LedgerError, match="files are not those that release 1 was counted from"),
    ):
        release(rows, tmp_path / "two", ledger=ledger, request_key="k")
    assert spent(path)[2] == 1
    assert not list((tmp_path / "two" / "rows").iterdir())


def test_parts_are_cut_to_the_memory(tmp_path: Path) -> None:
    rows = write_files(tmp_path / "rows", owned_rows(4000), [4000], 100)
    job = PartJob.of(Source.open(rows, **COLUMNS), judges(), "cosine", None, "float32")
    with without_accountant():
        plan = dw.plan_release(judges(), method=METHOD, spend=SPEND, mechanism=ASK["mechanism"], expected_rows=100)
        need = release_parts._need(job, plan)
        release(
            rows, tmp_path / "out", ledger=None, insecure_seed=1, part_rows=None, engine=Local(2),
            memory=part_memory.PROGRAM + need.once + 2 * (job.source.reading_bytes + need.worker + 350 * need.row),
        )  # fmt: skip
    files = sorted((tmp_path / "out" / "rows").glob("part-*"))
    assert [pq.read_metadata(file).num_rows for file in files] == [300] * 13 + [100]


def test_an_owner_whose_rows_do_not_fit_is_told(tmp_path: Path) -> None:
    """Where row groups do."""
    table = owned_rows(400, owners=1)
    rows = write_files(tmp_path / "rows", table, [400], 50)
    asked: dict[str, Any] = {"memory": part_memory.PROGRAM + 50_000, "unit": dw.Owner(3)}
    groups_fit = mock.patch.object(release_parts, "rows_that_fit", return_value=50)
    with without_accountant(), groups_fit, pytest.raises(InputError, match="the rows of one owner take about"):
        release(rows, tmp_path / "out", ledger=None, insecure_seed=1, **asked)


def test_another_size_of_parts_is_refused_amid_a_run(rows: Path, tmp_path: Path) -> None:
    with without_accountant():
        more = {"ledger": None, "insecure_seed": 3}
        with pytest.raises(KeyboardInterrupt):
            release(rows, tmp_path / "out", engine=Stopped(Local(1), 5), **more)
        with pytest.raises(InputError, match="parts of 16 rows, not 17"):
            release(rows, tmp_path / "out", part_rows=17, **more)
        for change in ({"method": dw.ThresholdKNNShapley(radius=0.7)}, {"data_version": "2"}, {"insecure_seed": 4}):
            with pytest.raises(InputError, match="other rows or of another request"):
                release(rows, tmp_path / "out", **{**more, **change})
        with new_ledger(population="none") as (ledger, _), pytest.raises(InputError, match="of another request"):
            release(rows, tmp_path / "out", ledger=ledger)
        release(rows, tmp_path / "out", part_rows=None, **more)
    assert len(list((tmp_path / "out" / "rows").glob("part-*"))) == 9


def test_the_public_files_are_read_as_those_of_any_release(rows: Path, tmp_path: Path) -> None:
    with without_accountant():
        stored = release(rows, tmp_path / "out", ledger=None, insecure_seed=3)
    read = dw.Release.from_folder(tmp_path / "out")
    assert read.manifest() == stored.head.manifest() == json.loads((tmp_path / "out" / "manifest.json").read_text())
    with pytest.raises(MethodError, match="hold nobody's values"):
        read.for_owner("owner 1")
    assert METHOD.radius == 0.8
