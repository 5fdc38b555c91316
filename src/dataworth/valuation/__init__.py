"""The jobs: what is asked of records, answered with kernels, models and data."""

from dataworth.valuation.curves import removal_curve
from dataworth.valuation.evidence import gather_evidence
from dataworth.valuation.methods import (
    KNNRegressionShapley,
    KNNShapley,
    PublicProxy,
    ThresholdKNNShapley,
    ValidationVote,
    WeightedKNNShapley,
)
from dataworth.valuation.points import suggest_radius, value_points
from dataworth.valuation.reading import read_points

__all__ = [
    "KNNRegressionShapley",
    "KNNShapley",
    "PublicProxy",
    "ThresholdKNNShapley",
    "ValidationVote",
    "WeightedKNNShapley",
    "gather_evidence",
    "read_points",
    "removal_curve",
    "suggest_radius",
    "value_points",
]
