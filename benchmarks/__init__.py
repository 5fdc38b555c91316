"""Speed and memory against peers and physical limits, as ratios measured in one run: ``python -m benchmarks``."""
