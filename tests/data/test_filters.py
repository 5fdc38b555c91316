"""The language of filters: what it says is what Python says of each row, whatever the type of the column."""

from __future__ import annotations

import datetime
import math
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.data.filters import Filter
from dataworth.errors import DataError, InputError

TABLE = pa.record_batch(
    {
        "age": pa.array([17, 18, None, 65, -128, 127], pa.int8()),
        "big": pa.array([2**64 - 1, 0, 2**63, 2**53 + 1, None, 5], pa.uint64()),
        "score": pa.array([0.1, math.nan, None, -0.0, math.inf, 3.5], pa.float32()),
        "half": pa.array(np.array([0.5, 1, 2, 3, 4, 5], dtype=np.float16)),
        "country": pa.array(["DE", "FR", None, "US", "", "DE"]),
        "kind": pa.array(["a", "b", None, "a", "c", "b"]).dictionary_encode(),
        "view": pa.array(["a", "b", None, "a", "c", "b"], pa.string_view()),
        "flag": pa.array([True, False, None, True, False, True]),
        "day": pa.array([datetime.date(2024, 1, day) for day in range(1, 7)]),
        "at": pa.array([datetime.datetime(2024, 1, day) for day in range(1, 7)], pa.timestamp("us", "UTC")),
        "price": pa.array([None, 1, 2, 3, 4, 5], pa.decimal128(5, 2)),
        "list": pa.array([[1.0], None, [2.0], [], [3.0], [4.0]]),
        "blood pressure": pa.array([1, 2, 3, 4, 5, 6]),
    }
)


def passing(text: str) -> list[int]:
    mask = pickle.loads(pickle.dumps(Filter.parse(text, TABLE.schema))).mask(TABLE)  # noqa: S301 - our own
    assert mask.null_count == 0
    return [int(row) for row in np.flatnonzero(mask.to_numpy(zero_copy_only=False))]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("age >= 18", [1, 3, 5]),
        ("not age >= 18", [0, 4]),
        ("18 <= age < 65", [1]),
        ("not (18 <= age < 65)", [0, 3, 4, 5]),
        ("17.5 < age", [1, 3, 5]),
        ("age <= 17.5 or age == 18.5", [0, 4]),
        ("age != 18.5", [0, 1, 3, 4, 5]),
        ("age < 1000", [0, 1, 3, 4, 5]),
        ("age > 1000 or age < -1000 or age == 1000", []),
        ("age in (17, 18.5, 1000)", [0]),
        ("age not in (17, 18.5, 1000)", [1, 3, 4, 5]),
        ("missing(age)", [2]),
        ("not missing(age)", [0, 1, 3, 4, 5]),
        ("big >= 9223372036854775808", [0, 2]),
        ("big == 9007199254740993", [3]),
        ("big > -1", [0, 1, 2, 3, 5]),
        ("score == 0.1", [0]),
        ("score != 0.1", [3, 4, 5]),
        ("not score == 0.1", [3, 4, 5]),
        ("not score > 0", [3]),
        ("score in (0, 3.5)", [3, 5]),
        ("score not in (0, 3.5)", [0, 4]),
        ("missing(score)", [1, 2]),
        ("not missing(score)", [0, 3, 4, 5]),
        ("half >= 2", [2, 3, 4, 5]),
        ("country in ('DE', 'FR') and not missing(age)", [0, 1, 5]),
        ("country not in ['DE', 'FR']", [3, 4]),
        ("country > 'DE'", [1, 3]),
        ("kind == 'a' or kind in ('c',)", [0, 3, 4]),
        ("view != 'a'", [1, 4, 5]),
        ("view in ('a',)", [0, 3]),
        ("flag", [0, 3, 5]),
        ("not flag", [1, 4]),
        ("flag != True and age == -128", [4]),
        ("flag in (False,)", [1, 4]),
        ("day >= '2024-01-05'", [4, 5]),
        ("at < '2024-01-02T00:00:00Z'", [0]),
        ("missing(price)", [0]),
        ("missing(list)", [1]),
        ("column('blood pressure') > 5\n", [5]),
        ("not (flag or not missing(country))", []),
    ],
)
def test_what_passes(text: str, rows: list[int]) -> None:
    assert passing(text) == rows


_NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, -1.5, 2.0]))
_LEAVES = st.one_of(
    st.builds("{} {} {}".format, st.sampled_from("ab"), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), _NUMBERS),
    st.builds("{1} {2} {0}".format, st.sampled_from("ab"), _NUMBERS, st.sampled_from(["==", "!=", "<", ">="])),
    st.builds("{} <= {} < {}".format, _NUMBERS, st.sampled_from("ab"), _NUMBERS),
    st.builds(
        "{} {} {}".format, st.sampled_from("ab"), st.sampled_from(["in", "not in"]), st.lists(_NUMBERS, min_size=1)
    ),
    st.builds("missing({})".format, st.sampled_from("ab")),
)
CONDITIONS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("(not {})".format, inner),
    ),
    max_leaves=5,
)


