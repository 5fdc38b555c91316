"""``dataworth points --epsilon`` over folders of tables: charged once, told to the operator and to each owner alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataworth as dw
from dataworth.privacy.ledger import Ledger
from dataworth.records.stored_release import StoredRelease
from dataworth.valuation import release_parts
from tests.cli.conftest import Run
from tests.cli.test_private import answers, spent

pytest.importorskip("opendp")
pytest.importorskip("dp_accounting")
pytest.importorskip("sqlalchemy")


def table(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    x = rng.normal(size=(rows, 2)) + y[:, np.newaxis]
    names = [f"row-{seed}-{at}" for at in range(rows)]
    whose = [f"owner-{at % 3}" for at in range(rows)]
    return pa.table({"a": x[:, 0], "b": x[:, 1], "y": y, "name": names, "who": whose})


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    dw.Ledger.create(path, budget=dw.Budget("2.5", "3e-4"), unit=dw.Row(), population="patients")
    return path


@pytest.fixture
def release(run: Run, ledger: Path, tmp_path: Path) -> Any:
    (tmp_path / "rows").mkdir()
    for at in range(3):
        pq.write_table(table(20, at), tmp_path / "rows" / f"{at}.parquet", row_group_size=10)
    pq.write_table(table(30, 9).select(["a", "b", "y"]), tmp_path / "judges.parquet")

    def call(*more: Any, out: str = "release") -> Any:
        named = ["--label", "y", "--features", "a,b", "--id", "name", "--owner", "who", "--method", "threshold"]
        cheap = ["--radius", 0.3, "--links", 5, "--expected-rows", 60]
        charged = ["--epsilon", 1, "--delta", "1e-4", "--ledger", ledger, "--out", tmp_path / out]
        given = [tmp_path / "rows", "--validation", tmp_path / "judges.parquet", *named, *cheap, *charged, *more]
        return run("points", *map(str, given))

    return call


def test_a_folder_is_released_and_delivered(release: Any, run: Run, ledger: Path, tmp_path: Path) -> None:
    page = tmp_path / "operator.html"
    done = release("--report", page)
    assert (done.code, done.err) == (0, "")
    assert "release 1, charged to the ledger of 'patients'" in done.out
    assert "60" not in done.out.replace(str(tmp_path), "")  # how many rows there are
    assert page.exists()
    stored = StoredRelease.open(tmp_path / "release")
    assert spent(ledger) == 1
    given = run("deliver", str(tmp_path / "release"), "--out", str(tmp_path / "answers"))
    assert (given.code, given.err) == (0, "")
    assert answers(tmp_path / "answers") == sorted(stored.for_owner(f"owner-{at}").to_json() for at in range(3))
    assert spent(ledger) == 1


def test_a_stopped_release_goes_on_by_the_same_command_and_is_charged_once(
    release: Any, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(release_parts, "_add", stop)
        done = release()
    assert (done.code, done.out) == (130, "")
    assert "the same command goes on with it, and spends nothing more" in done.err
    assert spent(ledger) == 1
    assert release().code == 0
    assert spent(ledger) == 1


def test_a_key_makes_a_lost_folder_again_for_nothing(release: Any, run: Run, ledger: Path, tmp_path: Path) -> None:
    assert release("--request-key", "june").code == 0
    first = {path.name: path.read_bytes() for path in sorted((tmp_path / "release").rglob("*")) if path.is_file()}
    shutil.rmtree(tmp_path / "release")
    told = run("deliver", str(ledger), "1", "--out", str(tmp_path / "answers"))
    assert told.code == 2
    assert "values are in its folder" in told.err
    assert "--request-key makes it again" in told.err
    done = release("--request-key", "june", "--json")
    assert json.loads(done.out)["release"] == 1
    again = {path.name: path.read_bytes() for path in sorted((tmp_path / "release").rglob("*")) if path.is_file()}
    assert again == first
    assert len(Ledger.open(ledger).history()) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--keep-links"], "--keep-links is about exact values"),
        (["--update", "elsewhere"], "--update is about exact values"),
        (["--links", 5, "--mechanism", "subsampled"], "--links caps the links of rows"),
        (["--where", "ages > 3"], "has no column 'ages'"),
        (["--engine", "spark"], "--engine must be local, dask or the address"),
        (["--bad", "y"], "--bad cannot be had"),
    ],
)
def test_what_does_not_go_together_is_refused_and_nothing_spent(
    release: Any, ledger: Path, tmp_path: Path, more: list[Any], said: str
) -> None:
    done = release(*more)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert spent(ledger) == 0
    assert not (tmp_path / "release").exists()


def test_folders_and_ledgers_are_delivered_each_in_its_way(
    release: Any, run: Run, ledger: Path, tmp_path: Path
) -> None:
    assert release().code == 0
    for given, said in [
        ((tmp_path / "release", "1"), "a number is for the releases of a ledger"),
        ((ledger,), "say which release of the ledger"),
        ((tmp_path / "rows",), "holds no release"),
    ]:
        done = run("deliver", *map(str, given), "--out", str(tmp_path / "answers"))
        assert done.code == 2, done.err
        assert said in done.err
