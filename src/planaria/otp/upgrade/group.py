"""Which modules go together: those named, their submodules, and those whose servers inherit from theirs."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
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
    servers: list[type] = []
    todo: list[type] = [cls for name in names for cls in classes_of(sys.modules[name]).values()]
    seen = set(todo)
    while todo:
        heirs: list[type] = type.__subclasses__(todo.pop())
        for cls in heirs:
            if cls in seen:
                continue
            seen.add(cls)
            todo.append(cls)
            if callable(getattr(cls, "handle", None)) and _is_in_force(cls):
                servers.append(cls)
    # With a server goes whatever stands between it and these modules.
    between = {base for cls in servers for base in cls.__mro__ if base in seen and _is_in_force(base)}
    return {cls.__module__ for cls in between} - names


def _is_in_force(cls: type) -> bool:
    """Neither a class of an older version nor one made inside a function."""
    return named(sys.modules.get(cls.__module__), cls.__qualname__) is cls


def sources_of(
    group: Iterable[str], names: Collection[str], allow_missing: Collection[str] | bool
) -> dict[str, Source]:
    """Read the modules of a group from disk. Submodules that are gone are left out where that is allowed.

    Raises:
        UpgradeRefused: some of them cannot have two versions.
    """
    sources: dict[str, Source] = {}
    problems: list[str] = []
    for name in group:
        try:
            sources[name] = find_source(name)
        except Unfit as error:
            if name in names:
                problems.append(str(error))
            elif not name.startswith(tuple(each + "." for each in names)):
                problems.append(
                    f"{error}; its servers inherit from these: dependents=False leaves them as they are"
                )
            elif not (allow_missing is True or (allow_missing is not False and name in allow_missing)):
                problems.append(f"{error}; if it shall be gone, say allow_missing={[name]!r}")
    if problems:
        raise UpgradeRefused(", ".join(names), problems)
    return sources
