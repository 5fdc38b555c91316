"""The whole round from the command line: packages, a question, answers, shares; and what is never said."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataworth as dw
from dataworth.cli import synthesizers
from dataworth.data.images import encoded
from dataworth.privacy.accounting import calibrate
from dataworth.privacy.kinds import Histograms
from dataworth.privacy.ledger import Ledger
from dataworth.privacy.mechanisms import SecureSource
from dataworth.synthesis import private_evolution
from dataworth.valuation.packages import read_package
from tests.cli.conftest import Outcome, Run

pytest.importorskip("opendp")
pytest.importorskip("dp_accounting")
pytest.importorskip("sqlalchemy")

SPEND = ["--epsilon", "4", "--delta", "1e-5"]
SMALL = ["--size", "60", "--rounds", "2", "--population", "20", "--votes", "5"]
ONE = Fraction(1)
CANARIES = (
    b"12345.678",
    b"12345.67",
    b"secret",
    b"1237",
    np.float32(12345.678).tobytes(),
    np.float64(12345.678).tobytes(),
)


def table(n: int, seed: int, wrong: float = 0.0, *, planted: bool = False) -> pa.Table:
    """Two classes in [0, 1]^2; planted: a row beyond all bounds, with names that are like no other."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    well = (x[:, 0] > 0.5) != (rng.random(n) < wrong)
    if planted:
        x[0] = 12345.678
    return pa.table(
        {
            "case": [f"secret-case-{i}" for i in range(n)],
            "who": [f"secret-owner-{i % 7}" for i in range(n)],
            "age": x[:, 0],
            "dose": x[:, 1],
            "y": np.where(well, "well", "ill"),
        }
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with public rows, two providers' rows and their ledgers."""
    pq.write_table(table(200, 9).select(["age", "dose", "y"]), tmp_path / "public.parquet")
    pq.write_table(table(150, 8).select(["age", "dose", "y"]), tmp_path / "val.parquet")
    for name, seed, wrong in (("a", 1, 0.0), ("b", 2, 0.4)):
        pq.write_table(table(1237, seed, wrong, planted=True), tmp_path / f"{name}.parquet")
        dw.Ledger.create(
            tmp_path / f"{name}.db", budget=dw.Budget("4.5", "1e-4"), unit=dw.Row(), population=f"patients of {name}"
        )
    (tmp_path / "packages").mkdir()
    (tmp_path / "answers").mkdir()
    return tmp_path


@pytest.fixture(autouse=True)
def spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for the least noise takes seconds and always finds the same."""
    monkeypatch.setattr(
        private_evolution, "calibrate", lambda at, spend, *, unit, relation: least_noise(at(ONE), spend, unit, relation)
    )


@cache
def least_noise(events: tuple[Any, ...], spend: dw.Budget, unit: Any, relation: Any) -> Fraction:
    def at(sigma: Fraction) -> tuple[Any, ...]:
        return tuple(replace(event, sigma=sigma) if isinstance(event, Histograms) else event for event in events)

    return calibrate(at, spend, unit=unit, relation=relation)


Pack = Callable[..., Outcome]


@pytest.fixture
def pack(run: Run, house: Path) -> Pack:
    """One provider's command; more options come behind."""

    def call(name: str, *more: Any, spend: Any = SPEND, rows: Path | None = None) -> Outcome:
        columns = ["--label", "y", "--id", "case", "--owner", "who", "--public", house / "public.parquet"]
        charged = [*spend, "--ledger", house / f"{name}.db", "--out", house / "packages" / f"{name}.package"]
        source = rows or house / f"{name}.parquet"
        return run("synthesize", source, *columns, *charged, *SMALL, "--provider", f"clinic-{name}", *more)

    return call


def spent(path: Path) -> int:
    return len(Ledger.open(path).history())


def refused(done: Outcome, *words: str, code: int = 2) -> None:
    assert (done.code, done.out) == (code, ""), done.err
    for word in words:
        assert word in done.err
    assert done.err.startswith("dataworth: ")


# -- the whole round ---------------------------------------------------------------------------------


def test_the_whole_round_and_no_canary_in_it(run: Run, house: Path, pack: Pack) -> None:
    """Files and words of both sides: nothing of a planted row, of names, or of the number of rows."""
    exact = {str(count).encode() for name in "ab" for count in np.unique(
        pq.read_table(house / f"{name}.parquet")["y"].to_numpy(), return_counts=True)[1].tolist()}  # fmt: skip
    said = b""

    def kept(done: Outcome) -> Outcome:
        nonlocal said
        assert (done.code, done.err) == (0, "")
        said += done.out.encode()
        return done

    for name in "ab":
        assert "Differential privacy, one row added or removed" in kept(pack(name)).out
    packages, question = house / "packages", house / "question.npz"
    kept(run("providers", packages, "--ask", question, "--random-features", 32))
    for name in "ab":
        back = ["--ledger", house / f"{name}.db", "--out", house / "answers" / f"{name}.json"]
        kept(run("answer", question, house / f"{name}.parquet", "--label", "y", "--provider", f"clinic-{name}", *back))
    out, page = house / "shares.parquet", house / "shares.html"
    judged = ["--validation", house / "val.parquet", "--label", "y", "--random-features", 32]
    done = kept(run("providers", packages, *judged, "--answers", house / "answers", "--out", out, "--report", page))
    assert "never exact" in done.out
    assert "declared by the providers" in done.out
    shares = dw.Shares.load(out)
    assert shares.providers == ("clinic-a", "clinic-b")
    assert shares.fidelity[0] > shares.fidelity[1] + 0.1
    assert shares.values[0] > shares.values[1]
    for promise in shares.spent:
        assert promise is not None
        assert promise.budget == dw.Budget("4.25", "1e-5")
    for name in "ab":
        assert spent(house / f"{name}.db") == 2
    sent = [*packages.glob("*.package"), *(house / "answers").iterdir(), question, out, page]
    everything = said + b"".join(path.read_bytes() for path in sent)
    everything += json.dumps([str(cell) for piece in shares.evidence for cell in vars(piece).values()]).encode()
    with np.load(packages / "a.package") as arrays:
        everything += b"".join(arrays[name].tobytes() for name in arrays.files)
        assert arrays["x"].max() <= 1.0
    for word in CANARIES:
        assert word not in everything, word
    for count in exact:
        assert count not in said


def test_json_is_one_object(run: Run, house: Path) -> None:
    pq.write_table(table(60, 3).select(["age", "dose", "y"]), house / "made.parquet")
    made = [
        "--synthesizer",
        "ready",
        "--ready",
        house / "made.parquet",
        "--ready-epsilon",
        3,
        "--made-by",
        "a colleague",
    ]
    charged = [*SPEND, "--ledger", house / "a.db", "--out", house / "packages" / "a.package", "--fidelity", "own"]
    rows = [house / "a.parquet", "--label", "y", "--public", house / "public.parquet", "--provider", "clinic-a"]
    packed = json.loads(run("synthesize", *rows, *made, *charged, "--json").out)
    assert (packed["provider"], packed["synthetic_rows"], packed["epsilon"]) == ("clinic-a", 60, "4")
    assert len(packed["noisy_agreement"]) == 2
    assert packed["remaining"]["epsilon"] == "0.500000000"
    question = house / "question.npz"
    asked = json.loads(run("providers", house / "packages", "--ask", question, "--json").out)
    assert asked["providers"] == ["clinic-a"]
    back = ["--ledger", house / "a.db", "--out", house / "answers" / "a.json", "--json"]
    answered = json.loads(run("answer", question, house / "a.parquet", "--label", "y", *back).out)
    assert answered["question"] == asked["question"]
    assert answered["remaining"]["epsilon"] == "0.250000000"
    judged = ["--validation", house / "val.parquet", "--label", "y", "--weights", 1, 0, 0]
    shares = json.loads(run("providers", house / "packages" / "a.package", *judged, "--json").out)
    assert shares["providers"][0]["provider"] == "clinic-a"
    assert shares["calibration"].startswith("Calibration(alpha=1")


def test_what_is_printed_does_not_depend_on_the_rows(run: Run, house: Path, pack: Pack) -> None:
    first = pack("a")
    pq.write_table(table(77, 5), house / "b.parquet")
    assert pack("b").out.replace("clinic-b", "clinic-a").replace("b.package", "a.package") == first.out


# -- charged once ------------------------------------------------------------------------------------


def test_the_same_command_again_is_free(house: Path, pack: Pack) -> None:
    first, path = pack("a"), house / "packages" / "a.package"
    raw = path.read_bytes()
    path.unlink()
    assert pack("a").out == first.out
    assert path.read_bytes() == raw
    assert spent(house / "a.db") == 1
    refused(pack("a", "--seed", 3), "another request")
    refused(pack("a", "--work", house / "new"), "nothing was spent", code=3)
    assert spent(house / "a.db") == 1


def test_a_stopped_run_says_how_to_go_on(house: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(private_evolution.PrivateEvolution, "synthesize", stop)
        done = pack("a")
    assert (done.code, done.out) == (130, "")
    assert "charged; go on for nothing" in done.err
    assert pack("a").code == 0
    assert spent(house / "a.db") == 1


def test_an_answer_is_given_once(run: Run, house: Path, pack: Pack) -> None:
    pack("a")
    question = house / "question.npz"
    run("providers", house / "packages", "--ask", question)
    answers = []
    for number in range(2):
        out = house / f"{number}.json"
        done = run("answer", question, house / "a.parquet", "--label", "y", "--ledger", house / "a.db", "--out", out)
        assert done.code == 0, done.err
        answers.append(out.read_bytes())
    assert answers[0] == answers[1]
    assert spent(house / "a.db") == 2
    back = ["--label", "y", "--ledger", house / "a.db", "--out", house / "x.json"]
    refused(run("answer", question, house / "a.parquet", *back, "--epsilon", "0.1"), "key")
    run("providers", house / "packages", "--ask", question, "--penalty", 2)
    refused(run("answer", question, house / "a.parquet", *back, "--epsilon", 1), "nothing was spent", code=3)


# -- for the provider's eyes only ----------------------------------------------------------------------


def test_exact_figures_are_for_a_terminal(run: Run, house: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(pack("a", "--self-check"), "on a terminal only")
    assert spent(house / "a.db") == 0
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    done = pack("a", "--self-check")
    assert done.code == 0
    assert "FOR YOUR EYES ONLY" in done.err
    assert "1237" in done.err
    assert "1237" not in done.out


# -- other kinds of provider -----------------------------------------------------------------------------


def test_a_provider_declares_itself_empty(run: Run, house: Path, pack: Pack) -> None:
    pack("a")
    out = house / "packages" / "z.package"
    command = ["--empty", "--provider", "clinic-z", "--public", house / "public.parquet", "--label", "y", "--out", out]
    assert run("synthesize", *command).code == 0
    judged = ["--validation", house / "val.parquet", "--label", "y", "--json"]
    shares = json.loads(run("providers", house / "packages", *judged).out)
    assert [row["value"] for row in shares["providers"]][1] == 0
    assert shares["empty"] == ["clinic-z"]
    refused(run("synthesize", house / "a.parquet", *command), "leave out SOURCE")
    refused(run("synthesize", *command[:3], "--out", out), "--public")


def test_ready_rows(house: Path, run: Run) -> None:
    pq.write_table(table(50, 3).select(["age", "dose", "y"]), house / "made.parquet")
    base = ["synthesize", house / "a.parquet", "--label", "y", "--public", house / "public.parquet", *SPEND,
            "--provider", "a", "--ledger", house / "a.db", "--out", house / "a.package", "--synthesizer",
            "ready"]  # fmt: skip
    refused(run(*base), "--ready FILE and --made-by")
    refused(run(*base, "--rounds", 3), "--rounds is not an option of --synthesizer ready")
    assert run(*base, "--ready", house / "made.parquet", "--made-by", "a colleague").code == 0
    package = read_package(house / "a.package")
    assert package.points is not None
    assert len(package.points) == 50
    assert "a colleague" in package.synthesizer


def test_images_need_a_generator(run: Run, house: Path) -> None:
    for side, seed in (("mine", 1), ("public", 2)):
        for label in ("cat", "dog"):
            (house / side / label).mkdir(parents=True)
            for i in range(3):
                pixels = np.random.default_rng([seed, i]).integers(0, 255, (8, 8), dtype=np.uint8)
                (house / side / label / f"{i}.png").write_bytes(encoded(pixels))
    base = ["synthesize", house / "mine", "--public", house / "public", *SPEND, "--provider", "a", "--ledger",
            house / "a.db", "--out", house / "a.package"]  # fmt: skip
    refused(run(*base), "train-generator")
    refused(run(*base, "--image-shape", "9x9"), "8 x 8")
    refused(run(*base, "--image-shape", "big"), "28x28")
    assert spent(house / "a.db") == 0


@pytest.mark.parametrize("maker", ["privimage", "marginals"])
def test_what_is_not_installed_is_told_before_the_charge(
    run: Run, house: Path, monkeypatch: pytest.MonkeyPatch, maker: str
) -> None:
    monkeypatch.setattr(synthesizers, "find_spec", lambda _: None)
    base = ["synthesize", house / "a.parquet", "--label", "y", "--public", house / "public.parquet", *SPEND,
            "--provider", "a", "--ledger", house / "a.db", "--out", house / "a.package",
            "--image-shape", "1x2"]  # fmt: skip
    refused(run(*base, "--synthesizer", maker), "pip install")
    assert spent(house / "a.db") == 0


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "x.zip"], "ends in .package"),
        (["--out", "nowhere/x.package"], "does not exist"),
        (["--ledger", "nothing.db"], "nothing.db"),
        (["--epsilon", "0"], "epsilon must be"),
        (["--provider", "a\tb"], "printable"),
        (["--classes", "ill"], "none of the declared classes"),
        (["--public", "nothing.parquet"], "nothing.parquet"),
        (["--synthesizer", "privimage"], "--rounds is not an option"),
        (["--fidelity-epsilon", "1"], "both or neither"),
        (["--label", "z"], "'z'"),
    ],
)
def test_bad_options_spend_nothing(house: Path, pack: Pack, options: list[str], words: str) -> None:
    refused(pack("a", *options), words)
    assert spent(house / "a.db") == 0


