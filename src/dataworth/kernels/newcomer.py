"""What one more row would be worth to a K-nearest-neighbour model, for many rows and many data sets at once.

The value of a row that joins a data set depends on its rank and on the matches behind it (see ``knn.py``), so the
sorted data set alone answers for every newcomer: no data set is built and no value of any other row is computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["newcomer_values"]


def newcomer_values(
    distance: NDArray[np.float64],
    match: NDArray[np.bool_],
    sets: NDArray[np.bool_],
    newcomers: NDArray[np.int64],
    ks: Sequence[int],
    *,
    copies: int,
) -> NDArray[np.float64]:
    """Values of rows that join data sets, to one validation point, in the game that divides votes by K.

    Each newcomer is a copy of a known row, stands last in its data set and so ranks behind all rows at its own
    distance. With ``match`` in order of distance and the newcomer at rank r of those there, its value is
    ``a / max(K, r)`` less ``1 / (j (j - 1))`` for every match at a rank j > r, j > K.

    Args:
        distance: Of every known row to the point, ``(n,)``.
        match: Whether each shares the point's label, ``(n,)``.
        sets: Which rows each data set holds, ``(n_sets, n)``.
        newcomers: Which rows join, one at a time, ``(m,)``.
        ks: Numbers of voters, from 1 on.
        copies: How many copies join together, from 1 on; the value is that of the last.

    Returns:
        ``(len(ks), n_sets, m)``.

    Example:
        >>> import numpy as np
        >>> here = np.array([[True, True, False]])
        >>> newcomer_values(np.array([0.1, 0.3, 0.2]), np.array([True, True, True]), here, np.array([2]), [1], copies=1)
        array([[[0.33333333]]])
    """
    order = np.argsort(distance, kind="stable")
    there = sets[:, order]
    nearer = np.searchsorted(distance[order], distance[newcomers], side="right")  # known rows no farther away
    rank = np.zeros((len(sets), distance.size + 1), dtype=np.int64)  # of each known row among those of a set
    np.cumsum(there, axis=1, out=rank[:, 1:])
    own = rank[:, nearer] + copies
    vote = match[newcomers].astype(np.float64)

    # A match at rank p of a set stands at p + copies once the newcomers are there, and takes 1 / (j (j - 1)) then.
    moved = (rank[:, 1:] + copies).astype(np.float64)
    taken = np.where(there & match[order], 1.0 / np.maximum(moved * (moved - 1.0), 1.0), 0.0)
    values = np.empty((len(ks), *own.shape))
    for at, k in enumerate(ks):
        behind = np.zeros((len(sets), distance.size + 1))
        np.cumsum(np.where(moved > k, taken, 0.0)[:, ::-1], axis=1, out=behind[:, -2::-1])
        values[at] = vote / np.maximum(k, own) - behind[:, nearer]
    return values
