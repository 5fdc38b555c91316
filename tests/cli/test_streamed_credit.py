"""``dataworth generated`` over folders of tables."""

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


def table(rows: int, first: int, seed: int) -> pa.Table:
    vectors = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    names = [f"item {at}" for at in range(first, first + rows)]
    return pa.table({"name": names, "who": [f"owner {at % 3}" for at in range(rows)], "vector": list(vectors)})


@pytest.fixture
def credit(run: Run, tmp_path: Path) -> Any:
    (tmp_path / "train").mkdir()
    for at in range(3):
        pq.write_table(table(40, 40 * at, at), tmp_path / "train" / f"{at}.parquet", row_group_size=20)
    pq.write_table(table(10, 0, 9).select(["vector"]), tmp_path / "made.parquet")

    def call(*more: object, train: object = tmp_path / "train", out: object = tmp_path / "credit") -> Any:
        where = () if out is None else ("--out", out)
        given = [tmp_path / "made.parquet", "--train", train, "--id", "name", "--owner", "who", "--k", 3]
        return run("generated", *map(str, [*given, *more, *where]))

    return call


def test_items_in_a_folder_get_the_same_bits(credit: Any, tmp_path: Path) -> None:
    done = credit()
    assert done.code == 0
    assert "120 training items by SimilarityMatch(k=3" in done.out
    whole = pa.concat_tables([pq.read_table(file) for file in sorted((tmp_path / "train").iterdir())])
    train = dw.Items(np.stack(whole["vector"].to_numpy()), ids=whole["name"].to_pylist())
    values = dw.value_generated(tmp_path / "made.parquet", train, method=dw.SimilarityMatch(k=3))
    stored = dw.StoredValues.open(tmp_path / "credit")
    np.testing.assert_array_equal(stored.load().values, values.values)
    assert values.attributions is not None
    found = stored.attributions()
    assert found.ids[found.at].tolist() == values.ids[values.attributions.at].tolist()


def test_a_pattern_a_filter_a_cluster_and_json(credit: Any, tmp_path: Path) -> None:
    done = credit("--where", "who != 'owner 0'", "--engine", "dask", "--threads", 1, "--json",
                  train=tmp_path / "train" / "[12].parquet")  # fmt: skip
    assert done.code == 0
    told = json.loads(done.out)
    assert (told["train_items"], told["generated_items"]) == (52, 10)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--report", "page.html"], "--report cannot be had of training items that are matched part by part"),
        (["--recall", "hnsw"], "--recall cannot be had of training items that are matched part by part"),
        (["--rerank", "pixels"], "--rerank cannot be had of training items that are matched part by part"),
        (["--engine", "spark"], "--engine must be local, dask or the address"),
        (["--memory", "much"], "memory must be a size"),
        (["--column", "nothing"], "no column 'nothing' (--column); it has"),
        (["--column", "name"], "or leave it out with --column COLUMN"),
        (["--column", "vector", "--k", "500"], "--k 500 training items share in each generated item, but there are"),
        (["--column", "vector", "--quality", "entropy"], "give images, or leave --quality out"),
    ],
)
def test_what_does_not_go_together_is_refused(credit: Any, more: list[str], said: str) -> None:
    done = credit(*more)
    assert done.code == 2
    assert said in done.err


def test_values_of_a_folder_need_a_folder(credit: Any, tmp_path: Path) -> None:
    for out in (None, tmp_path / "credit.parquet"):
        done = credit(out=out)
        assert done.code == 2
        assert "give --out FOLDER" in done.err


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nowhere", "there is no file or folder"),
        ("empty", "has no table"),
        ("texts", "has no table"),
    ],
)
def test_what_is_not_there_is_told_before_where_values_go(credit: Any, tmp_path: Path, named: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "rows.csv").write_text("a,b\n1,2\n")
    done = credit(train=tmp_path / named)
    assert done.code == 2
    assert said in done.err
    assert "--out" not in done.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--column", "nothing"], "no column 'nothing' (--column); it has"),
        (["--column", "vector", "--rerank", "pixels"], "--rerank pixels looks at images, but train holds vectors"),
        (["--column", "vector", "--quality", "entropy"], "give images, or leave --quality out"),
    ],
)
def test_items_in_memory_are_refused_in_options_too(credit: Any, tmp_path: Path, more: list[str], said: str) -> None:
    done = credit(*more, train=tmp_path / "train" / "0.parquet", out=tmp_path / "credit.parquet")
    assert done.code == 2
    assert said in done.err
    assert "=" not in done.err
