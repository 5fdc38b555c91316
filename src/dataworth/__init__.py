"""dataworth: what each record, data provider or training image is worth to a model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# The front door, sorted: public name -> the module it lives in. Loaded on first use, so that
# `import dataworth` stays light. A test pins the list.
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

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dataworth' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"dataworth.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
