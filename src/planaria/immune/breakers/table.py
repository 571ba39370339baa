"""The breakers of a node, for whoever is about to make a call: no message, no waiting.

    breakers = breakers_of(self_().node)
    admitted = breakers.admit("tool:web.fetch", "tool")
    if isinstance(admitted, Open): ...                      # it says until when, and why
    ...
    breakers.report(admitted, True)                         # or:
    breakers.report(admitted, False, "connection refused", "unreachable")

The process `breakers` (`immune/breakers/keeper.py`) owns them; where it does not run, every call is admitted. A name is
a kind and what it is: `tool:web.fetch`, `provider:openai`, `provider:openai/gpt-5`, `mcp:files`, `gateway:telegram`.
A breaker is made by the first call of its name.
"""

import random
from collections.abc import Callable, Iterator

from planaria.config.breakers import BreakerSettings, FailureClass
from planaria.immune.breakers.breaker import Admitted, Breaker, Open, State, Turned
from planaria.otp import Node, Pid
from planaria.otp.kernel.process import running

OWNER = "breakers"
"""Registered name of the process that owns them."""


class BreakerTable:
    """All breakers of a node.

    Args:
        settings: the policies.
        clock: unix seconds.
        changed: called after each change of a breaker's state.
        chance: 0.0 to 1.0, for the jitter.
    """

    def __init__(
        self,
        settings: BreakerSettings,
        clock: Callable[[], float],
        changed: Callable[[Breaker, Turned], object] = lambda breaker, turned: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._changed = changed
        self._chance = chance
        self._breakers: dict[str, Breaker] = {}

    def admit(self, name: str, kind: str = "") -> Admitted | Open:
        """Whether a call may be made now.

        Args:
            name: of the breaker.
            kind: `tool`, `provider`, `mcp`, `gateway`: whose policy counts; by default what stands before the colon.
        """
        breaker = self._breakers.get(name)
        if breaker is None:
            breaker = self._make(name, kind)
        elif breaker.state != "closed":
            return breaker.admit(self._clock(), running.process, _is_gone)
        return breaker.admit(0.0)

    def report(
        self,
        admitted: Admitted,
        ok: bool,
        why: str = "",
        failure: FailureClass = "failed",
        retry_after: float = 0.0,
    ) -> None:
        """Tell how an admitted call ended; each once.

        Args:
            why: what went wrong, for people; without secrets.
            failure: of which class; whether it counts is the policy's to say.
            retry_after: seconds the other side asked to be left alone.
        """
        breaker = admitted.breaker
        if breaker is not None:
            breaker.report(admitted, self._clock(), None if ok else failure, why, retry_after)

    def release(self, admitted: Admitted) -> None:
        """Give an admission back unused."""
        if admitted.breaker is not None:
            admitted.breaker.release(admitted, self._clock())

    def state(self, name: str) -> State:
        """What a breaker is now; one that is open and may be tried is `half_open`."""
        breaker = self._breakers.get(name)
        if breaker is None or breaker.state == "closed":
            return "closed"
        breaker.see(self._clock())
        if breaker.state == "open" and breaker.until is not None and self._clock() >= breaker.until:
            return "half_open"
        return breaker.state

    def states(self) -> dict[str, State]:
        """By name, what those that are not closed are now."""
        return {each.name: self.state(each.name) for each in self if each.state != "closed"}

    def get(self, name: str) -> Breaker | None:
        """The breaker of this name, if it ever was asked for."""
        return self._breakers.get(name)

    def make(self, name: str) -> Breaker:
        """The breaker of this name, made if there is none."""
        return self._breakers.get(name) or self._make(name, "")

    def __iter__(self) -> Iterator[Breaker]:
        return iter(list(self._breakers.values()))

    def __len__(self) -> int:
        return len(self._breakers)

    def _make(self, name: str, kind: str) -> Breaker:
        policy = self.settings.of(kind or name.partition(":")[0])
        breaker = self._breakers[name] = Breaker(name, policy, self._changed, self._chance)
        return breaker


class _NoBreakers(BreakerTable):
    """Of a node that keeps none."""

    def admit(self, name: str, kind: str = "") -> Admitted | Open:
        return _FREE


_FREE = Admitted(None, 0)
_NONE = _NoBreakers(BreakerSettings(), lambda: 0.0)


def breakers_of(node: Node) -> BreakerTable:
    """The breakers of a node, to be used at once; in one whose owner does not run everything is admitted."""
    owner = node.names.get(OWNER)
    table = None if owner is None else node.tables.get(owner)
    return table if isinstance(table, BreakerTable) else _NONE


def _is_gone(holder: object) -> bool:
    return isinstance(holder, Pid) and not holder.alive
