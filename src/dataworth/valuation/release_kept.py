"""The folder of a private release of rows in files: what a run keeps until it is finished, for the operator's eyes.

Exact counts and links are secrets, so all of it is readable by its owner alone. Noise and noisy counts are never kept
here where there is a ledger: they are in the ledger, or were never drawn.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from numpy.typing import NDArray

from dataworth.data.sources import Part
from dataworth.errors import DataError, InputError
from dataworth.records.files import locked, remember_names, told_if_full, whole_file
from dataworth.records.release import Release
from dataworth.records.sealed import read_sealed, write_sealed
from dataworth.records.stored import encode_rows, part_name, read_part
from dataworth.records.stored_release import ROWS, WORK, StoredRelease, clear_work, note_rows

__all__ = ["Begun", "ReleaseKept"]

_MADE = "dataworth.release-work/1"


@dataclass(frozen=True)
class Begun:
    """What a run noted before it looked at any row.

    Args:
        rows: The rows of a part.
        request_key: What the ledger knows the release by.
        links: How many links a row keeps at most, as the plan settled it.
        job: A digest of everything that counts and values depend on, but for that and the noise.
    """

    rows: int
    request_key: str
    links: int
    job: str


@dataclass(frozen=True)
class ReleaseKept:
    """A folder for a release; what is damaged in its work counts as not there and is made again.

    Args:
        out: The folder, as an absolute path.
        job: A digest of everything that counts and values depend on, but for the cap and the noise.
        links: The cap, once it is settled: counts and links under another one are another release's.
    """

    out: Path
    job: str
    links: int | None = None

    def under(self, links: int) -> ReleaseKept:
        """The same folder for counts and links under a cap."""
        return replace(self, links=links)

    @property
    def work(self) -> Path:
        """What is removed in the end."""
        return self.out / WORK

    @property
    def surveyed(self) -> Path:
        """There once all rows were looked at."""
        return self.work / "surveyed"

    @property
    def _note(self) -> Path:
        return self.work / "job.json"

    @property
    def _lock(self) -> Path:
        return self.out / ".lock.part"

    @property
    def _head(self) -> Path:
        return self.work / "head.bin"

    # -- the folder --------------------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """Whether a release is all there, if perhaps another."""
        return (self.out / "manifest.json").exists()

    def finished(self, head: Release | None) -> StoredRelease:
        """The release that is all there; what led to it is not, after this.

        Args:
            head: The release that is kept of this very request, if there is one.

        Raises:
            InputError: The folder holds another release.
            DataError: What it holds is damaged.
        """
        there = StoredRelease.open(self.out)
        if head is None or there.head.manifest() != head.manifest():
            raise InputError(
                f"{str(self.out)!r} holds a release already, which StoredRelease.open opens; asking for it again takes "
                "its request key, and another release takes another folder"
            )
        return there

    def noted(self) -> Begun | None:
        """What the run noted that was begun here, if one was.

        Raises:
            DataError: The note is damaged.
        """
        try:
            told = json.loads(self._note.read_text("utf-8"))
            return Begun(int(told["rows"]), str(told["request_key"]), int(told["links"]), str(told["job"]))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{str(self._note)!r} is damaged; name a new folder for the release") from None

    def check_free(self) -> None:
        """Make sure that a run may begin here.

        Raises:
            InputError: The folder holds something else, or cannot be made.
        """
        if not self.out.parent.is_dir():
            raise InputError(f"the folder {str(self.out.parent)!r} does not exist; create it first")
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"out must be a folder, but {str(self.out)!r} is a file")
        if not self._is_empty() and not self._note.exists():  # which another run may have taken just now
            raise InputError(f"{str(self.out)!r} holds other files; name a new folder for the release")

    def _is_empty(self) -> bool:
        """Whether nothing is there, but for what a run leaves that was stopped before it took its note."""
        begun = {self.work, self.out / ROWS, self._lock}
        begun |= set(self.work.glob(f".{self._note.name}.*")) if self.work.is_dir() else set()
        left = tuple(f"{path}{os.sep}" for path in self.out.glob(".work.*.part"))
        return all(path in begun or f"{path}{os.sep}".startswith(left) for path in self.out.rglob("*"))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder if need be, and keep other runs out of it as far as the file system can.

        A folder that was made goes again if no run begins in it.

        Raises:
            InputError: One is at work in it, or it cannot be made.
        """
        made = not self.out.exists()
        with ExitStack() as held:
            try:
                self.out.mkdir(mode=0o700, exist_ok=True)
                self.out.chmod(0o700)
                alone = held.enter_context(locked(self._lock, secret=True))
            except OSError as trouble:
                raise InputError(f"{str(self.out)!r} cannot be written: {trouble.strerror}") from trouble
            if not alone:
                raise InputError(
                    f"another run is at work in {str(self.out)!r}; wait for it to end, or name a new folder"
                )
            try:
                yield
            finally:
                self._lock.unlink(missing_ok=True)
                if made and not self._note.exists():
                    for folder in (self.work, self.out / ROWS, self.out):
                        with suppress(OSError):  # not empty, or not there
                            folder.rmdir()

    def begin(self, begun: Begun, disk: int) -> Begun:
        """Note what the release will be known by, so that the disk has it before anything else; within :meth:`alone`.

        Args:
            begun: The note.
            disk: How many bytes of links will be kept, if that is known.

        Returns:
            The note that is there: where no locks are known, that of the first of several runs that begin at once.

        Raises:
            InputError: The folder cannot be written, another run took it, or the disk has too little room.
        """
        try:
            free = shutil.disk_usage(self.out).free
            if disk > free:
                raise InputError(
                    f"the links take {disk / 1e9:,.1f} GB, but {str(self.out)!r} has room for {free / 1e9:,.1f} GB; "
                    "spill=False keeps none"
                )
            for folder in (self.work, self.out / ROWS):
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)
            self._write_note(begun)
            for folder in (self.work, self.out, self.out.parent):
                remember_names(folder)
        except OSError as trouble:
            raise InputError(f"{str(self.out)!r} cannot be written: {trouble.strerror}") from trouble
        there = self.noted()
        if there is None or replace(begun, request_key=there.request_key) != there:
            raise InputError(f"another run is at work in {str(self.out)!r}; name a new folder")
        return there

    def _write_note(self, begun: Begun) -> None:
        """Under no circumstances over that of another run, whose key would be lost."""
        told = json.dumps(asdict(begun))
        temporary = self._note.with_name(f".{self._note.name}.{uuid4().hex}.part")
        try:
            _write_new(temporary, told)
            try:
                os.link(temporary, self._note)
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                with suppress(FileExistsError):
                    _write_new(self._note, told)
        finally:
            temporary.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the work, all at once or not at all as others see it, and what runs left that were killed."""
        clear_work(self.out)

    def has_counts(self) -> bool:
        """Whether any part was counted."""
        return any(self.work.glob("counts-*"))

    def give_up(self) -> None:
        """Remove the folder of a run that found something wrong with the rows before any part was counted."""
        self.clear()
        for folder in (self.out / ROWS, self.out):
            with suppress(OSError):
                folder.rmdir()

    # -- a release without a ledger ----------------------------------------------------------------

    def keep_head(self, head: Release) -> None:
        """Keep the head of a release that no ledger keeps."""
        with self.room(), whole_file(self._head, secret=True) as temporary:
            temporary.write_bytes(head.to_bytes())

    def head(self) -> Release | None:
        """What :meth:`keep_head` kept."""
        try:
            return Release.from_bytes(self._head.read_bytes())
        except (OSError, DataError):
            return None

    # -- on a worker -------------------------------------------------------------------------------

    def check_seen(self) -> None:
        """Refuse to work where the folder is not the one of the run.

        Raises:
            InputError: It is not there.
        """
        if not self._note.exists():
            raise InputError(
                f"the worker on {socket.gethostname()} finds no {str(self.out)!r}; a release must go to a folder that "
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
            write_sealed(self._file(part, what), _MADE, self._told(part), arrays, secret=True)

    def find(self, part: Part, what: str) -> dict[str, NDArray[Any]] | None:
        """What :meth:`keep` kept, if it is there and whole."""
        try:
            about, arrays = read_sealed(self._file(part, what), _MADE, "file of a part's work", "dataworth")
        except DataError:
            return None
        return None if any(about.get(name) != value for name, value in self._told(part).items()) else arrays

    def keep_rows(self, part: Part, key: str, columns: Mapping[str, NDArray[Any]]) -> None:
        """Write the values of a part.

        Args:
            part: The part.
            key: A digest of what they are made from.
            columns: By name.
        """
        with self.room(), whole_file(self._rows(part), secret=True) as temporary:
            temporary.write_bytes(encode_rows({"part": part.number, "key": key}, columns))

    def has_rows(self, part: Part, key: str) -> bool:
        """Whether the values of a part that are made from this are there and whole."""
        try:
            about, table = read_part(self._rows(part))
            there = self._rows(part).read_bytes()
        except (DataError, OSError):
            return False
        columns = {name: table[name].to_numpy() for name in table.column_names}
        return about == {"part": part.number, "key": key} and there == encode_rows(about, columns)

    def finish(self, head: Release, parts: Sequence[Part], key: str) -> StoredRelease:
        """Write what describes the values that are all there, and remove what led to them.

        Raises:
            InputError: This machine does not see the files that workers wrote.
        """
        if not all(self._rows(part).exists() for part in parts):
            raise InputError(
                f"files of values are not in {str(self.out)!r}; a release must go to a folder that all workers and "
                "this machine see under the same path"
            )
        with self.room():
            note_rows(self.out, head, len(parts), key)
            head.write_public(self.out)
        self.clear()
        return StoredRelease.open(self.out)

    def room(self) -> AbstractContextManager[None]:
        """Say so if the disk gets full."""
        return told_if_full(self.out)

    # -- inside ------------------------------------------------------------------------------------

    def _file(self, part: Part, what: str) -> Path:
        return self.work / f"{what}-{part.number:05d}.npz"

    def _rows(self, part: Part) -> Path:
        return self.out / ROWS / part_name(part.number)

    def _told(self, part: Part) -> dict[str, Any]:
        """What a file of this part says it is of."""
        return {
            "job": self.job, "links": self.links, "part": part.number, "first": part.first, "rows": part.rows
        }  # fmt: skip


def _write_new(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
