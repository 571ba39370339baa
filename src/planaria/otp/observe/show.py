"""Any value as short text, without running its code: looking must not crash, block or change what is looked at.

Used from a thread that reads a running node, so a container may change meanwhile: then it is read again.
Does badly: a type of your own shows its fields, not what its `__repr__` would say.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    NoneType,
)
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from planaria.otp.kernel.message import Envelope, ExitSignal
from planaria.otp.kernel.process import Process, Request

__all__ = [
    "MASK",
    "PATHS",
    "Show",
    "fields_of",
    "function_name",
    "kind_name",
    "kind_qualname",
    "member_name",
    "member_of",
    "message_text",
    "module_name",
    "names_secret",
    "pid_text",
    "says_secret",
    "show",
    "steady",
]

type Show = Callable[[str, object, int], str]
"""(name of the value or "", value, most characters) -> text. How secrets are hidden is its business."""

MASK = "[secret]"
_WORDS = "api[_-]?key|key|token|secret|password|passwd|passphrase|credential|authorization|cookie"
_SECRET_NAME = re.compile(
    # `api_key`, `X-API-KEY`, and `openaiApiKey`, but not `monkey`.
    rf"(?:(?i:(?:^|[_\-. ])(?:{_WORDS})s?)|(?<=[a-z0-9])(?:Api|API)?(?:Key|Token|Secret|Password|Cookie|Credential)s?)$"
)
_PLAIN = (date, timedelta, Decimal, UUID)
PATHS = (PosixPath, WindowsPath, PurePosixPath, PureWindowsPath, PurePath)
"""Classes whose text is not told by code of others."""
_NAME_OF: Any = type.__dict__["__name__"]
_QUALNAME_OF: Any = type.__dict__["__qualname__"]
_MRO_OF: Any = type.__dict__["__mro__"]
_DICT_OF: Any = type.__dict__["__dict__"]
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


def says_secret(name: str) -> bool:
    """Whether a name is that of a secret, as `api_key`."""
    return _SECRET_NAME.search(name) is not None


def names_secret(name: str, value: object) -> bool:
    """Whether a value of this name must not be shown. Numbers are counts (`tokens`), not secrets."""
    return type(value) in (str, bytes) and says_secret(name)


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
    for kind in _MRO_OF.__get__(type(value)):
        members_of_kind = _DICT_OF.__get__(kind)
        for name in _in_order(members_of_kind):
            member = members_of_kind[name]
            if type(member) is MemberDescriptorType and not name.startswith("_"):
                try:
                    found[name] = member.__get__(value)
                except AttributeError:
                    continue  # a slot that is not set
    own = member_of(value, "__dict__")
    if type(own) is dict:
        members: list[tuple[str, Any]] = []
        members = steady(lambda: [(k, v) for k, v in own.items() if type(k) is str and k[:1] != "_"], members)
        found.update(members)
    return found


def _in_order(members: Any) -> list[str]:
    """The names of a class, in the order they were written in where it tells; its slots are sorted by name."""
    written: list[str] = []
    for key in ("__annotations__", "__slots__"):
        names = members.get(key)
        if type(names) in (dict, tuple, list):
            written += [name for name in names if type(name) is str and name in members]
    return list(dict.fromkeys([*written, *members]))


def member_of(value: object, name: str) -> Any:
    """An attribute that the interpreter itself keeps in an object, as `cr_frame`; None if there is none.

    Whatever a class of Python code has under that name (a property, `__getattr__`) is not asked.
    """
    kind: type = type(value)
    for each in _MRO_OF.__get__(kind):
        member = _DICT_OF.__get__(each).get(name)
        if member is None:
            continue
        if type(member) is MemberDescriptorType or type(member) is GetSetDescriptorType:
            try:
                return member.__get__(value)
            except AttributeError:
                return None
        return None
    return None


def kind_name(kind: type) -> str:
    """The name of a class, past what its metaclass may say."""
    return str(_NAME_OF.__get__(kind))


def kind_qualname(kind: type) -> str:
    """The qualified name of a class, past what its metaclass may say."""
    return str(_QUALNAME_OF.__get__(kind))


def _parts(value: Any, depth: int) -> Iterator[str]:
    # Never `isinstance`: for want of a match it reads the value's `__class__`, which may be code.
    kind: type = type(value)
    if value is None or kind in (bool, float, complex, range):
        yield repr(value)
    elif kind is int:
        yield repr(value) if value.bit_length() < 512 else f"<integer of {value.bit_length()} bits>"
    elif kind is str:
        yield repr(clip(value[: _LONGEST_TEXT + 1], _LONGEST_TEXT))
    elif kind in (bytes, bytearray):
        yield f"<{kind.__name__}, {len(value)} bytes>"
    elif kind is memoryview:
        yield "<memoryview>"  # a released one refuses to tell its length
    elif kind in _PLAIN:
        yield repr(value)
    elif kind in (datetime, time):  # a time zone may be code
        yield repr(
            value if type(value.tzinfo) in (NoneType, timezone, ZoneInfo) else value.replace(tzinfo=None)
        )
    elif kind in PATHS:
        yield repr(PurePath.__str__(value))
    elif issubclass(kind, Enum):
        yield f"{kind_name(kind)}.{member_name(value)}"
    elif issubclass(kind, Process):
        yield pid_text(value) or ""
    elif issubclass(kind, type):
        yield kind_qualname(value)
    elif (name := function_name(value)) is not None:
        yield f"<function {name}>"
    elif kind is ModuleType:
        yield f"<module {module_name(value)}>"
    elif depth >= _DEEPEST:
        yield f"{kind_name(kind)}(…)"
    elif kind in (list, tuple, set, frozenset, deque):
        yield from _collection(value, depth)
    elif kind is dict:
        yield from _mapping(value, depth)
    elif issubclass(kind, BaseException):
        args = BaseException.args.__get__(value)  # type: ignore[attr-defined]
        yield from _fields(kind_name(kind), [("", each) for each in args], depth)
    else:
        yield from _fields(kind_name(kind), list(fields_of(value).items()), depth)


def function_name(value: Any) -> str | None:
    """The name of a function; None if it is none, or one whose name is told by code."""
    kind: type = type(value)
    if kind is MethodType:
        value = value.__func__
        kind = type(value)
    if kind is FunctionType:
        return str(value.__qualname__)
    return str(value.__name__) if kind is BuiltinFunctionType else None


def module_name(module: ModuleType) -> str:
    """The name of a module, past its `__getattr__`."""
    name = member_of(module, "__dict__").get("__name__")
    return name if type(name) is str else "?"


def member_name(value: Enum) -> str:
    """The name of a member of an enumeration."""
    own = member_of(value, "__dict__")
    name = own.get("_name_") if type(own) is dict else None
    return name if type(name) is str else "?"


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
