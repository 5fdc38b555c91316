"""Values told apart by what they do, the same in every process: what files of utilities are named by.

A value is told as pickle would take it to another process, with two differences. Functions and classes that are not
of an installed package are told by their code, with the globals that it names, as they may be edited between two
runs; those of installed packages by name and release. And sets and mappings are told in an order of their own.
"""

from __future__ import annotations

import builtins
import copyreg
import dis
import hashlib
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from dataworth.errors import MethodError

__all__ = ["Told", "check_told", "tell"]

_DEEPEST = 80  # parts of parts that are looked into
_MOST_PARTS = 200_000  # in all
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented)})
_CALLED = 0x3FF  # flags of code that are about how it runs, not about what its file imports from the future
_PARTLY = 4  # the protocol of pickle that values are taken apart by
_BLIND = frozenset({"eval", "exec", "globals", "locals", "vars", "open", "input", "__import__", "compile"})
"""Builtins with which code comes to depend on what it does not name."""

_NO_PART = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__qualname__", "__abstractmethods__"}
    | {"__firstlineno__", "__static_attributes__", "__annotate__", "__annotations_cache__", "_abc_impl"}
)
"""What a class holds that is not what it does."""


@dataclass(frozen=True)
class Told:
    """A value in words.

    Args:
        words: That differ where the value does.
        missed: What is in the value that words could not tell, in words.
    """

    words: str
    missed: tuple[str, ...] = ()


def tell(value: Any) -> Told:
    """A value in words that differ where it does.

    What code reads from files, clocks or other machines is not told. Code that could read anything (``open``, ``eval``
    and the like), and values that pickle could not take apart, are missed, and said to be.

    Example:
        >>> tell(lambda x: x + 1) == tell(lambda x: x + 1) != tell(lambda x: x + 2)
        True
        >>> tell(lambda path: open(path)).missed
        ("'open' in <lambda>",)
    """
    teller = _Teller()
    words = teller.told(value)
    return Told(words, tuple(dict.fromkeys(teller.missed)))


def check_told(missed: Sequence[str]) -> None:
    """Refuse to keep on disk what follows from a value that words could not tell.

    Raises:
        MethodError: Something was missed.
    """
    if missed:
        raise MethodError(
            "utilities cannot be kept in a folder, for they may depend on what cannot be told from run to run: "
            f"{', '.join(dict.fromkeys(missed))}; leave the folder out, or give a model and a scorer without it"
        )


class _Teller:
    """One telling: what was told already, and what is being told."""

    def __init__(self) -> None:
        self.missed: list[str] = []
        self._parts = 0
        self._stack: list[int] = []
        self._known: dict[int, tuple[Any, str]] = {}  # with the value itself, lest another takes its place in memory

    def told(self, value: Any) -> str:
        kind = type(value)
        if kind in _PLAIN:
            return f"{kind.__name__} {value!r}"
        if id(value) in self._known:
            return self._known[id(value)][1]
        if id(value) in self._stack:  # it holds itself
            return f"{len(self._stack) - self._stack.index(id(value))} up"
        self._parts += 1
        if len(self._stack) >= _DEEPEST or self._parts > _MOST_PARTS:
            return self._miss(f"parts of parts beyond {_DEEPEST}, or more than {_MOST_PARTS:,}")
        with self._inside(value):
            words = self._looked_into(value, kind)
        self._known[id(value)] = value, words
        return words

    @contextmanager
    def _inside(self, value: Any) -> Iterator[None]:
        self._stack.append(id(value))
        try:
            yield
        finally:
            self._stack.pop()

    def _miss(self, what: str) -> str:
        self.missed.append(what)
        return f"unknown {what}"

    def _looked_into(self, value: Any, kind: type) -> str:  # noqa: PLR0911 - one for each kind
        if kind is np.ndarray and not value.dtype.hasobject:
            return f"array {value.dtype.descr} {value.shape} {_short(np.ascontiguousarray(value).tobytes())}"
        if kind in (list, tuple):
            return self._all(kind.__name__, value)
        if kind in (set, frozenset):
            return _joined(kind.__name__, sorted(self.told(one) for one in value))
        if isinstance(value, Mapping) and kind.__module__ == "builtins":  # dict, and the mappingproxy of a class
            return _joined("dict", sorted(f"{self.told(key)}: {self.told(one)}" for key, one in value.items()))
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, ModuleType):
            installed = _installed(value.__name__)
            return f"module {installed}" if installed else self._miss(f"module {value.__name__}")
        return self._function(value) or self._object(value, kind)

    def _all(self, kind: str, values: Iterable[Any]) -> str:
        return _joined(kind, [self.told(one) for one in values])

    # -- code ---------------------------------------------------------------------------------------

    def _function(self, value: Any) -> str:  # noqa: PLR0911 - one for each kind
        """A function or what is made of one; empty for anything else."""
        if isinstance(value, FunctionType):
            return _by_name(value) or self._code(value)
        if isinstance(value, MethodType):
            return self._all("method", [value.__func__, value.__self__])
        if isinstance(value, property):
            return self._all("property", [value.fget, value.fset, value.fdel])
        if isinstance(value, staticmethod | classmethod):
            return self._all(type(value).__name__, [value.__func__])
        if isinstance(value, cached_property):
            return self._all("cached_property", [value.func])
        if callable(value) and not isinstance(value, BuiltinFunctionType):
            inner = getattr(value, "py_func", getattr(value, "__wrapped__", None))  # of numba, of a cache
            if isinstance(inner, FunctionType):
                return _by_name(value) or self._all(type(value).__qualname__, [inner])
        return ""

    def _code(self, function: FunctionType) -> str:
        parts: list[Any] = [function.__defaults__, function.__kwdefaults__, vars(function)]
        for cell in function.__closure__ or ():
            try:
                parts.append(cell.cell_contents)
            except ValueError:  # not filled yet
                parts.append("empty")
        names, attributes, modules = _named(function.__code__)
        for name in sorted(names):
            if name in function.__globals__:
                parts.append((name, self._global(function.__globals__[name], attributes)))
            elif name in _BLIND and hasattr(builtins, name):
                self._miss(f"{name!r} in {function.__qualname__}")
        parts += [self._imported(name, attributes, function) for name in sorted(modules)]
        return _joined(f"function {_code_told(function.__code__)}", [self.told(part) for part in parts])

    def _global(self, value: Any, attributes: frozenset[str]) -> str:
        """A global of code; of a module that may be edited what the code looks up in it."""
        if not isinstance(value, ModuleType) or _installed(value.__name__):
            return self.told(value)
        if id(value) in self._stack:
            return f"module {value.__name__}"
        with self._inside(value):
            found = [(name, vars(value)[name]) for name in sorted(attributes) if name in vars(value)]
            told = [f"{name} {self._global(one, attributes)}" for name, one in found]
        return _joined(f"module {value.__name__}", told)

    def _imported(self, name: str, attributes: frozenset[str], function: FunctionType) -> str:
        """A module that code imports when it runs."""
        if name and _installed(name):
            return _installed(name)
        if name in sys.modules:
            return self._global(sys.modules[name], attributes)
        return self._miss(f"'import {name}' in {function.__qualname__}")

    def _class(self, value: type) -> str:
        known = _by_name(value)
        if known:
            return known
        held = {name: part for name, part in vars(value).items() if name not in _NO_PART}
        told = [
            f"{name} {self.told(part)}"
            for name, part in sorted(held.items())
            if not isinstance(part, GetSetDescriptorType | MemberDescriptorType)
        ]
        return _joined(f"class {value.__qualname__}", [self.told(value.__bases__), *told])

    # -- anything else ------------------------------------------------------------------------------

    def _object(self, value: Any, kind: type) -> str:
        try:
            reduce: Callable[[], Any] = copyreg.dispatch_table.get(kind) or (lambda one: one.__reduce_ex__(_PARTLY))  # type: ignore[assignment]
            parts = reduce(value)  # type: ignore[call-arg]
            if isinstance(parts, tuple):
                # Items of lists and mappings come as iterators.
                parts = [part if at < 3 or part is None else list(part) for at, part in enumerate(parts[:5])]
        except Exception:  # whatever a class of somebody's does
            return self._miss(f"a {kind.__qualname__}")
        if not isinstance(parts, str):
            return self._all("object", [kind, *parts])
        module = str(getattr(value, "__module__", None) or kind.__module__)
        installed = _installed(module)
        return f"{installed} {parts}" if installed else self._miss(f"{module}.{parts}")


