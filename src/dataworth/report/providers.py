"""What the page shows of shares of providers: flags first, then values beside other splits, and who spent what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dataworth.records import Evidence, Exhibit, Shares, Table
from dataworth.records.evidence import Cell
from dataworth.records.privacy import in_words
from dataworth.report.charts import SPLITS_SHOWN, draw_splits
from dataworth.report.parts import Card, Extra, Picture, Section, drawn, plural, shown_evidence, text_grid
from dataworth.report.text import figure, share

__all__ = ["shares_section"]

# Evidence with a place of its own on the page.
_TERMS = "calibration-terms"
_PACKAGES = "provider-packages"
_MADE_BY, _DIGEST = "made by", "digest"
_DIGEST_SHOWN = 12  # characters of a digest; all of it is in the saved shares

_HOW = (
    "Each provider made a synthetic copy of its data. A model was trained on the copies of every coalition that was "
    "tried, and judged on public validation points; what a provider adds on average, over every order in which they "
    "could arrive, is its uncalibrated value. Calibrated values divide the gain of all together by a mix of that, of "
    "how often a model of synthetic rows agrees with the provider's own labels, and of what its copy is worth alone."
)

_PUBLIC = (
    "Taken as public: the validation points, the list of classes, how coalitions are judged, the settings of the "
    "synthesizers, and everything in the packages. Not public: the providers' rows, and how many they are."
)
_WHO = (
    "Everything on this page is made of packages and answers alone, so whoever may see those may see this page; it "
    "reveals no more of anyone's rows than they do.",
    "Epsilon and delta are what each provider declares to have spent in all. Where one person's data are at several "
    "providers, what these spent adds up.",
)
_WHO_UNCOVERED = (
    "Nothing here is promised of all providers: show this page to those alone who may see all of the data.",
)


def shares_section(shares: Shares) -> Section:
    """What the page shows of shares.

    Args:
        shares: The shares; providers are shown in falling order of value.
    """
    order = np.argsort(-shares.values, kind="stable").tolist()
    rest = [_shortened(piece) for piece in shares.evidence if piece.name != _TERMS]
    pictures, extras = shown_evidence(rest)
    tried = shares.coalitions
    exact = "all" if tried.exact else "sampled"
    facts = [
        ("Calibration", shares.calibration),
        ("Utility", tried.utility),
        ("Coalitions tried", f"{len(tried.members):,} ({exact}), {tried.utilities.shape[1]:,} "
         f"{plural(tried.utilities.shape[1], 'model')} each"),
        ("Utility of nobody", figure(tried.floor)),
        ("Utility of everyone", figure(tried.full)),
        *((str(key), str(item)) for key, item in shares.provenance.items()),
    ]  # fmt: skip
    return Section(
        title="What each data provider is worth",
        is_values=False,
        is_shares=True,
        stamp=shares.stamp,
        flags=shares.flags,
        promises=_promises(shares),
        not_covered=[*_makers(shares.evidence), _PUBLIC, *(_WHO_UNCOVERED if shares.stamp else _WHO)],
        how=_HOW,
        short=_in_short(shares),
        facts=facts,
        cards=_headline(shares),
        pictures=[_splits(shares, order), _by_size(shares), *pictures],
        extras=[_table(shares, order), *_terms(shares.evidence, order), *extras],
    )


def _in_short(shares: Shares) -> str:
    tried, there = shares.coalitions, int(shares.present.sum())
    said = (
        f"{there:,} {plural(there, 'provider')} together {plural(there, 'takes', 'take')} the utility from "
        f"{figure(tried.floor)} to {figure(tried.full)} with synthetic copies of {plural(there, 'its', 'their')} data; "
        f"calibrated, {figure(shares.total)} is divided among {plural(there, 'it', 'them')}."
    )
    if shares.empty:
        count = len(shares.empty)
        said += (
            " One declares itself empty and gets nothing."
            if count == 1
            else (f" {count:,} declare themselves empty and get nothing.")
        )
    return said


def _headline(shares: Shares) -> list[Card]:
    there = shares.present
    parts = shares.shares[there]
    cards = [
        Card(f"{int(there.sum()):,}", plural(int(there.sum()), "provider")),
        Card(figure(shares.total), "of utility divided, after calibration"),
        Card(f"{share(float(parts.max()))}", f"largest share; equal parts would be {share(1 / parts.size)}"),
        Card(f"{share(float(parts.min()))}", "smallest share of those not empty"),
    ]
    spent = [promise.budget.epsilon for promise in shares.spent if promise is not None and promise.private]
    if spent and not shares.stamp:
        low, high = in_words(min(spent)), in_words(max(spent))
        cards.append(Card(low if low == high else f"{low} to {high}", "epsilon spent by each provider, as declared"))
    return cards


def _promises(shares: Shares) -> list[str]:
    """What is promised, in full words, and by whom."""
    whose: dict[str, list[str]] = {}
    for name, promise, here in zip(shares.providers, shares.spent, shares.present, strict=True):
        if promise is not None:
            whose.setdefault(str(promise), []).append(name)
        elif here:
            whose.setdefault("Nothing is known to protect the data.", []).append(name)
        else:
            whose.setdefault("Declared empty: there is nothing to protect, and nothing was spent.", []).append(name)
    return [f"{', '.join(names)}: {words}" for words, names in whose.items()]


def _makers(evidence: Sequence[Evidence]) -> list[str]:
    """By what the copies were made, with all settings, and whose."""
    whose: dict[str, list[str]] = {}
    for piece in evidence:
        if isinstance(piece, Table) and piece.name == _PACKAGES and {"provider", _MADE_BY} <= set(piece.columns):
            for name, maker in zip(piece.columns["provider"], piece.columns[_MADE_BY], strict=True):
                whose.setdefault(str(maker), []).append(str(name))
    return [f"Synthetic rows of {', '.join(names)} were made by {maker}." for maker, names in whose.items()]


def _shortened(piece: Evidence) -> Evidence:
    """The table of packages without what is told elsewhere, and with short digests."""
    if not isinstance(piece, Table) or piece.name != _PACKAGES:
        return piece
    columns = {key: cells for key, cells in piece.columns.items() if key != _MADE_BY}
    if _DIGEST in columns:
        columns[_DIGEST] = [str(cell)[:_DIGEST_SHOWN] for cell in columns[_DIGEST]]
    return replace(piece, columns=columns)


def _splits(shares: Shares, order: Sequence[int]) -> Picture:
    """Calibrated values beside uncalibrated ones and equal parts."""
    title = "Calibrated, uncalibrated, and in equal parts"
    splits = {
        "calibrated": (shares.values[order], shares.errors[order]),
        "uncalibrated": (shares.uncalibrated[order], shares.coalitions.errors[order]),
        "equal parts": (shares.uniform[order], np.zeros(len(order))),
    }
    names = [shares.providers[i] for i in order]
    known = [name for name, (_, errors) in splits.items() if (errors > 0).any()]
    caption = (
        "Thin lines are one standard error on either side: of sampled coalitions, of repeated training, and for "
        "calibrated values of the noise of fidelity. The noise of the synthetic copies themselves is not in them."
        if known
        else "No standard errors are shown: none are known, or there is no chance in the game itself. The noise of the "
        "synthetic copies is in no error bar."
    )
    if len(names) > SPLITS_SHOWN:
        half = SPLITS_SHOWN // 2
        caption += f" The picture shows the {half} highest and the {half} lowest of {len(names):,} providers."
    alt = (
        f"Three bars for each of {len(names):,} providers, highest first: the calibrated value from "
        f"{figure(float(shares.values.max()))} down to {figure(float(shares.values.min()))}, the uncalibrated one, and "
        f"equal parts of {figure(shares.total)}."
    )
    return Picture(title, draw_splits(names, splits, alt), caption, None)


def _by_size(shares: Shares) -> Picture:
    """The utility of coalitions by how many providers are in them."""
    tried = shares.coalitions
    sizes, mean = tried.members.sum(axis=1), tried.utilities.mean(axis=1)
    columns: dict[str, list[Cell]] = {"providers": [], "utility": [], "of coalitions": []}
    for size in np.unique(sizes).tolist():
        some = mean[sizes == size]
        for name, number in (("mean", some.mean()), ("highest", some.max()), ("lowest", some.min())):
            for key, cell in zip(columns, (size, float(number), name), strict=True):
                columns[key].append(cell)
    title = "What coalitions are worth by their size"
    best = int(np.argmax(mean))
    held = int(sizes[best])
    caption = (
        f"The best coalition that was tried has {held:,} {plural(held, 'provider')} and a utility of "
        f"{figure(float(mean[best]))}."
    )
    if np.isfinite(tried.full) and mean[best] > tried.full:
        caption += (
            f" Everyone together has {figure(tried.full)}: some copies do harm beside the others, or chance plays."
        )
    exhibit = Exhibit(
        "utility-by-size",
        "curve",
        Table("utility-by-size", title, columns),
        x="providers",
        y="utility",
        series="of coalitions",
        alt=f"Lines of the mean, highest and lowest utility of coalitions of 0 to {len(shares):,} providers.",
        caption=caption,
    )
    return drawn(exhibit)


def _table(shares: Shares, order: Sequence[int]) -> Extra:
    columns: dict[str, list[Cell]] = {
        "provider": [shares.providers[i] for i in order],
        "value": [float(shares.values[i]) for i in order],
        "standard error": [_known(shares.errors[i]) for i in order],
        "share": [
            share(float(shares.shares[i])) if shares.shares[i] >= 0 else figure(float(shares.shares[i])) for i in order
        ],
        "uncalibrated": [float(shares.uncalibrated[i]) for i in order],
        "equal parts": [float(shares.uniform[i]) for i in order],
        "epsilon": [_budget(shares, i, "epsilon") for i in order],
        "delta": [_budget(shares, i, "delta") for i in order],
    }
    note = (
        f"Values are in units of utility and sum to {figure(shares.total)}. Shares are parts of all of it. Epsilon and "
        "delta are what each provider declares to have spent on its package and its answer together."
    )
    title = "Values and shares"
    return Extra(title, note, [], text_grid(Table("shares", title, columns)))


def _terms(evidence: Sequence[Evidence], order: Sequence[int]) -> list[Extra]:
    """The table of what each weight is made of, in the order of the page."""
    for piece in evidence:
        if isinstance(piece, Table) and piece.name == _TERMS and len(piece) == len(order):
            table = replace(piece, columns={key: [cells[i] for i in order] for key, cells in piece.columns.items()})
            return [Extra(table.title, table.note, [], text_grid(table))]
    return []


def _budget(shares: Shares, i: int, part: str) -> str:
    promise = shares.spent[i]
    if promise is None:
        return "not known" if shares.present[i] else "nothing spent"
    return in_words(getattr(promise.budget, part)) if promise.private else "NOT PRIVATE"


def _known(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
