"""Making objects of older classes objects of the classes in force: for `code_change`, messages and files.

A class whose declaration did not change is the same class in both versions and needs none of this.
"""

from __future__ import annotations

from collections import deque
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

from planaria.otp.kernel.versions import latest, superseded
from planaria.otp.upgrade.redirect import make
from planaria.otp.upgrade.state import attributes_of, set_attributes


def renew(value: Any) -> Any:
    """`value` with every object of a superseded class inside it made one of the class in force.

    Goes through dicts, lists, sets, deques, tuples and attributes of dataclass instances and renewed objects, in place
    where that is possible. New dataclass fields get their defaults; fields that are gone are dropped; enum members are
    found by name. Each object is visited once.

    Raises:
        TypeError: a new field has no default.
        KeyError: an enum member is gone.
    """
    return _Renewal().of(value)


class _Renewal:
    def __init__(self) -> None:
        self._done: dict[int, tuple[Any, Any]] = {}  # the older is kept, so that its id is not used again

    def of(self, value: Any) -> Any:
        known = self._done.get(id(value))
        if known is not None:
            return known[1]
        self._done[id(value)] = (value, value)  # for what contains itself
        renewed = self._renew(value)
        self._done[id(value)] = (value, renewed)
        return renewed

    def _renew(self, value: Any) -> Any:
        cls = type(value)
        if isinstance(value, Enum):
            newest: Any = latest(cls)
            return value if newest is cls else newest[value.name]
        if isinstance(value, dict):
            content = [(self.of(key), self.of(each)) for key, each in value.items()]
            value.clear()
            value.update(content)
        elif isinstance(value, list | deque):
            for index, each in enumerate(value):
                value[index] = self.of(each)
        elif isinstance(value, set):
            members = [self.of(each) for each in value]
            value.clear()
            value.update(members)
        elif isinstance(value, tuple):
            return self._tuple(value)
        elif isinstance(value, frozenset):
            return frozenset(self.of(each) for each in value)
        elif not isinstance(value, type) and (cls in superseded or is_dataclass(value)):
            return self._object(value)
        return value

    def _tuple(self, value: tuple[Any, ...]) -> Any:
        content = [self.of(each) for each in value]
        cls = latest(type(value))
        if cls is type(value) and all(a is b for a, b in zip(value, content, strict=True)):
            return value
        return cls(*content) if hasattr(cls, "_fields") else cls(content)

    def _object(self, value: Any) -> Any:
        cls = latest(type(value))
        attributes = {name: self.of(each) for name, each in attributes_of(value).items()}
        if is_dataclass(cls) and cls is not type(value):
            attributes = _fitted(cls, attributes)
        if cls is not type(value):
            try:
                value.__class__ = cls
            except (TypeError, AttributeError):  # another layout, or frozen
                value = _made(value, cls)
        set_attributes(value, attributes)
        return value


def _made(value: Any, cls: type) -> Any:
    try:
        object.__setattr__(value, "__class__", cls)
    except TypeError:
        return make(cls)
    return value


def _fitted(cls: Any, attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a dataclass as another version of it wants them."""
    wanted = {field.name: field for field in fields(cls)}
    dataful = hasattr(cls, "__dict__") and "__slots__" not in vars(cls)
    kept = {name: value for name, value in attributes.items() if name in wanted or dataful}
    for name, field in wanted.items():
        if name not in kept:
            if field.default is not MISSING:
                kept[name] = field.default
            elif field.default_factory is not MISSING:
                kept[name] = field.default_factory()
            else:
                raise TypeError(f"{cls.__qualname__}.{name} is new and has no default: set it in code_change")
    return kept
