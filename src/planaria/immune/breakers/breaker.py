"""A circuit breaker: whether one way out is open to calls. A state machine without clock, chance or input of its own.

`closed`: every call passes. `open`: none does, until a moment, or until a person closes it. `half_open`: exactly one
call tries; if it works the breaker closes, else it opens again for longer. What is held against the guarded thing is
declared (`BreakerPolicy.counts`): a tool that finds nothing has answered.

The growth of its waits outlives a try that worked: what works once and fails again soon is left alone for longer each
time. Closed, it forgets one step of it for every `calm` seconds; closed by hand, all.
What began before the breaker changed says nothing about it afterwards: each admission carries the state's number.
Who tries may die, or never tell: its place is free as soon as that is found out.
Source: Nygard, Release It!; the window as in resilience4j (counted in slices of time).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec

from planaria.config.breakers import BreakerPolicy, FailureClass

type State = Literal["closed", "open", "half_open"]
type Turned = Literal["opened", "half_opened", "closed"]

SLICES = 10
"""Parts a window is counted in; it slides by one of them."""
LONGEST_TRY = 300.0
"""Seconds after which one who tries and has not told counts as lost."""
BY_HAND = ""
"""Who opened or closed a breaker, if nobody did: it did itself."""


class Admitted:
    """A call may be made; to be reported when it is over. All that pass a closed breaker share one."""

    __slots__ = ("at", "breaker", "holder", "number", "probe")

    def __init__(
        self,
        breaker: "Breaker | None",
        number: int,
        probe: bool = False,
        holder: object = None,
        at: float = 0.0,
    ) -> None:
        self.breaker = breaker
        self.number = number
        self.probe = probe
        self.holder = holder
        self.at = at


class Open(msgspec.Struct, frozen=True):
    """A call may not be made.

    Attributes:
        name: the breaker.
        until: unix seconds; None until a person closes it.
        why: what opened it, for people.
        trying: whether somebody is trying it now.
    """

    name: str
    until: float | None
    why: str
    trying: bool = False

    def __str__(self) -> str:
        if self.trying:
            return f"{self.name} is held back: one call is trying it now ({self.why})"
        if self.until is None:
            return f"{self.name} is held back until somebody closes its breaker ({self.why})"
        until = datetime.fromtimestamp(self.until, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"{self.name} is held back until {until} ({self.why})"


class Breaker:
    """The breaker of one thing.

    Args:
        name: `tool:web.fetch`, `provider:openai`.
        policy: when it opens, and for how long.
        changed: called after each change of its state.
        chance: 0.0 to 1.0, for the jitter.

    Attributes:
        since: unix seconds of the last change.
        until: of an open one: unix seconds until one call may try; None until a person closes it.
        failures: counted, in a row.
        times: opened without having been closed since.
        grown: steps by which its next wait is longer than the first, as they were at `since`.
        why, by: the last failure or a person's word; the person, or empty.
        number: grows with each change.
    """

    __slots__ = (
        "_calls", "_failed", "_pass", "_slice", "_stamps", "by", "chance", "changed", "failures", "grown", "name",
        "number", "policy", "probe", "since", "state", "times", "until", "why",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        changed: Callable[["Breaker", Turned], object] = lambda breaker, turned: None,
        chance: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.name = name
        self.policy = policy
        self.changed = changed
        self.chance = chance
        self.state: State = "closed"
        self.since = 0.0
        self.until: float | None = 0.0
        self.failures = 0
        self.times = self.grown = 0
        self.why = ""
        self.by = BY_HAND
        self.number = 0
        self.probe: Admitted | None = None
        self._pass = Admitted(self, 0)
        self._slice = policy.window / SLICES
        self._calls = [0] * SLICES
        self._failed = [0] * SLICES
        self._stamps = [-1] * SLICES

    # --- calls ---------------------------------------------------------------------------------------------------

    def admit(
        self, now: float, holder: object = None, is_gone: Callable[[object], bool] = lambda holder: False
    ) -> Admitted | Open:
        """Whether a call may be made now.

        Args:
            now: unix seconds.
            holder: who calls; `is_gone` says of one who tries whether it is dead.
        """
        if self.state == "closed":
            return self._pass
        self.see(now)
        if self.state == "open":
            if self.until is None or now < self.until:
                return Open(self.name, self.until, self.why)
        elif self.probe is not None and now < self.probe.at + LONGEST_TRY and not is_gone(self.probe.holder):
            return Open(self.name, self.until, self.why, trying=True)
        self._turn("half_open", now)
        self.probe = Admitted(self, self.number, True, holder, now)
        self.changed(self, "half_opened")
        return self.probe

    def report(
        self,
        admitted: Admitted,
        now: float,
        failure: FailureClass | None = None,
        why: str = "",
        retry_after: float = 0.0,
    ) -> None:
        """Tell how an admitted call ended.

        Args:
            failure: None if it worked.
            why: for people.
            retry_after: seconds it asks to be left alone; an open breaker stays open as long.
        """
        if admitted.number != self.number:
            return
        counted = failure is not None and failure in self.policy.counts
        if self.state == "half_open":
            if self.probe is not admitted:
                return
            if counted:
                self._open(now, why or str(failure), retry_after)
            else:
                self._close(now, "")
            return
        if self.policy.rate:
            self._count(now, counted)
        if not counted:
            self.failures = 0
            return
        self.failures += 1
        row = 0 < self.policy.failures <= self.failures
        if row or self._is_failing(now):
            self._open(now, why or str(failure), retry_after)
        elif why:
            self.why = why

    def release(self, admitted: Admitted, now: float) -> None:
        """Give an admission back: the call was not made."""
        if self.probe is admitted and self.state == "half_open":
            self.probe = None

    def see(self, now: float) -> None:
        """Where the clock went back, what was to last so long lasts so long from now on, and no longer."""
        if (back := self.since - now) > 0:
            self.since = now
            if self.until is not None:
                self.until -= back
            if self.probe is not None:
                self.probe.at -= back

    # --- by hand -------------------------------------------------------------------------------------------------

    def open_by_hand(self, now: float, by: str, why: str = "", until: float | None = None) -> None:
        """Open it until a moment, or until somebody closes it."""
        self.by, self.why, self.until = by, why or "opened by hand", until
        self.grown = self.steps(now)
        self._turn("open", now)
        self.times = max(1, self.times)
        self.changed(self, "opened")

    def close_by_hand(self, now: float, by: str, why: str = "") -> None:
        """Close it and forget what was held against it."""
        self.why = why
        self.grown = 0
        self._close(now, by)

    def forget(self) -> None:
        """Let go of what is held against a closed one."""
        self.failures = 0
        self.why = ""
        self._stamps = [-1] * SLICES

    def restore(
        self,
        state: State,
        since: float,
        until: float | None,
        times: int,
        why: str,
        by: str,
        grown: int | None = None,
    ) -> None:
        """Be what the journal says it was; nobody is told.

        Args:
            grown: None where an older program wrote that: as often as it opened.
        """
        self.why, self.by, self.until = why, by, until
        self.grown = times if grown is None else grown
        # Who tried before is gone, so the next one does.
        self._turn("open" if state == "half_open" else state, since)
        self.times = times

    # --- parts ---------------------------------------------------------------------------------------------------

    def _open(self, now: float, why: str, retry_after: float) -> None:
        policy = self.policy
        steps = self.steps(now)
        wait = min(policy.longest, policy.cooldown * policy.growth ** min(steps, 64))
        wait *= 1.0 + policy.jitter * (2.0 * self.chance() - 1.0)
        self.times += 1
        self.grown = steps + 1
        self.until = now + max(wait, min(retry_after, policy.longest))
        self.why, self.by = why, BY_HAND
        self._turn("open", now)
        self.changed(self, "opened")

    def steps(self, now: float) -> int:
        """By how many steps its next wait is longer than the first: fewer after a time in which it was closed."""
        if self.state != "closed" or not self.grown:
            return self.grown
        calm = self.policy.calm
        return max(0, self.grown - int(max(0.0, now - self.since) / calm)) if calm else 0

    def _close(self, now: float, by: str) -> None:
        self.times = self.failures = 0
        self.until, self.by = 0.0, by
        self._stamps = [-1] * SLICES
        self._turn("closed", now)
        self.changed(self, "closed")

    def _turn(self, state: State, now: float) -> None:
        self.state = state
        self.since = now
        self.number += 1
        self.probe = None
        self._pass = Admitted(self, self.number)

    def _count(self, now: float, failed: bool) -> None:
        stamp = int(now / self._slice)
        place = stamp % SLICES
        if self._stamps[place] != stamp:
            self._stamps[place] = stamp
            self._calls[place] = self._failed[place] = 0
        self._calls[place] += 1
        if failed:
            self._failed[place] += 1

    def _is_failing(self, now: float) -> bool:
        if not self.policy.rate:
            return False
        calls, failed = self.window(now)
        return calls >= self.policy.minimum and failed >= self.policy.rate * calls

    def window(self, now: float) -> tuple[int, int]:
        """Calls that ended within the window, and those of them that failed."""
        oldest = int(now / self._slice) - SLICES
        calls = failed = 0
        for place, stamp in enumerate(self._stamps):
            if (
                oldest < stamp <= oldest + SLICES
            ):  # none of a time that is yet to come, if the clock went back
                calls += self._calls[place]
                failed += self._failed[place]
        return calls, failed
