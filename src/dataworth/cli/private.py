"""What ``dataworth points`` does when ``--epsilon`` is given: a private release, charged to a ledger.

Standard output and files never say how many rows or owners there are, and never a value.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dataworth.cli.methods import Method
from dataworth.cli.output import check_report, show, show_json
from dataworth.errors import DataworthError, InputError, MethodError

if TYPE_CHECKING:
    from dataworth.cli.reading import Pair
    from dataworth.data.sources import Source
    from dataworth.engines.engine import Engine
    from dataworth.kernels.neighbors import DType
    from dataworth.privacy.ledger import Ledger
    from dataworth.privacy.ledger.charges import Remaining
    from dataworth.records import Budget, Exhibit, Guarantee, Points, Release
    from dataworth.valuation.methods import CappedLinks, Mechanism, PointMethod, ThresholdKNNShapley

__all__ = [
    "MechanismName",
    "Request",
    "build_mechanism",
    "check_new_folder",
    "guarantees_json",
    "hand_over",
    "remaining_json",
]


class MechanismName(StrEnum):
    """The mechanisms by the names they have on the command line."""

    CAPPED = "capped"
    SUBSAMPLED = "subsampled"


@dataclass(frozen=True)
class Request:
    """The options of a private release as they were given, None where they were not."""

    epsilon: str | None
    delta: str | None
    ledger: str | None
    mechanism: MechanismName | None
    links: int | None
    probability: str | None
    expected_rows: int | None
    request_key: str | None
    data_version: str | None

    def refuse_without_epsilon(self) -> None:
        """Refuse options that only a private release has.

        Raises:
            InputError: One of them was given.
        """
        for name, value in vars(self).items():
            if value is not None:
                raise InputError(f"--{name.replace('_', '-')} is about a private release; give --epsilon too")

    def check(
        self,
        method: Method,
        out: Path | None,
        report: Path | None,
        exact: Mapping[str, object],
        *,
        embed: bool,
        in_parts: bool,
    ) -> None:
        """Refuse, before anything is read or spent, what a private release cannot do.

        Args:
            method: Must be the one that has a private release.
            out: Where the release goes: a new folder.
            report: Where the operator's page goes.
            exact: Options that only exact values have, with whether they were given.
            embed: Whether texts or images are to be embedded on the way.
            in_parts: Whether rows are worked on part by part: the folder may then be that of a run to go on with.

        Raises:
            InputError: Something is missing, cannot be used, or does not go together.
        """
        if method is not Method.THRESHOLD:
            raise MethodError(f"only --method threshold has a private release, not {method.value}; leave out --epsilon")
        for option, given in exact.items():
            if given:
                raise InputError(
                    f"{option} shows figures of exact values, which no private release covers; leave it out"
                )
        if embed:
            raise InputError(
                "--embed computes many rows together, so that a row's features depend on the others in their last "
                "digits, which a private release cannot allow; embed each row by itself first, and give the features"
            )
        for option, needed in (("--delta", self.delta), ("--ledger", self.ledger), ("--out", out)):
            if needed is None:
                raise InputError(f"a private release needs {option} too (see dataworth points --help)")
        if not in_parts:
            check_new_folder(out, "--out")
        check_report(report, "--report")
        build_mechanism(self.mechanism, self.links, self.probability)
        self._spend()
        self._open()

    def _spend(self) -> Budget:
        from dataworth.records import Budget

        return Budget(str(self.epsilon), str(self.delta))

    def _open(self) -> Ledger:
        from dataworth.privacy.ledger import Ledger

        return Ledger.open(str(self.ledger))

    def run(
        self,
        pair: Pair,
        method: PointMethod,
        suggested: float | None,
        out: Path | None,
        report: Path | None,
        *,
        classes: Sequence[Any] | None,
        dtype: DType,
        threads: int | None,
        as_json: bool,
    ) -> None:
        """Make the release, hand it over and print what may be printed; what :meth:`check` refuses is not there.

        Args:
            pair: The rows and the points that judge.
            method: With its radius.
            suggested: The radius, if the validation set suggested it.
            out: A new folder.
            report: Where the operator's page goes, if anywhere.
            classes: All classes, if they were given.
            dtype: The precision of distances.
            threads: How many threads to use.
            as_json: Whether to print JSON.
        """
        import dataworth as dw

        ledger = self._open()
        shown = _shown(str(self.ledger))
        listed = (
            f"dataworth budget {shown} lists it, and dataworth deliver {shown} NUMBER --out FOLDER gets it for nothing"
        )
        with _told_if_spent(ledger, listed):
            release = dw.release_points(
                pair.train,
                pair.validation,
                method=cast("ThresholdKNNShapley", method),
                spend=self._spend(),
                ledger=ledger,
                mechanism=build_mechanism(self.mechanism, self.links, self.probability),
                expected_rows=self.expected_rows,
                request_key=self.request_key,
                data_version=self.data_version or "",
                classes=classes,
                dtype=dtype,
                threads=threads,
            )
        hand_over(release, ledger, str(self.ledger), cast("Path", out), report, suggested=suggested, as_json=as_json)

    def run_source(
        self,
        source: Source,
        validation: Points,
        method: PointMethod,
        suggested: float | None,
        out: Path,
        report: Path | None,
        *,
        classes: Sequence[Any] | None,
        dtype: DType,
        engine: Engine,
        memory: str,
        spill: bool,
        as_json: bool,
    ) -> None:
        """Make the release of rows in files, part by part, and print what may be printed.

        Args:
            source: The rows.
            validation: The points that judge.
            method: With its radius.
            suggested: The radius, if the validation set suggested it.
            out: A folder, new or of a run to go on with.
            report: Where the operator's page goes, if anywhere.
            classes: All classes, if they were given.
            dtype: The precision of distances.
            engine: Where parts are worked on.
            memory: What all workers may take together.
            spill: Whether links are on disk between the passes.
            as_json: Whether to print JSON.
        """
        import dataworth as dw
        from dataworth.valuation.release_parts import release_source

        ledger = self._open()
        with _told_if_spent(ledger, "the same command goes on with it, and spends nothing more"):
            stored = release_source(
                source,
                validation,
                method=cast("ThresholdKNNShapley", method),
                spend=self._spend(),
                ledger=ledger,
                out=out,
                mechanism=cast("CappedLinks | None", build_mechanism(self.mechanism, self.links, self.probability)),
                expected_rows=self.expected_rows,
                request_key=self.request_key,
                data_version=self.data_version or "",
                classes=classes,
                dtype=dtype,
                engine=engine,
                memory=memory,
                spill=spill,
            )
        if report is not None:
            dw.write_report([stored.head, _spent(ledger)], report)
        folder = shlex.quote(str(out))
        where = [
            f"values are in {out / 'rows'}, for your eyes only; a file for each owner is written by: dataworth deliver "
            f"{folder} --out FOLDER"
        ]
        _print(stored.head, ledger, where, out, report, suggested=suggested, as_json=as_json)


def build_mechanism(name: MechanismName | None, links: int | None, probability: str | None) -> Mechanism | None:
    """The mechanism that the options describe; None leaves it to the library.

    Raises:
        MethodError: An option that the mechanism does not have, or a value that it cannot take.
    """
    from dataworth.valuation.methods import CappedLinks, Subsampled

    if name is MechanismName.SUBSAMPLED:
        if links is not None:
            raise MethodError("--links caps the links of rows, which --mechanism subsampled does not do; leave it out")
        return Subsampled() if probability is None else Subsampled(probability)
    if probability is not None:
        raise MethodError("--probability is for --mechanism subsampled; capped links count every row")
    return None if name is None and links is None else CappedLinks(links)


def check_new_folder(path: Path | None, option: str) -> None:
    """Refuse, before anything is spent, a folder that could not be made at the end.

    Raises:
        InputError: It exists, or the folder it is to be in does not, or is not writable.
    """
    if path is None:
        return
    if path.exists() or path.is_symlink():
        raise InputError(f"{option} names a new folder for a private release, but {str(path)!r} exists already")
    if not path.parent.is_dir():
        raise InputError(f"the folder {str(path.parent)!r} for {option} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"the folder {str(path.parent)!r} for {option} is not writable")


def hand_over(
    release: Release,
    ledger: Ledger,
    location: str,
    out: Path,
    report: Path | None,
    *,
    suggested: float | None = None,
    as_json: bool,
) -> None:
    """Write what the ledger keeps, and print what anybody may know of it.

    Args:
        release: With its number.
        ledger: That keeps it.
        location: Where the ledger is, as it was given.
        out: A new folder.
        report: Where the operator's page goes, if anywhere.
        suggested: The radius, if the validation set suggested it.
        as_json: Whether to print JSON.
    """
    import dataworth as dw

    with _told_how_to_go_on(release, location, out):
        release.save(out)
        if report is not None:
            dw.write_report([release, _spent(ledger)], report)
    where = [f"a file for each owner is in {out / 'owners'}; {out / 'deliver.csv'} says whose is which"]
    _print(release, ledger, where, out, report, suggested=suggested, as_json=as_json)


def _print(
    release: Release,
    ledger: Ledger,
    where: Sequence[str],
    out: Path,
    report: Path | None,
    *,
    suggested: float | None,
    as_json: bool,
) -> None:
    """What anybody may know of a release, and where it is."""
    left = ledger.remaining
    if as_json:
        show_json(
            {
                "release": release.number,
                "population": release.population,
                "method": release.method,
                "mechanism": release.mechanism,
                "validation_points": release.n_validation,
                "noise_scale": float(release.sigma),
                "guarantees": guarantees_json(release.guarantees),
                "suggested_radius": suggested,
                "remaining": remaining_json(left),
                "out": str(out),
                "report": report and str(report),
            }
        )
        return
    lines = [f"release {release.number}, charged to the ledger of {release.population!r}: {release.method}"]
    if suggested is not None:
        lines.append(f"radius {suggested:.6g}, suggested by the validation set; choose another with --radius")
    lines += ["", *release.words, "", f"left in the ledger: {left}"]
    lines += where
    lines += [f"the operator's page is written to {report}"] if report else []
    show(lines)


def guarantees_json(promises: tuple[Guarantee, ...]) -> list[dict[str, Any]]:
    """Guarantees for machines."""
    return [
        {
            "epsilon": str(promise.budget.epsilon),
            "delta": str(promise.budget.delta),
            "unit": str(promise.unit),
            "max_rows": promise.unit.rows,
            "relation": promise.relation,
            "words": str(promise),
        }
        for promise in promises
    ]


def remaining_json(left: Remaining) -> dict[str, str | None]:
    """What a ledger has left, for machines."""
    return {
        "epsilon": f"{left.epsilon:f}",
        "delta": f"{left.delta:f}",
        "rho": None if left.rho is None else str(left.rho),
    }


def _spent(ledger: Ledger) -> Exhibit:
    """What each release cost and what is left, drawn as bars."""
    from dataworth.records import Exhibit, Table

    history, left = ledger.history(), ledger.remaining
    measure = "epsilon" if left.rho is None else "rho"
    spent = [*history.columns[measure], float(left.epsilon if left.rho is None else left.rho)]
    names = [*(f"release {number}" for number in history.columns["number"]), "left"]
    table = Table("ledger-budget", "What the ledger has spent and has left", {"release": names, measure: spent})
    return Exhibit(
        "ledger-budget",
        "bars",
        table,
        x=measure,
        y="release",
        alt=f"Bars of the {measure} of each release charged to the ledger, and of what is left.",
        caption=f"The whole budget is {ledger.budget}; left: {left}.",
    )


@contextmanager
def _told_how_to_go_on(release: Release, location: str, out: Path) -> Iterator[None]:
    """Whatever fails once the ledger has committed, the message says how to get what was paid for."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{error}; {_how_to_go_on(release, location, out)}") from error
    except OSError as error:
        raise OSError(f"{error.strerror or error}; {_how_to_go_on(release, location, out)}") from error
    except BaseException:
        print("dataworth:", _how_to_go_on(release, location, out), file=sys.stderr)
        raise


def _how_to_go_on(release: Release, location: str, out: Path) -> str:
    folder = out.with_name(f"{out.name}-again") if out.exists() else out
    command = f"dataworth deliver {_shown(location)} {release.number} --out {shlex.quote(str(folder))}"
    return f"release {release.number} is charged and kept in the ledger; get it again for nothing with: {command}"


@contextmanager
def _told_if_spent(ledger: Ledger, how_to_go_on: str) -> Iterator[None]:
    """A stop or a broken connection may come after the ledger has committed and before anybody knows."""
    before = ledger.head
    try:
        yield
    except (OSError, KeyboardInterrupt):
        with suppress(DataworthError, OSError):
            if ledger.head != before:
                print(f"dataworth: the ledger has a new release: {how_to_go_on}", file=sys.stderr)
        raise


def _shown(location: str) -> str:
    """A place to type; never a URL, which may hold a password."""
    return "LEDGER" if "://" in location else shlex.quote(location)
