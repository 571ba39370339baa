"""What becomes of a module object whose module has another version in force.

`import m` somewhere holds the object; `m.f()` there must reach the newest version, as Erlang's fully qualified call
does. The functions inside do not ask the object: they go on with the globals they were made with.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class SupersededModule(ModuleType):
    """Hands every attribute without two underscores on to the module in force."""

    def __getattribute__(self, name: str) -> Any:
        own = super().__getattribute__
        if name.startswith("__"):
            return own(name)
        current = sys.modules.get(own("__name__"))
        return own(name) if current is None or current is self else getattr(current, name)

    def __setattr__(self, name: str, value: Any) -> None:
        current = sys.modules.get(self.__name__)
        if name.startswith("__") or current is None or current is self:
            super().__setattr__(name, value)
        else:
            setattr(current, name, value)

    def __dir__(self) -> list[str]:
        current = sys.modules.get(self.__name__)
        return list(super().__dir__()) if current is None or current is self else dir(current)


def set_aside(module: ModuleType) -> None:
    """Let a module object stand for the one in force. Objects of classes of their own stay what they are."""
    if type(module) is ModuleType:
        module.__class__ = SupersededModule


def take_up(module: ModuleType) -> None:
    """Let it stand for itself."""
    if type(module) is SupersededModule:
        module.__class__ = ModuleType  # type: ignore[assignment]  # the way back of set_aside
