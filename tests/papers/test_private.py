"""The private tables run end to end on generated data, and their columns are what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dataworth.errors import InputError
from dataworth.papers import datasets, private, published
from dataworth.papers.experiment import Result
from dataworth.papers.private import EXPERIMENTS
from dataworth.records import Table
from dataworth.records.evidence import Cell
from dataworth.valuation.methods import CappedLinks, Subsampled

MECHANISMS = ("subsampled", "capped", "DP-KNN", "DP-KNN subsampled")


def tables(results: Sequence[Result]) -> tuple[Table, Table, Table]:
    found, agreement, cost = results
    assert isinstance(found, Table)
    assert isinstance(agreement, Table)
    assert isinstance(cost, Table)
    return found, agreement, cost


def column(of: Table, name: str) -> list[float]:
    return [float("nan") if cell is None else float(cell) for cell in of.columns[name]]


@pytest.fixture(scope="module")
def table2(data: Path) -> tuple[Table, Table, Table]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "EPSILONS", ("0.1", "1"))  # accounting takes most of the time
        return tables(EXPERIMENTS["tknn-table2"].run(data, datasets=["2dplanes"]))


def test_every_experiment_has_its_name_and_a_title() -> None:
    assert list(EXPERIMENTS) == ["tknn-table2", "tknn-table8", "private-mechanisms"]
    assert all(experiment.name == name and experiment.title for name, experiment in EXPERIMENTS.items())


def test_there_is_a_row_for_every_epsilon_beside_the_printed_number(table2: tuple[Table, Table, Table]) -> None:
    for table in table2:
        assert column(table, "epsilon") == [0.1, 1.0]
        assert table.columns["data set"] == ("2dplanes",) * 2
    found = table2[0]
    assert column(found, "DP-TKNN published") == [0.883, 0.913]
    assert column(found, "DP-KNN published") == [0.490, 0.504]
    assert column(found, "DP-KNN subsampled published") == [0.733, 0.821]
    for name in ("subsampled", "capped"):
        differences = np.array(column(found, name)) - column(found, "DP-TKNN published")
        np.testing.assert_allclose(column(found, f"{name} difference"), differences, atol=6e-5)


def test_bad_labels_on_generated_2dplanes_are_found_as_published(table2: tuple[Table, Table, Table]) -> None:
    found = table2[0]
    assert min(column(found, "subsampled difference")) > -0.03
    assert min(column(found, "capped difference")) > -0.03
    assert column(found, "DP-KNN") == pytest.approx([0.5] * 2, abs=0.05)
    assert column(found, "DP-KNN subsampled") == pytest.approx([0.733, 0.821], abs=0.05)
    assert column(found, "exact TKNN") == pytest.approx([0.912] * 2, abs=0.03)
    for name in ("vote", "proxy"):
        assert column(found, name) == pytest.approx([0.915] * 2, abs=0.04)
    for name in MECHANISMS:
        assert all(0 < deviation < 0.05 for deviation in column(found, f"{name} sd"))


def test_agreement_tells_private_counts_from_noise(table2: tuple[Table, Table, Table]) -> None:
    agreement = table2[1]
    assert min(column(agreement, "subsampled")) > 0.8
    assert min(column(agreement, "capped")) > 0.8
    assert column(agreement, "DP-KNN") == pytest.approx([0] * 2, abs=0.1)
    low, high = column(agreement, "DP-KNN subsampled")
    assert low < high < min(column(agreement, "capped"))


def test_costs_are_told_for_both_relations(table2: tuple[Table, Table, Table]) -> None:
    cost = table2[2]
    assert column(cost, "delta") == [1e-4] * 2
    for name in ("subsampled", "capped"):
        added, replaced = column(cost, f"{name} epsilon, added or removed"), column(cost, f"{name} epsilon, replaced")
        for epsilon, one, other in zip((0.1, 1.0), added, replaced, strict=True):
            assert 0.99 * epsilon < one <= epsilon < other < 2 * epsilon
        sigmas = column(cost, f"{name} sigma")
        assert sigmas == sorted(sigmas, reverse=True)
    assert all(int(str(links)) >= 1 for links in cost.columns["capped links"])
    for name in (*MECHANISMS, "exact TKNN", "exact KNN"):
        assert all(seconds > 0 for seconds in column(cost, f"{name} seconds"))
    ratios = np.array(column(cost, "DP-KNN subsampled seconds")) / column(cost, "DP-KNN seconds")
    assert f"{ratios.min():.0f} to {ratios.max():.0f} times" in cost.note


def test_the_notes_say_what_is_promised_and_what_is_not(table2: tuple[Table, Table, Table]) -> None:
    found = table2[0]
    for words in (
        "NOT PRIVATE",
        "added or removed",
        "covers the step after features",
        "5 draws of noise on one preparation",
        "Protocol published (seed 999)",
        "compare notes",
    ):
        assert words in found.note
    assert "at least 30 times" in table2[2].note


@pytest.fixture
def one_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "EPSILONS", ("1",))


@pytest.mark.usefixtures("one_epsilon")
def test_without_noise_sampling_or_cap_all_agree_with_the_exact_values(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "Budget", lambda *_: None)
    monkeypatch.setattr(private, "dp_knn_sigma", lambda *_: 0.0)
    monkeypatch.setattr(private, "RELEASES", {"subsampled": Subsampled(Fraction(1)), "capped": CappedLinks(200)})
    monkeypatch.setattr(private, "BASELINES", {"DP-KNN": Fraction(1), "DP-KNN subsampled": Fraction(1)})
    found, agreement, cost = tables(EXPERIMENTS["tknn-table2"].run(data, datasets=["2dplanes"], seeds=2))
    for name, game in zip(MECHANISMS, ("TKNN", "TKNN", "KNN", "KNN"), strict=True):
        assert column(agreement, name) == pytest.approx([1.0], abs=1e-12)
        assert column(found, name) == column(found, f"exact {game}")
    assert column(cost, "capped sigma") == [0.0]
    assert "one draw of noise on each of 2 preparations" in found.note


@pytest.mark.usefixtures("one_epsilon")
def test_shifted_is_run_on_tables_with_five_preparations(data: Path) -> None:
    found, agreement, _ = tables(EXPERIMENTS["tknn-table8"].run(data, protocol="shifted"))
    assert found.columns["data set"] == ("2dplanes", "fraud")
    assert found.columns["rows"] == ("2000 / 200", "2000 / 200")
    assert "capped difference" not in found.columns
    assert "Protocol shifted (seeds 0 to 4" in found.note
    assert "belong to the published preparation" in found.note
    assert "noise, where there is some, is added to the scaled features" in found.note
    assert all(-1 <= value <= 1 for value in column(agreement, "capped"))
    assert all(deviation > 0 for deviation in column(agreement, "capped sd"))
    # Where training rows are elsewhere, the validation set alone knows less about them.
    assert column(agreement, "proxy")[0] < 0.93
    with pytest.raises(InputError, match="no data set mnist"):
        EXPERIMENTS["tknn-table8"].run(data, protocol="shifted", datasets=["mnist"])


@pytest.mark.usefixtures("one_epsilon")
def test_images_have_their_own_delta_and_no_subsampled_dp_knn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    y = (np.arange(2000) % 10).astype(np.uint8)
    x = random.integers(0, 60, (2000, 28, 28)).astype(np.uint8)
    x[np.arange(2000), y] += 150  # one bright line a class
    monkeypatch.setattr(
        datasets, "embed_images", lambda images, progress: np.array(images, np.float32).reshape(len(images), -1)
    )
    (tmp_path / "mnist").mkdir()
    np.savez(tmp_path / "mnist" / "mnist_train.npz", x=x, y=y)
    found, agreement, cost = tables(EXPERIMENTS["tknn-table2"].run(tmp_path))
    assert found.columns["rows"] == ("1810 / 180 (paper: 50000)",)
    nothing: tuple[Cell, ...] = (None,)
    assert found.columns["DP-KNN subsampled"] == found.columns["DP-KNN subsampled sd"] == nothing
    assert agreement.columns["DP-KNN subsampled"] == cost.columns["DP-KNN subsampled seconds"] == nothing
    assert column(found, "DP-KNN published") == [0.495]
    assert column(cost, "delta") == [1e-5]
    assert "30 times" not in cost.note
    assert not math.isnan(column(found, "capped")[0])
    assert "other models than the paper's" in found.note


def test_mechanisms_are_compared_at_every_epsilon(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "CHOICE_EPSILONS", ("1", "4"))
    (table,) = EXPERIMENTS["private-mechanisms"].run(data, datasets=["2dplanes"])
    assert isinstance(table, Table)
    assert column(table, "epsilon") == [1.0, 4.0]
    for capped, subsampled in zip(column(table, "capped"), column(table, "subsampled"), strict=True):
        assert subsampled < capped <= 1
