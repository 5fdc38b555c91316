"""``dataworth reproduce``: which experiments there are, and where their tables go."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataworth as dw
from dataworth.papers import gmvaluator, private, tknn
from tests.cli.conftest import Run

TABLE = dw.Table("numbers", "Some numbers", {"set": ["here"], "ours": [0.51234], "published": [0.5]})
PICTURE = dw.Exhibit(
    "curve", "curve", dw.Table("steps", "Some steps", {"x": [0, 1], "y": [0, 1]}), "x", "y", alt="A line."
)

VALUES = dw.Values(["a", "b"], [0.25, -0.05], method="by hand", n_validation=4)


@dataclass
class Stub:
    """An experiment that remembers what it was asked."""

    name: str = "small"
    title: str = "A small experiment"
    asked: dict[str, Any] = field(default_factory=dict)

    def run(self, data: Path, **options: Any) -> list[dw.Table | dw.Exhibit | dw.Values]:
        self.asked = {"data": data, **options}
        return [TABLE, PICTURE, VALUES]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    experiment = Stub()
    monkeypatch.setattr(tknn, "EXPERIMENTS", {"small": experiment})
    return experiment


def test_without_a_name_they_are_listed(run: Run) -> None:
    done = run("reproduce")
    assert (done.code, done.err) == (0, "")
    assert not tknn.EXPERIMENTS.keys() & private.EXPERIMENTS.keys()
    for name, experiment in (tknn.EXPERIMENTS | private.EXPERIMENTS | gmvaluator.EXPERIMENTS).items():
        assert name in done.out
        assert experiment.title in done.out


@pytest.mark.parametrize("protocol", ["leak-free", "shifted"])
def test_the_experiment_is_asked_what_was_asked(run: Run, stub: Stub, tmp_path: Path, protocol: str) -> None:
    options = ["--protocol", protocol, "--seeds", 3, "--datasets", "wind,pol", "--fetch", "--work", tmp_path / "work"]
    assert run("reproduce", "small", "--data", tmp_path, *options).code == 0
    wanted = {"data": tmp_path, "protocol": protocol, "seeds": 3, "datasets": ["wind", "pol"], "fetch": True}
    wanted["work"] = tmp_path / "work"
    assert stub.asked == wanted


def test_the_published_protocol_is_the_default(run: Run, stub: Stub, tmp_path: Path) -> None:
    assert run("reproduce", "small", "--data", tmp_path).code == 0
    wanted = {"data": tmp_path, "protocol": "published", "seeds": None, "datasets": None, "fetch": False, "work": None}
    assert stub.asked == wanted


def test_tables_are_printed_and_written(run: Run, stub: Stub, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    done = run("reproduce", "small", "--data", tmp_path, "--out", out)
    assert done.code == 0
    assert TABLE.to_text() in done.out
    assert "picture: Some steps" in done.out
    assert (out / "numbers.csv").read_text(encoding="utf-8") == TABLE.to_csv()
    assert (out / "steps.csv").read_text(encoding="utf-8") == PICTURE.table.to_csv()
    assert "Some numbers" in (out / "report.html").read_text(encoding="utf-8")
    assert {file.name for file in out.iterdir()} == {
        "numbers.csv", "steps.csv", "small-values-1.parquet", "report.html",
    }  # fmt: skip
    assert dw.Values.load(out / "small-values-1.parquet").lowest(1).rows() == [("b", -0.05)]
    assert "2 rows by by hand" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["large", "--data", "."], ["'large'", "small"]),
        (["small"], ["--data"]),
        (["small", "--data", "nowhere"], ["--data", "'nowhere'"]),
    ],
)
def test_what_is_refused(run: Run, stub: Stub, arguments: list[str], words: list[str]) -> None:
    done = run("reproduce", *arguments)
    assert done.code == 2
    assert stub.asked == {}
    for word in words:
        assert word in done.err


def test_a_folder_that_cannot_be_made(run: Run, stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("reproduce", "small", "--data", tmp_path, "--out", tmp_path / "file" / "out")
    assert done.code == 2
    assert "cannot be created" in done.err
    assert stub.asked == {}


def test_a_real_experiment_runs(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 4))
    folder = tmp_path / "data" / "2dplanes"
    folder.mkdir(parents=True)
    columns = {f"f{j}": x[:, j] for j in range(4)}
    pq.write_table(pa.table({**columns, "label": (x[:, 0] > 0).astype(int)}), folder / "2dplanes.parquet")
    done = run("reproduce", "tknn-table3", "--data", tmp_path / "data", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    header, row = (tmp_path / "out" / "tknn-table3.csv").read_text(encoding="utf-8").splitlines()
    found = dict(zip(header.split(","), row.split(","), strict=True))
    assert found["data set"] == "2dplanes"
    assert float(found["TKNN"]) > 0.8