# -- packages -------------------------------------------------------------------------------------


@cache
def _places() -> tuple[Path, ...]:
    """Where packages are installed."""
    found = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(Path(place).resolve() for place in found if place)


@cache
def _installed(module: str) -> str:
    """The module with the release of its package; empty if it is none of an installed package."""
    top = module.split(".", maxsplit=1)[0]
    if top == "__main__":
        return ""
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return f"{module} {sys.version_info.major}.{sys.version_info.minor}"
    package = sys.modules.get(top)
    file = getattr(package, "__file__", None) if package is not None else _would_be(top)
    if file is None:
        return ""
    path = Path(file).resolve()
    if top != __name__.split(".")[0] and not any(path.is_relative_to(place) for place in _places()):
        return ""
    return f"{module} {getattr(package, '__version__', '')}"


def _would_be(package: str) -> str | None:
    """The file of a package that is not loaded."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin


def _by_name(value: Any) -> str:
    """A function or class of an installed package, where it is found under its name; else empty."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or not _installed(module):
        return ""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{_installed(module)} {name}" if found is value else ""


# -- code -----------------------------------------------------------------------------------------


def _named(code: CodeType) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """What code looks up: globals, attributes, and modules that it imports; those of functions within it too."""
    globals_, attributes, modules = set(), set(), set()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS"):
            globals_.add(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM"):
            attributes.add(step.argval)
        elif step.opname == "IMPORT_NAME":
            modules.add(step.argval)
    for part in code.co_consts:
        if isinstance(part, CodeType):
            theirs = _named(part)
            globals_ |= theirs[0]
            attributes |= theirs[1]
            modules |= theirs[2]
    return frozenset(globals_), frozenset(attributes), frozenset(modules)


def _code_told(code: CodeType) -> str:
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _CALLED)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    constants = [_constant_told(part) for part in code.co_consts]
    return _short(repr((code.co_code, code.co_exceptiontable, counts, names, constants)).encode())


def _constant_told(part: Any) -> str:
    if isinstance(part, frozenset):  # whose order differs from process to process
        return f"frozenset {sorted(_constant_told(one) for one in part)}"
    if isinstance(part, tuple):
        return f"tuple {[_constant_told(one) for one in part]}"
    return _code_told(part) if isinstance(part, CodeType) else f"{type(part).__name__} {part!r}"


def _joined(kind: str, parts: list[str]) -> str:
    return f"{kind} {_short(repr(parts).encode())}"


def _short(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
