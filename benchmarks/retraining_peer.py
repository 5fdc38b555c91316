"""The pyDVL side of the benchmarks of retraining, run by the Python of its own environment; see peers.sh.

Usage: ``python retraining_peer.py problem.npz``. Reads the rows, then answers commands on standard input, a line of
JSON each, by a ``!`` and a line of JSON: ``utilities`` (of given coalitions), ``race`` (values, timed) and ``estimate``
(values from utilities that whoever asked works out: before the answer, each coalition goes out as a ``?`` and packed
bits, and its utility comes back as a double).
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from joblib import parallel_config
from numpy.typing import NDArray
from pydvl.utils.status import Status  # type: ignore[import-not-found]
from pydvl.valuation import (  # type: ignore[import-not-found]
    Dataset,
    MSRBanzhafValuation,
    ShapleyValuation,
    StratifiedShapleyValuation,
    TMCShapleyValuation,
)
from pydvl.valuation.result import ValuationResult  # type: ignore[import-not-found]
from pydvl.valuation.samplers import (  # type: ignore[import-not-found]
    AntitheticPermutationSampler,
    PermutationSampler,
    VRDSSampler,
)
from pydvl.valuation.scorers import SupervisedScorer  # type: ignore[import-not-found]
from pydvl.valuation.stopping import MaxChecks, StoppingCriterion  # type: ignore[import-not-found]
from pydvl.valuation.types import Sample  # type: ignore[import-not-found]
from pydvl.valuation.utility import ModelUtility  # type: ignore[import-not-found]
from pydvl.valuation.utility.base import UtilityBase  # type: ignore[import-not-found]
from sklearn.linear_model import LogisticRegression

_FLOOR = 0.5  # of two classes: what dataworth gives a coalition that cannot be learned from


class Peer:
    """Rows, and what can be asked of them."""

    def __init__(self, problem: str) -> None:
        with np.load(problem, allow_pickle=False) as arrays:
            self.train = Dataset(arrays["x"], arrays["y"])
            self.test = Dataset(arrays["points"], arrays["labels"])

    def utilities(self, coalitions: str, settings: dict[str, Any]) -> dict[str, Any]:
        """Utilities of coalitions, one after another."""
        utility = ModelUtility(LogisticRegression(**settings), self._scorer(), show_warnings=False)
        utility = utility.with_dataset(self.train)
        samples = [Sample(None, np.flatnonzero(row)) for row in np.load(coalitions, allow_pickle=False)]
        began = time.perf_counter()
        found = [float(utility(sample)) for sample in samples]
        return {"utilities": found, "seconds": time.perf_counter() - began}

    def race(self, sampler: str, batches: int, batch: int, jobs: int, seed: int) -> dict[str, Any]:
        """Values from so many batches of samples; the seconds, and how many models of different rows were fitted."""
        with tempfile.TemporaryDirectory() as folder:
            utility = Counted(self._scorer(), folder)
            is_done = MaxChecks(batches)
            if sampler == "msr":
                valuation = MSRBanzhafValuation(utility, is_done, batch_size=batch, seed=seed, show_warnings=False)
            else:
                permutations = PermutationSampler(seed=seed, batch_size=batch)
                valuation = ShapleyValuation(utility, permutations, is_done, show_warnings=False)
            began = time.perf_counter()
            with parallel_config(n_jobs=jobs):
                valuation.fit(self.train)
            seconds = time.perf_counter() - began
            written = b"".join(path.read_bytes() for path in Path(folder).iterdir())
        seen = {written[at : at + 8] for at in range(0, len(written), 8)}
        return {"seconds": seconds, "fits": len(written) // 8, "distinct": len(seen)}

    def estimate(self, sampler: str, budgets: list[int], seed: int) -> dict[str, Any]:
        """Values when the first sample ends by which so many coalitions were judged, and how many those were."""
        utility = Asked(_FLOOR)
        spent = Spent(utility, budgets)
        match sampler:
            case "permutations":
                valuation = ShapleyValuation(utility, PermutationSampler(seed=seed), spent)
            case "antithetic":
                valuation = ShapleyValuation(utility, AntitheticPermutationSampler(seed=seed), spent)
            case "truncated":
                valuation = TMCShapleyValuation(utility, is_done=spent, seed=seed)
            case "stratified":
                valuation = StratifiedShapleyValuation(utility, spent, seed=seed)
            case "vrds":  # a sample judges two coalitions, and it ends by itself
                each = budgets[-1] // (2 * len(self.train))
                valuation = ShapleyValuation(utility, VRDSSampler(each, seed=seed), spent)
            case _:
                raise ValueError(f"no sampler is called {sampler!r}")
        with parallel_config(n_jobs=1):
            valuation.fit(self.train)
        if len(spent.found) < len(budgets):
            spent.found.append((utility.asked[0], np.array(valuation.result.values)))
        return {
            "evaluations": [asked for asked, _ in spent.found],
            "values": [values.tolist() for _, values in spent.found],
        }

    def _scorer(self) -> SupervisedScorer:
        return SupervisedScorer("accuracy", self.test, default=_FLOOR, range=(0.0, 1.0))


class Counted(ModelUtility):  # type: ignore[misc]
    """Leaves a mark of every coalition that a model is fitted to, from whatever process."""

    def __init__(self, scorer: SupervisedScorer, folder: str) -> None:
        super().__init__(LogisticRegression(), scorer, show_warnings=False)
        self.folder = folder

    def __call__(self, sample: Sample | None) -> float:
        if sample is not None and np.unique(self.training_data.data().y[sample.subset]).size > 1:
            mark = hashlib.blake2b(np.sort(sample.subset).tobytes(), digest_size=8).digest()
            with open(os.path.join(self.folder, str(os.getpid())), "ab") as file:
                file.write(mark)
        return float(super().__call__(sample))


class Asked(UtilityBase):  # type: ignore[misc]
    """A utility that somebody else works out."""

    def __init__(self, floor: float) -> None:
        self.floor = floor
        self.asked = [0]  # a list: copies of a utility share it

    def __call__(self, sample: Sample | None) -> float:
        if sample is None or len(sample.subset) == 0:
            return self.floor
        members = np.zeros(len(self.training_data), dtype=np.bool_)
        members[sample.subset] = True
        self.asked[0] += 1
        sys.stdout.buffer.write(b"?" + np.packbits(members).tobytes())
        sys.stdout.buffer.flush()
        return float(struct.unpack("<d", sys.stdin.buffer.read(8))[0])


class Spent(StoppingCriterion):  # type: ignore[misc]
    """Looks at values whenever so many coalitions were judged, and stops at the last such number."""

    def __init__(self, utility: Asked, budgets: list[int]) -> None:
        super().__init__()
        self.utility, self.budgets = utility, budgets
        self.found: list[tuple[int, NDArray[np.float64]]] = []

    def _check(self, result: ValuationResult) -> Status:
        asked = self.utility.asked[0]
        while len(self.found) < len(self.budgets) and asked >= self.budgets[len(self.found)]:
            self.found.append((asked, np.array(result.values)))
        return Status.Converged if len(self.found) == len(self.budgets) else Status.Pending


def main() -> None:
    peer = Peer(sys.argv[1])
    told: dict[str, Any] = {"ready": True}
    while True:
        sys.stdout.buffer.write(b"!" + json.dumps(told).encode() + b"\n")
        sys.stdout.buffer.flush()
        line = sys.stdin.buffer.readline()
        if not line:
            return
        asked = json.loads(line)
        told = getattr(peer, asked.pop("do"))(**asked)


if __name__ == "__main__":
    main()
