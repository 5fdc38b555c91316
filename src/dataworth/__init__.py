"""dataworth: what each record, data provider or training image is worth to a model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see; a test keeps it the same as the table below
    from dataworth.data.image_points import read_image_points
    from dataworth.data.partition import partition_points, partition_rows
    from dataworth.data.sources import Source
    from dataworth.engines.dask import Dask
    from dataworth.engines.local import Local
    from dataworth.errors import (
        BudgetExceeded,
        DataError,
        DataworthError,
        InputError,
        LedgerError,
        MethodError,
        MissingExtra,
        UnmatchedLabels,
        WeakDelta,
    )
    from dataworth.kernels.threshold import Beta
    from dataworth.models.index import HNSW, IVFPQ
    from dataworth.privacy.ledger import Ledger
    from dataworth.records import (
        Answer,
        Attributions,
        Budget,
        Coalitions,
        Exhibit,
        Fidelity,
        Guarantee,
        Items,
        Links,
        Owner,
        Package,
        Points,
        Release,
        Row,
        Shares,
        Table,
        Values,
    )
    from dataworth.records.comparison import Comparison
    from dataworth.records.stored import StoredValues
    from dataworth.records.stored_release import StoredRelease
    from dataworth.report import write_report
    from dataworth.synthesis.candidates import CandidateFunctions, EmbeddingCandidates, TableCandidates, TableDomain
    from dataworth.synthesis.image_candidates import ImageCandidates
    from dataworth.synthesis.private_evolution import PrivateEvolution
    from dataworth.synthesis.privimage import PrivImage
    from dataworth.synthesis.protocol import Synthesizer
    from dataworth.synthesis.ready import ReadyFile
    from dataworth.synthesis.tabular import PrivateMarginals, likely_pairs
    from dataworth.valuation import (
        KNNRegressionShapley,
        KNNShapley,
        PublicProxy,
        ThresholdKNNShapley,
        ValidationVote,
        WeightedKNNShapley,
        gather_evidence,
        read_points,
        removal_curve,
        suggest_radius,
        value_points,
    )
    from dataworth.valuation.audits import audit_epsilon, audit_membership
    from dataworth.valuation.calibration import Calibration, learn_calibration, recalibrate
    from dataworth.valuation.coalitions import solve_game
    from dataworth.valuation.comparison import compare_values
    from dataworth.valuation.credit_parts import credit_source
    from dataworth.valuation.embedding import embed_images, embed_texts
    from dataworth.valuation.experiments import discovery_curve, noisy_label_detection, point_addition, point_removal
    from dataworth.valuation.fidelity import Question, Reply, answer, ask
    from dataworth.valuation.games import ModelScore, NeighborAccuracy, RidgeAccuracy
    from dataworth.valuation.generated import value_generated
    from dataworth.valuation.held_out import held_out_test
    from dataworth.valuation.items import embed_items, read_items
    from dataworth.valuation.likeness import gather_matches
    from dataworth.valuation.match_index import MatchCost, MatchIndex, index_items
    from dataworth.valuation.methods import CappedLinks, SimilarityMatch, Subsampled
    from dataworth.valuation.packages import read_package, write_package
    from dataworth.valuation.payouts import Payout, payout
    from dataworth.valuation.planning import Plan, plan_release
    from dataworth.valuation.providers import value_providers
    from dataworth.valuation.release_parts import release_source
    from dataworth.valuation.releases import release_points
    from dataworth.valuation.retraining_methods import BetaShapley, DataBanzhaf, DataShapley, LeaveOneOut
    from dataworth.valuation.streaming import value_source
    from dataworth.valuation.synthesizing import self_check, synthesize
    from dataworth.valuation.updates import ThresholdIndex, UpdateCost, index_points

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - in the order of dir(), which a test pins
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

# Public name -> the module it lives in, loaded on first use, so that `import dataworth` stays light.
_HOMES = {
    "Answer": "records",
    "Attributions": "records",
    "Beta": "kernels.threshold",
    "BetaShapley": "valuation.retraining_methods",
    "Budget": "records",
    "BudgetExceeded": "errors",
    "Calibration": "valuation.calibration",
    "CandidateFunctions": "synthesis.candidates",
    "CappedLinks": "valuation.methods",
    "Coalitions": "records",
    "Comparison": "records.comparison",
    "Dask": "engines.dask",
    "DataBanzhaf": "valuation.retraining_methods",
    "DataError": "errors",
    "DataShapley": "valuation.retraining_methods",
    "DataworthError": "errors",
    "EmbeddingCandidates": "synthesis.candidates",
    "Exhibit": "records",
    "Fidelity": "records",
    "Guarantee": "records",
    "HNSW": "models.index",
    "IVFPQ": "models.index",
    "ImageCandidates": "synthesis.image_candidates",
    "InputError": "errors",
    "Items": "records",
    "KNNRegressionShapley": "valuation",
    "KNNShapley": "valuation",
    "LeaveOneOut": "valuation.retraining_methods",
    "Ledger": "privacy.ledger",
    "LedgerError": "errors",
    "Links": "records",
    "Local": "engines.local",
    "MatchCost": "valuation.match_index",
    "MatchIndex": "valuation.match_index",
    "MethodError": "errors",
    "MissingExtra": "errors",
    "ModelScore": "valuation.games",
    "NeighborAccuracy": "valuation.games",
    "Owner": "records",
    "Package": "records",
    "Payout": "valuation.payouts",
    "Plan": "valuation.planning",
    "Points": "records",
    "PrivImage": "synthesis.privimage",
    "PrivateEvolution": "synthesis.private_evolution",
    "PrivateMarginals": "synthesis.tabular",
    "PublicProxy": "valuation",
    "Question": "valuation.fidelity",
    "ReadyFile": "synthesis.ready",
    "Release": "records",
    "Reply": "valuation.fidelity",
    "RidgeAccuracy": "valuation.games",
    "Row": "records",
    "Shares": "records",
    "SimilarityMatch": "valuation.methods",
    "Source": "data.sources",
    "StoredRelease": "records.stored_release",
    "StoredValues": "records.stored",
    "Subsampled": "valuation.methods",
    "Synthesizer": "synthesis.protocol",
    "Table": "records",
    "TableCandidates": "synthesis.candidates",
    "TableDomain": "synthesis.candidates",
    "ThresholdIndex": "valuation.updates",
    "ThresholdKNNShapley": "valuation",
    "UnmatchedLabels": "errors",
    "UpdateCost": "valuation.updates",
    "ValidationVote": "valuation",
    "Values": "records",
    "WeakDelta": "errors",
    "WeightedKNNShapley": "valuation",
    "answer": "valuation.fidelity",
    "ask": "valuation.fidelity",
    "audit_epsilon": "valuation.audits",
    "audit_membership": "valuation.audits",
    "compare_values": "valuation.comparison",
    "credit_source": "valuation.credit_parts",
    "discovery_curve": "valuation.experiments",
    "embed_images": "valuation.embedding",
    "embed_items": "valuation.items",
    "embed_texts": "valuation.embedding",
    "gather_evidence": "valuation",
    "gather_matches": "valuation.likeness",
    "held_out_test": "valuation.held_out",
    "index_items": "valuation.match_index",
    "index_points": "valuation.updates",
    "learn_calibration": "valuation.calibration",
    "likely_pairs": "synthesis.tabular",
    "noisy_label_detection": "valuation.experiments",
    "partition_points": "data.partition",
    "partition_rows": "data.partition",
    "payout": "valuation.payouts",
    "plan_release": "valuation.planning",
    "point_addition": "valuation.experiments",
    "point_removal": "valuation.experiments",
    "read_image_points": "data.image_points",
    "read_items": "valuation.items",
    "read_package": "valuation.packages",
    "read_points": "valuation",
    "recalibrate": "valuation.calibration",
    "release_points": "valuation.releases",
    "release_source": "valuation.release_parts",
    "removal_curve": "valuation",
    "self_check": "valuation.synthesizing",
    "solve_game": "valuation.coalitions",
    "suggest_radius": "valuation",
    "synthesize": "valuation.synthesizing",
    "value_generated": "valuation.generated",
    "value_points": "valuation",
    "value_providers": "valuation.providers",
    "value_source": "valuation.streaming",
    "write_package": "valuation.packages",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dataworth' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"dataworth.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
