"""The pyDVL side of the race, run by the Python of its own environment; see peers.sh.

Usage: ``python pydvl_peer.py problem.npz values.npy``. Imports and reads, then for every line on standard input
values the rows once and answers with the seconds that took; the values of the last run go to ``values.npy``.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from joblib import parallel_config
from pydvl.valuation import Dataset, KNNShapleyValuation  # type: ignore[import-not-found]
from sklearn.neighbors import KNeighborsClassifier


def main() -> None:
    problem, answer = sys.argv[1:]
    with np.load(problem, allow_pickle=False) as arrays:
        train = Dataset(arrays["x"], arrays["y"])
        test = Dataset(arrays["points"], arrays["labels"])
        k, jobs = int(arrays["k"]), int(arrays["jobs"])
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        with parallel_config(n_jobs=jobs):
            valuation = KNNShapleyValuation(KNeighborsClassifier(n_neighbors=k), test, progress=False)
            valuation.fit(train)
        seconds = time.perf_counter() - began
        np.save(answer, np.asarray(valuation.result.values))
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
