"""Which modules go together: those named, their submodules, and those whose servers inherit from theirs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import ModuleType

from planaria.otp.kernel.versions import named
from planaria.otp.upgrade.errors import UpgradeRefused
from planaria.otp.upgrade.source import Source, Unfit, find_source
from planaria.otp.upgrade.version import classes_of


def group_of(names: Iterable[str], *, submodules: bool, dependents: bool) -> list[str]:
    """The modules to load with `names`, in the order in which their imports ended.

    Raises:
        UpgradeRefused: one of the names is not imported.
    """
    names = list(names)
    absent = [name for name in names if not isinstance(sys.modules.get(name), ModuleType)]
    if absent:
        raise UpgradeRefused(", ".join(names), [f"{name} is not imported: import it" for name in absent])
    found = set(names)
    if submodules:
        packages = tuple(name + "." for name in names if hasattr(sys.modules[name], "__path__"))
        if packages:
            found.update(
                name
                for name, module in sys.modules.items()
                if name.startswith(packages) and isinstance(module, ModuleType)
            )
    if dependents:
        found |= _heirs(found)
    return [name for name in sys.modules if name in found]


def _heirs(names: set[str]) -> set[str]:
    """The modules that define servers which inherit from classes of these modules."""
    found: set[str] = set()
    todo: list[type] = [cls for name in names for cls in classes_of(sys.modules[name]).values()]
    seen = set(todo)
    while todo:
        heirs: list[type] = type.__subclasses__(todo.pop())
        for cls in heirs:
            if cls in seen:
                continue
            seen.add(cls)
            todo.append(cls)
            home = sys.modules.get(cls.__module__)
            # Neither classes of older versions nor those made inside a function.
            if callable(getattr(cls, "handle", None)) and named(home, cls.__qualname__) is cls:
                found.add(cls.__module__)
    return found - names


def sources_of(names: Iterable[str], what: str) -> dict[str, Source]:
    """Read the modules from disk.

    Raises:
        UpgradeRefused: some of them cannot have two versions.
    """
    sources: dict[str, Source] = {}
    problems: list[str] = []
    for name in names:
        try:
            sources[name] = find_source(name)
        except Unfit as error:
            problems.append(str(error))
    if problems:
        raise UpgradeRefused(what, problems)
    return sources