@pytest.mark.parametrize("lacking", ["--public", "--epsilon", "--delta", "--ledger"])
def test_what_a_package_needs(run: Run, tmp_path: Path, lacking: str) -> None:
    given = {"--public": "p.parquet", "--epsilon": "1", "--delta": "1e-6", "--ledger": "l.db"}
    options = [word for option, value in given.items() if option != lacking for word in (option, value)]
    refused(run("synthesize", "x.parquet", "--provider", "a", "--out", tmp_path / "a.package", *options), lacking)


def test_what_a_coordinator_is_told(run: Run, house: Path, pack: Pack) -> None:
    judged = ["--validation", house / "val.parquet", "--label", "y"]
    refused(run("providers", house / "packages", *judged), "holds no package")
    pack("a")
    path = house / "packages" / "a.package"
    refused(run("providers", path), "--validation")
    refused(run("providers", path, *judged, "--ask", house / "q.npz"), "values nothing")
    refused(run("providers", path, *judged, "--weights", 1, 1, 1), "sum to 1")
    refused(run("providers", house / "a.parquet", *judged), "a.parquet")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    refused(run("providers", path, *judged), "a.package")


def test_shares_are_not_written_over_the_rows_that_judge(run: Run, house: Path) -> None:
    before = (house / "val.parquet").read_bytes()
    found = run("providers", house, "--validation", house / "val.parquet", "--out", house / "val.parquet")
    assert found.code != 0
    assert "write over the validation rows" in found.err
    assert (house / "val.parquet").read_bytes() == before


