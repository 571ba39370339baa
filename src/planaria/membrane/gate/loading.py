"""Finding tools in modules."""

import pkgutil
from importlib import import_module
from types import ModuleType

from planaria.membrane.tool import Tool


def load_tools(*sources: ModuleType) -> list[Tool]:
    """The tools in modules, and in the modules of packages; names that begin with `_` are skipped.

    A tool is found where it is defined, so importing one into another module does not register it twice.
    """
    found: dict[str, Tool] = {}
    for source in sources:
        below = pkgutil.iter_modules(source.__path__) if hasattr(source, "__path__") else ()
        inner = [
            import_module(f"{source.__name__}.{each.name}") for each in below if not each.name.startswith("_")
        ]
        for module in (source, *inner):
            for value in vars(module).values():
                if isinstance(value, Tool) and value.function.__module__ == module.__name__:
                    found[value.name] = value
    return [found[name] for name in sorted(found)]
