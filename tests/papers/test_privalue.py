"""PriValue's experiment: federations, both games, and tables, on small made-up sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.papers.experiment import Experiment
from dataworth.papers.privalue import EXPERIMENTS, federations
from dataworth.papers.privalue.experiments import PUBLISHED, TABLES, WAYS, Plan, run_plan
from dataworth.papers.privalue.federations import Pools, deal, most_noise, open_pools
from dataworth.papers.privalue.simulated import FIDELITY_SHARE, Outcome, simulate
from dataworth.privacy.kinds import DeclaredRelease, Event
from dataworth.privacy.mechanisms import Source
from dataworth.records import Budget, Points, Relation, Table, Unit
from dataworth.synthesis.protocol import Synthetic
from dataworth.valuation.calibration import Calibration
from dataworth.valuation.games import RidgeAccuracy

pytest.importorskip("opendp")
pytest.importorskip("dp_accounting")


@dataclass
class Mirror:
    """No synthesizer at all: hands out the private rows. What follows from it must be the real game."""

    calls: int = 0

    def events(self, spend: Budget, *, unit: Unit, relation: Relation) -> tuple[Event, ...]:
        return (DeclaredRelease(spend.epsilon, spend.delta),)

    def synthesize(
        self,
        x: NDArray[Any],
        codes: NDArray[np.int64],
        n_classes: int,
        *,
        events: Sequence[Event],
        source: Source,
        seed: int = 0,
        folder: Path | None = None,
        progress: bool | None = None,
    ) -> Synthetic:
        self.calls += 1
        return Synthetic(np.asarray(x, dtype=np.float32), codes)

    def describe(self) -> str:
        return "a mirror"


def cloud(n: int, seed: int, classes: int = 3) -> Points:
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    return Points((rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[y]).astype(np.float32), y)


def pools(n: int = 600) -> Pools:
    def as_is(x: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(x, dtype=np.float32)

    return Pools("clouds", cloud(n, 0), cloud(200, 1), cloud(200, 2), as_is, None, "as given")


def table_folder(folder: Path, n: int = 1_500) -> Path:
    points = cloud(n, 3, classes=2)
    columns = {f"f{j}": pa.array(points.x[:, j]) for j in range(4)} | {"label": pa.array(points.y.astype(np.int8))}
    (folder / "pol").mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "pol" / "pol.parquet")
    return folder


def test_an_uneven_federation_has_the_sizes_and_false_labels_it_says() -> None:
    one = pools()
    dealt = deal(one, "uneven", 5, seed=1)
    assert sorted(len(player) for player in dealt.players) == [48, 84, 120, 156, 192]
    truth = {row.tobytes(): label for row, label in zip(one.private.x, one.private.y, strict=True)}
    false = sorted(
        float(np.mean([truth[row.tobytes()] != label for row, label in zip(player.x, player.y, strict=True)]))
        for player in dealt.players
    )
    assert np.allclose(false, np.linspace(0, 4 / 9, 5), atol=0.011)
    assert most_noise(one) == pytest.approx(4 / 9)


@pytest.mark.parametrize("split", federations.SPLITS)
def test_no_row_is_dealt_twice(split: federations.Split) -> None:
    dealt = deal(pools(), split, 4, seed=0, rows=500)
    rows = [row.tobytes() for player in dealt.players for row in player.x]
    assert len(rows) == len(set(rows)) <= 500
    assert len(rows) == 500 or split == "uneven"


def test_more_rows_than_there_are_cannot_be_dealt() -> None:
    with pytest.raises(DataError, match="700 rows are to be dealt out, but clouds has 600"):
        deal(pools(), "iid", 3, seed=0, rows=700)


def test_copies_that_are_the_rows_themselves_give_the_real_values(tmp_path: Path) -> None:
    outcome = simulate(
        deal(pools(), "uneven", 4, seed=0), Mirror(), Budget(4, "1e-5"),
        {"union": Calibration(), "alone": Calibration(1, 0, 0)}, RidgeAccuracy(), folder=tmp_path, progress=False,
    )  # fmt: skip
    assert outcome.copied_accuracy == outcome.real_accuracy
    assert outcome.ways["none"].values == outcome.real
    assert outcome.ways["none"].relative == 0
    assert outcome.ways["none"].spearman == pytest.approx(1)
    assert outcome.ways["alone"].relative < 1e-12
    assert outcome.ways["union"].relative > 0.01, "the mix moves values even where copies are perfect"
    assert outcome.ways["uniform"].spearman is None


def test_a_finished_federation_is_not_made_again(tmp_path: Path) -> None:
    mirror = Mirror()
    federation = deal(pools(), "iid", 3, seed=0)

    def run(epsilon: int) -> Outcome:
        return simulate(
            federation, mirror, Budget(epsilon, "1e-5"), {"union": Calibration()}, RidgeAccuracy(), folder=tmp_path,
            progress=False,
        )  # fmt: skip

    first = run(4)
    assert mirror.calls == 3
    assert run(4) == first
    assert mirror.calls == 3
    run(1)
    assert mirror.calls == 6, "another budget is another federation"


def test_the_table_has_every_way_and_every_split(tmp_path: Path) -> None:
    data = table_folder(tmp_path / "data")
    small = Experiment("small", "A small one", run_plan(Plan(TABLES, ("iid", "uneven"), ("4",))))
    table, *pictures = small.run(data, seeds=1, datasets=["pol"], work=tmp_path / "work", progress=False)
    assert isinstance(table, Table)
    assert len(table) == 2 * len(WAYS)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows()]
    assert {row["calibration"] for row in rows} == set(WAYS.values())
    assert all(row["Spearman"] is None for row in rows if row["calibration"] == "uniform split")
    assert all(row["published error"] is None for row in rows), "nothing is published of tables"
    assert len(pictures) == 1
    again = small.run(data, seeds=1, work=tmp_path / "work", progress=False)
    assert isinstance(again[0], Table)
    assert again[0].rows() == table.rows(), "resumed from what is kept"


def test_what_cannot_be_run_is_refused(tmp_path: Path) -> None:
    data = table_folder(tmp_path / "data")
    run = EXPERIMENTS["privalue-table"].run
    with pytest.raises(InputError, match="has no data set mnist; it has pol"):
        run(data, datasets=["mnist"])
    with pytest.raises(InputError, match="one protocol only"):
        run(data, protocol="shifted")
    with pytest.raises(DataError, match="pol is not in the data folder"):
        run(tmp_path, datasets=["pol"])
    with pytest.raises(DataError, match="none of the data sets"):
        run(tmp_path)


def test_images_are_cut_into_private_public_and_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(federations, "PUBLIC_IMAGES", 60)
    rng = np.random.default_rng(0)
    (tmp_path / "mnist").mkdir()
    images = rng.integers(0, 256, (200, 8, 8), dtype=np.uint8)
    for part, x in (("train", images), ("test", images[:40])):
        np.savez(tmp_path / "mnist" / f"mnist_{part}.npz", x=x, y=np.arange(len(x)) % 10)
    flat = open_pools("mnist", tmp_path, pixels=True)
    assert (len(flat.private), len(flat.public), len(flat.test)) == (140, 60, 40)
    assert np.array_equal(flat.public.x, images[140:].reshape(60, -1))
    vectors = open_pools("mnist", tmp_path)
    assert vectors.image_shape is None
    assert np.allclose(flat.seen(flat.private).x, vectors.private.x, atol=1e-5)
    assert vectors.public.x.std(axis=0).mean() == pytest.approx(1, rel=1e-3)


def test_published_figures_are_those_of_the_repository() -> None:
    assert PUBLISHED == {"evolution": (0.326, 0.067, 0.95), "privimage": (0.387, 0.142, 1.0)}
    assert Decimal(4) * FIDELITY_SHARE == Decimal("0.25")
