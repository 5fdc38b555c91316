"""Records read back from a file, whichever they are."""

from __future__ import annotations

import json
import os

from dataworth.records.shares import FORMAT, Shares
from dataworth.records.values import Values

__all__ = ["load_saved"]


def load_saved(path: str | os.PathLike[str]) -> Values | Shares:
    """Values or shares of providers, as their ``save`` wrote them.

    Raises:
        DataError: The file is not there, is not Parquet, is damaged, or holds neither.

    Example:
        >>> import dataworth as dw, pathlib, tempfile
        >>> values = dw.Values(["a", "b"], [0.25, -0.05], method="by hand", n_validation=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     load_saved(values.save(pathlib.Path(folder) / "values.parquet"))
        Values(2 rows by by hand, 4 validation points, min -0.05, mean 0.1, max 0.25)
    """
    return Shares.load(path) if _format(path).partition("/")[0] == FORMAT.partition("/")[0] else Values.load(path)


def _format(path: str | os.PathLike[str]) -> str:
    """What a file says that it holds; nothing where it says nothing, which ``Values.load`` explains."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = json.loads((pq.read_schema(os.fspath(path)).metadata or {}).get(b"dataworth", b"{}"))
        return str(about["format"])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return ""
