"""One provider's permits: how many calls are under way, how much of its limits is left, and who waits for them.

Plain values, written by whoever takes or gives back a permit; `permits.py` keeps the lanes, `process.py` serves those
who wait. A call takes what it is estimated to need out of the buckets and settles the difference when it is over.
"""

import msgspec

from planaria.membrane.calls.bucket import Bucket
from planaria.membrane.calls.fair_queue import FairQueue
from planaria.membrane.models.catalogue import ProviderLimits
from planaria.membrane.models.router import ProviderUsage
from planaria.membrane.provider import Usage
from planaria.otp import Deferred, Pid

UNBOUNDED = 1_000_000
"""Places of a queue without a limit."""
NEVER = float("inf")


class Permit:
    """The right to make one call now. Give it back exactly as you got it; a second time changes nothing.

    Attributes:
        holder: the process that makes the call. When it is dead the permit is nobody's.
        tokens: what was taken out of the bucket for it.
        waited: seconds in the queue.
    """

    __slots__ = ("flow", "holder", "lane", "tokens", "waited")

    def __init__(self, lane: "Lane", flow: str, tokens: int, holder: Pid, waited: float = 0.0) -> None:
        self.lane = lane
        self.flow = flow
        self.tokens = tokens
        self.holder = holder
        self.waited = waited


class Waiter(msgspec.Struct, frozen=True, eq=False):
    """Somebody who waits for a permit, since `at`."""

    holder: Pid
    tokens: int
    answer: Deferred[Permit]
    at: float


class Day(msgspec.Struct):
    """What was used on one day, which is named as in `2026-05-01`."""

    name: str = ""
    requests: int = 0
    tokens: int = 0
    micro_usd: int = 0


class Lane:
    """The permits of one provider."""

    __slots__ = ("day", "held", "limits", "name", "queue", "requests", "tokens", "until", "void", "why")

    def __init__(self, name: str, limits: ProviderLimits, at: float) -> None:
        self.name = name
        self.limits = limits
        self.held: set[Permit] = set()
        self.queue: FairQueue[Waiter] = FairQueue(_places(limits))
        self.requests = _bucket(limits.requests_per_minute, at)
        self.tokens = _bucket(limits.tokens_per_minute, at)
        self.day = Day()
        self.until = 0.0  # seconds on the node's clock before which it is left alone
        self.why = ""
        self.void = 0.0  # unix seconds: what it asked for up to then was ended by hand

    def amend(self, limits: ProviderLimits, at: float) -> None:
        """Other limits from now on; what is under way goes on."""
        self.limits = limits
        self.queue.most = _places(limits)
        self.requests = _resized(self.requests, limits.requests_per_minute, at)
        self.tokens = _resized(self.tokens, limits.tokens_per_minute, at)

    def delay(self, tokens: int, at: float) -> float:
        """Seconds until a call could begin if nobody else waited; `NEVER` if only the end of another helps."""
        if self.limits.concurrency is not None and len(self.held) >= self.limits.concurrency:
            return NEVER
        wait = self.until - at
        if self.requests is not None:
            wait = max(wait, self.requests.wait(1, at))
        if self.tokens is not None:
            wait = max(wait, self.tokens.wait(tokens, at))
        return max(wait, 0.0)

    def full_today(self, day: str) -> str:
        """Which limit of the day is used up; empty if none is."""
        limits, used = self.limits, self.day
        if used.name != day:
            return ""
        if limits.requests_per_day is not None and used.requests >= limits.requests_per_day:
            return f"its {limits.requests_per_day} requests of today are used up"
        if limits.tokens_per_day is not None and used.tokens >= limits.tokens_per_day:
            return f"its {limits.tokens_per_day} tokens of today are used up"
        if limits.micro_usd_per_day is not None and used.micro_usd >= limits.micro_usd_per_day:
            return f"its {limits.micro_usd_per_day / 1_000_000:g} USD of today are used up"
        return ""

    def take(self, flow: str, tokens: int, holder: Pid, at: float, day: str, waited: float = 0.0) -> Permit:
        """A permit, whether there is room or not."""
        if self.requests is not None:
            self.requests.take(1, at)
        if self.tokens is not None:
            self.tokens.take(tokens, at)
        self.today(day).requests += 1
        permit = Permit(self, flow, tokens, holder, waited)
        self.held.add(permit)
        return permit

    def settle(
        self, permit: Permit, at: float, day: str, usage: Usage | None = None, cost_micro: int | None = None
    ) -> bool:
        """Take a permit back; False if that was done before.

        Args:
            usage: what the call took; None if nobody knows, and then the estimate stands.
        """
        if permit not in self.held:
            return False
        self.held.discard(permit)
        used = self.today(day)
        spent = permit.tokens if usage is None else usage.input_tokens + usage.output_tokens
        if self.tokens is not None and usage is not None:
            self.tokens.take(spent - permit.tokens, at)
        used.tokens += spent if usage is not None else 0
        used.micro_usd += cost_micro or 0
        return True

    def today(self, day: str) -> Day:
        """The sums of today, begun anew when the day is another."""
        if self.day.name != day:
            self.day = Day(day)
        return self.day

    def usage(self, at: float, day: str) -> ProviderUsage:
        """How it is used, for the router."""
        used = self.day if self.day.name == day else Day()
        resting = f"{self.why}, {self.until - at:.0f} s more" if self.until > at else ""
        return ProviderUsage(
            len(self.held), len(self.queue), used.requests, used.tokens, used.micro_usd, resting
        )

    @property
    def plain(self) -> bool:
        """Whether the router can do without knowing how it is used."""
        limits = self.limits
        return (
            not self.queue
            and not self.until
            and (limits.concurrency is None or len(self.held) < limits.concurrency)
            and limits.requests_per_day is None
            and limits.tokens_per_day is None
            and limits.micro_usd_per_day is None
        )


def _places(limits: ProviderLimits) -> int:
    return UNBOUNDED if limits.queue is None else limits.queue


def _bucket(per_minute: int | None, at: float) -> Bucket | None:
    return None if per_minute is None else Bucket(per_minute, at)


def _resized(bucket: Bucket | None, per_minute: int | None, at: float) -> Bucket | None:
    if bucket is None or per_minute is None:
        return _bucket(per_minute, at)
    bucket.resize(per_minute, at)
    return bucket
