"""Packages as files: what comes back is what was written, and whatever a stranger wrote is looked at hard."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataworth.errors import DataError
from dataworth.privacy.events import events_to_json
from dataworth.privacy.kinds import GradientSteps, SubsampledCounts
from dataworth.records import Budget, Guarantee, Owner, Package, Points, Row, Table
from dataworth.records.sealed import write_sealed
from dataworth.valuation import packages
from dataworth.valuation.packages import package_digest, read_package, sample_sheet, write_package
from tests.valuation.provider_problems import CLASSES, PROMISE, events_of, own_counts, package_of, rows

pytest.importorskip("dp_accounting")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clinic.package"


def parts(package: Package) -> tuple[dict[str, Any], dict[str, Any]]:
    about, arrays = packages._parts(package)
    return json.loads(json.dumps(about)), dict(arrays)


def sealed(path: Path, about: dict[str, Any], arrays: dict[str, Any]) -> Path:
    """A file whose digest is right, whatever is in it: what a provider who cheats can make."""
    return write_sealed(path, packages.FORMAT, about, arrays)


# -- there and back --------------------------------------------------------------------------------


@given(
    labels=st.sampled_from([["a", "b"], [0, 1], [False, True], [2**63, 2**64 - 1], [0.0, 7.0]]),
    dtype=st.sampled_from([np.float32, np.float64]),
    names=st.sampled_from([None, ("x", "y\u00e9")]),
    counts=st.booleans(),
    seed=st.integers(0, 100),
)
@settings(max_examples=25)
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, labels: Any, dtype: Any, names: Any, counts: bool, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("packages")
    rng = np.random.default_rng(seed)
    classes = Points(np.zeros((2, 1)), labels).y
    points = Points(rng.normal(size=(5, 2)).astype(dtype), classes[rng.integers(0, 2, 5)], features=names)
    table = Table("t", "T", {"a": [1, 0.25, None, "x"]}, "note")
    more: dict[str, Any] = own_counts(3, -2) if counts else {}
    package = package_of("clinic \u00e9", points, classes=classes, evidence=(table,), provenance={"seed": 3}, **more)
    first = write_package(package, folder / "one.package")
    again = read_package(first)
    assert again.points is not None
    assert again.points.x.dtype == points.x.dtype
    assert np.array_equal(again.points.x, points.x)
    assert again.points.y.tolist() == points.y.tolist()
    assert again.points.features == names
    assert again.classes.tolist() == classes.tolist()
    for name in ("provider", "guarantee", "events", "synthesizer", "fidelity", "image_shape", "provenance"):
        assert getattr(again, name) == getattr(package, name), name
    (back,) = again.evidence
    assert isinstance(back, Table)
    assert (back.columns, back.note) == (table.columns, table.note)
    assert package_digest(again) == package_digest(package)
    second = write_package(again, folder / "two.package")
    assert first.read_bytes() == second.read_bytes()


def test_an_empty_one(path: Path) -> None:
    package = package_of("clinic", None)
    again = read_package(write_package(package, path))
    assert again.points is None
    assert package_digest(again) == package_digest(package)


def test_images_take_a_byte_a_pixel(path: Path) -> None:
    pixels = np.arange(256, dtype=np.float32).repeat(3).reshape(4, 192)
    package = package_of("clinic", Points(pixels, ["ill", "well"] * 2), image_shape=(8, 8, 3))
    again = read_package(write_package(package, path))
    assert again.points is not None
    assert again.points.x.dtype == np.float32
    assert again.image_shape == (8, 8, 3)
    assert np.array_equal(again.points.x, pixels)
    with np.load(path) as arrays:
        assert arrays["x"].dtype == np.uint8
    grey = package_of("clinic", Points(pixels + np.float32(0.5), ["ill", "well"] * 2), image_shape=(8, 8, 3))
    other = read_package(write_package(grey, path))  # rounding is not this file's business
    assert other.points is not None
    assert np.array_equal(other.points.x, pixels + np.float32(0.5))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3)])
def test_a_sheet_shows_each_class(shape: tuple[int, ...]) -> None:
    x = np.full((5, int(np.prod(shape))), 300.0)
    sheet = sample_sheet(x, np.array([0, 0, 2, 2, 2]), np.array(["a", "b", "c"]), shape)
    assert (sheet.kind, sheet.table.columns["class"]) == ("sheet", ("a", "c"))
    assert all(str(picture).startswith("data:image/png;base64,") for picture in sheet.table.columns["samples"])


@pytest.mark.parametrize("extra", [{"owners": ["ann"] * 3}, {"ids": ["p-1", "p-2", "p-3"]}, {"items": ["a", "b", "c"]}])
def test_rows_that_are_somebodys_are_not_written(path: Path, extra: dict[str, Any]) -> None:
    points = Points(np.zeros((3, 2)), ["ill"] * 3, **extra)
    with pytest.raises(DataError, match="no owners, items or ids"):
        write_package(package_of("clinic", points), path)
    assert not path.exists()


# -- what a stranger may have written --------------------------------------------------------------


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60)
def test_a_flipped_bit_is_noticed_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, at: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flipped") / "clinic.package"
    package = package_of("clinic", rows(20))
    whole = bytearray(write_package(package, path).read_bytes())
    whole[int(at * len(whole))] ^= 1 << bit
    path.write_bytes(whole)
    try:
        again = read_package(path)
    except DataError:
        return
    assert package_digest(again) == package_digest(package)  # such as a date in the archive, which says nothing


def test_a_declared_budget_that_does_not_fit_its_noise(path: Path) -> None:
    events = events_of(5, Budget(4, "1e-5"), Row(), "add_or_remove")
    honest = package_of("clinic", rows(20), events=tuple(events_to_json(events)))
    assert read_package(write_package(honest, path)).guarantee.budget == Budget(4, "1e-5")
    about, arrays = parts(honest)
    about["guarantee"]["epsilon"] = "2.5"
    with pytest.raises(DataError, match=r"declares epsilon = 2\.5, .* cost more"):
        read_package(sealed(path, about, arrays))
    for changed in ({"relation": "replace"}, {"unit": "owner", "max_rows": 2}, {"delta": "1e-9"}):
        about, arrays = parts(honest)
        about["guarantee"] |= changed
        with pytest.raises(DataError, match="cost more"):
            read_package(sealed(path, about, arrays))


@pytest.mark.parametrize(
    ("events", "most"),
    [
        ([GradientSteps(Fraction(1, 16384), Fraction(1, 2), 1)], 1),
        ([GradientSteps(Fraction(1, 2), Fraction(1, 2), 10**7)], 1),
        ([GradientSteps(Fraction(1, 16384), Fraction(1, 10**9), 10**7)], 1),
        ([SubsampledCounts(Fraction(1, 16384), Fraction(1, 2), 10**7)], 1000),
        ([SubsampledCounts(Fraction(2**18), Fraction(1, 2), 10)], 1000),
    ],
    ids=str,
)
def test_events_that_would_fill_the_memory_are_not_accounted(path: Path, events: Any, most: int) -> None:
    about, arrays = parts(package_of("clinic", rows(20)))
    about["events"] = events_to_json(events)
    about["guarantee"] |= {"unit": "row" if most == 1 else "owner", "max_rows": most, "epsilon": "100", "delta": "0.1"}
    with pytest.raises(DataError, match=r"cost more, or cannot be accounted"):
        read_package(sealed(path, about, arrays))


def test_noisy_steps_are_accounted(path: Path) -> None:
    steps = GradientSteps(Fraction(2), Fraction(1, 10), 40)
    package = package_of("clinic", rows(20), events=tuple(events_to_json([steps])))
    assert read_package(write_package(package, path)).events == package.events


def put(part: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(about: dict[str, Any], arrays: dict[str, Any]) -> None:
        *above, last = part.split(".")
        held = about
        for name in above:
            held = held[name]
        held[last] = value

    return change


def put_array(name: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(about: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays[name] = value

    return change


NOT_A_NUMBER = np.full((20, 2), np.nan, dtype=np.float32)
STRANGE = [
    put_array("x", NOT_A_NUMBER),
    put_array("x", np.full((20, 2), np.inf)),
    put_array("x", np.full((20, 2), 1e300)),
    put_array("x", np.zeros((20, 2), dtype=np.complex128)),
    put_array("x", np.zeros((0, 2), dtype=np.float32)),
    put_array("x", np.zeros(20, dtype=np.float32)),
    put_array("codes", np.full(20, 2, dtype=np.int32)),
    put_array("codes", np.full(20, -1, dtype=np.int32)),
    put_array("codes", np.zeros(19, dtype=np.int32)),
    put_array("codes", np.zeros(20, dtype=np.float64)),
    put_array("more", np.zeros(3)),
    put("classes", ["well", "ill"]),
    put("classes", ["ill", "ill"]),
    put("classes", []),
    put("classes", "ill"),
    put("classes", ["ill", None]),
    put("classes", [1, "ill"]),
    put("classes", ["ill"]),
    put("features", ["age"]),
    put("features", [1, 2]),
    put("features", "ab"),
    put("image_shape", [3, 3]),
    put("image_shape", [2]),
    put("image_shape", [True, 2]),
    put("image_shape", [-1, -2]),
    put("provider", ""),
    put("provider", "a\x1b[2J"),
    put("provider", 7),
    put("provider", "x" * 201),
    put("synthesizer", "a\nb"),
    put("synthesizer", None),
    put("events", []),
    put("events", [{"kind": "magic"}]),
    put("events", [{"kind": "disjoint-counts", "scale": "1/1000000"}]),
    put("events", [{"kind": "histograms", "sigma": "1/16384", "votes": 10000000, "rounds": 10000000}]),
    put("events", {"kind": "magic"}),
    put("events", ["declared"]),
    put("events", [{"kind": "declared", "epsilon": "0.1", "delta": "0.1"}] * 1001),
    put("guarantee", None),
    put("guarantee.epsilon", 4),
    put("guarantee.epsilon", "-4"),
    put("guarantee.epsilon", "NaN"),
    put("guarantee.private", "yes"),
    put("guarantee.relation", "none"),
    put("guarantee.unit", "hospital"),
    put("guarantee.max_rows", 5),
    put("empty", True),
    put("evidence", [{"is": "spell"}]),
    put("evidence", [{"is": "table", "name": "t"}]),
    put("evidence", [{"is": "table", "name": "t", "title": "t", "columns": {"a": [10**400]}}]),
    put("evidence", "spell"),
    put("evidence", None),
    put("provenance", {"a": [1]}),
    put("provenance", {"a": "x\ny"}),
    put("provenance", None),
    put("fidelity", {"agree": 1}),
    put("fidelity", "much"),
]


@pytest.mark.parametrize("change", STRANGE, ids=range(len(STRANGE)))
def test_whatever_is_strange_is_refused_in_one_kind_of_error(path: Path, change: Any) -> None:
    about, arrays = parts(package_of("clinic", rows(20)))
    change(about, arrays)
    with pytest.raises(DataError, match=r"clinic\.package"):
        read_package(sealed(path, about, arrays))


@pytest.mark.parametrize("part", ["provider", "classes", "guarantee", "events", "fidelity", "evidence", "empty"])
def test_a_lacking_part_is_refused(path: Path, part: str) -> None:
    about, arrays = parts(package_of("clinic", rows(20)))
    del about[part]
    with pytest.raises(DataError, match="lacks a part"):
        read_package(sealed(path, about, arrays))


def test_counts_of_agreement_must_be_paid_for(path: Path) -> None:
    honest = package_of("clinic", rows(20), **own_counts(15, 3))
    assert read_package(write_package(honest, path)).fidelity == honest.fidelity
    for part, value, words in (
        ("fidelity.scale", "2/1", "takes noise of scale 4"),
        ("fidelity.scale", "5/1", "does not list them"),
        ("fidelity.scale", "0/1", "numerator/denominator"),
        ("fidelity.scale", 4, "numerator/denominator"),
        ("fidelity.guarantee.epsilon", "0.2", "takes noise of scale 5"),
        ("fidelity.guarantee.private", False, "two things"),
        ("fidelity.agree", 1.5, "whole number"),
        ("fidelity.agree", True, "whole number"),
        ("fidelity.agree", 2**60, "whole number"),
        ("fidelity.question", "../etc", "hexadecimal"),
    ):
        about, arrays = parts(honest)
        put(part, value)(about, arrays)
        with pytest.raises(DataError, match=words):
            read_package(sealed(path, about, arrays))


def test_no_pickle_is_opened(path: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    np.savez(path.with_suffix(".npz"), about=np.array([Evil()], dtype=object), allow_pickle=True)
    path.with_suffix(".npz").rename(path)
    with pytest.raises(DataError):
        read_package(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError):
        read_package(path)
    assert not (tmp_path / "touched").exists()


def test_a_bomb_is_not_unpacked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\0" * 10**7)
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(packages, "MOST_BYTES", 10**6)
    with pytest.raises(DataError, match="in memory"):
        read_package(path)


def test_an_array_that_claims_to_be_endless(path: Path) -> None:
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    with zipfile.ZipFile(path, "w") as archive, archive.open("x.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(DataError, match="damaged"):
        read_package(path)


def test_lists_in_lists_without_end(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), about=np.array("[" * 100_000))
    path.with_suffix(".npz").rename(path)
    with pytest.raises(DataError, match="damaged"):
        read_package(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"no package", b"PK\x05\x06" + b"\0" * 18])
def test_other_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"clinic\.package"):
        read_package(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        read_package(tmp_path / "nothing.package")
    with pytest.raises(DataError):
        read_package(tmp_path)


def test_the_promise_of_owners_comes_back(path: Path) -> None:
    promise = Guarantee(PROMISE.budget, Owner(7), "replace", private=False, joint=False)
    again = read_package(write_package(package_of("clinic", rows(5), guarantee=promise), path))
    assert again.guarantee == promise
    assert again.classes.tolist() == CLASSES
