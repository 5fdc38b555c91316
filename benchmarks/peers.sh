#!/bin/sh
# Makes .peers, the environment that the peers are measured in: pyDVL 0.10 needs NumPy 1, dataworth NumPy 2.
# Needs Python 3.11 or 3.12, the last with NumPy 1; name another with PYTHON=python3.12.
set -eu
cd "$(dirname "$0")/.."
"${PYTHON:-python3}" -m venv .peers
.peers/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/peers.txt
.peers/bin/python -c "import pydvl; print('pyDVL', pydvl.__version__, 'is ready in .peers')"
