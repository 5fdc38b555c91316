"""Strokes of known thickness and slant are measured as such."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dataworth.errors import DataError
from dataworth.papers.gmvaluator.attributes import animal_or_vehicle, into_thirds, slant, stroke_thickness, thirds


def bar(width: float, degrees: float = 0.0) -> NDArray[np.uint8]:
    """An upright bar of a given width, sheared to the right, with soft edges."""
    rows, columns = np.indices((28 * 8, 28 * 8)) / 8 + 1 / 16
    middle = 14 - (rows - 14) * np.tan(np.radians(degrees))
    ink = (np.abs(columns - middle) <= width / 2) & (rows > 3) & (rows < 25)
    grey: NDArray[np.uint8] = np.rint(255 * ink.reshape(28, 8, 28, 8).mean(axis=(1, 3))).astype(np.uint8)
    return grey


@pytest.mark.parametrize("width", [2.0, 3.0, 4.0, 6.0])
def test_thickness_of_a_bar(width: float) -> None:
    assert stroke_thickness(bar(width)) == pytest.approx(width, abs=0.15 * width)


def test_thickness_grows_with_the_stroke_and_hardly_with_its_length_or_slant() -> None:
    widths = [stroke_thickness(bar(width)) or 0 for width in np.linspace(2, 6, 9)]
    assert (np.diff(widths) > 0).all()
    short = bar(3.0)
    short[:10] = 0
    assert stroke_thickness(short) == pytest.approx(stroke_thickness(bar(3.0)) or 0, rel=0.1)
    assert stroke_thickness(ndimage.rotate(bar(3.0), 90)) == pytest.approx(stroke_thickness(bar(3.0)) or 0, rel=0.02)


def test_a_stroke_that_touches_the_border_is_as_thick() -> None:
    edge = np.roll(bar(4.0), 12, axis=1)
    assert edge[:, -1].any()
    assert stroke_thickness(edge) == pytest.approx(4, abs=0.6)


@pytest.mark.parametrize("degrees", [-30.0, -10.0, 0.0, 5.0, 25.0])
def test_slant_of_a_bar(degrees: float) -> None:
    assert slant(bar(3.0, degrees)) == pytest.approx(degrees, abs=0.5)


def test_slant_does_not_depend_on_place_or_brightness() -> None:
    leaning = bar(3.0, 15)
    assert slant(np.roll(leaning, (1, -2), axis=(0, 1))) == pytest.approx(slant(leaning))
    assert slant(leaning // 3) == pytest.approx(slant(leaning) or 0, abs=0.5)


def test_colour_is_averaged_to_grey() -> None:
    image = np.repeat(bar(3.0, 15)[:, :, None], 3, axis=2)
    assert slant(image) == pytest.approx(slant(bar(3.0, 15)))
    assert stroke_thickness(image) == pytest.approx(stroke_thickness(bar(3.0)) or 0, rel=0.1)


def test_without_ink_there_is_nothing_to_measure() -> None:
    blank = np.zeros((28, 28), np.uint8)
    assert stroke_thickness(blank) is None
    assert slant(blank) is None
    line = blank.copy()
    line[5] = 255
    assert slant(line) is None


def test_thirds_cut_what_was_measured_and_the_same_cuts_serve_others() -> None:
    cuts = thirds([*range(30), None])
    named = into_thirds([*range(30), None, -5.0, 99.0], cuts, ("low", "middle", "high"))
    assert [int((named[:30] == name).sum()) for name in ("low", "middle", "high")] == [10, 10, 10]
    assert named[30:].tolist() == ["no ink", "low", "high"]
    with pytest.raises(DataError, match="has ink to measure"):
        thirds([None])


def test_animals_and_vehicles() -> None:
    kinds = animal_or_vehicle(np.arange(10)).tolist()
    assert [c for c in range(10) if kinds[c] == "vehicle"] == [0, 1, 8, 9]
    assert set(kinds) == {"animal", "vehicle"}
