"""The held-out test: do items that a generator was trained on earn more than items it never saw?"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import InputError
from dataworth.records import Attributions, Table, Values

__all__ = ["checked_mask", "held_out_test", "nearest_trained"]

ALPHA = 0.01
_RELABELLINGS = 9_999


def held_out_test(values: Values, trained: ArrayLike) -> Table:
    """Test whether items a generator was trained on earned more than items of the same kind that it never saw.

    The second check of GMValuator (arXiv 2304.10701, version 1): one class is split in two, a generator is trained
    on one half, and both halves are valued against what it made. Values by likeness know nothing of the split, so if
    they tell the halves apart, likeness does follow what the model was trained on, here.

    The null hypothesis is that the mean value of trained-on items is at most that of held-out items; the alternative,
    that it is greater. The test is Welch's, for variances that may differ; it takes items as independent, which items
    that compete for the same credit are not quite.

    Args:
        values: Values of all items, trained on and held out, made together.
        trained: Boolean mask, True for items the generator was trained on, in the order of ``values.ids``.

    Returns:
        One row: how many items of each kind, their mean values, the t statistic, its degrees of freedom, the
        one-sided p, Cohen's d (difference of the means over the pooled standard deviation), the chance that a
        random trained-on item has a higher value than a random held-out one (ties count half), and whether the null
        hypothesis is rejected at 0.01. What cannot be had because no value differs from its group's mean is None.

    Raises:
        InputError: ``trained`` is no mask of the items, or leaves fewer than two items on a side.

    Example:
        >>> import dataworth as dw
        >>> values = dw.Values(range(6), [1.9, 2.0, 2.1, 0.0, 0.1, 0.2], method="by hand", n_validation=6)
        >>> test = dw.held_out_test(values, [True, True, True, False, False, False])
        >>> test.columns["null hypothesis rejected"], test.columns["chance that trained on is higher"]
        ((True,), (1.0,))
    """
    from scipy import stats

    mask = checked_mask(trained, len(values))
    seen, unseen = values.values[mask], values.values[~mask]
    if min(seen.size, unseen.size) < 2:
        raise InputError(
            f"a test needs two items or more on each side, not {seen.size} trained on and {unseen.size} held out"
        )
    t = df = p = d = None
    if np.ptp(seen) > 0 or np.ptp(unseen) > 0:
        with warnings.catch_warnings():  # a side whose values are all alike, such as all zero, is no obstacle
            warnings.simplefilter("ignore", RuntimeWarning)
            test = stats.ttest_ind(seen, unseen, equal_var=False, alternative="greater")
        t, df, p = float(test.statistic), float(test.df), float(test.pvalue)
        squares = ((seen - seen.mean()) ** 2).sum() + ((unseen - unseen.mean()) ** 2).sum()
        d = float((seen.mean() - unseen.mean()) / np.sqrt(squares / (len(values) - 2)))
    ranks = stats.rankdata(np.concatenate([seen, unseen]))[: seen.size].sum()
    higher = float((ranks - seen.size * (seen.size + 1) / 2) / (seen.size * unseen.size))
    return Table(
        "held-out-test",
        "Did items the model was trained on earn more than items held out?",
        {
            "items trained on": [seen.size],
            "items held out": [unseen.size],
            "mean value, trained on": [float(seen.mean())],
            "mean value, held out": [float(unseen.mean())],
            "t (Welch)": [t],
            "degrees of freedom": [df],
            "p, one-sided": [p],
            "Cohen's d": [d],
            "chance that trained on is higher": [higher],
            "null hypothesis rejected": [None if p is None else p < ALPHA],
        },
        note=(
            "Null hypothesis: the mean value of items the model was trained on is at most that of items held out. "
            f"Alternative: it is greater. It is rejected where p is below {ALPHA}. Rejecting it says that these values "
            "follow what the model was trained on, on average; it proves nothing about a single item. Not rejecting it "
            "does not show that they do not follow it."
        ),
    )


def nearest_trained(credit: Attributions, trained: NDArray[np.bool_], *, seed: int = 0) -> Table:
    """How often what is nearest to a generated item was trained on, against how common such items are.

    The first check of GMValuator (version 1) as a figure instead of a map. Whether the pool's labels matter is asked
    by relabelling: the same numbers of trained-on and held-out items, drawn at random among all items.

    Args:
        credit: The matches.
        trained: Mask of the training items.
        seed: Of the relabellings.

    Returns:
        One row; both p's are one-sided.
    """
    from scipy import stats

    n, chosen = trained.size, int(trained.sum())
    nearest = credit.at[:, 0][credit.at[:, 0] >= 0]
    hits, there = int(trained[nearest].sum()), credit.at >= 0
    matched = float((trained[credit.at] & there).sum() / there.sum())
    worth = float(credit.share.sum())
    # How many generated items each training item is nearest to; relabelling only asks how many items share a count.
    often, items = np.unique(np.bincount(nearest, minlength=n), return_counts=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_hypergeometric(items, chosen, size=_RELABELLINGS, method="marginals") @ often
    return Table(
        "nearest-trained",
        "Are generated items nearer to what the model was trained on?",
        {
            "share of items trained on": [chosen / n],
            "share of generated items nearest to one of them": [hits / nearest.size],
            "share of matches with one of them": [matched],
            "share of credit that goes to them": [
                float(credit.share[trained[credit.at] & there].sum() / worth) if worth else None
            ],
            "p, by relabelling": [float((1 + (drawn >= hits).sum()) / (1 + _RELABELLINGS))],
            "p, binomial": [float(stats.binomtest(hits, nearest.size, chosen / n, alternative="greater").pvalue)],
        },
        note=(
            "If training left no trace, the shares would be alike. Both p's ask how often chance alone makes the "
            f"nearest item one trained on as often as here. By relabelling ({_RELABELLINGS:,} random ones): if any "
            "items of the pool could have been those trained on. Binomial: if, besides, every generated item found "
            "its nearest independently, which is too hopeful where many share one."
        ),
    )


def checked_mask(trained: ArrayLike, n: int) -> NDArray[np.bool_]:
    """The mask as an array.

    Raises:
        InputError: It is no boolean mask of ``n`` items.
    """
    mask: NDArray[Any] = np.asarray(trained)
    if mask.shape != (n,) or mask.dtype != np.bool_:
        raise InputError(f"trained must be a boolean mask of shape ({n},), not {mask.dtype} of shape {mask.shape}")
    return mask
