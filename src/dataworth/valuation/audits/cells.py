"""Which counts each row enters, and which rows are let in."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.kernels import neighbors
from dataworth.kernels.capped import link_nearest
from dataworth.privacy.mechanisms import Source
from dataworth.valuation.methods import CappedLinks, Mechanism, Subsampled, ThresholdKNNShapley
from dataworth.valuation.task import Task

__all__ = ["Bits", "find_cells", "let_in"]

Bits: TypeAlias = NDArray[np.bool_]


def find_cells(task: Task, method: ThresholdKNNShapley, mechanism: Mechanism | None) -> Bits:
    """Which counts each row enters: at each point that of its label, that of others, or none.

    Args:
        task: Rows and judges.
        method: Whose radius and metric link them.
        mechanism: How counts are released; None for exact ones. A cap limits links.

    Returns:
        ``(n_rows, n_validation, 2)``: linked with the point and of its label, linked and of another.
    """
    rows, judges = task.ready(method.metric, "float32", 1)
    if isinstance(mechanism, CappedLinks) and mechanism.links is not None:
        found = link_nearest(rows, judges, method.radius, mechanism.links)
    else:
        found = neighbors.link(rows, judges, method.radius)
    linked = np.empty((len(rows), len(judges)), dtype=np.bool_)
    linked[rows.order] = found.mask().T
    match = task.codes[:, None] == task.point_codes
    return np.stack([linked & match, linked & ~match], axis=-1)


def let_in(shape: tuple[int, ...], mechanism: Mechanism | None, source: Source) -> Bits:
    """Fresh bits for every row and point, ``(*shape, 1)``, if rows are subsampled; else everybody."""
    if not isinstance(mechanism, Subsampled):
        return np.ones((*shape, 1), dtype=np.bool_)
    return source.draw_bits(math.prod(shape), mechanism.probability).reshape(*shape, 1)
