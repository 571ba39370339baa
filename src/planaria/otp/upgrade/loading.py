"""Loading the new version of some modules beside the old one, and putting a version into force.

The import system does the work, so packages, relative imports and modules that import one another come out as in a
first import. What other modules hold by `from m import name` is not touched; `sys.modules`, the attribute of the parent
package and `m.name` through a held module object are.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from planaria.otp.kernel.versions import superseded
from planaria.otp.upgrade.carry import Binder
from planaria.otp.upgrade.module import set_aside, take_up
from planaria.otp.upgrade.redirect import reinstate, supersede
from planaria.otp.upgrade.source import Source, SourceFinder, VersionLoader
from planaria.otp.upgrade.version import classes_of, functions_of


def load_beside(
    sources: Mapping[str, Source], numbers: Mapping[str, int], added: set[str]
) -> dict[str, ModuleType]:
    """Import the sources as new modules; the old ones are in force again when this returns.

    Args:
        added: is filled with the modules that were imported on the way for the first time and hold something of the new
            ones: `forget` them if these do not come into force.
    Returns:
        The new modules, in the order in which their imports ended.
    Raises:
        BaseException: whatever importing raised; nothing is left of the new modules.
    """
    olds = {name: sys.modules.get(name) for name in sources}

    def binder(name: str) -> Any:
        return lambda module: Binder(module, olds[name])

    loaders = {name: VersionLoader(source, numbers[name], binder(name)) for name, source in sources.items()}
    finder: Any = SourceFinder(loaders)
    before = {name: _attribute(name) for name in sources}
    known = set(sys.modules)
    for name in sources:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, finder)
    try:
        for name in sources:
            importlib.import_module(name)
        return {name: sys.modules[name] for name in sys.modules if name in sources}
    finally:
        added.update(_made_with(sources, set(sys.modules) - known))
        sys.meta_path.remove(finder)
        for name, old in olds.items():
            sys.modules.pop(name, None)
            if old is not None:
                sys.modules[name] = old
        for name, value in before.items():
            parent = sys.modules.get(name.rpartition(".")[0])
            if parent is not None and value is not None:
                parent.__dict__[name.rpartition(".")[2]] = value
            elif parent is not None and name.rpartition(".")[0] not in sources:
                parent.__dict__.pop(name.rpartition(".")[2], None)


def _made_with(sources: Mapping[str, Source], names: set[str]) -> Iterator[str]:
    """Which of these modules hold a module of the sources, or something defined there."""
    new = {id(sys.modules.get(name)) for name in sources}
    for name in names:
        for value in list(getattr(sys.modules.get(name), "__dict__", {}).values()):
            if id(value) in new or getattr(value, "__module__", None) in sources:
                yield name
                break


def forget(names: Iterable[str]) -> None:
    """Let modules be imported anew by whoever needs them next."""
    for name in names:
        sys.modules.pop(name, None)


def _attribute(name: str) -> object:
    parent, _, last = name.rpartition(".")
    module = sys.modules.get(parent)
    return None if module is None else module.__dict__.get(last)


def put_into_force(modules: Iterable[ModuleType], instead_of: Mapping[str, ModuleType]) -> None:
    """Let names mean these modules from now on; those they replace are set aside."""
    modules = list(modules)
    for module in modules:
        name = module.__name__
        former = instead_of.get(name)
        sys.modules[name] = module
        parent_name, _, last = name.rpartition(".")
        parent = sys.modules.get(parent_name)
        if parent is not None and (former is None or parent.__dict__.get(last) is former):
            parent.__dict__[last] = module
    shared = {cls for module in modules for cls in classes_of(module).values()}
    for module in modules:
        take_up(module)
        superseded.difference_update(functions_of(module))
    reinstate(shared)
    for former in instead_of.values():
        set_aside(former)
        superseded.update(functions_of(former))
        supersede(cls for cls in classes_of(former).values() if cls not in shared)
