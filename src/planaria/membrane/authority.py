"""What somebody may do: the tools they are offered, and the capabilities these may use. Compiled once, asked often.

    authority = Authority("agent:scout", ["notes.*", "shell.run"], read_grants({"shell.run": ["git log *"]})[0])
    authority.offers("shell.run", {"shell.run"})                   # None, or a Refusal
    authority.check(Touch("shell.run", ("git", "push")), place)    # Allowed, Held or Refusal

An authority is layers of which all must agree. Delegating adds a layer and takes none away (`narrowed`), so what is
handed on is never more than what was had. Immutable; safe to share between processes.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from planaria.membrane.capability import ANYTHING, Capability, ScopeKind, Touch, capability
from planaria.membrane.grants import Grant, exact, line_to_add, read, scope_of
from planaria.membrane.scopes.hosts import Host
from planaria.membrane.scopes.paths import FilePlace, is_private
from planaria.membrane.scopes.scope import Place, Scope, ScopeError, Unreadable

BY_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something is not allowed.

    Attributes:
        capability: which is missing; empty if it is the tool itself.
        scope: what it was to be used on, for people.
        grant: the line that would allow it; empty if none would, or none should.
        why: a sentence without its end.
    """

    capability: str
    scope: str
    grant: str
    why: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may be done. `where`: who granted it."""

    where: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """It may be done when a person has said so.

    Attributes:
        second_factor: the person must give a code, too.
        where: who granted it so.
    """

    touch: Touch
    second_factor: bool = False
    where: str = ""


type Verdict = Allowed | Held | Refusal
ALLOWED = Allowed()

_WIDEST: dict[ScopeKind, tuple[str, ...]] = {
    "path": ("**", "/**"),
    "host": ("*:*",),
    "command": ("*",),
    "name": ("*",),
    "money": ("999999999",),
}
"""The scopes of each kind that cover most."""


class Rule:
    """One grant, compiled."""

    __slots__ = ("allow", "ask", "deny", "grant", "known", "second_factor")

    def __init__(self, known: Capability, grant: Grant) -> None:
        self.known = known
        self.grant = grant
        self.allow = self._scopes(grant.allow)
        self.ask = self._scopes(grant.ask)
        self.second_factor = self._scopes(grant.second_factor)
        self.deny = self._scopes(grant.deny)

    def _scopes(self, texts: Iterable[str]) -> tuple[Scope[Any], ...]:
        return tuple(scope_of(self.known, text) for text in texts)

    def check(self, touch: Touch, what: Any) -> Verdict:
        """Whether this grant covers what is touched; `what` None: anything might be."""
        if what is None:
            return self._check_anything(touch)
        if any(scope.concerns(what) for scope in self.deny):
            return Refusal(
                self.known.name, touch.shown, "", f"{self.grant.where or 'its caller'} denies {touch.shown!r}"
            )
        if not any(scope.covers(what) for scope in (*self.allow, *self.ask, *self.second_factor)):
            return self._outside(touch, what)
        sums = self.known.kind == "money"  # a sum within what is free is within every larger one, too
        if sums and any(scope.covers(what) for scope in self.allow):
            return Allowed(self.grant.where)
        if sums and any(scope.covers(what) for scope in self.ask):
            return Held(touch, where=self.grant.where)
        if any(scope.concerns(what) for scope in self.second_factor):
            return Held(touch, second_factor=True, where=self.grant.where)
        if any(scope.concerns(what) for scope in self.ask):
            return Held(touch, where=self.grant.where)
        return Allowed(self.grant.where)

    def _check_anything(self, touch: Touch) -> Verdict:
        every = (*self.allow, *self.ask, *self.second_factor)
        if self.deny or not any(scope.everything for scope in every):
            who = self.grant.where or "its caller"
            why = f"the tool does not say what it uses {self.known.name} on, and {who} limits that"
            return Refusal(self.known.name, touch.shown, "", why)
        if self.second_factor:
            return Held(touch, second_factor=True, where=self.grant.where)
        return Held(touch, where=self.grant.where) if self.ask else Allowed(self.grant.where)

    def _outside(self, touch: Touch, what: Any) -> Refusal:
        name, grant = self.known.name, self.grant
        line = _line(self.known, what)
        if grant.bare and self.known.dangerous:
            return Refusal(
                name, touch.shown, line, f"{name} is granted without a scope, which grants nothing"
            )
        had = ", ".join((*grant.allow, *grant.ask, *grant.second_factor)) or "nothing"
        why = f"{touch.shown!r} is outside of {name}, granted by {grant.where or 'its caller'} for {had}"
        return Refusal(name, touch.shown, line, why)


class Layer:
    """One set of names and grants: an agent's own, or what was handed on."""

    __slots__ = ("grants", "names", "only", "open", "rules")

    def __init__(
        self,
        names: Sequence[str] | None,
        grants: Iterable[Grant],
        *,
        open: bool = False,
        only: frozenset[str] | None = None,
    ) -> None:
        self.names = None if names is None else tuple(names)
        self.grants = {grant.capability: grant for grant in grants}
        self.open = open
        self.only = only
        self.rules: dict[str, Rule | None] = {}

    def rule(self, name: str) -> Rule | None:
        """The grant of a capability; None if there is none, and none by default."""
        if name not in self.rules:
            self.rules[name] = self._rule(name)
        return self.rules[name]

    def _rule(self, name: str) -> Rule | None:
        known = capability(name)
        if self.only is not None:
            # For whoever wants to know the whole, such as a sandbox: nothing, or what can be said in scopes.
            return Rule(known, Grant(name, _WIDEST[known.kind])) if name in self.only else None
        grant = self.grants.get(name)
        if grant is None and known.default:
            grant = Grant(name, known.default, where=BY_DEFAULT)
        return None if grant is None else Rule(known, grant)

    def unnamed(self) -> "Layer":
        """The same capabilities, whatever the tools are called."""
        return Layer(None, self.grants.values(), open=self.open, only=self.only)

    def names_tool(self, name: str, *, own: bool) -> str | None:
        """The word that names a tool; None if none does. `*` names no tool of the garden's own folder (`own`)."""
        if self.names is None:
            return "*"
        return next((each for each in self.names if _names(each, name, own=own)), None)


