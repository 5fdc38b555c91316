"""Which rows to read, said in a small safe language: ``age >= 18 and country in ('DE', 'FR')``."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from dataworth.data.columns import is_text, plain
from dataworth.data.tables import quoted
from dataworth.errors import DataError, InputError

__all__ = ["Filter"]

_EXAMPLE = "\"age >= 18 and country in ('DE', 'FR') and not missing(income)\""
_LONGEST = 20_000  # characters of a filter


@dataclass(frozen=True)
class Filter:
    """A condition on columns, checked against their types.

    ``and``, ``or``, ``not`` and brackets join comparisons (``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, also
    chained: ``18 <= age < 65``) of a column with a number, a text, ``True`` or ``False``; ``in`` and ``not in``
    with a list of them; columns of bools alone; and ``missing(income)``. A date or time is compared with its text
    (``day >= '2024-01-31'``). A column whose name is no plain word is written ``column('blood pressure')``.
    Numbers are compared in the column's own type, whole numbers exactly.

    A comparison with an entry that is missing, or NaN, is neither true nor false, and neither is its opposite: such a
    row is read only where ``missing(...)`` asks for it. So what is read does not depend on how files are cut.

    Attributes:
        text: What was asked for.
        columns: The columns that it looks at, in order of appearance.
    """

    text: str
    columns: tuple[str, ...]
    _condition: _Condition

    @classmethod
    def parse(cls, text: str, schema: pa.Schema, table: str = "the table") -> Filter:
        """Read a condition and check it.

        Args:
            text: For example ``"age >= 18 and not missing(income)"``.
            schema: The columns there are, and their types.
            table: What to call the table in a message.

        Raises:
            InputError: The text is no condition of this language.
            DataError: It names a column that is not there, or compares a column with what its type never holds. The
                message says what would be right.
        """
        if not isinstance(text, str):
            raise InputError(f"a filter is a text like {_EXAMPLE}, not a {type(text).__name__}")
        if len(text) > _LONGEST:
            raise InputError(f"the filter has {len(text)} characters; at most {_LONGEST} are read")
        try:
            tree = ast.parse(text.strip().replace("\n", " "), mode="eval")
            parser = _Parser(schema, table)
            condition = parser.condition(tree.body, wanted=True)
        except SyntaxError as error:
            raise InputError(_hint(text, error)) from None
        except (ValueError, MemoryError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"the filter cannot be read: it is nested too deeply or holds odd characters; write {_EXAMPLE}"
            ) from None
        return cls(text, tuple(parser.seen), condition)

    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """For each row whether it passes; never missing."""
        return pc.fill_null(self._condition.on(lambda name: _settled(batch.column(name))), False)

    def bound(self) -> pc.Expression:
        """A condition that every passing row fulfils, for statistics of row groups to decide on."""
        return self._condition.bound()


def _settled(column: pa.Array) -> Any:
    column = plain(pa.chunked_array([column])).combine_chunks()
    wanted = _comparable(column.type)
    return column if column.type == wanted else pc.cast(column, wanted)


def _comparable(kind: pa.DataType) -> pa.DataType:
    """The type that a column is compared in: not every one has comparisons of its own."""
    while pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
    if pa.types.is_string_view(kind):
        return pa.large_string()
    return pa.float32() if pa.types.is_float16(kind) else kind


# What other languages of filters have, and what says the same here.
_ELSEWHERE = {
    "between": "there is no between: write {column} >= 3 and {column} <= 4, or 3 <= {column} <= 4",
    "is": "there is no is: write missing({column}), or not missing({column})",
    "like": "there is no like: write {column} == 'DE', or {column} in ('DE', 'FR')",
}


def _hint(text: str, error: SyntaxError) -> str:
    plain_words = re.sub(r"'[^']*'|\"[^\"]*\"", "''", text)  # what stands in quotes is no part of the language
    words = plain_words.replace("(", " ").replace(")", " ").split()
    shouted = sorted({word for word in words if word in ("AND", "OR", "NOT", "IN")})
    foreign = re.search(r"(\w+)\s+(?:not\s+)?(between|is|like)\b", plain_words, re.IGNORECASE)
    if foreign:
        hint = _ELSEWHERE[foreign[2].lower()].format(column=foreign[1])
    elif "<>" in text:
        hint = "write != for <>"
    elif shouted:
        hint = f"write {' and '.join(word.lower() for word in shouted)} in small letters"
    elif "=" in text.replace("==", "").replace("<=", "").replace(">=", "").replace("!=", ""):
        hint = "write == for ="
    else:
        hint = f"write it like {_EXAMPLE}"
    if not text.strip():
        return f"the filter is empty; {hint}"
    if error.offset is None:
        return f"the filter cannot be read: it holds odd characters; {hint}"
    if error.offset == 0:
        return f"the filter breaks off at its end, where more must follow; {hint}"
    before = len(text) - len(text.lstrip())
    return f"the filter cannot be read from character {error.offset + before} on; {hint}"


# -- conditions ----------------------------------------------------------------------------------
# Without negation: `not` is moved into the comparisons when they are read. So nothing but a true comparison lets a row
# pass, and a condition whose parts are loosened is looser itself, which `bound` needs.

_Columns: TypeAlias = Callable[[str], Any]

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_TURNED = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


@dataclass(frozen=True)
class _Joined:
    """All of several conditions, or any of them."""

    every: bool
    parts: tuple[_Condition, ...]

    def on(self, columns: _Columns) -> Any:
        join = pc.and_kleene if self.every else pc.or_kleene
        return reduce(join, (part.on(columns) for part in self.parts))

    def bound(self) -> pc.Expression:
        join = operator.and_ if self.every else operator.or_
        return reduce(join, (part.bound() for part in self.parts))


@dataclass(frozen=True)
class _Compared:
    """A column compared with one entry of its own type."""

    column: str
    kind: pa.DataType
    by: str
    entry: Any
    provable: bool  # whether statistics may decide on it

    def on(self, columns: _Columns) -> Any:
        column = columns(self.column)
        answer = _OPERATORS[self.by](column, pa.scalar(self.entry, self.kind))
        if self.by == "!=" and pa.types.is_floating(self.kind):  # NaN differs from everything
            return pc.and_kleene(answer, pc.equal(column, column))
        return answer

    def bound(self) -> pc.Expression:
        if not self.provable:
            return pc.scalar(True)
        answer: pc.Expression = _OPERATORS[self.by](pc.field(self.column), pa.scalar(self.entry, self.kind))
        return answer


@dataclass(frozen=True)
class _Listed:
    """A column whose entries are among some of its own type, or are there and not among them."""

    column: str
    kind: pa.DataType
    among: bool
    entries: tuple[Any, ...]
    provable: bool

    def on(self, columns: _Columns) -> Any:
        column = columns(self.column)
        there = pc.is_valid(column)
        found = pc.is_in(column, value_set=pa.array(self.entries, self.kind))
        return pc.and_kleene(there, found if self.among else pc.invert(found))

    def bound(self) -> pc.Expression:
        if not (self.provable and self.among and self.entries):
            return pc.scalar(bool(self.entries) or not self.among)
        low, high = (pa.scalar(end(self.entries), self.kind) for end in (min, max))
        answer: pc.Expression = (pc.field(self.column) >= low) & (pc.field(self.column) <= high)
        return answer


@dataclass(frozen=True)
class _Missing:
    """A column whose entries are missing or NaN, or neither."""

    column: str
    missing: bool

    def on(self, columns: _Columns) -> Any:
        column = columns(self.column)
        missing = pc.is_null(column)
        if pa.types.is_floating(column.type):
            missing = pc.or_kleene(missing, pc.fill_null(pc.is_nan(column), False))
        return missing if self.missing else pc.invert(missing)

    def bound(self) -> pc.Expression:
        return pc.scalar(True)  # statistics leave NaN out


_Condition: TypeAlias = _Joined | _Compared | _Listed | _Missing


# -- reading -------------------------------------------------------------------------------------

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


class _Parser:
    def __init__(self, schema: pa.Schema, table: str) -> None:
        self._schema, self._table = schema, table
        self.seen: dict[str, None] = {}

    def condition(self, node: ast.expr, *, wanted: bool) -> _Condition:
        """What a piece of the text says, or its opposite where not wanted."""
        if isinstance(node, ast.BoolOp):
            parts = tuple(self.condition(value, wanted=wanted) for value in node.values)
            return _Joined(isinstance(node.op, ast.And) == wanted, parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.condition(node.operand, wanted=not wanted)
        if isinstance(node, ast.Compare):
            return self._comparisons(node, wanted)
        if isinstance(node, ast.Call) and _called(node) == "missing":
            return _Missing(self._named(node.args[0]), wanted)
        name = self._column(node)
        if name is None:
            raise InputError(f"{_said(node)} is no condition of a filter; write it like {_EXAMPLE}")
        kind = self._kind(name)
        if not pa.types.is_boolean(kind):
            raise DataError(f"column {name!r} holds {kind}, not bools: compare it with something, or ask missing(...)")
        return _Compared(name, kind, "==", wanted, provable=True)

    def _comparisons(self, node: ast.Compare, wanted: bool) -> _Condition:
        sides = [node.left, *node.comparators]
        parts = tuple(
            self._comparison(left, sign, right, wanted)
            for left, sign, right in zip(sides, node.ops, sides[1:], strict=False)
        )
        return parts[0] if len(parts) == 1 else _Joined(wanted, parts)

    def _comparison(self, left: ast.expr, sign: ast.cmpop, right: ast.expr, wanted: bool) -> _Condition:
        if isinstance(sign, (ast.In, ast.NotIn)):
            return self._list(self._named(left), right, among=isinstance(sign, ast.In) == wanted)
        if type(sign) not in _COMPARISONS:
            raise InputError(
                "a filter compares with ==, !=, <, <=, >, >=, in and not in; gaps are asked by missing(...)"
            )
        by = _COMPARISONS[type(sign)]
        if self._column(left) is None:
            left, right, by = right, left, _TURNED[by]
        name = self._named(left)
        if self._column(right) is not None:
            raise InputError(f"a filter compares a column with a value, not {_said(left)} with {_said(right)}")
        return self._compared(name, by if wanted else _OPPOSITE[by], _constant(right))

    def _compared(self, name: str, by: str, value: Any) -> _Condition:
        kind = self._kind(name)
        if pa.types.is_boolean(kind) and by not in ("==", "!="):
            raise DataError(f"column {name!r} holds bools, which are compared by == and != only")
        if not pa.types.is_integer(kind):
            return _Compared(name, kind, by, _entry(name, kind, value), self._provable(name))
        return self._whole(name, kind, by, _number(name, kind, value))

    def _whole(self, name: str, kind: pa.DataType, by: str, value: float) -> _Condition:
        """A comparison of whole numbers, exact for fractions and for numbers that the column cannot hold."""
        if value != math.floor(value):
            if by in ("==", "!="):
                return _Listed(name, kind, by == "==", (), provable=False)
            by, value = ("<=", math.floor(value)) if by in ("<", "<=") else (">=", math.ceil(value))
        whole = int(value)
        low, high = _range(kind)
        if low <= whole <= high:
            return _Compared(name, kind, by, whole, self._provable(name))
        holds = by == "!=" or (by != "==" and (by in ("<", "<=")) == (whole > high))
        return _Listed(name, kind, not holds, (), provable=False)

    def _list(self, name: str, node: ast.expr, among: bool) -> _Condition:
        if not isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            raise InputError(f"{_said(node)} is no list: after in comes one like ('DE', 'FR'), or ('DE',) of one alone")
        kind = self._kind(name)
        values = [_constant(entry) for entry in node.elts]
        if not values:
            raise InputError(f"the list that {name!r} is looked up in has no entries")
        if pa.types.is_integer(kind):
            low, high = _range(kind)
            numbers = [_number(name, kind, value) for value in values]
            entries = tuple(sorted({int(v) for v in numbers if v == math.floor(v) and low <= v <= high}))
            return _Listed(name, kind, among, entries, self._provable(name))
        if is_text(kind):
            return _Listed(
                name, kind, among, tuple(_entry(name, kind, value) for value in values), self._provable(name)
            )
        by = "==" if among else "!="  # by value: -0.0 is 0.0, and NaN is nothing
        return _Joined(not among, tuple(self._compared(name, by, value) for value in values))

    def _named(self, node: ast.expr) -> str:
        name = self._column(node)
        if name is None:
            raise InputError(
                f"{_said(node)} stands where a column must; a column is a plain word, or column('any name')"
            )
        return name

    def _column(self, node: ast.expr) -> str | None:
        """The column that a piece of the text names, if it names one."""
        if isinstance(node, ast.Name):
            name = node.id
        elif isinstance(node, ast.Call) and _called(node) == "column":
            argument = node.args[0]
            if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                raise InputError("column(...) takes the name in quotes: column('blood pressure')")
            name = argument.value
        else:
            return None
        if name not in self._schema.names:
            raise DataError(f"{self._table} has no column {name!r} (filter); it has {quoted(self._schema.names)}")
        self.seen[name] = None
        return name

    def _kind(self, name: str) -> pa.DataType:
        return _comparable(self._schema.field(name).type)

    def _provable(self, name: str) -> bool:
        return bool(self._schema.field(name).type == self._kind(name))


def _called(node: ast.Call) -> str:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in ("missing", "column") or len(node.args) != 1 or node.keywords:
        raise InputError(f"{_said(node)} is unknown: a filter calls missing(column) and column('name') only")
    return name


def _said(node: ast.expr) -> str:
    text = ast.unparse(node)
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _constant(node: ast.expr) -> Any:
    sign = 1
    inner = node
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        sign, inner = (-1 if isinstance(node.op, ast.USub) else 1), node.operand
    value = inner.value if isinstance(inner, ast.Constant) else None
    if value is None and isinstance(inner, ast.Constant):
        raise InputError("nothing equals None: ask missing(column)")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError("a filter compares with finite numbers only")
    if number:
        return sign * value  # type: ignore[operator]
    if inner is node and isinstance(value, (str, bool)):
        return value
    raise InputError(f"{_said(node)} is no number, text, True or False to compare with")


# -- entries of a column's own type --------------------------------------------------------------


def _number(name: str, kind: pa.DataType, value: Any) -> Any:
    if isinstance(value, (bool, str)):
        raise DataError(f"column {name!r} holds {kind}: compare it with a number, not {value!r}")
    return value


def _range(kind: pa.DataType) -> tuple[int, int]:
    if pa.types.is_unsigned_integer(kind):
        return 0, int(2**kind.bit_width) - 1
    return -int(2 ** (kind.bit_width - 1)), int(2 ** (kind.bit_width - 1)) - 1


def _entry(name: str, kind: pa.DataType, value: Any) -> Any:
    """What was written, as the column would hold it."""
    if is_text(kind):
        if not isinstance(value, str):
            raise DataError(f"column {name!r} holds text: compare it with text in quotes, not {value!r}")
        return value
    if pa.types.is_boolean(kind):
        if not isinstance(value, bool):
            raise DataError(f"column {name!r} holds bools: compare it with True or False, not {value!r}")
        return value
    if pa.types.is_floating(kind):
        try:
            entry = pc.cast(pa.scalar(float(_number(name, kind, value))), kind, safe=False).as_py()
        except OverflowError:
            raise DataError(f"column {name!r} holds {kind}, which has no number as large as the one given") from None
        return entry
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        return _moment(name, kind, value)
    raise DataError(
        f"column {name!r} holds {kind}, which a filter cannot compare; ask missing(...) or store it as float64"
    )


def _moment(name: str, kind: pa.DataType, value: Any) -> Any:
    like = "2024-01-31" if pa.types.is_date(kind) else "2024-01-31 18:30:00"
    if pa.types.is_time(kind):
        like = "18:30:00"
    elif pa.types.is_timestamp(kind) and kind.tz is not None:
        like += "Z"
    try:
        if isinstance(value, str):
            return pc.cast(pa.scalar(value), kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    raise DataError(f"column {name!r} holds {kind}: compare it with a text like {like!r}, not {value!r}")
