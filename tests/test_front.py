"""The front door: what `import dataworth` offers, and what it does not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dataworth

NAMES = [
    "Answer",
    "Attributions",
    "Beta",
    "BetaShapley",
    "Budget",
    "BudgetExceeded",
    "Calibration",
    "CandidateFunctions",
    "CappedLinks",
    "Coalitions",
    "Comparison",
    "Dask",
    "DataBanzhaf",
    "DataError",
    "DataShapley",
    "DataworthError",
    "EmbeddingCandidates",
    "Exhibit",
    "Fidelity",
    "Guarantee",
    "HNSW",
    "IVFPQ",
    "ImageCandidates",
    "InputError",
    "Items",
    "KNNRegressionShapley",
    "KNNShapley",
    "LeaveOneOut",
    "Ledger",
    "LedgerError",
    "Links",
    "Local",
    "MatchCost",
    "MatchIndex",
    "MethodError",
    "MissingExtra",
    "ModelScore",
    "NeighborAccuracy",
    "Owner",
    "Package",
    "Payout",
    "Plan",
    "Points",
    "PrivImage",
    "PrivateEvolution",
    "PrivateMarginals",
    "PublicProxy",
    "Question",
    "ReadyFile",
    "Release",
    "Reply",
    "RidgeAccuracy",
    "Row",
    "Shares",
    "SimilarityMatch",
    "Source",
    "StoredRelease",
    "StoredValues",
    "Subsampled",
    "Synthesizer",
    "Table",
    "TableCandidates",
    "TableDomain",
    "ThresholdIndex",
    "ThresholdKNNShapley",
    "UnmatchedLabels",
    "UpdateCost",
    "ValidationVote",
    "Values",
    "WeakDelta",
    "WeightedKNNShapley",
    "__version__",
    "answer",
    "ask",
    "audit_epsilon",
    "audit_membership",
    "compare_values",
    "credit_source",
    "discovery_curve",
    "embed_images",
    "embed_items",
    "embed_texts",
    "gather_evidence",
    "gather_matches",
    "held_out_test",
    "index_items",
    "index_points",
    "learn_calibration",
    "likely_pairs",
    "noisy_label_detection",
    "partition_points",
    "partition_rows",
    "payout",
    "plan_release",
    "point_addition",
    "point_removal",
    "read_image_points",
    "read_items",
    "read_package",
    "read_points",
    "recalibrate",
    "release_points",
    "release_source",
    "removal_curve",
    "self_check",
    "solve_game",
    "suggest_radius",
    "synthesize",
    "value_generated",
    "value_points",
    "value_providers",
    "value_source",
    "write_package",
    "write_report",
]


def test_public_names_are_pinned_and_sorted() -> None:
    assert dataworth.__all__ == NAMES
    assert dir(dataworth) == NAMES


def test_every_name_is_there_and_documented() -> None:
    for name in NAMES:
        thing = getattr(dataworth, name)
        assert name == "__version__" or thing.__doc__


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(dataworth.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name
        for block in tree.body
        if isinstance(block, ast.If)
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert seen == set(NAMES) - {"__version__"} == set(dataworth._HOMES)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'value_ponts'"):
        _ = dataworth.value_ponts


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, dataworth; heavy = {'numba', 'scipy', 'sklearn', 'pandas', 'pyarrow', 'altair', 'torch'};"
        "found = heavy & set(sys.modules); sys.exit(', '.join(sorted(found)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
