"""Who may call which provider now: taken and given back without asking any process, as long as nobody has to wait.

One `Permits` belongs to a node. It outlives the process `calls`, which is asked only by those who must wait, so a call
under way stays counted whatever is killed. A permit of a dead process is nobody's: it is found when somebody needs it.
A day is a day of the garden's zone.
"""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from planaria.immune.amount import Amount
from planaria.membrane.calls.lane import Day, Lane, Permit
from planaria.membrane.calls.routes import Routes
from planaria.membrane.calls.treatment import LONGEST_WAIT
from planaria.membrane.errors import HeldBack
from planaria.membrane.models.catalogue import ProviderLimits
from planaria.membrane.models.router import ProviderUsage
from planaria.membrane.provider import Usage
from planaria.otp import NoProcess, now, self_, send, wall_time

CALLS = "calls"
"""Registered name of the process that those who wait are served by."""
ROUNDING = 1.0
"""Seconds by which two clocks may tell one moment differently."""


class Freed:
    """To `calls`: a permit of a provider for which somebody waits was given back."""

    __slots__ = ("provider",)

    def __init__(self, provider: str) -> None:
        self.provider = provider


class Permits:
    """The permits of all providers.

    Args:
        zone: an IANA name: whose days the limits of a day are of.
    Attributes:
        routes: that were found while all had room.
    """

    def __init__(self, zone: str = "UTC") -> None:
        self.lanes: dict[str, Lane] = {}
        self.routes = Routes()
        self._before: Mapping[str, Amount] = {}
        self._before_day = ""
        self._zone = ZoneInfo(zone)
        self._day = ("", 0.0, 0.0)  # its name, and the unix seconds between which it is that

    def lane(self, provider: str, limits: ProviderLimits) -> Lane:
        """The lane of a provider, with these limits from now on."""
        lane = self.lanes.get(provider)
        if lane is None:
            lane = self.lanes[provider] = Lane(provider, limits, now())
            spent = self._before.get(provider)
            if spent is not None and self._before_day == self.day():
                lane.day = Day(self.day(), spent.calls, spent.tokens, spent.micro_usd)
        elif lane.limits is not limits and lane.limits != limits:
            lane.amend(limits, now())
        return lane

    def remember(self, spent: Mapping[str, Amount]) -> None:
        """Take in what was spent today before this node started, by provider; once."""
        if not self._before:
            self._before, self._before_day = spent, self.day()

    def acquire_nowait(self, provider: str, limits: ProviderLimits, flow: str, tokens: int) -> Permit | None:
        """A permit for the running process; None if it has to wait for one (`Calls.wait`).

        Args:
            flow: whose share it comes out of, such as the name of a session.
            tokens: what the call will take, estimated, prompt and answer together.
        Raises:
            HeldBack: the wait would be longer than a minute: the provider asked for that, or today's limit is used up.
        """
        lane, at, day = self.lane(provider, limits), now(), self.day()
        self.check(lane, at, day)
        if lane.queue:
            return None
        if lane.delay(tokens, at) > 0.0 and not (self.prune(lane) and lane.delay(tokens, at) == 0.0):
            return None
        return lane.take(flow, tokens, self_(), at, day)

    def check(self, lane: Lane, at: float, day: str) -> None:
        """Raise `HeldBack` if there is no sense in waiting."""
        if full := lane.full_today(day):
            raise HeldBack(f"{lane.name} is left out until tomorrow: {full}", retry_after=self.tomorrow())
        if lane.until - at > LONGEST_WAIT:
            wait = lane.until - at
            mend = f"`planaria provider release {lane.name}` ends that"
            raise HeldBack(
                f"{lane.name} is left out for {wait:.0f} s more: {lane.why}; {mend}", retry_after=wait
            )

    def give_back(self, permit: Permit, usage: Usage | None = None, cost_micro: int | None = None) -> None:
        """The call is over; done twice, it counts once.

        Args:
            usage: what it took; None if nobody knows, and then it took what was estimated.
        """
        lane = permit.lane
        if lane.settle(permit, now(), self.day(), usage, cost_micro) and lane.queue:
            try:
                send(CALLS, Freed(lane.name))
            except NoProcess:
                pass  # it is being restarted; those who waited ask again

    def rest(self, provider: str, limits: ProviderLimits, seconds: float, why: str) -> None:
        """Leave a provider alone for so long; a shorter time than it has already changes nothing."""
        # Limits of a call that began long ago may be others by now.
        lane = self.lanes.get(provider) or self.lane(provider, limits)
        if now() + seconds > lane.until:
            lane.until, lane.why = now() + seconds, why

    def release(self, provider: str) -> tuple[float, str]:
        """Ask a provider again that was to be left alone: for how many seconds more, and why; 0.0 if it was not."""
        lane = self.lanes.get(provider)
        if lane is None or (rest := lane.until - now()) <= 0.0:
            return 0.0, ""
        why = lane.why
        # Turns that were told to wait know until when; they are not to have it left alone again.
        lane.void = wall_time() + rest + ROUNDING
        lane.until, lane.why = 0.0, ""
        return rest, why

    def is_void(self, provider: str, until: float) -> bool:
        """Whether the time a provider asked for, until this unix second, was ended by hand."""
        lane = self.lanes.get(provider)
        return lane is not None and until <= lane.void

    def prune(self, lane: Lane) -> bool:
        """Take back the permits of processes that are dead; whether there were any."""
        dead = [permit for permit in lane.held if not permit.holder.alive]
        for permit in dead:
            lane.settle(permit, now(), self.day())
        return bool(dead)

    def usage(self, all: bool = False) -> Mapping[str, ProviderUsage]:
        """How the providers are used, as far as that can matter to the router.

        Args:
            all: also of those that have room.
        """
        at, found = now(), {}
        for name, lane in self.lanes.items():
            if 0.0 < lane.until <= at:
                lane.until, lane.why = 0.0, ""
            if all or not lane.plain:
                found[name] = lane.usage(at, self.day())
        return found

    def day(self) -> str:
        """The name of today."""
        name, begin, end = self._day
        at = wall_time()
        if begin <= at < end:
            return name
        here = datetime.fromtimestamp(at, self._zone)
        midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
        # Looked at again each hour: a zone's day may have 23 or 25 of them.
        end = min(at + 3600.0 - here.minute * 60 - here.second, midnight.timestamp() + 86_400.0)
        self._day = (f"{here:%Y-%m-%d}", at, max(end, at + 1.0))
        return self._day[0]

    def tomorrow(self) -> float:
        """Seconds until the next day begins."""
        here = datetime.fromtimestamp(wall_time(), self._zone)
        midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
        return max(1.0, midnight.timestamp() + 86_400.0 - wall_time())
