"""Measure and write docs/benchmarks.md: ``python -m benchmarks [--only NAME ...] [--quick]``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks import (
    coalitions,
    gemm,
    machine,
    matching,
    memory,
    page,
    peers,
    release,
    retraining,
    same_error,
    scale,
    scaling,
    skewed,
    startup,
)
from benchmarks.measure import Section, say

DOCS = Path(__file__).resolve().parent.parent / "docs"
PICTURES = DOCS / "benchmarks"

Measure = Callable[[bool], Section]

SECTIONS: dict[str, Measure] = {  # in the order of the page
    "gemm": lambda quick: gemm.measure(quick=quick),
    "skewed": lambda quick: skewed.measure(quick=quick),
    "peers": lambda quick: peers.measure(quick=quick),
    "release": lambda quick: release.measure(quick=quick),
    "matching": lambda quick: matching.measure(quick=quick),
    "coalitions": lambda quick: coalitions.measure(quick=quick),
    "retraining": lambda quick: retraining.measure(quick=quick),
    "same-error": lambda quick: same_error.measure(quick=quick),
    "memory": lambda quick: memory.measure(quick=quick),
    "scaling": lambda quick: scaling.measure(quick=quick, folder=None if quick else PICTURES),
    "scale": lambda quick: scale.measure(quick=quick, folder=None if quick else PICTURES),
    "startup": lambda quick: startup.measure(quick=quick),
}

AMONG_PEERS = ("peers", "retraining", "same-error")  # which need the peers' environment


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to measure")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds; prints, writes nothing")
    asked = parser.parse_args(arguments)
    if not peers.PYTHON.exists() and (missed := [name for name in asked.only if name in AMONG_PEERS]):
        parser.error(
            "the peers' environment is not there; make it with `sh benchmarks/peers.sh`, or leave out "
            + ", ".join(missed)
        )
    results = PICTURES / "results.json"
    known = {} if asked.quick else page.load(results)
    for name in asked.only:
        where = machine.describe()
        began = time.perf_counter()
        say(f"{name} (load {where['load when begun']}, {where['matrix multiplication']})")
        section = replace(SECTIONS[name](asked.quick), machine=where)
        say(f"  took {time.perf_counter() - began:.0f} s")
        print(f"{section.title}\n\n{page.table(section)}", flush=True)
        if not asked.quick:
            known[name] = section
            page.save({each: known[each] for each in SECTIONS if each in known}, results, DOCS / "benchmarks.md")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
