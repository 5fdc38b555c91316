"""A look at every row before anything that takes longer."""

from __future__ import annotations

import warnings
from collections.abc import Collection

from dataworth.errors import DataError, MethodError, UnmatchedLabels
from dataworth.valuation.part_job import PartJob, fractions
from dataworth.valuation.part_run import PartRun
from dataworth.valuation.task import bar, check_same_kind, encode

__all__ = ["survey_rows"]


def survey_rows(job: PartJob, run: PartRun, *, depth: int, known: Collection[str] = ()) -> None:
    """Make sure of every file and row, unless an earlier run of this very job did.

    Args:
        job: The rows and the points.
        run: Has the folder; it is cleared if anything is wrong.
        depth: How many calls below the user's this one is.
        known: Files whose features an earlier run looked at; of them, names and labels alone are read.

    Raises:
        DataError: What is wrong with which file.
        MethodError: Labels that are no classes.

    Warns:
        UnmatchedLabels: Some labels are no class.
    """
    if run.kept.surveyed.exists():
        return
    try:
        with run.kept.room():
            _survey(job, run, known, depth + 2)
    except (DataError, MethodError):
        run.kept.clear()  # once the files are right they are other files, and the folder shall be free for them
        raise
    run.kept.surveyed.touch()


def _survey(job: PartJob, run: PartRun, known: Collection[str], depth: int) -> None:
    with bar(job.source.rows, "Checking files", run.progress) as tick:
        found = job.source.survey(
            tick,
            usable=job.usable,
            unusable=job.unusable,
            known=known,
            threads=run.survey_threads,
            folder=run.kept.work,
        )
    if not found.has_classes:
        raise fractions()
    if found.labels is not None:
        check_same_kind(found.labels, job.classes, "labels of the files")
        unknown = int((encode(found.labels, job.classes) < 0).sum())
        if unknown:
            warnings.warn(
                f"{unknown} of {found.labels.size} labels in the files are no validation class: their rows match no "
                "validation point, so they can only lower the votes of others",
                UnmatchedLabels,
                stacklevel=depth,
            )
