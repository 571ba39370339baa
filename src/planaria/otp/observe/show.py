"""Any value as short text, without running its code: looking must not crash, block or change what is looked at.

Used from a thread that reads a running node, so a container may change meanwhile: then it is read again.
Does badly: a type of your own shows its fields, not what its `__repr__` would say.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any
from uuid import UUID

from planaria.otp.kernel.message import Envelope, ExitSignal
from planaria.otp.kernel.process import Process, Request

__all__ = ["MASK", "Show", "fields_of", "message_text", "names_secret", "pid_text", "show", "steady"]

type Show = Callable[[str, object, int], str]
"""(name of the value or "", value, most characters) -> text. How secrets are hidden is its business."""

MASK = "[secret]"
_SECRET_NAME = re.compile(
    r"(?i)(?:^|[_-])(?:api[_-]?key|key|token|secret|password|passwd|credentials?|authorization|cookie)s?$"
)
_MOST_ITEMS = 20
_LONGEST_TEXT = 300
_DEEPEST = 4


def show(name: str, value: object, limit: int = 500) -> str:
    """A value as text of at most `limit` characters; text whose name says that it is a secret is masked."""
    if names_secret(name, value):
        return MASK
    text, length = [], 0
    for part in _parts(value, 0):
        text.append(part)
        length += len(part)
        if length > limit:
            break
    return clip("".join(text), limit)


def names_secret(name: str, value: object) -> bool:
    """Whether a value of this name must not be shown. Numbers are counts (`tokens`), not secrets."""
    return type(value) in (str, bytes) and _SECRET_NAME.search(name) is not None


def clip(text: str, limit: int) -> str:
    """The text, cut to `limit` characters with `…` as the last."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def steady[T](read: Callable[[], T], otherwise: T) -> T:
    """What `read` gives, tried again while another thread changes what it reads."""
    for _ in range(20):
        try:
            return read()
        except (RuntimeError, IndexError):  # "changed size during iteration", "mutated during iteration"
            continue
    return otherwise


def pid_text(process: Process | None) -> str | None:
    """A pid with its name, as people read it."""
    if process is None:
        return None
    return str(process) if process.name is None else f"{process.name} {process}"


def message_text(envelope: Envelope, shower: Show = show, limit: int = 300) -> str:
    """What a message says, on one line."""
    kind, body = envelope[0], envelope[1]
    if type(body) is Request:
        text = _call(body.handler, body.args, body.kwargs, shower, limit)
    elif kind == "cast" and type(body) is tuple and len(body) == 3 and type(body[1]) is tuple:
        text = _call(body[0], body[1], body[2], shower, limit)
    elif type(body) is ExitSignal:
        text = f"exit of {pid_text(body.sender)}: {shower('', body.reason, limit)}"
    else:
        text = shower("", body, limit)
    return clip(text, limit)


def _call(handler: str, args: tuple[Any, ...], kwargs: dict[str, Any], shower: Show, limit: int) -> str:
    parts = [shower("", value, limit) for value in args[:_MOST_ITEMS]]
    parts += [f"{name}={shower(name, value, limit)}" for name, value in list(kwargs.items())[:_MOST_ITEMS]]
    return f"{handler}({', '.join(parts)})"


def fields_of(value: object) -> dict[str, Any]:
    """The attributes of an object, read past its own code; those that begin with `_` are left out."""
    found: dict[str, Any] = {}
    for kind in type(value).__mro__:
        for name, member in vars(kind).items():
            if type(member) is MemberDescriptorType and not name.startswith("_"):
                try:
                    found[name] = member.__get__(value)
                except AttributeError:
                    continue  # a slot that is not set
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return found
    if type(own) is dict:
        members: list[tuple[str, Any]] = []
        members = steady(lambda: [(k, v) for k, v in own.items() if str(k)[:1] != "_"], members)
        found.update(members)
    return found


def _parts(value: Any, depth: int) -> Iterator[str]:
    # Never `isinstance`: for want of a match it reads the value's `__class__`, which may be code.
    kind: type = type(value)
    if value is None or kind in (bool, float, complex, range):
        yield repr(value)
    elif kind is int:
        yield repr(value) if value.bit_length() < 512 else f"<integer of {value.bit_length()} bits>"
    elif kind is str:
        yield repr(clip(value[: _LONGEST_TEXT + 1], _LONGEST_TEXT))
    elif kind in (bytes, bytearray, memoryview):
        yield f"<{kind.__name__}, {len(value)} bytes>"
    elif kind in (datetime, date, time, timedelta, Decimal, UUID):
        yield repr(value)
    elif issubclass(kind, PurePath):
        yield repr(PurePath.__str__(value))
    elif issubclass(kind, Enum):
        yield f"{kind.__name__}.{object.__getattribute__(value, '_name_')}"
    elif issubclass(kind, Process):
        yield pid_text(value) or ""
    elif issubclass(kind, type):
        yield type.__getattribute__(value, "__qualname__")
    elif kind in (FunctionType, MethodType, BuiltinFunctionType):
        yield f"<function {value.__qualname__}>"
    elif kind is ModuleType:
        yield f"<module {value.__name__}>"
    elif depth >= _DEEPEST:
        yield f"{kind.__name__}(…)"
    elif kind in (list, tuple, set, frozenset, deque):
        yield from _collection(value, depth)
    elif kind is dict:
        yield from _mapping(value, depth)
    elif issubclass(kind, BaseException):
        args = BaseException.args.__get__(value)  # type: ignore[attr-defined]
        yield from _fields(kind.__name__, [("", each) for each in args], depth)
    else:
        yield from _fields(kind.__name__, list(fields_of(value).items()), depth)


def _collection(value: Any, depth: int) -> Iterator[str]:
    opening, closing = "[", "]"
    if type(value) is tuple:
        opening, closing = "(", ",)" if len(value) == 1 else ")"
    elif type(value) in (set, frozenset):
        opening, closing = "{", "}"
    yield opening
    items: list[Any] = []
    items = steady(lambda: list(islice(value, _MOST_ITEMS)), items)
    yield from _joined((_parts(each, depth + 1) for each in items), len(value))
    yield closing


def _mapping(value: dict[Any, Any], depth: int) -> Iterator[str]:
    yield "{"
    items: list[tuple[Any, Any]] = []
    items = steady(lambda: list(islice(value.items(), _MOST_ITEMS)), items)
    yield from _joined((_pair(key, each, depth) for key, each in items), len(value))
    yield "}"


def _pair(key: Any, value: Any, depth: int) -> Iterator[str]:
    yield from _parts(key, depth + 1)
    yield ": "
    if type(key) is str and names_secret(key, value):
        yield MASK
    else:
        yield from _parts(value, depth + 1)


def _fields(name: str, fields: list[tuple[str, Any]], depth: int) -> Iterator[str]:
    yield f"{name}("
    shown = fields[:_MOST_ITEMS]
    yield from _joined((_field(key, value, depth) for key, value in shown), len(fields))
    yield ")"


def _field(name: str, value: Any, depth: int) -> Iterator[str]:
    if name:
        yield f"{name}="
    if names_secret(name, value):
        yield MASK
    else:
        yield from _parts(value, depth + 1)


def _joined(parts: Iterator[Iterator[str]], total: int) -> Iterator[str]:
    count = 0
    for each in parts:
        if count:
            yield ", "
        yield from each
        count += 1
    if total > count:
        yield f"{', ' if count else ''}… {total - count} more"
