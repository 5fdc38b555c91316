"""Every row of a ledger is hashed together with the hash of the row before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["GENESIS", "RELEASE", "hash_genesis", "hash_release"]

GENESIS = (
    "made", "population", "unit", "max_rows", "relation", "composition", "epsilon", "delta", "loss_cap", "delta_cap",
)  # fmt: skip
"""Columns of the genesis row that never change; the others count, and are checked against the releases."""

RELEASE = (
    "number", "made", "unit", "max_rows", "relation", "epsilon", "delta", "loss_charge", "delta_charge", "events",
    "digest", "request_key", "previous",
)  # fmt: skip
"""Columns of a release but for its own hash."""


def hash_genesis(row: Mapping[str, Any]) -> str:
    """SHA-256, as hexadecimal text, of what a ledger was made for."""
    return _sha256(_canonical({"is": "genesis", **{name: row[name] for name in GENESIS}}))


def hash_release(row: Mapping[str, Any], *, shape: str, counts: bytes, payload: bytes) -> str:
    """SHA-256, as hexadecimal text, of a release: its columns, its noisy counts, its payload.

    Args:
        row: The columns of ``RELEASE``.
        shape: Of the noisy counts.
        counts: The noisy counts as bytes.
        payload: The answer after its random bytes. An answer is made of private rows, and hashes are shown: only
            what nobody can guess may be hashed.
    """
    columns = {name: row[name] for name in RELEASE}
    beside = {"shape": shape, "counts": _sha256(counts), "payload": _sha256(payload)}
    return _sha256(_canonical({"is": "release", **columns, "beside": beside}))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _canonical(fields: Mapping[str, Any]) -> bytes:
    """One text for one content: JSON with sorted keys and nothing between."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")
