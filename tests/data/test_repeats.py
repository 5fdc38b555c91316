"""Keys on disk."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

FULL = """
import resource, signal, sys
import numpy as np
from dataworth.data.repeats import Repeats
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, -1))
try:
    with Repeats(sys.argv[1], wide=sys.argv[2] == "wide") as repeats:
        for at in range(2):
            repeats.add(np.arange(600_000 * (1 + (sys.argv[2] == "wide")), dtype=np.uint64).reshape(600_000, -1), at)
except OSError as error:
    print(error.errno)
"""


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_a_disk_that_gets_full_says_so(tmp_path: Path, kind: str) -> None:
    """No file may be larger than a page: the system says why, and nothing is left behind."""
    ran = subprocess.run([sys.executable, "-c", FULL, str(tmp_path), kind], capture_output=True, text=True, check=True)
    assert int(ran.stdout) == errno.EFBIG
    assert not list(tmp_path.iterdir())
