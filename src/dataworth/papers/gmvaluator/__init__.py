"""GMValuator (arXiv 2304.10701; ICLR 2025): its criteria, and experiments on whether likeness is worth anything."""

from dataworth.papers.experiment import Experiment
from dataworth.papers.gmvaluator import halves, matched, retrained

__all__ = ["EXPERIMENTS"]

EXPERIMENTS: dict[str, Experiment] = matched.EXPERIMENTS | halves.EXPERIMENTS | retrained.EXPERIMENTS
"""Every experiment by its name."""
