"""Points: what they take, and what they refuse, without ever quoting a row."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

import dataworth as dw

X = [[0.0], [1.0]]


# -- labels that are classes -----------------------------------------------------------------------


@pytest.mark.parametrize("y", [["a", "b"], [0, 1], [False, True], [0.0, 1.0], np.array([3.0, -2.0], np.float32)])
def test_whole_numbers_and_names_are_classes(y: ArrayLike) -> None:
    points = dw.Points(X, y)
    assert points.has_classes
    assert "labels: " in repr(points)


def test_one_fraction_makes_a_numeric_target() -> None:
    points = dw.Points(X, [1.0, 0.5])
    assert not points.has_classes
    assert "numeric target" in repr(points)
