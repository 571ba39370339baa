"""Starting a server by a class that is not in force any more starts one of the class that is.

Child specifications, and modules that imported the name, hold the older class: a restart must not bring old code back.
A class that was superseded is given a `__new__` that makes an instance of the class in force, so nothing has to be
looked up where servers are started. Only servers: other objects are what their class says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from planaria.otp.kernel.versions import latest, superseded

MARK = "_kernel_redirects"


def supersede(classes: Iterable[type]) -> None:
    """From now on these classes start servers of the class in force."""
    for cls in classes:
        superseded.add(cls)
        if MARK not in cls.__dict__ and callable(getattr(cls, "handle", None)):
            newest: Any = latest(cls)
            setattr(cls, MARK, (cls.__dict__.get("__new__"), cls.__dict__.get("trap_exit")))
            if newest is not cls and hasattr(newest, "trap_exit"):
                setattr(cls, "trap_exit", newest.trap_exit)  # noqa: B010  is read when a server is started
            setattr(cls, "__new__", staticmethod(_new))  # noqa: B010  type checkers know no such assignment


def reinstate(classes: Iterable[type]) -> None:
    """These classes are in force again."""
    for cls in classes:
        superseded.discard(cls)
        if MARK in cls.__dict__:
            for name, former in zip(("__new__", "trap_exit"), cls.__dict__[MARK], strict=True):
                if former is not None:
                    setattr(cls, name, former)
                elif name in cls.__dict__:
                    delattr(cls, name)
            delattr(cls, MARK)


def _new(cls: type, *args: Any, **kwargs: Any) -> Any:
    newest = latest(cls)
    if newest is not cls:
        return newest.__new__(newest, *args, **kwargs)
    return make(cls, *args, **kwargs)  # a subclass in a module that was left as it is


def make(cls: type, *args: Any, **kwargs: Any) -> Any:
    """An instance of this very class, whether it is in force or not; not initialised."""
    for base in cls.__mro__:
        former = base.__dict__[MARK][0] if MARK in base.__dict__ else base.__dict__.get("__new__")
        if former is not None:
            return getattr(former, "__func__", former)(cls, *args, **kwargs)
    raise AssertionError("object has a __new__")
