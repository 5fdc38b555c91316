"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import dataworth

# What is imported only where torch is there: its classes are torch's.
NEEDS_TORCH = tuple(f"dataworth.models.{name}" for name in ("networks", "autoencoder_networks", "private_diffusion"))

# ``dataworth.cli.__main__`` runs the command when it is imported.
MODULES = [
    "dataworth",
    *(
        module.name
        for module in pkgutil.walk_packages(dataworth.__path__, "dataworth.")
        if not module.name.endswith(".__main__")
    ),
]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.models) if name in NEEDS_TORCH else name for name in MODULES]
)
def test_examples_run(name: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setenv("DATAWORTH_CACHE", str(tmp_path))
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_the_front_door_has_examples() -> None:
    """Whatever people call has an example; errors do without."""
    without = [
        name
        for name in dataworth.__all__
        if name != "__version__" and ">>>" not in (inspect.getdoc(getattr(dataworth, name)) or "")
    ]
    errors = [name for name in without if _is_error(name)]
    assert without == errors


def _is_error(name: str) -> bool:
    thing = getattr(dataworth, name)
    return isinstance(thing, type) and issubclass(thing, (Exception, Warning))
