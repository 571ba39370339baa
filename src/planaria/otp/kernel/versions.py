"""The newest version of a function or class: what its name stands for now in its module.

Code that was loaded anew exists twice; whoever holds the older function or class finds the newer one here.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any
from weakref import WeakSet

superseded: WeakSet[Any] = WeakSet()
"""Classes and functions whose module has another version in force."""


def latest[T](thing: T) -> T:
    """The function or class in force that has the module and name of `thing`; `thing` itself if there is no other.

    Source: Erlang's fully qualified call, `Module:function()`, which reaches the newest version.
    """
    if not isinstance(thing, FunctionType | type) or thing not in superseded:
        return thing
    held: Any = thing
    found = named(sys.modules.get(held.__module__), held.__qualname__)
    return found if isinstance(found, type(thing)) else thing


def named(module: object, qualname: str) -> Any:
    """What stands under a dotted name in a module; None for nothing, and for what is local to a function.

    A module may say what it calls otherwise now: `__renamed__ = {"Old": "New"}`.
    """
    renamed = getattr(module, "__dict__", {}).get("__renamed__")
    if isinstance(renamed, dict):
        qualname = renamed.get(qualname, qualname)
    found = module
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
        if found is None:
            return None
    return found
