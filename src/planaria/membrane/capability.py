"""What tools can do to the world, each under a name `resource.verb`, and what a call touches.

A tool says which capabilities it needs, a record grants them, each with scopes of its kind
(`planaria.membrane.scopes`):

    grants:
      files.write: [notes/**]
      net.fetch: ["*.example.org"]
      shell.run: {allow: ["git log *"], ask: ["git push *"], deny: ["rm *"]}

Safe ones are granted to whoever is offered a tool, within `default`. Dangerous ones are granted by a scope and by
nothing else. A tool of a user may name a capability of its own, such as `lamps.switch`; it counts as dangerous.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

type ScopeKind = Literal["path", "host", "command", "name", "money"]
"""What the scopes of a capability are: paths of files, hosts, commands, names (of rooms, agents ...), sums of money."""

ANYTHING = ""
"""What a call touches that does not say what: only a scope that takes everything covers it."""
_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Capability:
    """One kind of thing that can be done.

    Attributes:
        name: `resource.verb`.
        kind: what its scopes are.
        says: what it lets somebody do, for people.
        default: scopes granted to whoever is offered a tool that needs it and has no grant of his own; none makes it
            dangerous.
        example: a scope as one would write it.
        writes: whether paths it names are changed: those that govern agents must be named, no wildcard covers them.
    """

    name: str
    kind: ScopeKind
    says: str
    default: tuple[str, ...] = ()
    example: str = "*"
    writes: bool = False

    @property
    def dangerous(self) -> bool:
        """Whether it is granted by a scope and by nothing else."""
        return not self.default


@dataclass(frozen=True, slots=True)
class Touch:
    """One thing a call uses a capability on.

    Attributes:
        what: a path as it was given, a URL or `host:port`, the words of a command, a name, millionths of a US dollar;
            `ANYTHING` if it cannot be said.
    """

    capability: str
    what: str | tuple[str, ...] | int = ANYTHING

    @property
    def shown(self) -> str:
        """What it touches, for people."""
        match self.what:
            case tuple() as words:
                return " ".join(_quoted(word) for word in words)
            case int() as micro:
                return f"{micro / 1_000_000:.6f}".rstrip("0").rstrip(".") + " USD"
            case str() as text:
                return text or "anything"


CAPABILITIES: dict[str, Capability] = {
    each.name: each
    for each in (
        Capability("files.read", "path", "read files", ("**",), "notes/**"),
        Capability("files.write", "path", "write, move and delete files", (), "notes/**", writes=True),
        Capability("records.read", "path", "read and search records such as notes", ("**",), "notes/**"),
        Capability("records.write", "path", "write records", ("notes/**",), "notes/**", writes=True),
        Capability("plans.write", "name", "keep a plan of its own in each room", ("*",), "*"),
        Capability("git.read", "path", "read git repositories", ("**",), "**"),
        Capability("git.write", "path", "commit, branch and push in git repositories", (), "code/**"),
        Capability("shell.run", "command", "run programs in the sandbox", (), "git log *"),
        Capability("python.run", "name", "run Python in the sandbox", (), "sandbox"),
        Capability("net.fetch", "host", "fetch from hosts on the internet", ("*:*",), "*.example.org"),
        Capability("net.search", "name", "search the web with the node's search service", ("*",), "*"),
        Capability("net.send", "host", "send data to hosts on the internet", (), "api.example.org"),
        Capability("rooms.read", "name", "read rooms", ("*",), "garden"),
        Capability("rooms.post", "name", "speak in rooms", ("*",), "garden"),
        Capability("people.ask", "name", "ask people", ("*",), "*"),
        Capability("agents.spawn", "name", "let other agents work", (), "helper"),
        Capability("workflows.read", "name", "list workflows", ("*",), "*"),
        Capability("workflows.run", "name", "start workflows", ("*",), "digest"),
        Capability("mcp.call", "name", "use tools of MCP servers", (), "server/tool"),
        Capability("money.spend", "money", "spend money, so much in one call", (), "0.50 USD"),
        Capability("time.schedule", "name", "plan what is said later", ("*",), "*"),
        Capability("node.read", "name", "look at the node", ("*",), "*"),
    )
}
"""Those this program knows."""


def capability(name: str) -> Capability:
    """The capability of this name; one of a user's own is dangerous, and its scopes are names."""
    return CAPABILITIES.get(name) or Capability(name, "name", f"do {name}")


def fault_of(name: str) -> str:
    """Why this names no capability, with the mend; empty if it does."""
    if not _NAME.match(name):
        old = _FORMER.get(name)
        mend = f"write {old!r}" if old else "write resource.verb, such as 'files.read'"
        return f"{name!r} is no capability; {mend}"
    if name not in CAPABILITIES and (near := nearest(name, CAPABILITIES)):
        return (
            f"{name!r} is no capability, did you mean {near!r}? (one of your own needs a name less like it)"
        )
    return ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name most like this one, if one is much like it."""
    return next(iter(get_close_matches(name, list(names), n=1, cutoff=0.85)), None)


def _quoted(word: str) -> str:
    return word if word and word.isprintable() and not re.search(r"[\s'\"\\]", word) else repr(word)


_FORMER = {
    "http": "net.fetch",
    "files": "files.read",
    "notes": "records.read",
    "processes": "shell.run",
    "rooms": "rooms.post",
    "people": "people.ask",
    "workflows": "workflows.run",
    "time": "time.schedule",
    "node": "node.read",
}
