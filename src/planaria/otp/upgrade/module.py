"""What becomes of a module object whose module has another version in force.

`import m` somewhere holds the object; `m.f()` there must reach the newest version, as Erlang's fully qualified call
does. The functions inside do not ask the object: they go on with the globals they were made with.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

OWN = frozenset(
    {*dir(ModuleType), "__builtins__", "__cached__", "__file__", "__path__", "__renamed__", "__carry__"}
)
"""What belongs to a module object itself; `__version__` and the like do not."""


class SupersededModule(ModuleType):
    """Hands on to the module in force every attribute that is not about the module object itself."""

    def __getattribute__(self, name: str) -> Any:
        own = super().__getattribute__
        if name in OWN:
            return own(name)
        current = sys.modules.get(own("__name__"))
        return own(name) if current is None or current is self else getattr(current, name)

    def __setattr__(self, name: str, value: Any) -> None:
        current = sys.modules.get(self.__name__)
        if name in OWN or current is None or current is self:
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
