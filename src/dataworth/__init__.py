"""dataworth: what each record, data provider or training image is worth to a model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see; a test keeps it the same as the table below
    from dataworth.errors import (
        DataError,
        DataworthError,
        InputError,
        MethodError,
        MissingExtra,
        UnmatchedLabels,
    )
    from dataworth.kernels.threshold import Beta
    from dataworth.records import Exhibit, Links, Points, Table, Values
    from dataworth.report import write_report
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
    from dataworth.valuation.embedding import embed_images, embed_texts

__version__ = "0.1.0"

__all__ = [
    "Beta",
    "DataError",
    "DataworthError",
    "Exhibit",
    "InputError",
    "KNNRegressionShapley",
    "KNNShapley",
    "Links",
    "MethodError",
    "MissingExtra",
    "Points",
    "PublicProxy",
    "Table",
    "ThresholdKNNShapley",
    "UnmatchedLabels",
    "ValidationVote",
    "Values",
    "WeightedKNNShapley",
    "__version__",
    "embed_images",
    "embed_texts",
    "gather_evidence",
    "read_points",
    "removal_curve",
    "suggest_radius",
    "value_points",
    "write_report",
]

# Public name -> the module it lives in, loaded on first use, so that `import dataworth` stays light.
_HOMES = {
    "Beta": "kernels.threshold",
    "DataError": "errors",
    "DataworthError": "errors",
    "Exhibit": "records",
    "InputError": "errors",
    "KNNRegressionShapley": "valuation",
    "KNNShapley": "valuation",
    "Links": "records",
    "MethodError": "errors",
    "MissingExtra": "errors",
    "Points": "records",
    "PublicProxy": "valuation",
    "Table": "records",
    "ThresholdKNNShapley": "valuation",
    "UnmatchedLabels": "errors",
    "ValidationVote": "valuation",
    "Values": "records",
    "WeightedKNNShapley": "valuation",
    "embed_images": "valuation.embedding",
    "embed_texts": "valuation.embedding",
    "gather_evidence": "valuation",
    "read_points": "valuation",
    "removal_curve": "valuation",
    "suggest_radius": "valuation",
    "value_points": "valuation",
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
