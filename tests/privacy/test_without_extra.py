"""Without the optional packages, what needs them says which install line brings them."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest

from dataworth.errors import MissingExtra
from dataworth.privacy.accounting import spent_epsilon, zcdp
from dataworth.privacy.kinds import CappedCounts
from dataworth.privacy.mechanisms import InsecureSource, SecureSource
from dataworth.records import Row

EVENT = CappedCounts(Fraction(2), links=4)
INSTALL_LINE = r"pip install 'dataworth\[private\]'"


def test_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opendp.prelude", None)
    with pytest.raises(MissingExtra, match=INSTALL_LINE):
        SecureSource().add_noise(np.zeros(2, dtype=np.int64), Fraction(1))
    assert SecureSource().draw_bits(3, Fraction(1, 2)).size == 3
    assert InsecureSource(0).add_noise(np.zeros(2, dtype=np.int64), Fraction(1)).counts.size == 2


def test_accounting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting.pld.privacy_loss_distribution", None)
    with pytest.raises(MissingExtra, match=INSTALL_LINE):
        spent_epsilon([EVENT], 1e-5, unit=Row(), relation="replace")
    assert zcdp([EVENT], unit=Row(), relation="replace") == 1
