"""Grants: which capabilities somebody has, within which scopes, as a record's front matter says it. Pure.

    grants:
      files.write: [notes/**]                                    # may, there
      net.fetch: {allow: ["*.example.org"], deny: [shop.example.org]}
      shell.run: {allow: ["git log *"], ask: ["git push *"]}     # a person is asked first
      money.spend: {second_factor: ["20 USD"]}                   # a person is asked, and has to give a code

What is in `deny` is denied whatever else says; what is in `ask` or `second_factor` is asked for; the rest must be in
`allow`. A grant replaces the default of a safe capability; `[]` takes it away.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from planaria.membrane.capability import CAPABILITIES, Capability, capability, fault_of
from planaria.membrane.scopes.commands import command_scope, command_text, read_command
from planaria.membrane.scopes.hosts import host_scope, host_text, read_host
from planaria.membrane.scopes.money import money_scope, money_text, read_money
from planaria.membrane.scopes.names import name_scope, name_text, read_name
from planaria.membrane.scopes.paths import path_scope, path_text, read_path
from planaria.membrane.scopes.scope import Place, Scope, ScopeError

_PLAIN = re.compile(r"[\w/.][\w/.*-]*\Z", re.ASCII)
"""Texts that YAML takes as they are."""
PARTS = ("allow", "ask", "second_factor", "deny")


class Grant(msgspec.Struct, frozen=True):
    """One capability with its scopes; see the module.

    Attributes:
        where: who granted it, for people: `agents/scout.md:7`, `default`.
    """

    capability: str
    allow: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    second_factor: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    where: str = ""

    @property
    def bare(self) -> bool:
        """Whether it names no scope under which anything can be done."""
        return not (self.allow or self.ask or self.second_factor)


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with grants as they are written. A `mere` one takes nothing but itself away."""

    key: str
    problem: str
    mend: str
    mere: bool = False


def read_grants(
    given: object, where: Callable[[str], str] = lambda name: ""
) -> tuple[tuple[Grant, ...], list[Fault]]:
    """The grants a record gives, and what is wrong with them.

    Args:
        given: the value of `grants:`; a mapping, or a list of names.
        where: by capability, who grants it; see `Grant.where`.
    """
    if isinstance(given, list) and all(isinstance(name, str) for name in given):
        given = dict.fromkeys(given)
    if not isinstance(given, Mapping):
        mend = "Write `grants:` and below it lines such as `files.write: [notes/**]`"
        return (), [Fault("", f"grants cannot be {given!r}", mend)]
    grants: list[Grant] = []
    faults: list[Fault] = []
    for name, value in given.items():
        problem = fault_of(name) if isinstance(name, str) else f"{name!r} is no name"
        if problem:
            faults.append(Fault(str(name), problem, f"Known capabilities: {', '.join(CAPABILITIES)}"))
            continue
        known = capability(name)
        try:
            parts = _parts(known, value)
        except ScopeError as error:
            faults.append(Fault(name, f"{name}: {error}", f"Write `{line_to_add(known)}`"))
            continue
        if parts is None and not known.dangerous:
            continue  # as by default
        grant = Grant(name, **(parts or {}), where=where(name))
        grants.append(grant)
        if known.dangerous and grant.bare and not grant.deny:
            problem = f"{name} without a scope grants nothing"
            faults.append(Fault(name, problem, f"Write `{line_to_add(known)}`", mere=True))
    return tuple(grants), faults


def line_to_add(known: Capability, scope: str = "") -> str:
    """The line of a record that grants this: `files.write: [notes/**]`."""
    text = scope or known.example
    return f"{known.name}: [{text if _PLAIN.match(text) else msgspec.json.encode(text).decode()}]"


def _parts(known: Capability, value: object) -> dict[str, tuple[str, ...]] | None:
    """The scopes of one grant, by what they are for; None: it is given without any."""
    match value:
        case None | True:
            return None
        case False:
            return {}
        case str() | list():
            return {"allow": _texts(known, value)}
        case Mapping():
            unknown = [key for key in value if key not in PARTS]
            if unknown:
                raise ScopeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
            return {key: _texts(known, part) for key, part in value.items() if part is not None}
        case _:
            raise ScopeError(f"{value!r} is no list of scopes")


def _texts(known: Capability, value: Any) -> tuple[str, ...]:
    items: Sequence[object] = value if isinstance(value, list) else [value]
    texts = [
        str(item) if isinstance(item, int | float) and not isinstance(item, bool) else item for item in items
    ]
    for text in texts:
        if not isinstance(text, str):
            raise ScopeError(
                f"{text!r} is no scope; scopes are texts, in quotation marks if they begin with *"
            )
        scope_of(known, text)
    return tuple(dict.fromkeys(str(text) for text in texts))


def scope_of(known: Capability, text: str) -> Scope[Any]:
    """The scope that a text means for a capability.

    Raises:
        ScopeError: none.
    """
    match known.kind:
        case "path":
            return path_scope(text, writes=known.writes)
        case "host":
            return host_scope(text)
        case "command":
            return command_scope(text)
        case "money":
            return money_scope(text)
        case "name":
            return name_scope(text)


def exact(known: Capability, what: Any) -> str:
    """The text of the scope that covers what is touched, as `read` gave it, and as little else as can be.

    Raises:
        ScopeError: there is no such scope.
    """
    match known.kind:
        case "path":
            return path_text(what)
        case "host":
            return host_text(what)
        case "command":
            return command_text(what)
        case "money":
            return money_text(what)
        case "name":
            return name_text(what)


def read(known: Capability, what: object, place: Place) -> Any:
    """What a call touches, in the form the scopes of the capability compare.

    Raises:
        Unreadable: it cannot be taken for certain.
    """
    match known.kind:
        case "path":
            return read_path(what, place)
        case "host":
            return read_host(what, place)
        case "command":
            return read_command(what, place)
        case "money":
            return read_money(what, place)
        case "name":
            return read_name(what, place)
