"""Those who wait for a provider: a bounded queue for each, fair between sessions, served as permits come free.

Started under the name `calls`, with the node's `Permits`, which it does not own: killed, it forgets who waited (they
ask again) and nothing else. When a queue is full, further callers stand outside, in the order in which they came, and
are told when there is a place. It watches those who wait and, while somebody waits, those who hold permits, so the
death of any of them moves the queue on.
Emits on the topic `calls`: `QueueChanged`, at most every quarter of a second for a provider.
Does badly: a waiter that asks again after a restart of this process stands at the end of its session's line.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from planaria.immune.ledger.ledger import accounts_of
from planaria.membrane.calls.lane import NEVER, Lane, Permit, Waiter
from planaria.membrane.calls.permits import CALLS, Freed, Permits
from planaria.membrane.errors import HeldBack, ProviderError, QueueFull
from planaria.membrane.models.catalogue import ProviderLimits
from planaria.membrane.models.directory import TOPIC as MODELS
from planaria.membrane.models.directory import ModelsChanged, models_now
from planaria.otp import (
    CallError,
    Deferred,
    Down,
    GenServer,
    NoProcess,
    Pid,
    Ref,
    broadcast,
    call,
    cast,
    monitor,
    node_,
    now,
    self_,
    send_after,
    sleep,
    subscribe,
    wall_time,
)

TOPIC = "calls"
TELL_EVERY = 0.25
"""Seconds between two words about one queue."""
ASK_AGAIN = 0.2
"""Seconds until one who waited asks again, when this process was restarted."""


class QueueChanged(msgspec.Struct, frozen=True):
    """How the queue before a provider stands; a message on the topic `calls`.

    Attributes:
        in_flight, waiting: calls.
        sessions: how many wait.
        since: unix seconds: since when the one that waits longest does; None if none waits.
        resting_until: unix seconds; None if it is not left alone.
        why: it is left alone.
    """

    provider: str
    in_flight: int
    waiting: int
    sessions: int
    since: float | None
    resting_until: float | None
    why: str


class _Look(msgspec.Struct, frozen=True):
    """To itself: time may have moved the queue of a provider on."""

    provider: str


class _Tell(msgspec.Struct, frozen=True):
    """To itself: say how a queue stands."""

    provider: str


class Calls(GenServer):
    """The queues of all providers."""

    def init(self, permits: Permits) -> None:
        """Begin with empty queues; what was spent today the ledger knows."""
        self.permits = permits
        spent = accounts_of(node_()).book.spent_today()
        permits.remember(
            {name.partition(":")[2]: each for name, each in spent.items() if name.startswith("provider:")}
        )
        self.watched: dict[Ref, Pid] = {}
        self.known: set[Pid] = set()
        self.telling: set[str] = set()
        self.looking: dict[str, float] = {}  # provider -> when it is looked at next
        self.outside: dict[str, dict[Pid, Deferred[None]]] = {}  # those whom a full queue has refused
        self.invited: dict[str, set[Pid]] = {}  # those who were told of a place and have not come yet
        subscribe(MODELS)
        for lane in permits.lanes.values():
            lane.queue.remove(lambda _: True)
            permits.prune(lane)
            self._tell(lane)

    @call
    def wait(
        self, provider: str, limits: ProviderLimits, flow: str, tokens: int, holder: Pid
    ) -> Deferred[Permit]:
        """A permit as soon as it is this flow's turn; see `Permits.acquire_nowait`.

        Args:
            holder: who is to have it: the caller.
        Raises:
            QueueFull: no more may wait, or another flow needed the place.
            HeldBack: the wait would be longer than a minute.
        """
        answer: Deferred[Permit] = self.defer()
        self._leave(holder)
        self._invite_others(provider)
        lane, at = self.permits.lane(provider, limits), now()
        try:
            self.permits.check(lane, at, self.permits.day())
        except HeldBack as error:
            answer.fail(error)
            return answer
        refused = lane.queue.push(flow, max(tokens, 1), Waiter(holder, tokens, answer, at))
        if refused is not None:
            refused.item.answer.fail(_full(lane))
        self._watch(holder)
        for permit in lane.held:
            self._watch(permit.holder)
        self._serve(lane)
        return answer

    @call
    def room(self, providers: tuple[str, ...], holder: Pid) -> Deferred[None]:
        """Answered when one of these providers' full queues has a place; who came first is told first.

        Args:
            holder: who asks. It has one place outside, until it is told or says `leave`.
        """
        answer: Deferred[None] = self.defer()
        self._leave(holder)
        self._watch(holder)
        for provider in providers:
            self.outside.setdefault(provider, {})[holder] = answer
        for provider in providers:
            self._invite(provider)
        return answer

    @cast
    def leave(self, holder: Pid) -> None:
        """It waits outside no longer, and does not come to a place it was told of."""
        self._leave(holder)
        self._invite_others()

    def _leave(self, holder: Pid) -> None:
        for waiting in self.outside.values():
            waiting.pop(holder, None)
        for invited in self.invited.values():
            invited.discard(holder)

    @call
    def release(self, provider: str) -> tuple[float, str]:
        """Ask a provider again that is left alone; see `Permits.release`. Who waits for it is served."""
        released = self.permits.release(provider)
        self._move(provider)
        return released

    @call
    def views(self) -> list[QueueChanged]:
        """How all queues stand."""
        return [view(lane) for lane in self.permits.lanes.values()]

    def handle_info(self, message: Any) -> None:
        match message:
            case Freed(provider=provider):
                self._move(provider)
            case _Look(provider=provider):
                self.looking.pop(provider, None)
                self._move(provider)
            case _Tell(provider=provider):
                self.telling.discard(provider)
                if (lane := self.permits.lanes.get(provider)) is not None:
                    broadcast(TOPIC, view(lane))
            case ModelsChanged():
                self._amend()
            case Down(ref=ref) if ref in self.watched:
                self._gone(self.watched.pop(ref))
            case _:
                super().handle_info(message)

    def _move(self, provider: str) -> None:
        lane = self.permits.lanes.get(provider)
        if lane is not None:
            self._serve(lane)

    def _amend(self) -> None:
        """Providers were changed: those who wait have what is said of theirs now."""
        models = models_now(node_())
        if models is None:
            return
        for lane in [lane for lane in self.permits.lanes.values() if lane.queue]:
            entry = models.catalogue.provider(lane.name)
            if entry is None or not entry.usable:
                self._send_away(lane, HeldBack(f"{lane.name} may not be asked any more"))
            else:
                self.permits.lane(lane.name, entry.limits)
            self._serve(lane)

    def _gone(self, holder: Pid) -> None:
        self.known.discard(holder)
        self._leave(holder)
        for lane in self.permits.lanes.values():
            lane.queue.remove(lambda waiter: waiter.holder == holder)
            for permit in [permit for permit in lane.held if permit.holder == holder]:
                self.permits.give_back(permit)
            # Whoever is killed gives its permits back, but cannot say so any more.
            if lane.queue:
                self._serve(lane)
        self._invite_others()

    def _watch(self, holder: Pid) -> None:
        if holder not in self.known:
            self.known.add(holder)
            self.watched[monitor(holder)] = holder

    def _serve(self, lane: Lane) -> None:
        """Hand out what there is, to whose turn it is; come back when time will have made more."""
        permits, day = self.permits, self.permits.day()
        while (ticket := lane.queue.first()) is not None:
            at, waiter = now(), ticket.item
            try:
                permits.check(lane, at, day)
            except HeldBack as error:
                self._send_away(lane, error)
                break
            wait = lane.delay(waiter.tokens, at)
            if wait == NEVER and permits.prune(lane):
                continue
            if wait > 0.0:
                if wait != NEVER:
                    self._look_after(lane.name, wait)
                break
            lane.queue.pop()
            permit = lane.take(ticket.flow, waiter.tokens, waiter.holder, at, day, at - waiter.at)
            waiter.answer.reply(permit)
        self._invite(lane.name)
        self._tell(lane)

    def _invite(self, provider: str) -> None:
        """Tell as many of those outside as there are places that nobody was told of yet."""
        outside, lane = self.outside.get(provider), self.permits.lanes.get(provider)
        invited = self.invited.setdefault(provider, set())
        places = NEVER if lane is None else lane.queue.most - len(lane.queue)
        while outside and len(invited) < places:
            holder, answer = next(iter(outside.items()))
            self._leave(holder)
            invited.add(holder)
            answer.reply(None)

    def _invite_others(self, but: str = "") -> None:
        """Somebody was told of places and does not come to them, unless it is before this provider."""
        for provider in [name for name, waiting in self.outside.items() if waiting and name != but]:
            self._invite(provider)

    def _send_away(self, lane: Lane, error: ProviderError) -> None:
        for ticket in lane.queue.remove(lambda _: True):
            ticket.item.answer.fail(error)

    def _look_after(self, provider: str, seconds: float) -> None:
        at = now() + seconds
        if self.looking.get(provider, NEVER) > at:
            self.looking[provider] = at
            send_after(seconds, self.pid, _Look(provider))

    def _tell(self, lane: Lane) -> None:
        if lane.name not in self.telling:
            self.telling.add(lane.name)
            send_after(TELL_EVERY, self.pid, _Tell(lane.name))


async def wait_for_permit(provider: str, limits: ProviderLimits, flow: str, tokens: int) -> Permit:
    """Stand in the queue before a provider until it is this flow's turn, for the running process.

    Raises:
        QueueFull, HeldBack: as `Calls.wait`.
    """
    while True:
        try:
            return await Calls.wait.within(None)(CALLS, provider, limits, flow, tokens, self_())
        except CallError:
            await sleep(ASK_AGAIN)  # it is being restarted


async def wait_for_room(providers: Sequence[str], within: float) -> bool:
    """Stand outside full queues until one has a place, or so many seconds have passed; whether there is one."""
    began = now()
    try:
        await Calls.room.within(within)(CALLS, tuple(providers), self_())
    except CallError:
        leave_room()
        if now() - began < ASK_AGAIN:
            await sleep(ASK_AGAIN)  # it is being restarted
        return False
    return True


def leave_room() -> None:
    """Say that the running process does not come to a place in a queue that it was told of."""
    try:
        Calls.leave(CALLS, self_())
    except NoProcess:
        pass  # it is being restarted, and knows of nobody


def view(lane: Lane) -> QueueChanged:
    """How the queue of a lane stands."""
    at = now()
    since = min((ticket.item.at for ticket in lane.queue), default=None)
    return QueueChanged(
        lane.name,
        len(lane.held),
        len(lane.queue),
        len(lane.queue.flows),
        None if since is None else wall_time() - (at - since),
        wall_time() + lane.until - at if lane.until > at else None,
        lane.why if lane.until > at else "",
    )


def _full(lane: Lane) -> QueueFull:
    waiting, under_way = len(lane.queue), len(lane.held)
    return QueueFull(f"{lane.name} is busy: {under_way} calls are under way and {waiting} wait already")
