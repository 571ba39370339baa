"""A case: a tree and the faults that befall it, as values that fit on a command line."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

QUIET = 600.0
"""Virtual seconds after which whatever one fault caused is over: slow ends and starts that are tried again add up."""


@dataclass(frozen=True)
class Plan:
    """A worker, or a supervisor if it has a strategy."""

    restart: str = "permanent"
    slow: float = 0.0
    """Seconds a worker takes to end when it may; its supervisor waits 5."""
    strategy: str | None = None
    max_restarts: int = 3
    within: float = 1e9
    children: tuple["Plan", ...] = ()
    auto_shutdown: str = "never"
    significant: bool = False

    def encoded(self) -> list[Any]:
        mark = self.restart + ("!" if self.significant else "")
        if self.strategy is None:
            return [mark, self.slow]
        children = [child.encoded() for child in self.children]
        return [mark, self.strategy, self.max_restarts, self.within, self.auto_shutdown, children]

    @classmethod
    def decoded(cls, value: list[Any]) -> "Plan":
        mark, significant = value[0].removesuffix("!"), value[0].endswith("!")
        if len(value) == 2:
            return cls(mark, value[1], significant=significant)
        _, strategy, max_restarts, within, auto_shutdown, children = value
        inner = tuple(cls.decoded(child) for child in children)
        return cls(mark, 0.0, strategy, max_restarts, within, inner, auto_shutdown, significant)


@dataclass(frozen=True)
class Fault:
    """What happens to one of the living workers, counted round by `which`, and how long it is quiet afterwards.

    crash, normal, shutdown: it ends so. kill: it is killed. refuse, hang: its next start fails, at once or by a
    timeout. kill_supervisor: the supervisor above it is killed.
    """

    kind: str
    which: int
    pause: float = QUIET


@dataclass(frozen=True)
class Case:
    """What hypothesis draws and what the command line replays."""

    tree: Plan
    faults: tuple[Fault, ...]

    def encoded(self) -> str:
        faults = [[fault.kind, fault.which, fault.pause] for fault in self.faults]
        return json.dumps([self.tree.encoded(), faults], separators=(",", ":"))

    @classmethod
    def decoded(cls, text: str) -> "Case":
        tree, faults = json.loads(text)
        return cls(Plan.decoded(tree), tuple(Fault(*fault) for fault in faults))

    def command(self, seed: int) -> str:
        """The one command that replays it."""
        return f"python -m tests.otp.replay {shlex.quote(self.encoded())} --seed {seed}"
