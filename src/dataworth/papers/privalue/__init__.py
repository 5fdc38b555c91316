"""PriValue: providers valued on private synthetic copies, set against the game of the real data.

No text of the method is public beyond figures in its repository; ``docs/theory/calibration.md`` says what is ours. This
is the one place that values providers on raw data, to know how far off the copies are: data here are public.
"""

from dataworth.papers.privalue.experiments import EXPERIMENTS

__all__ = ["EXPERIMENTS"]
