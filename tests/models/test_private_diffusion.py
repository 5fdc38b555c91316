"""Learning from private images: no image adds more than the clip, and a kept step is never taken again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.models.generators import GuidedDiffusion

SETTINGS = GuidedDiffusion(steps=3, batch=8, channels=(8, 16), guidance=0.0, sampling_steps=2)
IMAGES = np.random.default_rng(0).integers(0, 256, (10, 8, 8), dtype=np.uint8)
CODES = np.arange(10) % 2

pytestmark = pytest.mark.models


def model(seed: int = 0) -> Any:
    from dataworth.models.private_diffusion import PrivateDiffusion

    return PrivateDiffusion(SETTINGS, (8, 8), 2, seed=seed)


def how(seed: int = 0, *, part: Any = "conditions", clip: float = 0.5, sigma: float = 1.0) -> Any:
    """Settings with numbers that are seeded, one stream for all."""
    from dataworth.models.private_diffusion import FineTuning

    rng = np.random.default_rng(seed)
    return FineTuning(
        part, steps=6, clip=clip, sigma=sigma, learning_rate=1e-2, repeats=2, expected_batch=5.0, keep_every=2,
        bits=lambda n: rng.random(n) < 0.5,
        uniforms=lambda number: rng.uniform(0.01, 0.99, number),
        noise=lambda number: rng.normal(size=number),
    )  # fmt: skip


def parts(made: Any, part: Any) -> tuple[Any, list[Any]]:
    from dataworth.models.private_diffusion import _per_image

    wrapped = _per_image(made.run.network, part)
    return wrapped, [p for p in made.run.network.parameters() if p.requires_grad]


def summed(made: Any, wrapped: Any, learning: list[Any], rows: NDArray[np.int64], settings: Any) -> Any:
    """The clipped sum of some images, with the same times and noise for every image."""
    import torch

    from dataworth.models.canvas import to_canvas

    def repeated(number: int) -> NDArray[np.float64]:
        each = number // max(1, len(rows))
        return np.tile(np.random.default_rng(each).uniform(0.01, 0.99, each), len(rows))

    fixed = replace(settings, uniforms=repeated)
    x, y = torch.from_numpy(to_canvas(IMAGES[rows])), torch.from_numpy(CODES[rows])
    return made.clipped_sum(wrapped, learning, x, y, fixed)


@pytest.mark.parametrize("part", ["classes", "conditions", "decoder", "all"])
def test_an_image_more_moves_the_sum_by_the_clip_at_most(part: Any) -> None:
    made = model()
    wrapped, learning = parts(made, part)
    everyone = np.arange(10)
    free = how(clip=1e9)
    lengths = [float(summed(made, wrapped, learning, everyone[i : i + 1], free).norm()) for i in range(10)]
    clip = float(np.median(lengths))
    tight = how(clip=clip)
    whole = summed(made, wrapped, learning, everyone, tight)
    for i in range(10):
        moved = whole - summed(made, wrapped, learning, np.delete(everyone, i), tight)
        # Sums are taken in another order, so the difference is exact to float32 only.
        assert float(moved.norm()) <= clip * (1 + 1e-4)
        assert float(moved.norm()) == pytest.approx(min(lengths[i], clip), rel=1e-3)
        alone = summed(made, wrapped, learning, everyone[i : i + 1], tight)
        assert float(alone.norm()) <= clip


@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_noises_of_one_image_are_averaged_before_clipping() -> None:
    import torch

    made = model()
    wrapped, learning = parts(made, "conditions")

    def same(number: int) -> NDArray[np.float64]:
        return np.random.default_rng(number).uniform(0.01, 0.99, number)

    settings = replace(how(clip=1e9), repeats=3, uniforms=same)
    x, y = torch.from_numpy(IMAGES[:4, None]), torch.from_numpy(CODES[:4])
    total = made.clipped_sum(wrapped, learning, x, y, settings)
    made._losses(wrapped, x, y, settings).sum().backward()
    plain = torch.cat([p.grad.flatten() for p in learning]) / 3
    torch.testing.assert_close(total, plain.double(), rtol=1e-3, atol=1e-5)


def test_an_image_that_breaks_the_gradient_adds_nothing() -> None:
    import torch

    made = model()
    wrapped, learning = parts(made, "conditions")
    made._losses = lambda wrapped, x, y, how, inner=made._losses: inner(wrapped, x, y, how) * torch.nan
    assert not summed(made, wrapped, learning, np.arange(3), how()).any()


def test_nobody_let_in_is_a_step_of_noise_alone() -> None:
    import torch

    made = model()
    before = [p.detach().clone() for p in made.run.network.parameters()]
    scales: list[int] = []

    def ones(number: int) -> NDArray[np.float64]:
        scales.append(number)
        return np.ones(number)

    settings = replace(how(part="classes", clip=2.0, sigma=3.0), bits=lambda n: np.zeros(n, dtype=bool), noise=ones)
    grads = []
    adam = torch.optim.Adam

    class Seen(adam):  # type: ignore[misc, valid-type]
        def step(self, closure: Any = None) -> Any:
            grads.append(self.param_groups[0]["params"][0].grad.clone())
            return super().step(closure)

    torch.optim.Adam = Seen
    try:
        made.fine_tune(IMAGES, CODES, settings, progress=False)
    finally:
        torch.optim.Adam = adam
    assert len(grads) == settings.steps
    expected = torch.full_like(grads[0], 2.0 * 3.0 / 5.0)  # clip, sigma, expected batch
    expected[-1] = 0  # the vector of "not told" belongs to no image
    torch.testing.assert_close(grads[0], expected)
    assert scales == [grads[0].numel()] * settings.steps
    moved = [bool((p != old).any()) for p, old in zip(made.run.network.parameters(), before, strict=True)]
    assert sum(moved) == 1  # the vectors of the classes, and nothing else


def test_every_step_draws_bits_for_all_and_its_own_noise() -> None:
    asked: list[int] = []
    settings = how()

    def bits(n: int) -> NDArray[np.bool_]:
        asked.append(n)
        return np.asarray(settings.bits(n), dtype=np.bool_)

    made, other = model(), model()
    made.fine_tune(IMAGES, CODES, replace(settings, bits=bits), progress=False)
    assert asked == [10] * settings.steps
    other.fine_tune(IMAGES, CODES, how(1), progress=False)  # the same public seed, other secrets
    codes = np.zeros(2, np.int64)
    assert (made.sample(codes, 0) != other.sample(codes, 0)).any()


def test_a_stopped_training_goes_on_from_the_last_step_kept(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "model.pt"
    settings = how()
    taken = 0

    def stops(n: int) -> NDArray[np.bool_]:
        nonlocal taken
        taken += 1
        if taken == 4:
            raise KeyboardInterrupt
        return np.asarray(settings.bits(n), dtype=np.bool_)

    with pytest.raises(KeyboardInterrupt):
        model().fine_tune(IMAGES, CODES, replace(settings, bits=stops), path=path, about="one", progress=False)
    kept = torch.load(path, weights_only=True)
    assert kept["step"] == 2  # the third was taken and not kept: nobody saw it
    with pytest.raises(DataError, match="other parameters"):
        model().fine_tune(IMAGES, CODES, how(), path=path, about="another", progress=False)
    count = 0

    def counted(n: int) -> NDArray[np.bool_]:
        nonlocal count
        count += 1
        return np.asarray(settings.bits(n), dtype=np.bool_)

    gone_on = model(seed=9)
    gone_on.fine_tune(IMAGES, CODES, replace(settings, bits=counted), path=path, about="one", progress=False)
    assert count == settings.steps - 2
    done = torch.load(path, weights_only=True)
    assert done["step"] == settings.steps
    frozen = {name for name in kept["network"] if torch.equal(kept["network"][name], done["network"][name])}
    assert "conv_in.weight" in frozen
    assert "class_embedding.weight" not in frozen
    count = 0
    opened = model(seed=10)
    opened.fine_tune(IMAGES, CODES, replace(settings, bits=counted), path=path, about="one", progress=False)
    assert count == 0
    np.testing.assert_array_equal(opened.sample(CODES, 1), gone_on.sample(CODES, 1))


def test_a_damaged_state_is_refused_with_what_it_means(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="what it cost is spent"):
        model().fine_tune(IMAGES, CODES, how(), path=path, about="one", progress=False)


def test_a_public_model_is_trained_once_and_lends_its_classes(tmp_path: Path) -> None:
    import torch

    from dataworth.models.private_diffusion import pretrained

    labels = np.arange(10) % 3
    weights = pretrained(SETTINGS, IMAGES, labels, folder=tmp_path, progress=False)
    again = pretrained(replace(SETTINGS, sampling_steps=7), IMAGES, labels, folder=tmp_path, progress=False)
    assert len(list(tmp_path.iterdir())) == 1
    for name, tensor in weights["network"].items():
        torch.testing.assert_close(tensor, again["network"][name])
    pretrained(SETTINGS, IMAGES, labels[::-1].copy(), folder=tmp_path, progress=False)
    assert len(list(tmp_path.iterdir())) == 2
    made = model()
    made.begin_from(weights, np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]))
    table, public = made.run.network.class_embedding.weight, weights["network"]["class_embedding.weight"]
    torch.testing.assert_close(table[0], public[0])
    torch.testing.assert_close(table[1], (public[1] + public[2]) / 2)
    torch.testing.assert_close(table[2], public[3])  # no class told


def test_public_training_moves_the_model_and_asks_for_whole_batches() -> None:
    made, asked = model(), []

    def draw(number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        asked.append(number)
        return np.arange(number) % 10, CODES[np.arange(number) % 10]

    before = made.run.network.conv_in.weight.detach().clone()
    made.learn_public(IMAGES, draw, 3, progress=False)
    assert asked == [SETTINGS.batch] * 3
    assert (made.run.network.conv_in.weight != before).any()
