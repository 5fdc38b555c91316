"""Solving a game of providers: every coalition of a few, random orders of many; what was found is kept on disk."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels.coalitions import (
    OrderMeans,
    all_coalitions,
    gains_along,
    random_order,
    semivalues,
    size_weights,
)
from dataworth.records import Coalitions
from dataworth.records.sealed import read_sealed, write_sealed
from dataworth.valuation.games import Game
from dataworth.valuation.task import bar

__all__ = ["LEAST_PAIRS", "MOST_EXACT", "MOST_PLAYERS", "solve_game"]

MOST_EXACT = 12
"""Players up to whom every coalition is tried unless sampling is asked for: 4,096 coalitions."""

MOST_PLAYERS = 63
"""A coalition is kept as a 64-bit number."""

LEAST_PAIRS = 20
"""Pairs of orders before a standard error is trusted enough to stop at."""

_FORMAT = "dataworth coalitions 1"
_SAVE_EVERY = 30.0  # seconds


def solve_game(
    game: Game,
    players: tuple[str, ...],
    *,
    exact: bool | None = None,
    max_permutations: int = 1000,
    target_error: float | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
    key: str = "",
    progress: bool | None = None,
) -> Coalitions:
    """Shapley values of the players of a game, with their standard errors.

    Up to 12 players every coalition is tried. Above, players arrive in random orders, each followed by its reverse,
    and a value is the mean of what the player adds on arrival. Players with the same rows get the same value to the
    last bit, and players without rows exactly 0, both ways. No coalition is worked out twice.

    Standard errors cover what chance there is. From orders: the spread of the pairs' means. From the seeds of a noisy
    utility: the spread of the values of its repeats, which share the orders; NaN for one repeat, which tells nothing
    of it. Both together are the root of the sum of squares. Exact values of a utility without noise have error 0.

    Args:
        game: From ``utility.game(players, validation, classes)``.
        players: Their names, in the game's order.
        exact: True tries every coalition, False samples, None samples above 12 players.
        max_permutations: Most orders to sample, an even number of 40 or more.
        target_error: Stop sampling when no standard error is larger, in units of utility, but not before 20 pairs of
            orders; None samples ``max_permutations``. What seeds add to the error falls with repeats only.
        seed: Of the orders.
        folder: Where the utilities of coalitions are kept, about every 30 seconds and at the end, so that a run that
            was stopped goes on; None keeps nothing. The file is named by ``key`` and by a digest of everything that
            utilities depend on, so another game never reads it.
        key: The beginning of the file's name: letters, digits, dots, dashes and underscores.
        progress: Show a progress bar with the time left; None shows it on a terminal only.

    Returns:
        The coalitions tried and the values. The same with or without a folder, and after any number of stops.

    Raises:
        InputError: No players, more than 63, names that repeat or are not one a player, or a key with other characters.
        MethodError: ``exact=True`` above 12 players, a parameter out of range, a target that cannot be known to be
            reached, or a model that fails; the message names the coalition.
        DataError: A kept file that is damaged.

    Example:
        >>> import dataworth as dw
        >>> from dataworth.valuation.games import RidgeAccuracy
        >>> validation = dw.Points([[-2.0], [-1.0], [1.0], [2.0]], ["low", "low", "high", "high"])
        >>> rows = [dw.Points([[-1.0], [1.5]], ["low", "high"]), dw.Points([[-1.0]], ["low"]), None]
        >>> solve_game(RidgeAccuracy().game(rows, validation), ("a", "b", "c"), progress=False).values
        array([0.5, 0. , 0. ])
    """
    _check_players(game, players)
    pairs = _check_sampling(game, max_permutations, target_error, seed)
    if exact and len(players) > MOST_EXACT:
        raise MethodError(
            f"exact values of {len(players)} players need {2 ** len(players):,} models; up to {MOST_EXACT} players are "
            "solved exactly, more by sampling (exact=False)"
        )
    every = len(players) <= MOST_EXACT if exact is None else bool(exact)
    with _kept(game, players, _file(folder, key, game)) as table:
        if every:
            return _solve_exactly(game, players, table, progress)
        return _sample(game, players, table, pairs, target_error, seed, progress)


# -- two ways -------------------------------------------------------------------------------------


def _solve_exactly(game: Game, players: tuple[str, ...], table: _Table, progress: bool | None) -> Coalitions:
    n = len(players)
    masks = range(2**n)
    with bar(table.missing(masks), "Coalitions", progress) as tick:
        utilities = np.stack([table.utilities(mask, tick) for mask in masks])
    by_repeat = semivalues(utilities, size_weights(n))
    return _found(game, players, masks, utilities, by_repeat.mean(axis=1), _seed_errors(game, by_repeat), exact=True)


def _sample(
    game: Game,
    players: tuple[str, ...],
    table: _Table,
    pairs: int,
    target_error: float | None,
    seed: int,
    progress: bool | None,
) -> Coalitions:
    n = len(players)
    means = OrderMeans(n, game.repeats)
    tried = {0, 2**n - 1, *(2**player for player in range(n))}
    errors = np.full(n, np.nan)
    with bar(pairs, "Pairs of orders", progress) as tick:
        for number in range(pairs):
            order = random_order(seed, number, n)
            drawn = []
            for arrival in (order, order[::-1]):
                masks = [0, *np.cumsum(2**arrival).tolist()]
                tried.update(masks)
                gains = gains_along(arrival, np.stack([table.utilities(mask) for mask in masks]))
                drawn.append(table.shared(gains))
            means.add(*drawn)
            tick(1)
            errors = np.hypot(means.errors, _seed_errors(game, means.by_repeat))
            if target_error is not None and means.draws >= LEAST_PAIRS and errors.max() <= target_error:
                break
    masks = sorted(tried)
    utilities = np.stack([table.utilities(mask) for mask in masks])
    return _found(game, players, masks, utilities, means.values, errors, exact=False)


def _seed_errors(game: Game, by_repeat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard errors from the seeds of models: the spread of the values of the repeats."""
    if not game.noisy:
        return np.zeros(len(by_repeat))
    if game.repeats == 1:
        return np.where(np.array(game.alike) < 0, 0.0, np.nan)  # no rows, no model, no chance
    return np.asarray(by_repeat.std(axis=1, ddof=1) / math.sqrt(game.repeats))