@pytest.mark.parametrize("command", ["synthesize", "providers", "answer"])
def test_help_has_an_example(run: Run, command: str) -> None:
    assert "Example: dataworth" in run(command, "--help").out


def test_a_killed_command_pays_once(house: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends in the middle of the second round, and the command is given again."""
    add, calls = SecureSource.add_noise, []

    def dies(self: SecureSource, *given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            os._exit(9)
        return add(self, *given)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(SecureSource, "add_noise", dies)
        try:
            pack("a")
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert spent(house / "a.db") == 1
    package = house / "packages" / "a.package"
    left = {path: path.read_bytes() for path in (house / "packages").rglob("steps/**/*") if path.is_file()}
    assert left
    assert not package.exists()
    assert pack("a").code == 0
    assert spent(house / "a.db") == 1
    for path, raw in left.items():
        assert path.read_bytes() == raw
    assert read_package(package).provider == "clinic-a"


def test_saved_shares_are_weighed_anew(run: Run, house: Path, pack: Pack) -> None:
    for name in "ab":
        assert pack(name, "--fidelity", "own").code == 0
    judged = ["--validation", house / "val.parquet", "--label", "y"]
    first = house / "first.parquet"
    assert run("providers", house / "packages", *judged, "--out", first).code == 0
    again = house / "again.parquet"
    assert run("providers", first, "--weights", 1, 0, 0, "--out", again).code == 0
    old, new = dw.Shares.load(first), dw.Shares.load(again)
    assert np.array_equal(new.values, dw.recalibrate(old, dw.Calibration(1, 0, 0)).values)
    assert not np.array_equal(new.values, old.values)
    assert new.spent == old.spent
    refused(run("providers", first, *judged), "weighed anew alone")
    refused(run("providers", first, again), "weighed anew alone")


def test_neighbours_can_judge(run: Run, house: Path, pack: Pack) -> None:
    for name in "ab":
        assert pack(name).code == 0
    judged = [house / "packages", "--validation", house / "val.parquet", "--label", "y"]
    done = run("providers", *judged, "--radius", 0.2, "--metric", "euclidean", "--out", house / "out.parquet")
    assert done.code == 0, done.err
    shares = dw.Shares.load(house / "out.parquet")
    assert "NeighborAccuracy(radius=0.2, metric='euclidean')" in shares.coalitions.utility
    refused(run("providers", *judged, "--radius", 0.2, "--penalty", 2), "--penalty")
    refused(run("providers", *judged, "--metric", "cosine"), "--metric goes with --radius")
