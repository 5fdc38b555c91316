"""Stand-ins make what they were asked for, from where they should."""

from __future__ import annotations

import numpy as np
import pytest

from dataworth.errors import DataError
from dataworth.papers.gmvaluator.makers import asked_evenly, real_images, repeats
from dataworth.papers.gmvaluator.pools import labels_of, pixels_of
from dataworth.records import Items


def greys(levels: list[int], labels: list[int], name: str = "g") -> Items:
    images = np.array([np.full((8, 8), level) for level in levels], np.uint8)
    return Items(images=images, ids=[f"{name}{level}" for level in levels], labels=labels)


def test_classes_are_asked_for_in_turn() -> None:
    assert asked_evenly(np.array([7, 3, 7, 5]), 5).tolist() == [3, 5, 7, 3, 5]


def test_real_images_are_of_the_classes_asked_for_and_not_of_the_pool() -> None:
    held_out = greys([10, 20, 30, 40], [0, 0, 1, 1])
    made = real_images(held_out).make(greys([99, 98], [0, 1]), np.array([1, 0, 1]), 0)
    assert labels_of(made).tolist() == [1, 0, 1]
    seen = [int(image[0, 0]) for image in pixels_of(made)]
    assert sorted([seen[0], seen[2]]) == [30, 40]  # distinct
    assert seen[1] in (10, 20)
    assert made.ids.tolist() == ["made-0", "made-1", "made-2"]
    with pytest.raises(DataError, match="3 images of class 1 are asked for, but there are 2"):
        real_images(held_out).make(held_out, np.array([1, 1, 1]), 0)
    assert not real_images(held_out).trains


def test_repeats_are_of_the_pool_with_noise_and_may_repeat() -> None:
    pool = greys([50, 150], [0, 1])
    made = repeats(5).make(pool, np.array([1, 0, 1]), 0)
    assert [np.mean(image) for image in pixels_of(made)] == pytest.approx([150, 50, 150], abs=3)
    assert 2 < np.std(pixels_of(made)[0]) < 8
    assert len(set(made.ids)) == 3
    with pytest.raises(DataError, match="class 2 are asked for, but there are 0"):
        repeats().make(pool, np.array([2]), 0)
    assert repeats().trains
