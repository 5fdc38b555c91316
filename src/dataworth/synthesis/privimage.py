"""PrivImage: public images that look like the private ones, then a diffusion model tuned on the private under noise.

After Li et al. (USENIX Security 2024). A noisy histogram says which public classes the private images of each class
look like; a model learns from those public images, then from the private ones by clipped gradients with noise (DP-SGD).
One accountant adds up all of it, with the noise that is really added.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from dataworth.errors import DataError, MethodError, MissingExtra
from dataworth.kernels.voting import above, apportion, best
from dataworth.models.generators import GuidedDiffusion
from dataworth.privacy.accounting import calibrate, calibrate_laplace
from dataworth.privacy.events import events_to_json
from dataworth.privacy.kinds import DisjointCounts, Event, GradientSteps, Histograms
from dataworth.privacy.mechanisms import Source
from dataworth.records import Budget, Relation, Row, Table, Unit
from dataworth.records.sealed import digest_of, read_sealed, write_sealed
from dataworth.synthesis.protocol import Synthetic

if TYPE_CHECKING:
    from dataworth.models.private_diffusion import PrivateDiffusion

__all__ = ["NoisySteps", "PrivImage", "secret_normals", "secret_uniforms"]

Classifier = Callable[[NDArray[np.float32]], ArrayLike]
Select = Literal["weighted", "top"]
Part = Literal["classes", "conditions", "decoder", "all"]

_RELATION: Relation = "add_or_remove"
_KEPT = "dataworth-privimage-query-1"
_FOREIGN = "these events are not this synthesizer's; give it what its own events() returned"
_MOST = 10**6
_COMPONENTS = 50  # principal components in which public images are grouped
# What a stream of public randomness is for; with the seed it names the stream.
_CHOOSE, _MODEL, _SAMPLE = range(3)


@dataclass(frozen=True)
class NoisySteps:
    """How the model learns from private images; all of it public.

    Args:
        steps: Updates, each with noise.
        rate: The chance of each image to be let in, anew at every step, above 0 and at most 1.
        clip: The most that one image adds to a sum of gradients, in L2.
        learning_rate: Of Adam.
        repeats: Noises of the diffusion, each at its own time, whose gradients are averaged within an image before
            they are clipped; this costs time and no privacy.
        part: Which parameters learn: ``"classes"`` (one vector a class), ``"conditions"`` (what class and time say
            to each layer, norms and biases), ``"decoder"`` (those and the upward half), or ``"all"``.
        keep_every: Steps between two states that are kept in the folder of a release.

    Raises:
        MethodError: A parameter that makes no sense.
    """

    steps: int = 40
    rate: float = 0.1
    clip: float = 0.01
    learning_rate: float = 1e-2
    repeats: int = 2
    part: Part = "classes"
    keep_every: int = 10

    def __post_init__(self) -> None:
        for name in ("steps", "repeats", "keep_every"):
            _check_whole(name, getattr(self, name), 1)
        for name in ("rate", "clip", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise MethodError(f"{name} must be above 0, not {getattr(self, name)!r}")
        if self.rate > 1:
            raise MethodError(f"rate is a chance, at most 1, not {self.rate!r}")
        if self.part not in get_args(Part):
            raise MethodError(f"part must be one of {', '.join(get_args(Part))}, not {self.part!r}")


@dataclass(frozen=True, eq=False)
class PrivImage:
    """PrivImage over public images: a synthesizer.

    Rows are pixels from 0 to 255, flattened. Private rows are counted by class, vote for the public classes they look
    like, and move the model by noisy steps; nothing else about them is used.

    Args:
        public: Public images, ``(m, d)`` with ``d`` the product of ``image_shape``.
        image_shape: ``(height, width)`` or ``(height, width, 3)``.
        labels: The public class of each public image, ``(m,)``; None groups them into ``clusters`` by what they look
            like.
        clusters: How many groups, where no labels are given.
        classifier: Scores of the public classes (in ascending order of their labels), a row an image; None learns one
            from the public images. It must be public, and judge each image by itself.
        rows: How many private rows there are, declared, or ``"noised"``: by a noisy count.
        size: Synthetic images to make; None makes as many as there are private rows, declared or noised.
        fractions: Of the classes among them: ``"noised"`` (by noisy counts), ``"uniform"``, or one declared number a
            class.
        votes: Public classes that each private image votes for; noise grows with the square root.
        select: ``"weighted"`` draws public images in proportion to the noisy votes of their class, less ``threshold``;
            ``"top"`` takes all images of the ``chosen`` classes with most noisy votes, as published.
        threshold: Taken off every noisy count, in units of the noise scale.
        chosen: Public classes for each class, where ``"top"`` selects.
        exclusive: With ``"top"``, a public class goes to the first class that chooses it, so that the order of the
            classes matters.
        counting: The share of epsilon for noisy counts of the classes, where rows or fractions are ``"noised"``.
        querying: The share of epsilon for the noisy votes.
        model: Of the diffusion model and its training on all public images.
        adapting: Steps of training on the chosen public images.
        tuning: How it learns from private images.
        seed: Of groups of public images and of the model of them; the same for all who shall share that model.
        cache: Folder where the model of all public images is kept for other releases; None keeps it with the release.

    Raises:
        DataError: Public images or labels of shapes that do not fit.
        MethodError: A parameter that makes no sense.

    Example:
        >>> import numpy as np
        >>> from dataworth.records import Budget, Row
        >>> public = np.random.default_rng(0).integers(0, 256, (200, 64))
        >>> small = PrivImage.small(public, (8, 8))
        >>> votes, steps = small.events(Budget(1, 1e-5), unit=Row(), relation="add_or_remove")[1:]
        >>> votes.votes, steps.steps == small.tuning.steps
        (1, True)
    """

    public: NDArray[np.uint8] = field(repr=False)
    image_shape: tuple[int, ...]
    labels: NDArray[Any] | None = field(default=None, repr=False)
    clusters: int = 100
    classifier: Classifier | None = None
    rows: int | Literal["noised"] = "noised"
    size: int | None = None
    fractions: Literal["noised", "uniform"] | tuple[float, ...] = "noised"
    votes: int = 1
    select: Select = "weighted"
    threshold: float = 2.0
    chosen: int = 5
    exclusive: bool = True
    counting: float = 0.05
    querying: float = 0.1
    model: GuidedDiffusion = field(default_factory=lambda: GuidedDiffusion(channels=(32, 64)))
    adapting: int = 1_200
    tuning: NoisySteps = field(default_factory=NoisySteps)
    seed: int = 0
    cache: Path | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.image_shape)
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3) or min(shape) < 1:
            raise MethodError(f"image_shape must be (height, width) or (height, width, 3), not {shape}")
        settle = object.__setattr__
        settle(self, "image_shape", shape)
        settle(self, "public", _pixels(self.public, shape, "public images"))
        if self.labels is not None:
            settle(self, "labels", np.asarray(self.labels))
            if self.labels.shape != self.public.shape[:1]:
                raise DataError(f"{len(self.public)} public images need a label each, not shape {self.labels.shape}")
        for name, least in (("clusters", 2), ("votes", 1), ("chosen", 1), ("adapting", 0), ("seed", 0)):
            _check_whole(name, getattr(self, name), least)
        if self.clusters > len(self.public) and self.labels is None:
            raise MethodError(f"{len(self.public)} public images cannot be put into {self.clusters} groups")
        if self.rows != "noised":
            _check_whole("rows", self.rows, 1)
        if self.size is not None:
            _check_whole("size", self.size, 1)
        if not isinstance(self.fractions, str):
            settle(self, "fractions", tuple(float(share) for share in self.fractions))
        self._check_choices()
        if self.votes > self.semantic_classes:
            raise MethodError(f"an image cannot vote for {self.votes} of {self.semantic_classes} public classes")

    def _check_choices(self) -> None:
        if isinstance(self.fractions, tuple):
            if not (all(0 <= share < math.inf for share in self.fractions) and sum(self.fractions) > 0):
                raise MethodError("fractions are 0 or more for every class, and not all 0")
        elif self.fractions not in ("noised", "uniform"):
            raise MethodError(f"fractions must be 'noised', 'uniform' or numbers, not {self.fractions!r}")
        if self.select not in get_args(Select):
            raise MethodError(f"select must be one of {', '.join(get_args(Select))}, not {self.select!r}")
        if not 0 <= self.threshold < math.inf:
            raise MethodError(f"threshold must be 0 or more, in units of the noise scale, not {self.threshold!r}")
        for name in ("counting", "querying"):
            if not 0.001 <= getattr(self, name) <= 0.9:
                raise MethodError(f"{name} is a share of epsilon from 0.001 to 0.9, not {getattr(self, name)!r}")

    @classmethod
    def small(
        cls,
        public: ArrayLike,
        image_shape: tuple[int, ...],
        *,
        rows: int | Literal["noised"] = "noised",
        size: int | None = None,
        cache: Path | None = None,
    ) -> PrivImage:
        """A preset for small images on one core: minutes of public training, shared, and minutes a release.

        Args:
            public: Public images, a row of pixels each.
            image_shape: ``(height, width)`` or ``(height, width, 3)``.
            rows: Declared number of private rows, or ``"noised"``.
            size: Synthetic images to make; None makes as many as there are private rows.
            cache: Folder where the model of all public images is kept for other releases.
        """
        images = np.asarray(public)
        return cls(
            images, image_shape, clusters=min(100, max(2, len(images) // 20)), rows=rows, size=size, cache=cache,
            model=GuidedDiffusion(steps=3_000, channels=(32, 64), sampling_steps=20),
        )  # fmt: skip

    @property
    def semantic_classes(self) -> int:
        """How many public classes there are."""
        return self.clusters if self.labels is None else int(np.unique(self.labels).size)

    @property
    def counted(self) -> bool:
        """Whether noisy counts of the classes are released beside the votes."""
        return "noised" in (self.rows, self.fractions)

    def events(self, spend: Budget, *, unit: Unit, relation: Relation) -> tuple[Event, ...]:
        """What will be released: noisy counts of the classes, if asked for, noisy votes, and noisy steps with the rest.

        Args:
            spend: The epsilon and delta to stay within.
            unit: Whose presence is hidden: one row, as gradients are clipped image by image.
            relation: ``"add_or_remove"``, as an image is let in or not by chance.

        Raises:
            MethodError: A budget that no noise keeps, or a unit or relation that noisy steps do not protect.
        """
        if unit != Row():
            raise MethodError(
                f"PrivImage clips the gradient of each row, which hides one row and not {unit}; "
                "Private Evolution can hide an owner"
            )
        if relation != "add_or_remove":
            raise MethodError(
                "PrivImage lets every row in by chance, which is accounted for a row added or removed; "
                f"relation cannot be {relation!r}"
            )
        return _events(
            spend, self.counting if self.counted else None, self.querying, self.votes, self.tuning.rate,
            self.tuning.steps,
        )  # fmt: skip

    def synthesize(
        self,
        x: NDArray[Any],
        codes: NDArray[np.int64],
        n_classes: int,
        *,
        events: Sequence[Event],
        source: Source,
        seed: int = 0,
        folder: Path | None = None,
        progress: bool | None = None,
    ) -> Synthetic:
        """Synthetic images as rows of pixels.

        Args:
            x: Private images, pixels from 0 to 255, ``(n, d)``; there may be none.
            codes: Private labels as places in the public list of classes, ``(n,)``.
            n_classes: Length of that list.
            events: What :meth:`events` returned.
            source: Of noise and inclusion bits.
            seed: Of the choice of public images and of samples; public.
            folder: Where the noisy counts and the state of the model are kept: one folder for one release of one data
                set. A stopped run goes on with what it finds there and releases only what is missing.
            progress: Show progress bars; None shows them on a terminal only.

        Raises:
            DataError: Images or labels that do not fit, or a folder of another release.
            MethodError: Events that are not this synthesizer's.
            MissingExtra: torch, diffusers or Opacus is not installed.
        """
        release = _Release.of(self, events, n_classes, source, seed, folder)
        held = _Held(_pixels(x, self.image_shape, "private images"), _checked(codes, len(x), n_classes))
        found = release.query(held)
        diffusion = release.learn(found, held, progress)
        sizes = release.sizes(found)
        drawn = np.repeat(np.arange(n_classes), sizes)
        images = diffusion.sample(drawn, release.stream(_SAMPLE))
        return Synthetic(images.reshape(len(drawn), -1).astype(np.float32), drawn, (release.table(found, sizes),))

    def describe(self) -> str:
        """Everything public that says how images are made, on one line."""
        names = "labels" if self.labels is not None else "groups"
        noised = f" for {self.counting:g} of epsilon" if self.counted else ""
        chosen = (
            f"weighted above {self.threshold:g}"
            if self.select == "weighted"
            else f"top {self.chosen}{' to itself' if self.exclusive else ''}"
        )
        model = ", ".join(f"{name} {value}" for name, value in asdict(self.model).items())
        tuning = ", ".join(f"{name} {value}" for name, value in asdict(self.tuning).items() if name != "keep_every")
        parts = [
            f"{len(self.public):,} public images in {self.semantic_classes} {names}"
            + (f" judged by {getattr(self.classifier, '__qualname__', 'a callable')}" if self.classifier else ""),
            f"{self.rows} rows, "
            f"{'as many' if self.size is None else self.size} made, fractions {self.fractions}{noised}",
            f"{self.votes} vote{'' if self.votes == 1 else 's'} a row for {self.querying:g} of epsilon, {chosen}",
            f"model of {model}, seed {self.seed}",
            f"adapted for {self.adapting} steps",
            f"tuned with {tuning}",
        ]
        return f"PrivImage ({'; '.join(parts)})"


def secret_uniforms(source: Source, number: int) -> NDArray[np.float64]:
    """Uniform numbers above 0 and below 1, from fresh secret bits of a source, stretched by SHAKE-256.

    Args:
        source: Of 256 bits.
        number: How many.

    Returns:
        Odd multiples of 2**-53, float64, ``(number,)``.
    """
    key = np.packbits(source.draw_bits(256, Fraction(1, 2))).tobytes()
    words = np.frombuffer(hashlib.shake_256(key).digest(8 * number), dtype="<u8") >> np.uint64(12)
    return np.asarray((words.astype(np.float64) + 0.5) / 2**52, dtype=np.float64)


def secret_normals(source: Source, number: int) -> NDArray[np.float64]:
    """Standard normal numbers in floating point, from fresh secret bits of a source.

    Each is the sum of four, halved, so that the last digits of one do not give it away; this makes attacks on them
    harder, and does not rule them out.

    Args:
        source: Of the bits.
        number: How many.

    Example:
        >>> from dataworth.privacy.mechanisms import InsecureSource
        >>> numbers = secret_normals(InsecureSource(0), 10_000)
        >>> bool(abs(numbers.mean()) < 0.05), bool(abs(numbers.std() - 1) < 0.05)
        (True, True)
    """
    quarters = ndtri(secret_uniforms(source, 4 * number))
    return np.asarray(quarters.reshape(4, number).sum(axis=0) / 2, dtype=np.float64)


@lru_cache(maxsize=64)
def _events(
    spend: Budget, counting: float | None, querying: float, votes: int, rate: float, steps: int
) -> tuple[Event, ...]:
    unit, relation = Row(), _RELATION
    counts: tuple[Event, ...] = ()
    if counting is not None:
        part = spend.epsilon * Decimal(repr(counting))
        counts = (DisjointCounts(calibrate_laplace(part, unit=unit, relation=relation)),)
    share = Budget(spend.epsilon * Decimal(repr(querying)), spend.delta)
    first = calibrate(lambda sigma: (Histograms(sigma, votes, 1),), share, unit=unit, relation=relation)
    released = (*counts, Histograms(first, votes, 1))
    chance = Fraction(repr(rate))
    sigma = calibrate(
        lambda sigma: (*released, GradientSteps(sigma, chance, steps)), spend, unit=unit, relation=relation
    )
    return (*released, GradientSteps(sigma, chance, steps))


# -- the private side ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Held:
    """Private images where they lie. Only :class:`_Release` looks at them: two noisy counts, and noisy steps."""

    images: NDArray[np.uint8]
    codes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Found:
    """What the first queries released, and the public classes they speak of.

    Args:
        counts: Noisy votes, ``(C, S)``.
        numbers: Noisy numbers of rows of each class, or none, ``(C,)``.
        public: The public class of each public image, ``(m,)``.
    """

    counts: NDArray[np.int64]
    numbers: NDArray[np.int64] | None
    public: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Release:
    """One run: the private queries, and what is decided by public parameters and released figures."""

    made_by: PrivImage
    counting: DisjointCounts | None
    voting: Histograms
    learning: GradientSteps
    n_classes: int
    source: Source
    seed: int
    folder: Path | None
    about: str

    @classmethod
    def of(
        cls,
        made_by: PrivImage,
        events: Sequence[Event],
        n_classes: int,
        source: Source,
        seed: int,
        folder: Path | None,
    ) -> _Release:
        _check_whole("n_classes", n_classes, 1)
        _check_whole("seed", seed, 0)
        if not isinstance(made_by.fractions, str) and len(made_by.fractions) != n_classes:
            raise MethodError(f"{len(made_by.fractions)} fractions were declared for {n_classes} classes")
        counting: DisjointCounts | None = None
        match list(events):
            case [DisjointCounts() as first, Histograms() as voting, GradientSteps() as learning]:
                fits, counting = made_by.counted, first
            case [Histograms() as voting, GradientSteps() as learning]:
                fits = not made_by.counted
            case _:
                raise MethodError(_FOREIGN)
        tuning = made_by.tuning
        fits = fits and (voting.votes, voting.rounds) == (made_by.votes, 1)
        if not (fits and (learning.probability, learning.steps) == (Fraction(repr(tuning.rate)), tuning.steps)):
            raise MethodError(_FOREIGN)
        facts = {
            "synthesizer": made_by.describe(), "events": events_to_json(events), "n_classes": n_classes, "seed": seed,
            "private": source.private,
        }  # fmt: skip
        public = {"public": made_by.public, **({} if made_by.labels is None else {"labels": made_by.labels})}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        about = digest_of(facts, public)
        return cls(made_by, counting, voting, learning, n_classes, source, seed, folder, about)

    def stream(self, purpose: int) -> int:
        """A seed for one purpose."""
        return int(np.random.default_rng([self.seed, purpose]).integers(2**31))

    # -- the three places where private images are looked at ---------------------------------------------------------

    def query(self, held: _Held) -> _Found:
        """Noisy counts of classes and noisy votes, released once and kept before they are used."""
        path = None if self.folder is None else self.folder / "query.npz"
        if path is not None and path.exists():
            return self._read(path)
        semantics = _Semantics(self.made_by)
        votes = np.zeros((self.n_classes, self.made_by.semantic_classes), dtype=np.int64)
        if len(held.images):
            np.add.at(votes, (held.codes[:, None], semantics.nearest(held.images, self.made_by.votes)), 1)
        numbers = None
        if self.counting is not None:
            rows = np.bincount(held.codes, minlength=self.n_classes)
            numbers = self.source.add_laplace(rows, self.counting.scale).counts
        found = _Found(self.source.add_noise(votes, self.voting.sigma).counts, numbers, semantics.codes)
        if path is not None:
            arrays = {"counts": found.counts, "public": found.public}
            if found.numbers is not None:
                arrays["numbers"] = found.numbers
            write_sealed(path, _KEPT, {"about": self.about}, arrays)
        return found

    def _read(self, path: Path) -> _Found:
        facts, arrays = read_sealed(path, _KEPT, "query", "PrivImage")
        if facts.get("about") != self.about:
            raise DataError(f"{str(path)!r} was released with other parameters or noise; give another folder")
        return _Found(arrays["counts"], arrays.get("numbers"), arrays["public"])

    def learn(self, found: _Found, held: _Held, progress: bool | None) -> PrivateDiffusion:
        """The model after public and private training."""
        try:
            from dataworth.models.private_diffusion import FineTuning, PrivateDiffusion, pretrained
        except ImportError:
            raise MissingExtra("PrivImage", "synthesis") from None
        made_by, tuning = self.made_by, self.made_by.tuning
        diffusion = PrivateDiffusion(made_by.model, made_by.image_shape, self.n_classes, seed=self.stream(_MODEL))
        path = None if self.folder is None else self.folder / "model.pt"
        if path is None or not path.exists():
            images = made_by.public.reshape(-1, *made_by.image_shape)
            with self._shared() as cache:
                weights = pretrained(
                    made_by.model, images, found.public, folder=cache, seed=made_by.seed, progress=progress
                )
            chances = self.chances(found)
            diffusion.begin_from(weights, chances)
            draw = _Draw(chances, found.public, np.random.default_rng([self.seed, _CHOOSE]))
            diffusion.learn_public(images, draw, made_by.adapting, progress=progress)
        rows = made_by.rows if found.numbers is None else int(found.numbers.sum())
        expected = float(self.learning.probability) * max(1, int(rows))
        how = FineTuning(
            tuning.part, tuning.steps, tuning.clip, float(self.learning.sigma), tuning.learning_rate, tuning.repeats,
            expected, tuning.keep_every,
            bits=lambda n: self.source.draw_bits(n, self.learning.probability),
            uniforms=lambda number: secret_uniforms(self.source, number),
            noise=lambda number: secret_normals(self.source, number),
        )  # fmt: skip
        images = held.images.reshape(-1, *made_by.image_shape)
        diffusion.fine_tune(images, held.codes, how, path=path, about=self.about, progress=progress)
        return diffusion

    @contextmanager
    def _shared(self) -> Iterator[Path]:
        kept = self.made_by.cache or self.folder
        if kept is not None:
            yield Path(kept)
            return
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    # -- from here on nothing private --------------------------------------------------------------------------------

    def chances(self, found: _Found) -> NDArray[np.float64]:
        """For each class, the chance of each public class to lend an image to it; rows sum to 1."""
        available = np.bincount(found.public, minlength=found.counts.shape[1])
        if self.made_by.select == "weighted":
            taken_off = math.ceil(Fraction(repr(float(self.made_by.threshold))) * self.voting.sigma)
            weights = above(found.counts, taken_off) * (available > 0)
            for code in np.flatnonzero(weights.sum(axis=1) == 0).tolist():  # no votes stand out: those with most
                weights[code, best(np.where(available > 0, found.counts[code], -_MOST), self.made_by.chosen)] = 1
        else:
            weights = np.zeros_like(found.counts)
            for place, chosen in enumerate(self._top(found.counts, available)):
                weights[place, chosen] = available[chosen]
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)

    def _top(self, counts: NDArray[np.int64], available: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The public classes with most noisy votes, class by class."""
        free = available > 0
        chosen = []
        for code, row in enumerate(counts):
            left = int(free.sum()) - (self.n_classes - 1 - code if self.made_by.exclusive else 0)
            if left < 1:
                raise MethodError(f"{int((available > 0).sum())} public classes cannot go round {self.n_classes}")
            most = np.iinfo(np.int64).min // 2
            chosen.append(best(np.where(free, row, most), min(self.made_by.chosen, left)))
            if self.made_by.exclusive:
                free[chosen[-1]] = False
        return chosen

    def sizes(self, found: _Found) -> NDArray[np.int64]:
        """How many images of each class are made."""
        made_by = self.made_by
        numbers = None if found.numbers is None else np.maximum(found.numbers, 0)
        total = made_by.size
        if total is None:
            total = int(made_by.rows) if made_by.rows != "noised" or numbers is None else max(1, int(numbers.sum()))
        if isinstance(made_by.fractions, tuple):
            shares = np.array(made_by.fractions)
        elif made_by.fractions == "uniform" or numbers is None or not numbers.any():
            shares = np.ones(self.n_classes)
        else:
            shares = numbers.astype(np.float64)
        return apportion(shares, total)

    def table(self, found: _Found, sizes: NDArray[np.int64]) -> Table:
        """What was chosen for each class, by released figures."""
        chances = self.chances(found)
        columns: dict[str, list[Any]] = {
            "class": list(range(self.n_classes)),
            "rows, noisy": [None] * self.n_classes if found.numbers is None else found.numbers.tolist(),
            "public classes": (chances > 0).sum(axis=1).tolist(),
            "largest share": chances.max(axis=1).tolist(),
            "images made": sizes.tolist(),
        }
        note = (
            f"From {self.made_by.votes} votes a row with noise of scale {float(self.voting.sigma):.4g}; then "
            f"{self.learning.steps} steps with noise {float(self.learning.sigma):.4g} times the clipping norm, each "
            f"row let in with probability {float(self.learning.probability):g}. The steps' noise is in floating point."
        )
        return Table("privimage", "What PrivImage chose for each class", columns, note)


