"""What a module offers to others, as text: its public names, and the handlers of its servers."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def exports_of(module: ModuleType) -> set[str]:
    """`name` for each public name, `Server.handler` for each public handler.

    Public is what `__all__` lists; without it what has no underscore in front and was not imported from elsewhere,
    submodules of the same package being no elsewhere.
    """
    names: dict[str, Any] = vars(module)
    listed = names.get("__all__")
    if listed is not None:
        found = {str(name) for name in listed}
    else:
        found = {name for name, value in names.items() if name[:1] != "_" and _is_own(module, value)}
    for name in tuple(found):
        value = names.get(name)
        if isinstance(value, type):
            handlers: dict[str, object] = getattr(value, "_handlers", None) or {}
            found.update(f"{name}.{handler}" for handler in handlers if handler[:1] != "_")
    return found


def _is_own(module: ModuleType, value: object) -> bool:
    if isinstance(value, ModuleType):
        return False
    home = getattr(value, "__module__", None)
    if not isinstance(home, str):
        return True  # a constant
    package = module.__name__ if hasattr(module, "__path__") else ""
    return home == module.__name__ or (package != "" and home.startswith(package + "."))
