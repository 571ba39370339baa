"""The tools of a node by name, and what each authority may do with them, worked out once.

The tools of a garden's own folder come and go while the node runs; each change forgets what was worked out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from weakref import WeakKeyDictionary

from planaria.membrane.authority import Authority, Refusal
from planaria.membrane.tool import Tool

MOST_BARE = 512
"""Bare lists of names whose authority is kept."""


class ToolConflict(Exception):
    """Two tools with one name."""


@dataclass(frozen=True, slots=True)
class Clearance:
    """What an authority may do with one tool.

    Attributes:
        refusal: why it is not on offer; None: it is.
        free: nothing its calls touch has to be looked at, and nobody asked.
    """

    refusal: Refusal | None
    free: bool


class Registry:
    """Tools by name; each name once.

    Raises:
        ToolConflict: if a name comes twice.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools: dict[str, Tool] = {}
        self._cleared: WeakKeyDictionary[Authority, dict[str, Clearance]] = WeakKeyDictionary()
        self._offered: WeakKeyDictionary[Authority, list[Tool]] = WeakKeyDictionary()
        self._bare: dict[tuple[str, ...], Authority] = {}
        for each in tools:
            if each.name in self.tools:
                raise ToolConflict(f"two tools are named {each.name!r}; rename one")
            self.tools[each.name] = each

    def put(self, source: str, tools: Sequence[Tool]) -> None:
        """The tools of one source, such as a file, from now on; the ones it had before are gone.

        Raises:
            ToolConflict: another source has a tool of that name; nothing has changed.
        """
        kept = {name: each for name, each in self.tools.items() if each.source != source}
        for each in tools:
            if each.name in kept:
                other = kept[each.name].source or "the built-in tools"
                raise ToolConflict(f"{each.name!r} is a tool of {other} already; rename one")
            kept[each.name] = each
        self.tools = kept
        self._cleared.clear()
        self._offered.clear()

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self.tools)

    def authority(self, given: Authority | Sequence[str]) -> Authority:
        """The authority; of a bare sequence of names the same one each time."""
        if isinstance(given, Authority):
            return given
        names = tuple(given)
        known = self._bare.get(names)
        if known is None:
            if len(self._bare) >= MOST_BARE:
                self._bare.clear()
            known = self._bare[names] = Authority("", names)
        return known

    def clearance(self, tool: Tool, authority: Authority) -> Clearance:
        """What this authority may do with a tool."""
        cleared = self._cleared.get(authority)
        if cleared is None:
            cleared = self._cleared[authority] = {}
        found = cleared.get(tool.name)
        if found is None:
            refusal = refusal_of(tool, authority)
            free = refusal is None and not tool.ask and all(map(authority.is_free, tool.needs))
            found = cleared[tool.name] = Clearance(refusal, free)
        return found

    def offered(self, authority: Authority) -> list[Tool]:
        """The tools that are on offer, by name."""
        found = self._offered.get(authority)
        if found is None:
            found = self._offered[authority] = [
                tool
                for name in self.names()
                if self.clearance(tool := self.tools[name], authority).refusal is None
            ]
        return found


def refusal_of(tool: Tool, authority: Authority) -> Refusal | None:
    """Why a tool is not on offer; None: it is. What a node lacks is told to those only who would be offered it."""
    refusal = authority.offers(tool.name, tool.needs, own=bool(tool.source))
    return Refusal("", tool.name, "", tool.lacking) if refusal is None and tool.lacking else refusal


def nearest_tool(name: str, names: Iterable[str]) -> str | None:
    """The nearest name; a model often forgets the family (`fetch` for `web.fetch`) or writes `web_fetch`."""
    known = list(names)
    dotted = name.replace("_", ".", 1)
    same = [each for each in known if each == dotted or each.rpartition(".")[2] == name]
    return next(iter(same or get_close_matches(name, known, n=1, cutoff=0.6)), None)
