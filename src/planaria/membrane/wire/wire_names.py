"""Tool names as vendors allow them.

Ours have dots (`web.fetch`); vendors take letters, digits, `_` and `-`, at most 64. A value made for one request.
Does badly: a model that saw our name in the prompt may answer with it; that is understood too.
"""

import re
from collections.abc import Iterable

from planaria.membrane.ids import short_hash

_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
MAX_LENGTH = 64


class WireNames:
    """Both directions for the tools of one request; two names never become one."""

    def __init__(self, names: Iterable[str]) -> None:
        self._there: dict[str, str] = {}
        self._back: dict[str, str] = {}
        for name in names:
            self.there(name)

    def there(self, name: str) -> str:
        """The vendor's form of a tool name."""
        known = self._there.get(name)
        if known is not None:
            return known
        wire = _FOREIGN.sub("_", name)[:MAX_LENGTH] or "_"
        if self._back.get(wire, name) != name:
            wire = f"{wire[: MAX_LENGTH - 9]}_{short_hash(name)}"
        self._there[name] = wire
        self._back[wire] = name
        return wire

    def back(self, wire: str) -> str:
        """Our tool for the name a model used; the name itself if it is none of ours, for the gate to refuse."""
        return self._back.get(wire, wire)