class _Semantics:
    """Public classes, and a public judge of which of them an image looks like."""

    def __init__(self, made_by: PrivImage) -> None:
        from sklearn.cluster import KMeans
        from sklearn.decomposition import PCA
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        public = _as_features(made_by.public)
        parts = min(_COMPONENTS, *public.shape)
        self.given = made_by.classifier
        self.number = made_by.semantic_classes
        if made_by.labels is None:
            axes = PCA(parts, random_state=made_by.seed).fit(public)
            groups = KMeans(made_by.clusters, n_init=2, random_state=made_by.seed).fit(axes.transform(public))
            self.codes = groups.labels_.astype(np.int64)
            self.score: Classifier = lambda x: -groups.transform(axes.transform(x))
        else:
            self.codes = np.unique(made_by.labels, return_inverse=True)[1].astype(np.int64)
            if made_by.classifier is None:
                judge = make_pipeline(PCA(parts, whiten=True, random_state=made_by.seed), LogisticRegression())
                self.score = judge.fit(public, self.codes).predict_proba
        if made_by.classifier is not None:
            self.score = made_by.classifier

    def nearest(self, images: NDArray[np.uint8], number: int) -> NDArray[np.int64]:
        """For each image the public classes it looks most like, ``(n, number)``: distinct ones, always as many.

        Images are judged one by one: in a product of matrices the last digits of a row depend on the rows beside it, so
        that an image which comes or goes could turn the votes of others.
        """
        found = np.empty((len(images), number), dtype=np.int64)
        for at in range(len(images)):
            scores = np.asarray(self.score(_as_features(images[at : at + 1])))
            if scores.shape != (1, self.number):
                raise DataError(
                    f"the classifier must score {self.number} public classes for each image; for one image it gave "
                    f"shape {scores.shape}"
                )
            found[at] = np.argsort(-np.nan_to_num(scores[0], nan=-np.inf), kind="stable")[:number]
        return found


