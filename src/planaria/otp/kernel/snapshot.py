"""What a value was made of at one moment, and the path of what has changed in it since. For debugging; pure.

Looks into lists, tuples, dicts, sets, deques, bytearrays and objects with attributes (dataclasses, slots, plain
classes), cycles included, without recursion. What it does not look into counts by its identity: functions, classes,
modules, pids and other things of the kernel, objects of the standard library.

The effort is bounded: `MAX_OBJECTS` containers, `MAX_ITEMS` items in all, `MAX_BYTES` of each bytearray (its length
always). Beyond that a change goes unseen; `Snapshot.complete` says whether there was a beyond. So does a change in
objects whose own code raises when they are looked at (`__hash__`, `__getattribute__`, a `keys` of one's own): looking
must not break what is looked at.
"""

from __future__ import annotations

import sys
from array import array
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

MAX_OBJECTS = 1_000
MAX_ITEMS = 20_000
MAX_BYTES = 65_536

SEQUENCES = (list, tuple, deque)
SETS = (set, frozenset)
BYTES = (bytearray, array)
PLAIN = frozenset({int, float, complex, str, bytes, bool, type(None), range})

type Content = Any
"""A copy of one container, one level deep."""


class Snapshot:
    """The containers below `value` and copies of what they held.

    Args:
        value: what to remember.
        root: what its path begins with.
    """

    __slots__ = ("complete", "parts")

    def __init__(self, value: object, root: str = "message") -> None:
        self.parts: list[tuple[str, Any, Content]] = []
        self.complete = True
        items = 0
        for path, each in walk(value, root):
            if len(self.parts) >= MAX_OBJECTS or items >= MAX_ITEMS:
                self.complete = False
                return
            content = _copy(each)
            if content is None:
                self.complete = False
                continue
            items += len(content)
            # Immutable containers are only looked through: what they hold stays what it is.
            if not isinstance(each, tuple | frozenset):
                self.parts.append((path, each, content))

    def change(self) -> Change | None:
        """The first difference between then and now, None if there is none."""
        for path, each, before in self.parts:
            try:
                found = difference(before, content_of(each), path)
            except Exception:  # noqa: BLE001  the objects' own code: what cannot be looked at counts as unchanged
                continue
            if found is not None:
                where, was, became = found
                return Change(where, each, was, became)
        return None


class Change:
    """What changed: the path, the object it happened in, what was there and what is."""

    __slots__ = ("inside", "now", "path", "was")

    def __init__(self, path: str, inside: object, was: object, now: object) -> None:
        self.path = path
        self.inside = inside
        self.was = was
        self.now = now


class Missing:
    """Stands for nothing there."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = Missing()


def walk(value: object, root: str) -> Iterator[tuple[str, Any]]:
    """The containers below a value with their paths, nearest first, each once."""
    seen: set[int] = set()
    queue: deque[tuple[str, Any]] = deque([(root, value)])
    while queue:
        path, each = queue.popleft()
        if id(each) in seen or not looks_into(type(each)):
            continue
        seen.add(id(each))
        yield path, each
        try:
            queue.extend(inside(each, path))
        except Exception:  # noqa: BLE001  the object's own code: it is not looked into
            continue


def inside(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What a container holds that may be a container itself, with paths."""
    if isinstance(value, BYTES):
        return
    if isinstance(value, dict):
        for key, each in tuple(value.items())[:MAX_ITEMS]:
            if type(each) not in PLAIN:
                yield f"{path}[{short(key)}]", each
    elif isinstance(value, SEQUENCES):
        for index, each in zip(range(MAX_ITEMS), tuple(value), strict=False):
            if type(each) not in PLAIN:
                yield f"{path}[{index}]", each
    elif isinstance(value, SETS):
        for each in tuple(value)[:MAX_ITEMS]:
            if type(each) not in PLAIN:
                yield f"{path}{{{short(each)}}}", each
    if has_attributes(type(value)):
        for name, each in attributes(value).items():
            if type(each) not in PLAIN:
                yield f"{path}.{name}", each


def _copy(value: Any) -> Content | None:
    try:
        return content_of(value)
    except Exception:  # noqa: BLE001  the object's own code: it is not watched
        return None


