"""Shows any value of a running process as short text, safely.

Used by the views, so by whoever looks at a process. Runs no code of the value it shows (no `__repr__`, no property),
so looking cannot crash, block or change what is looked at. Ends early: depth, length and number of items are bounded.
Secrets are masked by their name (`api_key`, `password`), their type (`Secret`) and their shape or value (the node's
`Redactor`). Private attributes (`_x`) of values inside a state are left out.
Does badly: a type of your own shows its fields, not what its `__repr__` would say.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import ModuleType, NoneType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from planaria.config.secret import Secret
from planaria.cortex.redact import Redactor
from planaria.otp import Pid
from planaria.otp.observe.show import (
    PATHS,
    fields_of,
    function_name,
    kind_name,
    kind_qualname,
    member_name,
    module_name,
    says_secret,
)

MASK = "[secret]"
UNKNOWN_SECRETS = Redactor()
"""Masks what has the shape of a secret; a node's own redactor also knows the values in its environment."""

_PLAIN = (date, timedelta, Decimal, UUID, range, complex)
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
    return issubclass(type(value), str | bytes) and len(value) > 0 and says_secret(name)


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
    if kind in (datetime, time):  # a time zone may be code
        known = type(value.tzinfo) in (NoneType, timezone, ZoneInfo)
        yield repr(value if known else value.replace(tzinfo=None))
    elif value is None or kind in (bool, int, float) or kind in _PLAIN:
        yield clip(_number(value) if kind is int else repr(value), _LONGEST_TEXT)
    elif kind is str:
        yield repr(clip(redactor.text(value[: _LONGEST_TEXT + _SLACK]), _LONGEST_TEXT))
    elif kind in (bytes, bytearray):
        yield f"<{kind_name(kind)}, {len(value)} bytes>"
    elif kind is memoryview:
        yield "<memoryview>"  # a released one refuses to tell its length
    elif issubclass(kind, Secret):
        yield MASK
    elif issubclass(kind, Pid):
        yield str(value) if value.name is None else f"{value.name} {value}"
    elif issubclass(kind, Enum):
        yield f"{kind_name(kind)}.{member_name(value)}"
    elif kind in PATHS:
        yield redactor.text(PurePath.__str__(value))
    elif issubclass(kind, type):
        yield kind_qualname(value)
    elif (name := function_name(value)) is not None:
        yield f"<function {name}>"
    elif kind is ModuleType:
        yield f"<module {module_name(value)}>"
    elif issubclass(kind, BaseException):
        args: Any = BaseException.args
        yield from _call(kind_name(kind), [("", item) for item in args.__get__(value)], redactor, depth)
    elif depth >= _DEEPEST:
        yield f"{kind_name(kind)}(…)"
    elif kind in (list, tuple, set, frozenset, deque):
        yield from _collection(value, redactor, depth)
    elif kind is dict:
        yield from _mapping(value, redactor, depth)
    else:
        yield from _call(kind_name(kind), list(public_attributes(value).items()), redactor, depth)


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
    return fields_of(value)