def _found(
    game: Game,
    players: tuple[str, ...],
    masks: Iterable[int],
    utilities: NDArray[np.float64],
    values: NDArray[np.float64],
    errors: NDArray[np.float64],
    *,
    exact: bool,
) -> Coalitions:
    n = len(players)
    known = np.fromiter(masks, dtype=np.int64)
    means = utilities.mean(axis=1)
    members = all_coalitions(n) if exact else ((known[:, np.newaxis] >> np.arange(n)) & 1).astype(np.bool_)
    return Coalitions(
        players=players,
        members=members,
        utilities=utilities,
        floor=float(game.floor),
        full=float(means[-1]),
        alone=means[np.searchsorted(known, 2 ** np.arange(n))],
        values=values,
        errors=errors,
        exact=exact,
        utility=game.describe(),
    )


# -- the table of utilities -----------------------------------------------------------------------


class _Table:
    """Utilities by coalition: each worked out once, in memory and on disk.

    Players with the same rows are interchangeable and players without rows add nothing, so coalitions that differ in
    such players alone share one entry. That makes the values of such players equal whatever a model does with the
    order of its rows, and saves their work.
    """

    def __init__(self, game: Game, players: tuple[str, ...], file: Path | None) -> None:
        self._game = game
        self._players = players
        self._file = file
        self._known: dict[int, NDArray[np.float64]] = {0: np.full(game.repeats, float(game.floor))}
        self._unsaved = 0
        self._saved_at = time.monotonic()
        if file is not None and file.exists():
            self._load(file)

    def utilities(self, mask: int, tick: object = None) -> NDArray[np.float64]:
        """Of one coalition, ``(repeats,)``."""
        mask = self._canonical(mask)
        if mask not in self._known:
            self._known[mask] = self._work_out(mask)
            self._unsaved += 1
            if callable(tick):
                tick(1)
            if time.monotonic() - self._saved_at > _SAVE_EVERY:
                self.save()
        return self._known[mask]

    def missing(self, masks: Iterable[int]) -> int:
        """How many models of these coalitions are still to be made."""
        return len({self._canonical(mask) for mask in masks} - set(self._known))

    def shared(self, gains: NDArray[np.float64]) -> NDArray[np.float64]:
        """Gains ``(n, repeats)`` with those of players with the same rows replaced by their mean."""
        shared = gains.copy()
        for group in self._groups:
            if len(group) > 1:
                shared[group] = gains[group].mean(axis=0)
        return shared

    def save(self) -> None:
        """Write everything known to the file, if there is one and there is news."""
        if self._file is not None and self._unsaved:
            masks = sorted(self._known)
            arrays = {
                "masks": np.array(masks, dtype=np.int64),
                "utilities": np.stack([self._known[mask] for mask in masks]),
            }
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_sealed(self._file, _FORMAT, {"game": self._game.digest, "utility": self._game.describe()}, arrays)
            self._unsaved = 0
        self._saved_at = time.monotonic()

    def _load(self, file: Path) -> None:
        about, arrays = read_sealed(file, _FORMAT, "file of coalitions", "dataworth")
        fits = (
            about.get("game") == self._game.digest
            and set(arrays) == {"masks", "utilities"}
            and arrays["utilities"].shape == (arrays["masks"].size, self._game.repeats)
        )
        if not fits:
            raise DataError(f"{os.fspath(file)!r} holds the coalitions of another game; delete it or use another key")
        self._known.update(zip(arrays["masks"].tolist(), arrays["utilities"], strict=True))

    @cached_property
    def _groups(self) -> list[list[int]]:
        """Players with the same rows, lowest first."""
        alike = self._game.alike
        return [[p for p, kind in enumerate(alike) if kind == one] for one in sorted(set(alike)) if one >= 0]

    def _canonical(self, mask: int) -> int:
        """The same coalition told by the lowest of interchangeable players, without those who have no rows."""
        told = 0
        for group in self._groups:
            here = sum(mask >> player & 1 for player in group)
            told |= sum(1 << player for player in group[:here])
        return told

    def _work_out(self, mask: int) -> NDArray[np.float64]:
        members = np.array([bool(mask >> player & 1) for player in range(len(self._players))])
        try:
            found = np.array([float(self._game.utility(members, repeat)) for repeat in range(self._game.repeats)])
        except Exception as trouble:
            raise MethodError(
                f"{self._game.describe()} failed on the coalition of {self._named(members)} "
                f"({type(trouble).__name__}: {trouble})"
            ) from trouble
        if not np.isfinite(found).all():
            raise MethodError(
                f"{self._game.describe()} scored the coalition of {self._named(members)} {found.tolist()}; "
                "a utility must be finite"
            )
        return found

    def _named(self, members: NDArray[np.bool_]) -> str:
        return ", ".join(repr(name) for name, here in zip(self._players, members.tolist(), strict=True) if here)


