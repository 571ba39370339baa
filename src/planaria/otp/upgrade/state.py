"""The attributes of an object, wherever it keeps them: in its `__dict__` and in the `__slots__` of its classes.

Unlike `planaria.otp.servers.state`, which is about what a server means by its state, this is all of it: what the kernel
keeps beside it too, and that of frozen objects.
"""

from __future__ import annotations

from typing import Any

from planaria.otp.servers.state import slots_of

type Attributes = dict[str, Any]


def attributes_of(thing: object) -> Attributes:
    """The attributes that are set, by name; a copy."""
    found: Attributes = dict(getattr(thing, "__dict__", ()))
    for name in slots_of(type(thing)):
        if hasattr(thing, name):
            found[name] = getattr(thing, name)
    return found


def set_attributes(thing: object, attributes: Attributes) -> None:
    """Make these all the attributes there are. What has no slot goes into the `__dict__`.

    Raises:
        AttributeError: one has no place: no slot of that name, and no `__dict__`.
    """
    rest = dict(attributes)
    for name in slots_of(type(thing)):
        if name in rest:
            object.__setattr__(thing, name, rest.pop(name))
        elif hasattr(thing, name):
            object.__delattr__(thing, name)
    own: Attributes | None = getattr(thing, "__dict__", None)
    if own is not None:
        own.clear()
        own.update(rest)
    elif rest:
        raise AttributeError(f"{type(thing).__qualname__} has no place for {', '.join(sorted(rest))}")