def truth(text: str, row: dict[str, float | None]) -> bool | None:
    """What a condition says of one row in three-valued logic, from its tree and Python's own comparisons."""
    import ast
    import operator

    signs: dict[type[ast.cmpop], Any] = {
        ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
        ast.GtE: operator.ge, ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
    }  # fmt: skip

    def every(parts: list[bool | None]) -> bool | None:
        return False if False in parts else None if None in parts else True

    def say(node: Any) -> bool | None:
        if isinstance(node, ast.BoolOp):
            parts = [say(part) for part in node.values]
            if isinstance(node.op, ast.And):
                return every(parts)
            answer = every([None if part is None else not part for part in parts])
            return None if answer is None else not answer
        if isinstance(node, ast.UnaryOp):
            inner = say(node.operand)
            return None if inner is None else not inner
        if isinstance(node, ast.Call):
            return row[node.args[0].id] is None  # type: ignore[attr-defined]
        sides = [node.left, *node.comparators]
        values = [row[side.id] if isinstance(side, ast.Name) else ast.literal_eval(side) for side in sides]
        pairs = zip(values, node.ops, values[1:], strict=False)
        return every([None if a is None or b is None else bool(signs[type(op)](a, b)) for a, op, b in pairs])

    return say(ast.parse(text, mode="eval").body)


ENTRIES = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(-3, 3)), st.sampled_from([None, -1.5, 0.0, 0.5, 2.0, 3.0])),
    min_size=1, max_size=8,
)  # fmt: skip


@given(text=CONDITIONS, entries=ENTRIES, gap=st.sampled_from([None, math.nan]))
def test_a_row_passes_where_python_says_so(
    text: str, entries: list[tuple[int | None, float | None]], gap: float | None
) -> None:
    """With NaN as one more way to be missing."""
    a = pa.array([row[0] for row in entries], pa.int64())
    b = pa.array([gap if row[1] is None else row[1] for row in entries], pa.float64(), from_pandas=False)
    batch = pa.record_batch({"a": a, "b": b})
    expected = [truth(text, {"a": row[0], "b": row[1]}) is True for row in entries]
    assert Filter.parse(text, batch.schema).mask(batch).to_pylist() == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age = 3", "write == for ="),
        ("age > 3 AND flag", "write and in small letters"),
        ("age <> 3", "write != for <>"),
        ("age >", "breaks off at its end, where more must follow; write it like"),
        ("age > 3 and", "breaks off at its end"),
        ("(age > 3", "cannot be read from character 1 on"),
        ("age > 3)", "cannot be read from character 8 on"),
        ("  age > 3)", "cannot be read from character 10 on"),
        ("", "the filter is empty; write it like"),
        ("  ", "the filter is empty; write it like"),
        ("age BETWEEN 3 AND 4", "from character 5 on; there is no between: .* 3 <= age <= 4"),
        ("flag and age not between 3 and 4", "there is no between: write age >= 3 and age <= 4"),
        ("age IS NULL", r"there is no is: write missing\(age\)"),
        ("age IS NOT NULL AND flag", r"or not missing\(age\)"),
        ("land LIKE 'D%'", "there is no like: write land == 'DE'"),
        ("land == 'it is BETWEEN' AND flag", "write and in small letters"),
        ("missing(age, score)", "is unknown"),
        ("__import__('os').system('true')", "is unknown"),
        ("age.__class__ == 3", "stands where a column must"),
        ("[age for age in (1,)]", "is no condition"),
        ("lambda: age", "is no condition"),
        ("age + 1 > 3", "stands where a column must"),
        ("age > score", "compares a column with a value"),
        ("age == None", r"ask missing\(column\)"),
        ("age is 3", "compares with"),
        ("age > 1e999", "finite"),
        ("age in 'DE'", "is no list"),
        ("age in ()", "has no entries"),
        ("3 > 2", "stands where a column must"),
        ("column(age) > 3", "in quotes"),
        ("age == b'x'", "is no number, text"),
        ("not " * 3000 + "flag", "too deeply"),
        ("flag" + " or flag" * 4000, "characters; at most"),
        ("age > 3\0", "odd characters|cannot be read"),
    ],
)
def test_what_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Filter.parse(text, TABLE.schema)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hight > 3", "has no column 'hight'.*it has 'age', 'big'"),
        ("age == '3'", "holds int8: compare it with a number, not '3'"),
        ("score == True", "holds float: compare it with a number, not True"),
        ("country == 3", "compare it with text in quotes, not 3"),
        ("flag == 1", "compare it with True or False, not 1"),
        ("flag < True", "by == and != only"),
        ("age", "not bools"),
        ("day > 3", "text like '2024-01-31', not 3"),
        ("day > 'soon'", "text like '2024-01-31'"),
        ("at > '2024-01-01'", "text like '2024-01-31 18:30:00Z'"),
        ("price > 3", "cannot compare; ask missing"),
        ("list == 3", "cannot compare"),
        ("score > 1" + "0" * 400, "no number as large"),
    ],
)
def test_what_does_not_fit_the_columns(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Filter.parse(text, TABLE.schema)


def test_a_filter_is_a_text() -> None:
    with pytest.raises(InputError, match="is a text like"):
        Filter.parse(3, TABLE.schema)  # type: ignore[arg-type]
