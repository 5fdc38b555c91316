"""What the tests of privacy share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataworth.privacy import accounting


@pytest.fixture(autouse=True)
def forget_accounts() -> Iterator[None]:
    """Accounts are kept between calls: an account made by planted code must not pass for another's, or the reverse."""
    accounting._spent.cache_clear()
    yield
    accounting._spent.cache_clear()
