"""``dataworth points`` over folders of tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataworth as dw
from tests.cli.conftest import Run

RADIUS = ("--method", "threshold", "--radius", 0.8)


def write(path: Path, seed: int, rows: int) -> Path:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    x = rng.normal(size=(rows, 3)) + y[:, np.newaxis]
    pq.write_table(pa.table({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "age": rng.integers(0, 90, rows), "y": y}), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train = tmp_path / "train"
    train.mkdir()
    for number in range(3):
        write(train / f"{number}.parquet", number, 50)
    write(tmp_path / "judges.parquet", 9, 20)
    return tmp_path


@pytest.fixture
def stream(run: Run, folder: Path) -> Any:
    def call(*more: object, train: object = None, out: object = "values") -> Any:
        where = () if out is None else ("--out", folder / str(out))
        given = [train or folder / "train", "--validation", folder / "judges.parquet", "--label", "y", *more, *where]
        return run("points", *map(str, given))

    return call


def in_memory(folder: Path, keep: Any = slice(None)) -> dw.Values:
    files = sorted((folder / "train").iterdir())
    table = pa.concat_tables([pq.read_table(file) for file in files])
    x = np.column_stack([table[name].to_numpy() for name in ("a", "b", "c", "age")])
    judges = dw.read_points(folder / "judges.parquet", label="y")
    train = dw.Points(x[keep], table["y"].to_numpy()[keep])
    return dw.value_points(train, judges, method=dw.ThresholdKNNShapley(radius=0.8))


def test_a_folder_is_valued_part_by_part_with_the_same_bits(stream: Any, folder: Path) -> None:
    done = stream(*RADIUS)
    assert done.code == 0
    assert "150 rows by ThresholdKNNShapley(radius=0.8" in done.out
    found = dw.StoredValues.open(folder / "values").load()
    np.testing.assert_array_equal(found.values, in_memory(folder).values)
    assert found.ids.tolist() == list(range(150))


def test_a_pattern_a_filter_and_json(stream: Any, folder: Path) -> None:
    done = stream(
        *RADIUS, "--where", "age >= 30", "--memory", "3GiB", "--json", train=folder / "train" / "[0-2].parquet"
    )
    assert done.code == 0
    told = json.loads(done.out)
    ages = np.concatenate([pq.read_table(file)["age"].to_numpy() for file in sorted((folder / "train").iterdir())])
    assert told["rows"] == int((ages >= 30).sum())
    found = dw.StoredValues.open(folder / "values").load()
    assert found.ids.tolist() == np.flatnonzero(ages >= 30).tolist()
    np.testing.assert_array_equal(found.values, in_memory(folder, ages >= 30).values)


def test_one_file_streams_when_memory_is_given_and_a_radius_is_suggested(stream: Any, folder: Path) -> None:
    done = stream("--method", "vote", "--memory", "2GiB", train=folder / "train" / "0.parquet")
    assert done.code == 0
    assert "suggested by the validation set" in done.out
    assert "values written to" in done.out


def test_a_cluster_gives_the_same_bits(stream: Any, folder: Path) -> None:
    pytest.importorskip("distributed")
    assert stream(*RADIUS).code == 0
    done = stream(*RADIUS, "--engine", "dask", "--threads", 2, out="others")
    assert done.code == 0
    ours, theirs = (dw.StoredValues.open(folder / name).digest() for name in ("values", "others"))
    assert ours == theirs


@pytest.mark.parametrize(
    ("more", "out", "said"),
    [
        (["--method", "weighted"], "values", "threshold, vote and knn do"),
        ([*RADIUS, "--report", "page.html"], "values", "--report cannot be had"),
        ([*RADIUS, "--bad", "age"], "values", "--bad cannot be had"),
        ([*RADIUS], None, "give --out FOLDER"),
        ([*RADIUS], "values.parquet", "give --out FOLDER"),
        ([*RADIUS, "--engine", "spark"], "values", "local, dask or the address of a scheduler"),
        ([*RADIUS, "--memory", "lots"], "values", "a size such as 2GiB"),
        ([*RADIUS, "--memory", "10MB"], "values", "is too little"),
        ([*RADIUS, "--where", "ages > 3"], "values", "has no column 'ages'"),
    ],
)
def test_what_does_not_go_together_is_refused(stream: Any, more: list[str], out: str | None, said: str) -> None:
    done = stream(*more, out=out)
    assert done.code == 2
    assert said in done.err


def test_files_come_and_go_by_an_update(stream: Any, folder: Path) -> None:
    assert stream(*RADIUS, "--keep-links").code == 0
    (folder / "train" / "1.parquet").unlink()
    write(folder / "train" / "7.parquet", 7, 40)
    done = stream(*RADIUS, "--update", folder / "values", out="later")
    assert done.code == 0
    assert "links of 2 files taken over, of 1 found anew; 1 files no longer count" in done.out
    np.testing.assert_array_equal(dw.StoredValues.open(folder / "later").load().values, in_memory(folder).values)


def test_an_update_without_links_says_what_would_do(stream: Any, folder: Path) -> None:
    assert stream(*RADIUS).code == 0
    done = stream(*RADIUS, "--update", folder / "values", out="later")
    assert done.code == 2
    assert "no links to go on from; value the rows with --keep-links" in done.err


def test_knn_is_valued_within_the_error_that_is_asked(stream: Any, folder: Path) -> None:
    done = stream("--method", "knn", "--k", 3, "--error", 0.02, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    table = pa.concat_tables([pq.read_table(file) for file in sorted((folder / "train").iterdir())])
    x = np.column_stack([table[name].to_numpy() for name in ("a", "b", "c", "age")])
    judges = dw.read_points(folder / "judges.parquet", label="y")
    exact = dw.value_points(dw.Points(x, table["y"].to_numpy()), judges, method=dw.KNNShapley(k=3)).values
    off = np.abs(dw.StoredValues.open(folder / "values").load().values - exact).max()
    assert 0 < off <= told["error_bound"] <= 0.02


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--method", "knn", "--error", 0], "--error must be a number above 0"),
        ([*RADIUS, "--error", 0.1], "is worked out without error; leave error out"),
        (["--method", "knn", "--keep-links"], "KNNShapley has no links"),
    ],
)
def test_errors_that_cannot_be_are_refused(stream: Any, more: list[str], said: str) -> None:
    done = stream(*more)
    assert done.code == 2
    assert said in done.err


def test_an_error_is_for_rows_in_parts_only(stream: Any, folder: Path) -> None:
    done = stream("--method", "knn", "--error", 0.1, train=folder / "judges.parquet", out="values.parquet")
    assert done.code == 2
    assert "in memory values are exact" in done.err


def test_finished_values_are_opened_again_and_said_to_be(stream: Any) -> None:
    assert "values written to" in stream(*RADIUS).out
    again = stream(*RADIUS)
    assert again.code == 0
    assert "by the same command as before" in again.out
    assert "values written to" not in again.out


def test_a_stop_says_that_the_same_command_goes_on(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dataworth.valuation.streaming._add", stop)
        done = stream(*RADIUS)
    assert (done.code, done.out) == (130, "")
    assert "the same command goes on with what is done" in done.err
    assert stream(*RADIUS).code == 0


def test_what_is_not_there_is_said_before_anything_about_out(stream: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "rows.csv").write_text("a,y\n1,2\n")
    for train, said in [("nope", "there is no file or folder"), ("empty", "has no table"), ("words", "has no table")]:
        done = stream(*RADIUS, train=tmp_path / train)
        assert done.code == 2
        assert said in done.err


def test_a_bound_is_rounded_upwards() -> None:
    from dataworth.cli.streaming import _upwards

    for bound in (0.00020173, 0.00010266, 0.1, 1e-12, 0.0, 1.0, 9.96):
        assert bound <= float(_upwards(bound)) <= bound * 1.1