@contextmanager
def _kept(game: Game, players: tuple[str, ...], file: Path | None) -> Iterator[_Table]:
    """A table whose news is saved however the work ends."""
    table = _Table(game, players, file)
    try:
        yield table
    finally:
        table.save()


def _file(folder: str | os.PathLike[str] | None, key: str, game: Game) -> Path | None:
    if not isinstance(key, str) or not re.fullmatch(r"[\w.-]{0,80}", key, re.ASCII):
        raise InputError(f"key must be up to 80 letters, digits, dots, dashes and underscores, not {key!r}")
    return None if folder is None else Path(folder) / f"{key or 'game'}-{game.digest[:16]}.npz"


# -- checks ---------------------------------------------------------------------------------------


def _check_players(game: Game, players: tuple[str, ...]) -> None:
    if not 1 <= len(players) <= MOST_PLAYERS:
        raise InputError(f"a game has 1 to {MOST_PLAYERS} players, not {len(players)}")
    if len(game.alike) != len(players):
        raise InputError(f"the game has {len(game.alike)} players, but {len(players)} names are given")
    repeated = sorted({name for name in players if players.count(name) > 1})
    if repeated:
        raise InputError(f"names of players must differ; {', '.join(map(repr, repeated))} is there more than once")


def _check_sampling(game: Game, max_permutations: int, target_error: float | None, seed: int) -> int:
    """How many pairs of orders may be drawn."""
    orders: object = max_permutations
    whole = isinstance(orders, Integral) and not isinstance(orders, bool)
    if not whole or max_permutations < 2 * LEAST_PAIRS or max_permutations % 2:
        raise MethodError(
            f"max_permutations must be an even number of {2 * LEAST_PAIRS} or more (each order is followed by its "
            f"reverse), not {orders!r}"
        )
    given: object = seed
    if isinstance(given, bool) or not isinstance(given, Integral) or given < 0:
        raise MethodError(f"seed must be an integer of 0 or more, not {given!r}")
    if target_error is None:
        return max_permutations // 2
    target: object = target_error
    number = isinstance(target, Real) and not isinstance(target, bool)
    if not number or not 0 < target_error < math.inf:
        raise MethodError(f"target_error must be a number above 0 and finite, or None, not {target!r}")
    if game.noisy and game.repeats == 1:
        raise MethodError("one repeat of a noisy utility says nothing of its error; target_error needs two or more")
    return max_permutations // 2
