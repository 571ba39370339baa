"""The state of a server as a value: its attributes, without what the kernel keeps beside them.

Used by system requests (`planaria.otp.sys`) and by upgrades. Works for instances with a `__dict__`, with `__slots__`
and with both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from weakref import WeakKeyDictionary

type State = dict[str, object]
"""Attribute values by name."""

KERNEL_NAMES = ("_kernel_", "_GenServer__", "_StateMachine__")
"""How the names begin that are the kernel's own and no part of a server's state."""


_slots: WeakKeyDictionary[type, tuple[str, ...]] = WeakKeyDictionary()


def slots_of(cls: type) -> tuple[str, ...]:
    """The names in the `__slots__` of a class and its bases, private ones as they are stored."""
    found = _slots.get(cls)
    if found is None:
        found = _slots[cls] = tuple(_find_slots(cls))
    return found


def _find_slots(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                private = name.startswith("__") and not name.endswith("__")
                yield f"_{base.__name__.lstrip('_')}{name}" if private else name


def state_of(server: object) -> State:
    """The attributes that are set, by name; the values are the server's own, not copies."""
    found: State = getattr(server, "__dict__", {})
    slots = slots_of(type(server))
    if slots:
        found = {name: getattr(server, name) for name in slots if hasattr(server, name)} | found
    return {name: value for name, value in found.items() if not name.startswith(KERNEL_NAMES)}


def set_state(server: object, state: Mapping[str, object]) -> None:
    """Make `state` the attributes of the server: those it does not name are removed.

    Raises:
        AttributeError: the class has `__slots__` and none of that name; nothing is changed then.
    """
    before = state_of(server)
    try:
        for name in before.keys() - state.keys():
            delattr(server, name)
        for name, value in state.items():
            setattr(server, name, value)
    except (AttributeError, TypeError):
        for name in state_of(server).keys() - before.keys():
            delattr(server, name)
        for name, value in before.items():
            setattr(server, name, value)
        raise
