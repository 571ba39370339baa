"""What a new version of a module takes over from the old one while it is loaded, instead of making its own.

- The names in the module's `__carry__`: `__carry__ = ("cache",)` keeps the old value wherever the top level sets it.
- Declarations that did not change: enums, exceptions, dataclasses and other classes that are no servers stay the very
  same class, so that `isinstance`, `except`, enum members, pickles and messages of importers fit both versions. A class
  whose methods use globals which are neither the same object in both versions nor equal constants is a new one.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import fields, is_dataclass
from enum import Enum, EnumType
from types import CodeType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any

INCIDENTAL = frozenset(
    {
        "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__", "__abstractmethods__", "_abc_impl",
        "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__dataclass_fields__",
        "__dataclass_params__",
    }
)  # fmt: skip
"""Entries of a class that say nothing of its own, or are compared in another way."""

CONSTANTS = frozenset({int, float, complex, str, bytes, bool})
"""Equal ones are as good as the same."""


class Binder(MutableMapping[str, Any]):
    """The namespace the top level of a new version writes into: its globals, with what is carried in its place."""

    def __init__(self, module: ModuleType, old: ModuleType | None) -> None:
        self._globals = module.__dict__
        self._name = module.__name__
        self._old: dict[str, Any] = {} if old is None else old.__dict__

    def __setitem__(self, name: str, value: Any) -> None:
        self._globals[name] = self._chosen(name, value)

    def _chosen(self, name: str, value: Any) -> Any:
        if name not in self._old:
            return value
        old = self._old[name]
        if name in self._globals.get("__carry__", ()):
            return old
        if isinstance(value, type) and isinstance(old, type) and value is not old:
            if self._is_unchanged(old, value):
                return old
        return value

    def _is_unchanged(self, old: type, new: type) -> bool:
        if not old.__module__ == new.__module__ == self._name or callable(getattr(new, "handle", None)):
            return False
        names = _names_used(old) - {old.__name__}
        return same_declaration(old, new) and not any(self._is_own(name) for name in names)

    def _is_own(self, name: str) -> bool:
        """Whether a global name stands for something of the old version that the new one does not share by now."""
        if name not in self._old:
            return False
        old, new = self._old[name], self._globals.get(name)
        if old is new or isinstance(old, ModuleType):  # a module object hands on to the one in force
            return False
        return not (type(old) is type(new) and type(old) in CONSTANTS and old == new)

    def __getitem__(self, name: str) -> Any:
        return self._globals[name]

    def __delitem__(self, name: str) -> None:
        del self._globals[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._globals)

    def __len__(self) -> int:
        return len(self._globals)


def same_declaration(old: type, new: type) -> bool:
    """Whether two classes were made by the same statement."""
    if (type(old), old.__qualname__, old.__bases__) != (type(new), new.__qualname__, new.__bases__):
        return False
    if _annotations(old) != _annotations(new) or _data_fields(old) != _data_fields(new):
        return False
    if isinstance(old, EnumType) and isinstance(new, EnumType):
        return _members(old) == _members(new) and _same_functions(old, new)
    mine, other = vars(old), vars(new)
    names = set(mine) - INCIDENTAL
    return names == set(other) - INCIDENTAL and all(_same(mine[name], other[name]) for name in names)


def _members(cls: EnumType) -> list[tuple[str, str]]:
    members: dict[str, Enum] = cls.__members__  # type: ignore[assignment]
    return [(name, repr(member.value)) for name, member in members.items()]


def _same_functions(old: type, new: type) -> bool:
    mine = {name: value for name, value in vars(old).items() if isinstance(value, FunctionType | property)}
    other = {name: value for name, value in vars(new).items() if isinstance(value, FunctionType | property)}
    return mine.keys() == other.keys() and all(_same(mine[name], other[name]) for name in mine)


def _annotations(cls: type) -> dict[str, str]:
    return {name: repr(value) for name, value in vars(cls).get("__annotations__", {}).items()}


def _data_fields(cls: type) -> list[tuple[object, ...]]:
    if not is_dataclass(cls):
        return []
    params = repr(vars(cls).get("__dataclass_params__"))
    return [
        (
            params,
            f.name,
            repr(f.type),
            repr(f.default),
            _made_by(f.default_factory),
            f.init,
            f.kw_only,
            f.compare,
        )
        for f in fields(cls)
    ]


def _made_by(factory: Any) -> object:
    code = getattr(factory, "__code__", None)
    return factory if code is None else (code.co_code, code.co_consts, code.co_names)


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, FunctionType):
        if (one.__defaults__, one.__kwdefaults__) != (other.__defaults__, other.__kwdefaults__):
            return False
        return _same_code(one.__code__, other.__code__)
    if isinstance(one, staticmethod | classmethod):
        return _same(one.__func__, other.__func__)
    if isinstance(one, property):
        return all(_same(getattr(one, each), getattr(other, each)) for each in ("fget", "fset", "fdel"))
    if isinstance(one, MemberDescriptorType):
        return bool(one.__name__ == other.__name__)
    if type(one).__name__ == "_tuplegetter":  # a field of a named tuple
        return bool(one.__reduce__() == other.__reduce__())
    if isinstance(one, int | float | str | bytes | bool | tuple | frozenset | list | dict):
        return bool(one == other)
    return False


def _same_code(one: CodeType, other: CodeType) -> bool:
    """Whether two pieces of code do the same, wherever they stand."""
    if (one.co_code, one.co_names, one.co_varnames, one.co_freevars, one.co_flags) != (
        (other.co_code, other.co_names, other.co_varnames, other.co_freevars, other.co_flags)
    ):
        return False
    if len(one.co_consts) != len(other.co_consts):
        return False
    for mine, its in zip(one.co_consts, other.co_consts, strict=True):
        if isinstance(mine, CodeType) and isinstance(its, CodeType):
            if not _same_code(mine, its):
                return False
        elif type(mine) is not type(its) or mine != its:
            return False
    return True


def _names_used(cls: type) -> set[str]:
    """The global names the methods of a class may use."""
    found: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, staticmethod | classmethod):
            look(value.__func__)
        elif isinstance(value, property):
            for each in (value.fget, value.fset, value.fdel):
                look(each)
        elif isinstance(value, FunctionType):
            dig(value.__code__)

    def dig(code: CodeType) -> None:
        found.update(code.co_names)
        for const in code.co_consts:
            if isinstance(const, CodeType):
                dig(const)

    for value in list(vars(cls).values()):
        look(value)
    for field in fields(cls) if is_dataclass(cls) else ():
        look(field.default_factory)
    return found
