"""Values told apart by what they do: code, what it names, what it holds, and what cannot be told."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import threading
from collections import OrderedDict, defaultdict
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

import dataworth as dw
from dataworth.errors import MethodError
from dataworth.valuation.telling import tell

ROWS = np.random.default_rng(0).normal(size=(50, 3))


def written(code: str, **names: Any) -> Any:
    """What a piece of code, as in a notebook, calls ``made``."""
    space = {"__name__": "__main__", "np": np, **names}
    exec(code, space)  # noqa: S102 - the texts below
    return space["made"]


CLASS = "class made:\n    def __call__(self, model, x, y): return model.score(x, y) > {}"
HELPED = "def helper(p): return p > {}\ndef made(model, x, y): return helper(model.predict(x))"
CUT = "CUT = {}\ndef made(model, x, y): return model.predict(x) >= CUT"
PARENT = "class Parent:\n    cut = {}\nclass made(Parent): pass"
INNER = "CUT = {}\ndef made(x):\n    return [one for one in x if (lambda: one > CUT)()]"
PROPERTY = "class made:\n    @property\n    def cut(self): return {}\n    @staticmethod\n    def name(): return 'name'"
CACHED = "from functools import lru_cache\n@lru_cache\ndef made(x): return x > {}"


@pytest.mark.parametrize("code", [CLASS, HELPED, CUT, PARENT, INNER, PROPERTY, CACHED])
def test_code_is_told_by_what_it_does(code: str) -> None:
    first, again, other = (written(code.format(cut)) for cut in (0.6, 0.6, 0.9))
    assert tell(first) == tell(again)
    assert tell(first).words != tell(other).words
    assert tell(first).missed == ()
    if isinstance(first, type):
        assert tell(first()).words == tell(again()).words != tell(other()).words


def test_a_global_that_is_set_anew_is_heard() -> None:
    made = written(CUT.format(0.6))
    before = tell(made)
    made.__globals__["CUT"] = 0.9
    assert tell(made) != before
    made.__globals__["UNUSED"] = threading.Lock()
    made.__globals__["score"] = threading.Lock()  # an attribute's name, which is no global of this code
    made.__globals__["CUT"] = 0.6
    assert tell(made) == before


def module(cut: float) -> ModuleType:
    found = ModuleType("somebodys_helpers")
    exec(f"CUT = {cut}\nOTHER = open\ndef above(x): return x > CUT", vars(found))  # noqa: S102
    return found


def test_of_modules_that_may_be_edited_what_is_looked_up() -> None:
    code = "def made(model, x, y): return helpers.above(model.predict(x)) + np.mean(x)"
    first, again, other = (written(code, helpers=module(cut)) for cut in (0.6, 0.6, 0.9))
    assert tell(first) == tell(again) != tell(other)
    assert tell(first).missed == ()


def test_of_modules_imported_inside_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = written("def made(x):\n    import somebodys_helpers as h\n    return h.above(x)")
    assert tell(made).missed == ("'import somebodys_helpers' in made",)
    told = []
    for cut in (0.6, 0.9):
        monkeypatch.setitem(sys.modules, "somebodys_helpers", module(cut))
        told.append(tell(made))
    assert told[0].words != told[1].words
    assert told[0].missed == ()
    assert (
        tell(written("def made(x):\n    from sklearn.metrics import f1_score\n    return f1_score(x, x)")).missed == ()
    )


def different() -> list[Any]:
    """Values no two of which are the same, however alike their reprs."""
    series, objects = pd.Series(np.ones(2000)), np.array([1.0] * 2000, dtype=object)
    others, changed = series.copy(), objects.copy()
    others[1000] = changed[1000] = 2.0
    trees = [DecisionTreeClassifier(max_depth=depth).fit(ROWS, ROWS[:, 0] > 0.1 * depth) for depth in (1, 2)]
    pieces = [FrozenEstimator(PCA(1).fit(ROWS * scale)) for scale in ([5, 1, 1], [1, 5, 1])]
    return [
        series,
        others,
        objects,
        changed,
        series.to_frame("a"),
        series.to_frame("b"),
        pd.Index(["a", "b"]),
        pd.Categorical(["a", "b", "a"]),
        *trees,
        DecisionTreeClassifier(max_depth=1),
        *(make_pipeline(piece, GaussianNB()) for piece in pieces),
        np.zeros(3),
        np.zeros((3, 1)),
        np.zeros(3, dtype=np.float32),
        np.zeros(3, dtype=[("a", float)]),
        np.ma.masked_array(np.zeros(3), [True, False, False]),
        np.ma.masked_array(np.zeros(3), [False, True, False]),
        np.float32(1),
        1.0,
        1,
        True,
        "1",
        None,
        [1],
        (1,),
        {1},
        frozenset([1]),
        {1: 1},
        OrderedDict([(1, 1)]),
        defaultdict(list, {1: [1]}),
        defaultdict(set, {1: [1]}),
        np.random.default_rng(1),
        np.random.default_rng(2),
        random.Random(1),  # noqa: S311
        random.Random(2),  # noqa: S311
        np.sqrt,
        np.log1p,
        len,
        [1].append,
        [2].append,
        partial(max, 1),
        partial(max, 2),
        GaussianNB,
        GaussianNB.fit,
        np,
        io.BytesIO(b"1"),
        range(3),
        Path("a"),
    ]


def test_values_are_told_by_what_they_hold() -> None:
    told = [tell(one) for one in different()]
    assert [one.words for one in told] == [tell(one).words for one in different()]
    assert len({one.words for one in told}) == len(told)


def test_what_cannot_be_told_is_said() -> None:
    assert tell(threading.Lock()).missed == ("a lock",)
    assert tell([1, {"a": (one for one in [1])}]).missed == ("a generator",)
    assert tell(written("def made(p): return eval(p) + len(open(p).read())")).missed == (
        "'eval' in made",
        "'open' in made",
    )
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    assert "parts of parts beyond" in tell(deep).missed[0]


def test_what_holds_itself_is_told() -> None:
    mine: list[Any] = [1]
    mine.append(mine)
    yours: list[Any] = [1]
    yours.append(yours)
    assert tell(mine) == tell(yours) != tell([1, [1]])
    even = written("def odd(n): return n and made(n - 1)\ndef made(n): return not n or odd(n - 1)")
    assert tell(even).missed == ()


SAID = """
import random
import numpy as np
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.base import BaseEstimator, ClassifierMixin
from dataworth.valuation.telling import tell

