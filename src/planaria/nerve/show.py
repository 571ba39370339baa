"""Shows any value of a running process as short text, safely.

Used by the views, so by whoever looks at a process. Runs no code of the value it shows (no `__repr__`, no property),
so looking cannot crash, block or change what is looked at. Ends early: depth, length and number of items are bounded.
Secrets are masked by their name (`api_key`, `password`), their type (`Secret`) and their shape or value (the node's
`Redactor`). Private attributes (`_x`) of values inside a state are left out.
Does badly: a type of your own shows its fields, not what its `__repr__` would say.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any
from uuid import UUID

import msgspec

from planaria.cortex.redact import Redactor
from planaria.membrane.secret import Secret
from planaria.otp import Pid

MASK = "[secret]"
UNKNOWN_SECRETS = Redactor()
"""Masks what has the shape of a secret; a node's own redactor also knows the values in its environment."""

_SECRET_NAME = re.compile(
    r"(?i)(?:^|[_-])(?:api[_-]?key|key|token|secret|password|passwd|credentials?|authorization|cookie)s?$"
)
_PLAIN = (datetime, date, time, timedelta, Decimal, UUID, range, complex)
_LONGEST_TEXT = 300
_SLACK = 4096  # a secret cut in two would not be known any more, so the cut comes after the masking
_MOST_ITEMS = 20
_DEEPEST = 5


def show(value: object, redactor: Redactor = UNKNOWN_SECRETS, limit: int = 2000) -> str:
    """A value as text of at most `limit` characters, secrets masked."""
    return clip("".join(_bounded(_parts(value, redactor, 0), limit)), limit)


def show_named(name: str, value: object, redactor: Redactor = UNKNOWN_SECRETS, limit: int = 2000) -> str:
    """Like `show`, for a value whose name may say that it is a secret."""
    return MASK if names_secret(name, value) else show(value, redactor, limit)


def names_secret(name: str, value: Any) -> bool:
    """Whether a value of this name must not be shown. Numbers are counts (`tokens`), not secrets."""
    return issubclass(type(value), str | bytes) and len(value) > 0 and _SECRET_NAME.search(name) is not None


def clip(text: str, limit: int) -> str:
    """The text, cut to `limit` characters with `…` as the last."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _bounded(parts: Iterator[str], limit: int) -> Iterator[str]:
    length = 0
    for part in parts:
        yield part
        length += len(part)
        if length > limit:
            return


def _parts(value: Any, redactor: Redactor, depth: int) -> Iterator[str]:
    """The text of `value`, bit by bit, so that whoever has enough can stop."""
    # Never `isinstance`: for want of a match it reads the value's `__class__`, which may be code.
    kind: type = type(value)
    if value is None or kind in (bool, int, float) or kind in _PLAIN:
        yield clip(_number(value) if kind is int else repr(value), _LONGEST_TEXT)
    elif kind is str:
        yield repr(clip(redactor.text(value[: _LONGEST_TEXT + _SLACK]), _LONGEST_TEXT))
    elif kind in (bytes, bytearray, memoryview):
        yield f"<{kind.__name__}, {len(value)} bytes>"
    elif issubclass(kind, Secret):
        yield MASK
    elif issubclass(kind, Pid):
        yield str(value) if value.name is None else f"{value.name} {value}"
    elif issubclass(kind, Enum):
        yield f"{kind.__name__}.{value.name}"
    elif issubclass(kind, PurePath):
        yield redactor.text(str(value))
    elif issubclass(kind, type):
        yield value.__qualname__
    elif issubclass(kind, FunctionType | MethodType | BuiltinFunctionType):
        yield f"<function {value.__qualname__}>"
    elif issubclass(kind, ModuleType):
        yield f"<module {value.__name__}>"
    elif issubclass(kind, BaseException):
        yield from _call(kind.__name__, [("", item) for item in value.args], redactor, depth)
    elif depth >= _DEEPEST:
        yield f"{kind.__name__}(…)"
    elif kind in (list, tuple, set, frozenset, deque):
        yield from _collection(value, redactor, depth)
    elif kind is dict:
        yield from _mapping(value, redactor, depth)
    else:
        yield from _call(kind.__name__, list(public_attributes(value).items()), redactor, depth)


def _number(value: Any) -> str:
    # Above some thousand digits Python refuses to write an integer.
    return repr(value) if value.bit_length() < 512 else f"<integer of {value.bit_length()} bits>"


def _collection(value: Any, redactor: Redactor, depth: int) -> Iterator[str]:
    opening, closing = "[", "]"
    if type(value) is tuple:
        opening, closing = "(", ",)" if len(value) == 1 else ")"
    elif type(value) in (set, frozenset):
        opening, closing = "{", "}"
    yield opening
    yield from _joined((_parts(item, redactor, depth + 1) for item in value), len(value))
    yield closing


def _mapping(value: Mapping[Any, Any], redactor: Redactor, depth: int) -> Iterator[str]:
    def entry(key: Any, item: Any) -> Iterator[str]:
        yield from _parts(key, redactor, depth + 1)
        yield ": "
        if isinstance(key, str) and names_secret(key, item):
            yield MASK
        else:
            yield from _parts(item, redactor, depth + 1)

    yield "{"
    yield from _joined((entry(key, item) for key, item in value.items()), len(value))
    yield "}"


def _call(name: str, attributes: list[tuple[str, Any]], redactor: Redactor, depth: int) -> Iterator[str]:
    def entry(key: str, item: Any) -> Iterator[str]:
        if key:
            yield f"{key}="
        if names_secret(key, item):
            yield MASK
        else:
            yield from _parts(item, redactor, depth + 1)

    yield f"{name}("
    yield from _joined((entry(key, item) for key, item in attributes), len(attributes))
    yield ")"


def _joined(items: Iterable[Iterator[str]], count: int) -> Iterator[str]:
    for position, item in enumerate(items):
        if position:
            yield ", "
        if position == _MOST_ITEMS:
            yield f"… {count - position} more"
            return
        yield from item


def public_attributes(value: object) -> dict[str, Any]:
    """Public attributes, read without running any code of the value's class."""
    kind: Any = type(value)
    if issubclass(kind, msgspec.Struct):
        names: Iterable[str] = kind.__struct_fields__
    elif is_dataclass(kind):
        names = [field.name for field in fields(kind)]
    else:
        names = [slot for parent in kind.__mro__ for slot in _slots(parent)]
    found = {name: item for name in names for item in _read(value, name)}
    # `object.__getattribute__`: a class may define its own, which is code.
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = {}
    if type(own) is dict:
        found |= {name: item for name, item in own.items() if isinstance(name, str)}
    return {name: item for name, item in found.items() if not name.startswith("_")}


def _slots(kind: type) -> Iterable[str]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else slots


def _read(value: object, name: str) -> list[Any]:
    """The stored attribute in a list; empty if it was never set or is a property."""
    for kind in type(value).__mro__:
        if name in kind.__dict__:
            if isinstance(kind.__dict__[name], property):
                return []
            break
    try:
        return [object.__getattribute__(value, name)]
    except AttributeError:
        return []