class Authority:
    """What a caller may do.

    Args:
        caller: `agent:scout`, `workflow:digest`, `person:ada`.
        tools: names or patterns (`notes.*`) of tools on offer; None: every tool.
        grants: capabilities; see `planaria.membrane.grants`.
        unbounded: everything may be done, without grants: for the person the garden belongs to.
    """

    __slots__ = ("__weakref__", "caller", "layers")

    def __init__(
        self,
        caller: str = "",
        tools: Sequence[str] | None = (),
        grants: Iterable[Grant] = (),
        *,
        unbounded: bool = False,
    ) -> None:
        self.caller = caller
        self.layers: tuple[Layer, ...] = (Layer(tools, grants, open=unbounded),)

    def __repr__(self) -> str:
        return f"Authority({self.caller!r}, {len(self.layers)} layers)"

    def narrowed(self, other: "Authority", caller: str = "") -> "Authority":
        """What both may do, as the authority of `caller` (by default of the same)."""
        made = Authority(caller or self.caller)
        made.layers = (*self.layers, *other.layers)
        return made

    def offers(self, tool: str, needs: Collection[str] = (), *, own: bool = False) -> Refusal | None:
        """Whether a tool is on offer: named, and each of its capabilities granted for something. None: it is.

        Args:
            own: it is one of the garden's own folder, which `*` does not name.
        """
        for layer in self.layers:
            if layer.names_tool(tool, own=own) is None:
                return Refusal(
                    "", tool, f"tools: [{tool}]", f"the tool {tool!r} is not granted to this caller"
                )
            for name in sorted(needs):
                if (refusal := self._lacks(layer, name)) is not None:
                    return refusal
        return None

    def check(self, touch: Touch, place: Place) -> Verdict:
        """Whether a capability may be used on something.

        Args:
            place: where the call is made.
        """
        known = capability(touch.capability)
        what: Any = None
        if touch.what != ANYTHING:
            try:
                what = read(known, touch.what, place)
            except Unreadable as error:
                return Refusal(known.name, touch.shown, "", str(error))
        verdict: Verdict = ALLOWED
        for layer in self.layers:
            if layer.only is not None and known.name not in layer.only:
                return Refusal(known.name, touch.shown, "", f"the calling tool does not declare {known.name}")
            if layer.open or layer.only is not None:
                continue
            rule = layer.rule(known.name)
            if rule is None:
                return Refusal(known.name, touch.shown, _line(known, what), f"{known.name} is not granted")
            found = rule.check(touch, what)
            if isinstance(found, Refusal):
                return found
            if isinstance(found, Held):
                # Of several the one who stands furthest above is told, unless only one below wants a code.
                if not isinstance(verdict, Held) or (found.second_factor and not verdict.second_factor):
                    verdict = found
            elif verdict is ALLOWED:
                verdict = found
        return verdict

    def is_free(self, name: str) -> bool:
        """Whether a capability may be used on anything at all, unasked: then nothing need be looked at."""
        for layer in self.layers:
            if layer.only is not None and name not in layer.only:
                return False
            if layer.open or layer.only is not None:
                continue
            rule = layer.rule(name)
            if rule is None or rule.deny or rule.ask or rule.second_factor:
                return False
            if not (rule.known.kind == "name" and any(scope.everything for scope in rule.allow)):
                return False
        return True

    def grants_of(self, name: str) -> list[Grant]:
        """The grants of a capability, one of each layer that has one; those by default among them."""
        rules = [layer.rule(name) for layer in self.layers if layer.only is None]
        return [rule.grant for rule in rules if rule is not None]

    def is_own(self, held: Held) -> bool:
        """Whether it is the caller's own grant that has a person asked, and not one of somebody above it."""
        own = {grant.where for grant in self.layers[-1].grants.values()}
        return len(self.layers) == 1 or held.where in own or held.touch.capability == ""

    def lacks(self, name: str) -> list[Refusal]:
        """Why nothing can be done with a capability; empty if something can."""
        return [refusal for layer in self.layers if (refusal := self._lacks(layer, name)) is not None]

    def named_by(self, tool: str, *, own: bool = False) -> list[str | None]:
        """The word by which each layer names a tool."""
        return [layer.names_tool(tool, own=own) for layer in self.layers]

    def for_tool(self, needs: Collection[str]) -> "Authority":
        """What a tool with these needs may do for this caller by calling others: no capability beside them.

        Which tools it calls is for its author to say, so they need not be named; what they may do is not.
        """
        made = Authority(self.caller)
        mine = [layer.unnamed() for layer in self.layers]
        made.layers = (*mine, Layer(None, (), only=frozenset(needs)))
        return made

    def _lacks(self, layer: Layer, name: str) -> Refusal | None:
        if layer.only is not None and name not in layer.only:
            return Refusal(name, "", "", f"the calling tool does not declare {name}")
        if layer.open or layer.only is not None:
            return None
        known = capability(name)
        rule = layer.rule(name)
        if rule is None:
            return Refusal(name, "", line_to_add(known), f"{name} is not granted")
        if not rule.grant.bare:
            return None
        if known.dangerous:
            why = f"{name} is granted without a scope, which grants nothing"
        else:
            why = f"{name} is taken away by {rule.grant.where or 'its caller'}"
        return Refusal(name, "", line_to_add(known), why)


def authority_of(given: "Authority | Sequence[str]", caller: str = "") -> Authority:
    """The authority; a bare sequence of names is one with these tools and the safe capabilities by default."""
    return given if isinstance(given, Authority) else Authority(caller, given)


def _line(known: Capability, what: Any) -> str:
    """The line that would grant this, and as little else as can be."""
    if isinstance(what, Host) and what.address is not None and what.address.is_link_local:
        return ""  # where machines keep their own credentials: nobody is led there
    if isinstance(what, FilePlace) and is_private(what):
        return ""  # the node's own: no line would grant it
    try:
        return line_to_add(known, "" if what is None else exact(known, what))
    except ScopeError:
        return line_to_add(known)


def _names(pattern: str, tool: str, *, own: bool) -> bool:
    """Whether a word of `tools:` names a tool; one of the garden's own by its family at least."""
    if own and pattern.partition(".")[0] != tool.partition(".")[0]:
        return False
    return fnmatchcase(tool, pattern)