WORDS = {"e", "f", "g", "h", "i", "j"}

class Mine(ClassifierMixin, BaseEstimator):
    def __init__(self, cut=0.5):
        self.cut = cut
    def fit(self, x, y):
        return self
    def predict(self, x):
        return helper(x[:, 0]) + self.cut

def helper(x):
    return np.isin(x, list(WORDS))

frozen = FrozenEstimator(PCA(1).fit(np.arange(12.0).reshape(4, 3) ** 2))
for one in (Mine(), Mine, helper, frozen, random.Random(1), WORDS, {"a": 1, "b": WORDS}):
    print(*tell(one).missed, tell(one).words)
"""


def test_another_process_says_the_same() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SAID], capture_output=True, check=True, text=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert len(set(said.pop().splitlines())) == 7


def test_what_cannot_be_told_is_not_kept(tmp_path: Path) -> None:
    points = dw.Points(np.arange(8.0).reshape(-1, 1), np.arange(8) % 2)

    def scorer(model: object, x: object, y: object) -> float:
        return float(len(globals()) > 0) / 2  # what it looks at, nobody can tell

    game = dw.ModelScore(GaussianNB(), scoring=scorer).game([points, points], points)
    assert dw.solve_game(game, ("a", "b"), progress=False).values.tolist() == [0.0, 0.0]
    with pytest.raises(MethodError, match=r"'globals'.*leave the folder out"):
        dw.solve_game(game, ("a", "b"), folder=tmp_path, progress=False)
    method = dw.LeaveOneOut(GaussianNB(), scoring=scorer)
    with pytest.raises(MethodError, match=r"'globals'.*leave the folder out"):
        dw.value_points(points, points, method=method, folder=tmp_path / "kept", progress=False)
    assert not (tmp_path / "kept").exists()
