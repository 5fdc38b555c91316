"""What a run over parts keeps in its folder, so that it can be stopped anywhere and ends with the same bytes."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.data.sources import Part
from dataworth.errors import DataError, InputError
from dataworth.records.files import locked, told_if_full, whole_file
from dataworth.records.sealed import read_sealed, write_sealed
from dataworth.records.stored import MANIFEST, StoredValues, encode_part, part_name, read_part

__all__ = ["PartsKept"]

_PART = "dataworth.part-work/1"
_WORK = "_work"


@dataclass(frozen=True)
class PartsKept:
    """The files of a run: values in ``out``, and until they are finished its work in a folder of it.

    What is damaged counts as not there and is made again; it can be made from the rows at any time.

    Args:
        out: The folder of values, as an absolute path.
        job: A digest of everything that values depend on.
        spare: What would take less room on the disk, for messages, such as ``"; spill=False keeps no links"``.
    """

    out: Path
    job: str
    spare: str = ""

    @property
    def work(self) -> Path:
        """What is removed in the end."""
        return self.out / _WORK

    @property
    def surveyed(self) -> Path:
        """There once all rows were looked at."""
        return self.work / "surveyed"

    @property
    def _lock(self) -> Path:
        return self.work / "lock"

    @property
    def _note(self) -> Path:
        return self.work / "job.json"

    # -- the folder --------------------------------------------------------------------------------

    def finished(self, part_rows: int | None) -> bool:
        """Whether all values are there.

        Args:
            part_rows: The rows of a part that were asked for, if any were.

        Raises:
            InputError: ``out`` is a file, or holds values of another run.
            DataError: Its values are damaged.
        """
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"out must be a folder, but {str(self.out)!r} is a file")
        if not (self.out / MANIFEST).exists():
            return False
        facts = StoredValues.open(self.out).provenance
        there = facts.get("rows of a part")
        if facts.get("job") != self.job:
            raise InputError(f"{str(self.out)!r} holds values of other rows or another method; name a new folder")
        if part_rows not in (None, there):
            raise InputError(
                f"{str(self.out)!r} holds these values in parts of {there} rows, not {part_rows}; name a new folder"
            )
        self.clear()  # a run may have been stopped just before
        return True

    def rows_of_a_part(self) -> int | None:
        """The rows of a part of the run that was begun here, if one was.

        Raises:
            InputError: The folder holds the work of another run, or something else.
        """
        try:
            told = json.loads(self._note.read_text("utf-8"))
            job, rows = told["job"], told["rows of a part"]
        except (FileNotFoundError, NotADirectoryError):
            self._check_empty()
            return None
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{str(self._note)!r} is damaged; name a new folder for the values") from None
        if job != self.job or not isinstance(rows, int):
            raise InputError(
                f"{str(self.out)!r} holds the unfinished work of other rows or another method; name a new folder"
            )
        return rows

    def _check_empty(self) -> None:
        """Nothing is there, but for what a run leaves that was stopped before it took its note."""
        if not self.out.exists():
            return
        begun = {self.work, self._lock, *self.work.glob(f".{self._note.name}.*")}
        if any(path not in begun for path in self.out.rglob("*")):
            raise InputError(f"{str(self.out)!r} holds other files; name a new folder for the values")

    def begin(self, rows: int, bits: int) -> None:
        """Say whose folder it is, or go on with it; within :meth:`alone`.

        Args:
            rows: The rows of a part.
            bits: How many bytes of work will be kept, as far as is known.

        Raises:
            InputError: The folder cannot be written, its parts have other rows, or the disk has too little room.
        """
        begun = self.rows_of_a_part()
        if begun not in (None, rows):
            raise InputError(
                f"{str(self.out)!r} holds the unfinished work of parts of {begun} rows, not {rows}; go on with those, "
                "or name a new folder"
            )
        if begun is not None:
            return
        free = shutil.disk_usage(self.out).free
        if bits > free:
            raise InputError(
                f"the work takes {bits / 2**20:,.1f} MiB, but {str(self.out)!r} has room for {free / 2**20:,.1f} MiB"
                f"{self.spare}"
            )
        try:
            with whole_file(self._note) as temporary:
                temporary.write_text(json.dumps({"job": self.job, "rows of a part": rows}), "utf-8")
        except OSError as trouble:
            raise InputError(f"{str(self.out)!r} cannot be written: {trouble.strerror}") from trouble

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder if need be, and keep other runs out of it as far as the file system can.

        Raises:
            InputError: One is at work in it, or it cannot be made.
        """
        with ExitStack() as held:
            try:
                self.work.mkdir(parents=True, exist_ok=True)
                alone = held.enter_context(locked(self._lock))
            except OSError as trouble:
                raise InputError(f"{str(self.out)!r} cannot be written: {trouble.strerror}") from trouble
            if not alone:
                raise InputError(
                    f"another run is at work in {str(self.out)!r}; wait for it to end, or name a new folder"
                )
            yield

    def clear(self) -> None:
        """Remove the work, all of which is in the values now, and what runs left that were killed."""
        for left in self.out.glob(".part-*.part"):
            left.unlink(missing_ok=True)
        if self.work.exists():
            for path in self.work.iterdir():  # the note last, or nobody would know whose what is left is
                if path != self._note:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.rmtree(self.work)

    def give_up(self, parts: Sequence[Part]) -> None:
        """Leave the folder empty, for the corrected call."""
        for part in parts:
            self._values(part).unlink(missing_ok=True)
        self.clear()

    # -- on a worker -------------------------------------------------------------------------------

    def check_seen(self) -> None:
        """Refuse to work where the folder is not the one of the run.

        Raises:
            InputError: It is not there.
        """
        if not self._note.exists():
            raise InputError(
                f"the worker on {socket.gethostname()} finds no {str(self.out)!r}; values must go to a folder that "
                "all workers and this machine see under the same path"
            )

    def keep(self, part: Part, what: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep what was found about a part.

        Args:
            part: The part.
            what: What it is, for the name of its file.
            arrays: By name.
        """
        with self.room():
            self._write(part, what, arrays)

    def find(self, part: Part, what: str) -> dict[str, NDArray[Any]] | None:
        """What :meth:`keep` kept, if it is there and whole."""
        try:
            about, arrays = read_sealed(self._file(part, what), _PART, "file of a part's work", "dataworth")
        except DataError:
            return None
        return None if any(about.get(name) != value for name, value in self._told(part).items()) else arrays

    def keep_values(
        self,
        part: Part,
        weights: str,
        ids: NDArray[Any],
        owners: NDArray[Any] | None,
        values: NDArray[np.float64],
    ) -> None:
        """Write the values of a part.

        Args:
            part: The part.
            weights: A digest of what validation points give.
            ids: The rows' names.
            owners: Whose they are, if known.
            values: Their values.
        """
        made = encode_part({**self._told(part), "weights": weights}, ids, owners, values)
        with self.room(), whole_file(self._values(part)) as temporary:
            temporary.write_bytes(made)

    def values(self, part: Part, weights: str) -> NDArray[np.float64] | None:
        """The values of a part that were added up from these weights, if they are there and whole."""
        try:
            about, table = read_part(self._values(part))
            there = self._values(part).read_bytes()
        except (DataError, OSError):
            return None
        if about != {**self._told(part), "weights": weights}:
            return None
        ids, *owners, values = (column.to_numpy() for column in table.columns)
        if there != encode_part(about, ids, owners[0] if owners else None, values):
            return None  # damage that spared the values, but another reader may stumble over it
        found: NDArray[np.float64] = values
        return found

    def check_values(self, parts: Sequence[Part]) -> None:
        """Make sure that this machine sees what workers wrote.

        Raises:
            InputError: It does not.
        """
        lost = sum(not self._values(part).exists() for part in parts)
        if lost:
            raise InputError(
                f"{lost} of {len(parts)} files of values are not in {str(self.out)!r}; values must go to a folder that "
                "all workers and this machine see under the same path"
            )

    def room(self) -> AbstractContextManager[None]:
        """Say so if the disk gets full."""
        return told_if_full(self.out, self.spare)

    # -- inside ------------------------------------------------------------------------------------

    def _file(self, part: Part, what: str) -> Path:
        return self.work / f"{what}-{part.number:05d}.npz"

    def _write(self, part: Part, what: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        write_sealed(self._file(part, what), _PART, self._told(part), arrays)

    def _values(self, part: Part) -> Path:
        return self.out / part_name(part.number)

    def _told(self, part: Part) -> dict[str, Any]:
        """What a file of this part says it is of."""
        return {"job": self.job, "part": part.number, "first": part.first, "rows": part.rows}
