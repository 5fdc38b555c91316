"""A private release from the command line: what comes out, what it costs, and what is never said."""

from __future__ import annotations

import errno
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataworth as dw
from dataworth.cli.private import _shown
from dataworth.privacy.ledger import Ledger
from tests.cli.conftest import Outcome, Run, blobs
from tests.cli.test_startup import HEAVY, loaded

pytest.importorskip("opendp")
pytest.importorskip("dp_accounting")
pytest.importorskip("sqlalchemy")

SPEND = ["--epsilon", "1", "--delta", "1e-4"]
CHEAP = ["--radius", "0.3", "--links", "5", "--expected-rows", "100"]  # no rehearsal of many caps


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    dw.Ledger.create(path, budget=dw.Budget("2.5", "3e-4"), unit=dw.Row(), population="patients")
    return path


@pytest.fixture
def release(run: Run, train: Path, validation: Path, ledger: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """The command with the columns and the ledger named; more options come behind."""

    def call(*more: Any, rows: Path = train, out: Path = tmp_path / "release", spend: Any = SPEND) -> Outcome:
        named = ["--label", "y", "--features", "a,b", "--id", "name", "--owner", "who", "--method", "threshold"]
        charged = [*spend, "--ledger", ledger, "--out", out]
        return run("points", rows, "--validation", validation, *named, *CHEAP, *charged, *more)

    return call


def answers(folder: Path) -> list[str]:
    """What every owner is told, whoever's file has whichever name."""
    return sorted(path.read_text(encoding="utf-8") for path in (folder / "owners").iterdir())


def spent(ledger: Path) -> int:
    return len(Ledger.open(ledger).history())


def refused(done: Outcome, *words: str, code: int = 2) -> None:
    assert (done.code, done.out) == (code, ""), done.err
    assert done.err.startswith("dataworth: ")
    assert len(done.err.splitlines()) == 1
    for word in words:
        assert word in done.err


# -- what comes out ------------------------------------------------------------------------------


def test_each_owner_gets_a_file_and_the_ledger_a_row(release: Any, ledger: Path, tmp_path: Path) -> None:
    page = tmp_path / "operator.html"
    done = release("--report", page)
    assert (done.code, done.err) == (0, "")
    folder = tmp_path / "release"
    assert {path.name for path in folder.iterdir()} == {"owners", "deliver.csv", "manifest.json", "counts.csv"}
    told = [json.loads(text) for text in answers(folder)]
    assert sorted(len(answer["rows"]) for answer in told) == [20, 20, 20]
    assert {row["id"] for answer in told for row in answer["rows"]} == {f"row-{i}" for i in range(60)}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["number"], manifest["stamp"], manifest["population"]) == (1, "", "patients")
    account = Ledger.open(ledger)
    assert spent(ledger) == 1
    assert str(account.remaining) in done.out
    stored = dw.Release.from_bytes(account.stored(1).payload)
    for promise in stored.guarantees:
        assert str(promise) in done.out
    assert "one row added or removed" in done.out
    assert "one row replaced by any other" in done.out
    assert "CappedLinks(links=5)" in done.out
    assert f"scale {float(stored.sigma):.6g}" in done.out
    text = page.read_text(encoding="utf-8")
    assert "Private release 1 of patients" in text
    assert "What the ledger has spent and has left" in text
    assert "row-1" not in text
    assert "owner-1" not in text


def test_json_is_one_object(release: Any, ledger: Path, tmp_path: Path) -> None:
    done = release("--json")
    assert (done.code, done.err) == (0, "")
    answer = json.loads(done.out)
    assert (answer["release"], answer["population"], answer["validation_points"]) == (1, "patients", 30)
    assert answer["mechanism"] == "CappedLinks(links=5)"
    assert answer["remaining"] == {"epsilon": "1.500000000", "delta": "0.000200000000000000", "rho": None}
    assert [promise["relation"] for promise in answer["guarantees"]] == ["add_or_remove", "replace"]
    assert answer["guarantees"][0]["epsilon"] == "1"
    assert (answer["out"], answer["report"]) == (str(tmp_path / "release"), None)