@dataclass(frozen=True, eq=False)
class _Draw:
    """Batches of public images under the names of private classes."""

    chances: NDArray[np.float64]
    public: NDArray[np.int64]
    rng: np.random.Generator

    def __call__(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self.public, kind="stable")
        begins = np.searchsorted(self.public[order], np.arange(self.chances.shape[1] + 1))
        codes = self.rng.integers(len(self.chances), size=number)
        reach = self.chances.cumsum(axis=1)[codes]
        groups = (self.rng.random(number)[:, None] * reach[:, -1:] >= reach).sum(axis=1)
        within = self.rng.random(number) * (begins[groups + 1] - begins[groups])
        return order[begins[groups] + within.astype(np.int64)], codes


def _as_features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(images / 255, dtype=np.float32)


def _pixels(x: ArrayLike, shape: tuple[int, ...], what: str) -> NDArray[np.uint8]:
    """Rows of pixels as uint8, checked."""
    rows, wide = np.asarray(x), math.prod(shape)
    if rows.ndim != 2 or rows.shape[1] != wide or rows.dtype.kind not in "fiu":
        raise DataError(
            f"{what} of shape {shape} are rows of {wide} numbers; the array given is {rows.dtype} of shape {rows.shape}"
        )
    if rows.size and not (rows.min() >= 0 and rows.max() <= 255):  # also refuses what is not a number
        raise DataError(f"{what} must be pixels from 0 to 255; some are not")
    return np.ascontiguousarray(np.rint(rows), dtype=np.uint8)


def _checked(codes: NDArray[np.int64], n: int, n_classes: int) -> NDArray[np.int64]:
    labels = np.asarray(codes)
    if labels.shape != (n,):
        raise DataError("private rows and labels must be equally many, a label each")
    if n and not (np.issubdtype(labels.dtype, np.integer) and 0 <= labels.min() <= labels.max() < n_classes):
        raise DataError(f"private labels must be places in the list of {n_classes} classes, 0 to {n_classes - 1}")
    return labels.astype(np.int64)


def _check_whole(name: str, number: object, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= _MOST:
        raise MethodError(f"{name} must be a whole number from {least} to {_MOST:,}, not {number!r}")
