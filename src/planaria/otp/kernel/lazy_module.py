"""Modules that most programs never need, imported when something of them is first used.

```python
if TYPE_CHECKING:
    from planaria.otp.isolation import proxy
else:
    proxy = LazyModule("planaria.otp.isolation.proxy")
```

For heavy parts of which the light ones know only by name; never to hide a cycle. Not for what is used per message.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class LazyModule:
    """Stands for the module `name`; its first attribute imports it."""

    __slots__ = ("_module", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._module: ModuleType | None = None

    def __getattr__(self, name: str) -> object:
        module = self._module
        if module is None:
            module = self._module = import_module(self._name)
        value: object = getattr(module, name)
        return value

    def __repr__(self) -> str:
        return f"<lazy module {self._name}, {'not used yet' if self._module is None else 'imported'}>"