def test_what_is_printed_does_not_depend_on_the_rows(
    run: Run, validation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other rows, other owners, more of them, some without features: not a letter differs."""
    one, other = blobs(60, seed=1), blobs(93, seed=8, wrong=30)
    a = other["a"].to_pylist()
    a[4], a[9] = None, float("inf")
    other = other.set_column(other.column_names.index("a"), "a", pa.array(a))
    other = other.set_column(other.column_names.index("who"), "who", pa.array([f"o{i % 17}" for i in range(93)]))
    said = []
    for number, table in enumerate((one, other)):
        folder = tmp_path / str(number)
        folder.mkdir()
        pq.write_table(table, folder / "train.parquet")
        dw.Ledger.create(folder / "ledger.db", budget=dw.Budget(3, "1e-3"), unit=dw.Row(), population="patients")
        monkeypatch.chdir(folder)
        named = ["--label", "y", "--features", "a,b", "--owner", "who", "--method", "threshold", "--radius", "0.3"]
        command = ["points", "train.parquet", "--validation", validation, *named, *SPEND, "--ledger", "ledger.db"]
        for out, more in (("text", []), ("json", ["--json"])):
            done = run(*command, "--links", "5", "--out", out, "--report", f"{out}.html", *more)
            assert done.code == 0
            said.append((done.out, done.err))
    assert said[:2] == said[2:]


def test_only_the_owner_is_told_of_a_row_without_features(release: Any, train: Path, tmp_path: Path) -> None:
    table = pq.read_table(train)
    column = table["b"].to_pylist()
    column[7] = None
    holed = tmp_path / "holed.parquet"
    pq.write_table(table.set_column(table.column_names.index("b"), "b", pa.array(column)), holed)
    done = release(rows=holed)
    assert (done.code, done.err) == (0, "")
    remarks = [row for text in answers(tmp_path / "release") for row in json.loads(text)["rows"] if row["remark"]]
    assert [(row["id"], row["value"]) for row in remarks] == [("row-7", 0.0)]
    assert "without a direction" in remarks[0]["remark"]


def test_a_radius_is_suggested_by_the_validation_rows(
    run: Run, train: Path, validation: Path, ledger: Path, tmp_path: Path
) -> None:
    command = ["points", train, "--validation", validation, "--label", "y", "--features", "a,b", "--links", "5"]
    done = run(*command, "--method", "threshold", *SPEND, "--ledger", ledger, "--out", tmp_path / "release", "--json")
    assert json.loads(done.out)["suggested_radius"] == dw.suggest_radius(dw.read_points(validation, label="y"))


def test_subsampling(run: Run, train: Path, validation: Path, ledger: Path, tmp_path: Path) -> None:
    named = ["--label", "y", "--features", "a,b", "--method", "threshold", "--radius", "0.3"]
    command = ["points", train, "--validation", validation, *named, *SPEND, "--ledger", ledger, "--json"]
    done = run(*command, "--mechanism", "subsampled", "--probability", "0.1", "--out", tmp_path / "release")
    assert done.code == 0, done.err
    assert json.loads(done.out)["mechanism"] == repr(dw.Subsampled("0.1"))


def test_a_weak_delta_names_no_number_of_rows(release: Any, tmp_path: Path) -> None:
    ledger = tmp_path / "loose.db"
    dw.Ledger.create(ledger, budget=dw.Budget(2, "0.1"), unit=dw.Row(), population="patients")
    done = release("--ledger", ledger, spend=["--epsilon", "1", "--delta", "0.05"])
    assert done.code == 0
    assert done.err.startswith("dataworth: warning: delta = 0.05 is above one over the number of rows")
    assert len(done.err.splitlines()) == 1
    assert "60" not in done.err
    assert "warning" not in done.out


# -- what it costs -------------------------------------------------------------------------------


def test_what_does_not_fit_is_3_and_leaves_nothing(release: Any, ledger: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        assert release(out=tmp_path / f"r{number}").code == 0
    before = sorted(tmp_path.iterdir())
    refused(release("--report", tmp_path / "page.html"), "0.5", "nothing was spent", code=3)
    assert sorted(tmp_path.iterdir()) == before
    assert spent(ledger) == 2


def test_without_a_key_every_call_is_a_new_spend(release: Any, ledger: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        assert release(out=tmp_path / f"r{number}").code == 0
    assert spent(ledger) == 2
    assert answers(tmp_path / "r1") != answers(tmp_path / "r2")


def test_under_a_key_the_same_answer_comes_again(release: Any, ledger: Path, train: Path, tmp_path: Path) -> None:
    first = release("--request-key", "spring", out=tmp_path / "r1")
    pq.write_table(blobs(41, seed=77), train)  # the data changed meanwhile
    again = release("--request-key", "spring", out=tmp_path / "r2")
    assert (first.code, again.code) == (0, 0)
    assert again.out.replace("r2", "r1") == first.out
    assert answers(tmp_path / "r1") == answers(tmp_path / "r2")
    for name in ("manifest.json", "counts.csv"):
        assert (tmp_path / "r1" / name).read_bytes() == (tmp_path / "r2" / name).read_bytes()
    assert spent(ledger) == 1


@pytest.mark.parametrize("other", [["--data-version", "2"], ["--expected-rows", "101"], ["--semivalue", "banzhaf"]])
def test_a_key_is_for_one_request(release: Any, ledger: Path, tmp_path: Path, other: list[str]) -> None:
    assert release("--request-key", "spring", out=tmp_path / "r1").code == 0
    refused(release("--request-key", "spring", *other, out=tmp_path / "r2"), "key")
    assert spent(ledger) == 1
    assert not (tmp_path / "r2").exists()


# -- what goes wrong after it was paid for -------------------------------------------------------


def hint_in(err: str) -> list[str]:
    """The command that a message tells to run."""
    found = re.search(r"with: dataworth (deliver .*)$", err.strip().splitlines()[0])
    assert found is not None, err
    return shlex.split(found[1])


def test_a_full_disk_loses_nothing(
    release: Any, run: Run, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("dataworth.records.release._new_file", full)
        done = release()
    refused(done, "No space left on device", "release 1 is charged and kept", code=1)
    assert not [path for path in tmp_path.iterdir() if "release" in path.name]
    again = run(*hint_in(done.err))
    assert again.code == 0, again.err
    stored = dw.Release.from_bytes(Ledger.open(ledger).stored(1).payload)
    assert answers(tmp_path / "release") == sorted(stored.for_owner(f"owner-{i}").to_json() for i in range(3))
    assert spent(ledger) == 1


def test_a_stop_while_files_are_written_leaves_no_half(
    release: Any, run: Run, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataworth.records import release as module

    new_file = module._new_file

    def stop(path: Path) -> NoReturn:
        with new_file(path) as file:
            file.write("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_new_file", stop)
        done = release()
    assert (done.code, done.out) == (130, "")
    assert not [path for path in tmp_path.iterdir() if "release" in path.name]
    assert run(*hint_in(done.err)).code == 0
    assert spent(ledger) == 1


def test_a_page_that_fails_keeps_the_folder(
    release: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("boom SECRET")

    with monkeypatch.context() as patch:
        patch.setattr(dw, "write_report", fail)
        done = release("--report", tmp_path / "page.html")
    assert done.code == 1
    assert "SECRET" not in done.err
    assert run(*hint_in(done.err)).code == 0
    assert answers(tmp_path / "release") == answers(tmp_path / "release-again")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("the connection is gone")])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stop_around_the_commit_says_whether_it_was_spent(
    release: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, when: str
) -> None:
    commit = Ledger.commit

    def stopped(self: Ledger, *given: Any, **named: Any) -> Any:
        if when == "after":
            commit(self, *given, **named)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "commit", stopped)
        done = release()
    assert done.code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert ("the ledger has a new release" in done.err) == (when == "after")
    assert not (tmp_path / "release").exists()


def test_a_release_is_delivered_again(release: Any, run: Run, ledger: Path, tmp_path: Path) -> None:
    assert release(out=tmp_path / "r1").code == 0
    page = tmp_path / "page.html"
    done = run("deliver", ledger, 1, "--out", tmp_path / "r2", "--report", page, "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["release"] == 1
    assert answers(tmp_path / "r1") == answers(tmp_path / "r2")
    assert page.is_file()
    assert spent(ledger) == 1
    refused(run("deliver", ledger, 2, "--out", tmp_path / "r3"), "no release 2")
    refused(run("deliver", ledger, 1, "--out", tmp_path / "r1"), "exists already")
    refused(run("deliver", tmp_path / "nothing.db", 1, "--out", tmp_path / "r3"), "nothing.db")


def test_no_message_repeats_a_password() -> None:
    assert _shown("postgresql://me:secret@host/db") == "LEDGER"
    assert _shown("my ledger.db") == "'my ledger.db'"


# -- what is refused, before anything is read or spent -------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--delta", "1e-6"], "--delta is about a private release; give --epsilon too"),
        (["--ledger", "l.db"], "--ledger is about"),
        (["--mechanism", "capped"], "--mechanism is about"),
        (["--links", "3"], "--links is about"),
        (["--probability", "0.1"], "--probability is about"),
        (["--expected-rows", "3"], "--expected-rows is about"),
        (["--request-key", "k"], "--request-key is about"),
        (["--data-version", "v"], "--data-version is about"),
    ],
)
def test_private_options_need_an_epsilon(run: Run, options: list[str], words: str) -> None:
    missing = ["nothing.parquet", "--validation", "nothing.parquet", "--label", "y", "--method", "threshold"]
    refused(run("points", *missing, *options), words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--bad", "wrong"], "--bad shows figures of exact values"),
        (["--show-rows"], "--show-rows shows"),
        (["--removal-model", "none"], "--removal-model shows"),
        (["--method", "knn"], "only --method threshold has a private release, not knn"),
        (["--method", "vote"], "not vote"),
        (["--k", "5"], "--k is not used by --method threshold"),
        (["--mechanism", "subsampled"], "--links caps the links"),
        (["--probability", "0.1"], "--probability is for --mechanism subsampled"),
        (["--links", "0"], "links must be an integer of 1 or more"),
        (["--epsilon", "0"], "epsilon must be from"),
        (["--epsilon", "-1"], "epsilon must be from"),
        (["--epsilon", "nan"], "epsilon must be from"),
        (["--epsilon", "inf"], "epsilon must be from"),
        (["--epsilon", "1e6"], "epsilon must be from"),
        (["--epsilon", "much"], "epsilon must be a decimal number"),
        (["--delta", "0"], "delta must be from"),
        (["--delta", "1"], "delta must be from"),
        (["--expected-rows", "0"], "expected_rows"),
        (["--radius", "3"], "radius"),
        (["--report", "nowhere/page.html"], "does not exist"),
        (["--report", "page.pdf"], "ends in .html"),
        (["--ledger", "no-such.db"], "no-such.db"),
        (["--request-key", ""], "request_key"),
    ],
)
def test_what_a_private_release_cannot_do(
    release: Any, ledger: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    before = sorted(tmp_path.iterdir())
    refused(release(*options), words)
    assert sorted(tmp_path.iterdir()) == before
    assert spent(ledger) == 0


@pytest.mark.parametrize("lacking", ["--delta", "--ledger", "--out"])
def test_all_three_are_needed(run: Run, lacking: str) -> None:
    options = {"--epsilon": "1", "--delta": "1e-6", "--ledger": "l.db", "--out": "folder"}
    given = [word for option, value in options.items() if option != lacking for word in (option, value)]
    missing = ["nothing.parquet", "--validation", "nothing.parquet", "--label", "y", "--method", "threshold"]
    refused(run("points", *missing, *given), f"needs {lacking} too")


@pytest.mark.parametrize("kind", ["folder", "file", "dangling"])
def test_only_a_new_folder_will_do(release: Any, ledger: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "release"
    if kind == "folder":
        out.mkdir()
    elif kind == "file":
        out.write_text("mine")
    else:
        out.symlink_to(tmp_path / "nowhere")
    refused(release(), "exists already")
    refused(release(out=tmp_path / "nowhere" / "release"), "does not exist")
    assert spent(ledger) == 0


def test_a_folder_that_appears_meanwhile_is_not_replaced(
    release: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, made = tmp_path / "release", dw.release_points

    def slow(*given: Any, **named: Any) -> Any:
        out.mkdir()
        return made(*given, **named)

    monkeypatch.setattr(dw, "release_points", slow)
    done = release()
    refused(done, "exists already", "release 1 is charged and kept")
    assert list(out.iterdir()) == []
    assert run(*hint_in(done.err)).code == 0


def test_a_ledger_of_owners_needs_owners(run: Run, train: Path, validation: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "owners.db"
    dw.Ledger.create(ledger, budget=dw.Budget(2, "1e-3"), unit=dw.Owner(3), population="patients", composition="zcdp")
    command = ["points", train, "--validation", validation, "--label", "y", "--features", "a,b", "--method"]
    refused(run(*command, "threshold", *CHEAP, *SPEND, "--ledger", ledger, "--out", tmp_path / "r"), "owners")
    assert spent(ledger) == 0
    page = tmp_path / "page.html"
    outputs = ["--out", tmp_path / "r", "--report", page]
    done = run(*command, "threshold", *CHEAP, *SPEND, "--ledger", ledger, *outputs, "--owner", "who")
    assert done.code == 0, done.err
    assert "one owner of at most 3 rows" in done.out
    assert f"left in the ledger: {Ledger.open(ledger).remaining}" in done.out
    assert "Bars of the rho of each release" in page.read_text(encoding="utf-8")
    remarks = [row["remark"] for text in answers(tmp_path / "r") for row in json.loads(text)["rows"]]
    assert sum("beyond the rows" in remark for remark in remarks) == 60 - 3 * 3


def test_a_missing_ledger_is_never_made(release: Any, tmp_path: Path) -> None:
    refused(release("--ledger", tmp_path / "other.db"), "other.db")
    assert not (tmp_path / "other.db").exists()


# -- the report of saved releases ----------------------------------------------------------------


def test_saved_releases_are_drawn_but_not_beside_exact_values(
    release: Any, run: Run, train: Path, validation: Path, tmp_path: Path
) -> None:
    assert release().code == 0
    saved, values, page = tmp_path / "release", tmp_path / "values.parquet", tmp_path / "page.html"
    shutil.rmtree(saved / "owners")  # nobody's values are read
    assert run("report", saved, "--out", page).code == 0
    assert "Private release 1 of patients" in page.read_text(encoding="utf-8")
    page.unlink()
    named = ["--label", "y", "--features", "a,b", "--method", "knn", "--out", values]
    assert run("points", train, "--validation", validation, *named).code == 0
    refused(run("report", saved, values, "--out", page), "--bench")
    assert not page.exists()
    assert run("report", saved, values, "--out", page, "--bench").code == 0
    assert "<strong>NOT PRIVATE</strong>" in page.read_text(encoding="utf-8")
    refused(run("report", tmp_path, "--out", page), "holds no release")


# -- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["plan"], ["deliver"], ["budget"], ["budget", "create"], ["audit"]])
def test_help_has_an_example_and_loads_nothing_heavy(run: Run, command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.code == 0
    assert f"Example: dataworth {' '.join(command[:1])}" in " ".join(done.out.split())
    modules = loaded(
        "import atexit, json, sys\nfrom dataworth.cli import main\n"
        "atexit.register(lambda: print(json.dumps([m for m in sys.modules if '.' not in m]), file=sys.stderr))\n"
        f"main({[*command, '--help']!r})"
    )
    assert not modules & {*HEAVY, "sqlalchemy", "alembic", "opendp", "dp_accounting", "jinja2"}


def test_help_lists_what_a_private_release_needs(run: Run) -> None:
    done = run("points", "--help")
    for option in ("--epsilon", "--delta", "--ledger", "--request-key", "--expected-rows"):
        assert option in done.out
    assert "Private release" in done.out
    assert np.isin(["plan", "deliver", "budget"], run("--help").out.split()).all()