def content_of(value: Any) -> Content:
    """A copy of one container, one level deep and of bounded size: (size, parts, attributes)."""
    own = attributes(value) if has_attributes(type(value)) else None
    held: Any = None
    size = 0
    if isinstance(value, BYTES):
        size, held = len(value), bytes(memoryview(value)[: MAX_BYTES // value[:0].itemsize]
                                       if isinstance(value, array) else value[:MAX_BYTES])  # fmt: skip
    elif isinstance(value, dict):
        size, held = len(value), dict(tuple(value.items())[:MAX_ITEMS])
    elif isinstance(value, SEQUENCES):
        size, held = len(value), [each for _, each in zip(range(MAX_ITEMS), tuple(value), strict=False)]
    elif isinstance(value, SETS):
        size, held = len(value), frozenset(value) if len(value) <= MAX_ITEMS else None
    return _Content(size, held, own)


class _Content:
    __slots__ = ("held", "own", "size")

    def __init__(self, size: int, held: Any, own: dict[str, Any] | None) -> None:
        self.size = size
        self.held = held
        self.own = own

    def __len__(self) -> int:
        return min(self.size, MAX_ITEMS) + (0 if self.own is None else len(self.own))


def difference(before: Any, now: Any, path: str) -> tuple[str, object, object] | None:
    """The first difference of two copies of one container: (path, was, is)."""
    old, new = before.held, now.held
    if isinstance(old, dict):
        for key in old:
            if not same(old[key], new.get(key, MISSING)):
                return f"{path}[{short(key)}]", old[key], new.get(key, MISSING)
        for key in new:
            if key not in old:
                return f"{path}[{short(key)}]", MISSING, new[key]
    elif isinstance(old, list):
        for index in range(max(len(old), len(new))):
            was = old[index] if index < len(old) else MISSING
            became = new[index] if index < len(new) else MISSING
            if not same(was, became):
                return f"{path}[{index}]", was, became
    elif old != new:
        return path, old, new
    if before.size != now.size:
        return path, f"{before.size} items", f"{now.size} items"
    if before.own is not None:
        for name in before.own | now.own:
            was, became = before.own.get(name, MISSING), now.own.get(name, MISSING)
            if not same(was, became):
                return f"{path}.{name}", was, became
    return None


def same(one: object, other: object) -> bool:
    """Whether nothing changed: the same object, or an equal plain value."""
    return one is other or (type(one) is type(other) and type(one) in PLAIN and one == other)


def attributes(value: Any) -> dict[str, Any]:
    """What an object holds in its `__dict__` and its slots."""
    try:
        found: dict[str, Any] = dict(getattr(value, "__dict__", ()))
    except Exception:  # noqa: BLE001  the object's own code
        found = {}
    for name in slots_of(type(value)):
        try:
            found[name] = object.__getattribute__(value, name)
        except AttributeError:
            continue  # a slot that was never set
    return found


def looks_into(kind: type) -> bool:
    """Whether objects of a class are containers here."""
    return _nature(kind)[0]


def has_attributes(kind: type) -> bool:
    """Whether the attributes of such objects are looked at: not those of the kernel, nor the standard library's."""
    return _nature(kind)[1]


def slots_of(kind: type) -> tuple[str, ...]:
    """The slots of a class and its bases, by the names attributes have."""
    return _nature(kind)[2]


_natures: WeakKeyDictionary[type, tuple[bool, bool, tuple[str, ...]]] = WeakKeyDictionary()


def _nature(kind: type) -> tuple[bool, bool, tuple[str, ...]]:
    known = _natures.get(kind)
    if known is None:
        slots = _slots(kind)
        bare = issubclass(kind, type) or kind.__module__.startswith("planaria.otp.")
        foreign = kind.__module__.partition(".")[0] in sys.stdlib_module_names - {"__main__"}
        attributed = kind is SimpleNamespace or (
            not bare and not foreign and (kind.__dictoffset__ != 0 or bool(slots))
        )
        container = issubclass(kind, (dict, *BYTES, *SEQUENCES, *SETS))
        known = _natures[kind] = (container or attributed, attributed, slots)
    return known


def _slots(kind: type) -> tuple[str, ...]:
    names: list[str] = []
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                private = name.startswith("__") and not name.endswith("__")
                names.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return tuple(names)


def short(value: object) -> str:
    """A value on one line, in paths."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  user code inside repr; a report must not fail for it
        return f"<{type(value).__name__}: repr raised {type(error).__name__}>"
    return text if len(text) <= 60 else text[:59] + "…"
