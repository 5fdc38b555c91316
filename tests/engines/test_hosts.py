"""Several machines, each with a name and an address of its own: the same bytes as on one, whatever becomes of them.

The machines are namespaces of Linux; scheduler and workers are started with the commands of the guide.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")
pytest.importorskip("psutil")

from dataworth import ThresholdKNNShapley, read_points
from dataworth.data.sources import Source
from dataworth.engines.local import Local
from dataworth.records.stored import StoredValues
from dataworth.valuation.streaming import value_source
from tests.docs.pages import blocks
from tests.engines.hosts import Host, network, not_here, patiently, seen_on
from tests.valuation.streaming_problems import METHOD, files_of, judges, some_rows, table_of, write_files

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide" / "on-several-machines.md"
WORKERS = ("worker-1", "worker-2", "worker-3")
ROWS_OF_A_PART = 20

CLIENT = """
import json, sys
from contextlib import closing
import distributed
from distributed.security import Security
import dataworth as dw
from dataworth.errors import DataworthError
from tests.engines.hosts import Watching
from tests.valuation.streaming_problems import METHOD, files_of, judges

rows, out, notes, where, workers, points, key = sys.argv[1:]
secret = {"tls_ca_file": key, "tls_client_cert": key, "tls_client_key": key.replace(".pem", ".key")}
security = Security(**secret, require_encryption=True) if key else None
with distributed.Client(where, security=security, set_as_default=False) as client:
    client.wait_for_workers(int(workers))
    try:
        stored = dw.value_source(
            dw.Source.open(rows, label="y"), judges(int(points)), method=METHOD, out=out, part_rows=20, progress=False,
            engine=Watching(dw.Dask(client if key else where), notes),
        )
        told = {"digest": stored.digest(), "files": files_of(stored)}
    except (DataworthError, ConnectionError) as error:
        told = {"error": "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])}
print(json.dumps(told))
"""


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    reason = not_here()
    if reason is None:
        return
    if os.environ.get("DATAWORTH_REQUIRE_HOSTS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


# -- a cluster by the commands of the guide --------------------------------------------------------


def commands(beginning: str) -> list[str]:
    """The lines of the guide that begin like this."""
    console = "".join(block.body for block in blocks(GUIDE) if block.language == "console")
    lines = [line.removeprefix("$ ") for line in console.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith(beginning)]


def command(beginning: str) -> str:
    """The first of them."""
    found = commands(beginning)
    assert found, f"the guide has no command {beginning!r}"
    return found[0]


@dataclass
class Cluster:
    """Machines, and a job for them."""

    hosts: Mapping[str, Host]
    folder: Path

    @property
    def rows(self) -> Path:
        return self.folder / "rows"

    @property
    def out(self) -> Path:
        return self.folder / "values"

    @property
    def notes(self) -> Path:
        return self.folder / "notes"

    def serve(self, protocol: str = "") -> None:
        """Start a scheduler."""
        self.hosts["scheduler"].start(command(f"dask scheduler --host {protocol}scheduler "))

    def join(self, *names: str, protocol: str = "tcp://") -> None:
        """Start workers, one for the one core of each machine."""
        for name in names:
            self.hosts[name].start(command(f"dask worker {protocol}"))

    def value(self, where: str = "tcp://scheduler:8786", *, points: int = 20, key: str = "") -> subprocess.Popen[bytes]:
        """Begin the job from the machine of the client once there are three workers."""
        (self.folder / "program.py").write_text(CLIENT)
        call = f"python program.py {self.rows} {self.out} {self.notes} {where} 3 {points} '{key}' > told"
        return self.hosts["client"].start(call)

    def told(self, client: subprocess.Popen[bytes]) -> dict[str, Any]:
        """What came of it."""
        ended = client.wait(timeout=180)
        logs = {name: host.log.read_text()[-2000:] for name, host in self.hosts.items() if host.log.exists()}
        assert ended == 0, logs
        found: dict[str, Any] = json.loads((self.folder / "told").read_text())
        return found

    def hold(self, when: str, host: str) -> Path:
        """Make the jobs on a machine wait."""
        gate = self.notes / f"{when}-{host}"
        gate.touch()
        return gate

    def wait_for_job(self, when: str, host: str) -> None:
        patiently(f"a job on {host}", lambda: host in seen_on(self.notes, when))

    def wait_for_jobs_elsewhere(self, host: str, count: int) -> None:
        """Until others have done so many more."""

        def done() -> int:
            return sum(len(found) for name, found in seen_on(self.notes, "after").items() if name != host)

        before = done()
        patiently(f"jobs on others than {host}", lambda: done() >= before + count)


@contextmanager
def cluster(folder: Path, rows: int = 2000) -> Iterator[Cluster]:
    write_files(folder / "rows", table_of(*some_rows(rows)), [rows // 3, rows // 2, 0], ROWS_OF_A_PART)
    (folder / "notes").mkdir()
    with network(["scheduler", *WORKERS, "client"], folder) as hosts:
        yield Cluster(hosts, folder)


@pytest.fixture(autouse=True)
def _reachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The package, these tests and the commands of Dask are found from anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def made_alone(folder: Path, points: int = 20) -> dict[str, Any]:
    """What one machine makes of the same rows."""
    stored = value_source(
        Source.open(folder / "rows", label="y"), judges(points), method=METHOD, out=folder / "alone",
        part_rows=ROWS_OF_A_PART, engine=Local(1), progress=False,
    )  # fmt: skip
    return {"digest": stored.digest(), "files": files_of(stored)}


# -- workers and machines that are lost ------------------------------------------------------------


def test_workers_killed_on_two_of_three_machines_change_no_byte(tmp_path: Path) -> None:
    """One is killed while it works, another when its work is done and not yet handed over."""
    with cluster(tmp_path) as these:
        first, second = these.hold("before", "worker-2"), these.hold("after", "worker-3")
        these.serve()
        these.join(*WORKERS)
        client = these.value()
        for gate, when, name in ((first, "before", "worker-2"), (second, "after", "worker-3")):
            these.wait_for_job(when, name)
            these.wait_for_jobs_elsewhere(name, 5)
            assert client.poll() is None
            (worker,) = these.hosts[name].workers()
            worker.send_signal(signal.SIGKILL)
            worker.wait(timeout=60)
            gate.unlink()
        found = these.told(client)
        seen = seen_on(these.notes, "before")
    assert found == made_alone(tmp_path)
    assert len(found["files"]) > 60
    assert set(seen) == set(WORKERS)
    for name, addresses in seen.items():
        assert {address.rpartition(":")[0] for address in addresses} == {f"tcp://{these.hosts[name].address}"}


@pytest.mark.slow
def test_a_machine_that_falls_silent_changes_no_byte(tmp_path: Path) -> None:
    """Its cable is pulled, so that nobody hears that its worker is gone."""
    with cluster(tmp_path) as these:
        these.hold("before", "worker-2")
        these.serve()
        these.join(*WORKERS)
        client = these.value()
        these.wait_for_job("before", "worker-2")
        these.wait_for_jobs_elsewhere("worker-2", 5)
        assert client.poll() is None
        these.hosts["worker-2"].unplug()
        found = these.told(client)
    assert found == made_alone(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("points", [20, 3000], ids=["sent with tasks", "put on workers"])
def test_a_machine_that_fell_silent_before_is_done_without(points: int, tmp_path: Path) -> None:
    with cluster(tmp_path) as these:
        these.serve()
        these.join(*WORKERS)
        wait = "import distributed; distributed.Client('tcp://scheduler:8786').wait_for_workers(3)"
        these.hosts["client"].do(f'python -c "{wait}"')
        these.hosts["worker-2"].unplug()
        found = these.told(these.value(points=points))
    assert found == made_alone(tmp_path, points)


@pytest.mark.slow
@pytest.mark.parametrize("silent", [False, True])
def test_a_lost_scheduler_ends_the_run_and_the_same_call_goes_on(silent: bool, tmp_path: Path) -> None:
    with cluster(tmp_path) as these:
        gate = these.hold("before", "worker-2")
        these.serve()
        these.join(*WORKERS)
        client = these.value()
        these.wait_for_job("before", "worker-2")
        these.wait_for_jobs_elsewhere("worker-2", 5)
        assert client.poll() is None
        if silent:
            these.hosts["scheduler"].unplug()
        else:
            these.hosts["scheduler"].kill_programs()
        lost = "the connection to the Dask scheduler was lost; what was finished before is kept by the run"
        assert these.told(client) == {"error": f"ConnectionError: {lost}"}
        gate.unlink()
        for name in WORKERS:  # they end by themselves
            for program in these.hosts[name].programs:
                program.wait(timeout=180)
        begun = len(list(these.out.rglob("*.*")))
        if silent:
            these.hosts["scheduler"].kill_programs()
            these.hosts["scheduler"].plug()
        these.serve()
        these.join(*WORKERS)
        found = these.told(these.value())
    assert begun > 5
    assert found == made_alone(tmp_path)


# -- machines that cannot take part ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("blind_to", "told"),
    [("values", "InputError: the worker on worker-3 finds no "), ("rows", r"DataError: .*rows/.*; on worker-3$")],
)
def test_a_machine_that_does_not_see_a_folder_is_named(blind_to: str, told: str, tmp_path: Path) -> None:
    with cluster(tmp_path) as these:
        these.out.mkdir()
        these.hosts["worker-3"].do(f"mount -t tmpfs none {blind_to}")
        these.serve()
        these.join(*WORKERS)
        found = these.told(these.value())
        assert re.search(told, found["error"])
        these.hosts["worker-3"].do(f"umount {blind_to}")
        assert these.told(these.value()) == made_alone(tmp_path)


# -- the commands of the guide ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["tcp", "tls"])
def test_the_command_line_of_the_guide(protocol: str, tmp_path: Path) -> None:
    """Word for word, but for the folder that stands for ``/shared``."""
    shared = tmp_path / "shared"
    rows = table_of(*some_rows(900)).rename_columns(["a", "b", "c", "ill"])
    write_files(shared / "visits", rows, [300, 300, 0], 50)
    write_files(shared, table_of(*some_rows(20, seed=1)).rename_columns(rows.column_names), [0], 20)
    (shared / "000.parquet").rename(shared / "judges.parquet")
    line = command("dataworth points").replace("/shared", str(shared))
    with cluster(tmp_path) as these:
        if protocol == "tls":
            these.hosts["client"].do(command("openssl req"))
            assert not (tmp_path / "cluster.key").stat().st_mode & 0o077
            line = line.replace("tcp://", "tls://")
        these.serve("tls://" if protocol == "tls" else "")
        these.join(*WORKERS, protocol=f"{protocol}://")
        if protocol == "tls":
            assert these.hosts["client"].start(line).wait(timeout=180) == 2
            assert "asks for a certificate, and Dask is told of none" in these.hosts["client"].log.read_text()
            line = " && ".join([*commands("export "), line])
        these.hosts["client"].do(line)
    found = StoredValues.open(shared / "values")
    assert found.provenance["engine"] == f"Dask at {protocol}://scheduler:8786"
    alone = value_source(
        Source.open(shared / "visits", label="ill"), read_points(shared / "judges.parquet", label="ill"),
        method=ThresholdKNNShapley(radius=0.5), out=shared / "alone", engine=Local(1), progress=False,
    )  # fmt: skip
    assert found.digest() == alone.digest()


@pytest.mark.slow
def test_machines_that_know_each_other_by_a_certificate(tmp_path: Path) -> None:
    with cluster(tmp_path) as these:
        these.hosts["client"].do(command("openssl req"))
        these.serve("tls://")
        these.join(*WORKERS, protocol="tls://")
        found = these.told(these.value("tls://scheduler:8786", key="cluster.pem"))
    assert found == made_alone(tmp_path)
