"""The owner of the node's breakers: started by the node under the name `breakers`, before all who make calls.

Everybody reads and moves the breakers at once (`breakers_of`, see `table.py`); this process writes down what
changed, tells who wants to know, and does what people say. Restarted, or in a new node, it has them stand as they
stood; a failure counted by a closed breaker is forgotten then, and one who tried has to try again.
Emits in the journal, session `breakers`: `breaker.opened`, `breaker.half_opened`, `breaker.closed`; the same, as
`Turned`, on the topic `breakers`; a word in the room `garden` when one opens and when it closes again.
Does badly: what changes in the last moment before a kill is not in the journal, so that a thing that had just failed
is tried once more.
"""

import random
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from planaria.config.breakers import BreakerSettings
from planaria.cortex.event import Event, NewEvent, new_id
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.folded import Folded, save
from planaria.immune.breakers.breaker import Breaker, State
from planaria.immune.breakers.breaker import Turned as How
from planaria.immune.breakers.table import BreakerTable
from planaria.immune.events import BREAKERS, BreakerClosed, BreakerHalfOpened, BreakerOpened
from planaria.immune.notice import GARDEN_ROOM, notice
from planaria.immune.pen import Pen
from planaria.otp import GenServer, Server, Task, broadcast, call, subscribe, wall_time
from planaria.otp.kernel.table import publish

TOPIC = "breakers"
SNAPSHOT = "standings"
KINDS = ("tool", "provider", "mcp", "gateway")
"""What stands before the colon of a name."""


class Turned(msgspec.Struct, frozen=True):
    """On the topic `breakers`: a breaker has changed."""

    name: str
    how: How


class BreakerRefused(ValueError):
    """It cannot be opened or closed; the text says why."""


class BreakerView(msgspec.Struct, frozen=True):
    """A breaker for people.

    Attributes:
        guards: what it stands before: `tool`, `provider`, `mcp`, `gateway`.
        state: `half_open` also of one that is open and may be tried now.
        since: unix seconds of the last change; 0.0 for one that never changed.
        until: of an open one: unix seconds until one call may try; None until a person closes it.
        failures: counted, in a row.
        calls, failed: of the window.
        times: opened since it was closed last.
        why: the last failure, or the word of who moved it.
        by: who opened or closed it by hand; empty for itself.
        grown: steps by which its next wait is longer than the first.
    """

    name: str
    guards: str
    state: State
    since: float = 0.0
    until: float | None = 0.0
    failures: int = 0
    calls: int = 0
    failed: int = 0
    times: int = 0
    why: str = ""
    by: str = ""
    grown: int = 0


class Standing(msgspec.Struct, frozen=True):
    """How a breaker stood at its last change."""

    state: State
    since: float
    until: float | None = 0.0
    times: int = 0
    why: str = ""
    by: str = ""
    grown: int | None = None


class Standings(Folded):
    """All breakers that are not closed, or were closed by a try and remember their growth, folded."""

    open: dict[str, Standing] = msgspec.field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """See `Folded`."""
        try:
            if event.kind == BreakerOpened.kind:
                said = BreakerOpened.of(event)
                standing = Standing(
                    *("open", event.at, said.until, said.times, said.why, said.by, said.grown)
                )
                self.open[said.name] = standing
            elif event.kind == BreakerClosed.kind:
                closed = BreakerClosed.of(event)
                self.open.pop(closed.name, None)
                if closed.grown:
                    self.open[closed.name] = Standing("closed", event.at, grown=closed.grown)
        except EventMismatch:
            pass  # of a later program: whatever it guards is tried

    def size(self) -> int:
        """See `Folded`."""
        return len(self.open)


class Breakers(GenServer):
    """Owner of the breakers."""

    trap_exit: ClassVar[bool] = True

    async def init(self, settings: BreakerSettings | None = None) -> None:
        """Have them stand as the journal says.

        Args:
            settings: the policies; None for the defaults.
        """
        settings = settings or BreakerSettings()
        subscribe(f"journal:{BREAKERS}")
        self.standings = await Standings.load(BREAKERS, SNAPSHOT)
        node = self.pid.node
        chance = random.Random(node.seed).random
        self.table = BreakerTable(settings, node.clock.wall, self._changed, chance)
        for name, was in self.standings.open.items():
            self.table.make(name).restore(
                was.state, was.since, was.until, was.times, was.why, was.by, was.grown
            )
        self.pen = Pen(label="breakers write")
        publish(self.pid, self.table)

    # --- for people ----------------------------------------------------------------------------------------------

    @call
    def views(self) -> tuple[BreakerView, ...]:
        """All breakers that were ever asked for since the start, those that are not closed first."""
        return breaker_views(self.table, wall_time())

    @staticmethod
    async def open(
        breakers: Server, name: str, by: str, why: str = "", seconds: float | None = None
    ) -> BreakerView:
        """Hold something back.

        Args:
            name: it need not have been called yet.
            seconds: for so long; None until somebody closes it.
        Raises:
            BreakerRefused: this is no name of a breaker.
        """
        return await Breakers.turn_open(breakers, _checked(name), by, why, seconds)

    @staticmethod
    async def close(breakers: Server, name: str, by: str, why: str = "") -> BreakerView:
        """Let everything pass again, and forget what was held against it.

        Raises:
            BreakerRefused: there is no such breaker.
        """
        view = await Breakers.turn_closed(breakers, name, by, why)
        if view is None:
            raise BreakerRefused(f"there is no breaker {name!r}; `planaria breakers` shows them")
        return view

    @call
    def turn_open(self, name: str, by: str, why: str, seconds: float | None) -> BreakerView:
        """See `open`, which checks the name."""
        breaker = self.table.make(name)
        now = wall_time()
        breaker.open_by_hand(now, by, why, None if seconds is None else now + seconds)
        return breaker_view(breaker, now)

    @call
    def turn_closed(self, name: str, by: str, why: str) -> BreakerView | None:
        """See `close`; None if there is none of this name."""
        breaker = self.table.get(name)
        if breaker is None:
            return None
        now = wall_time()
        if breaker.state == "closed":
            breaker.forget()
        else:
            breaker.close_by_hand(now, by, why)
        return breaker_view(breaker, now)

    # --- what changes --------------------------------------------------------------------------------------------

    def _changed(self, breaker: Breaker, how: How) -> None:
        """On the stack of whoever moved it, so only a message to ourselves."""
        event, words = said_of(breaker, how)
        self.pid.node.send(self.pid, _Moved(breaker.name, how, event, words))

    def handle_info(self, message: Any) -> None:
        match message:
            case _Moved(name=name, how=how, event=event, words=words):
                told = [notice(GARDEN_ROOM, TOPIC, words, event.id)] if words else []
                self.pen.write([event, *told])
                broadcast(TOPIC, Turned(name, how))
            case Event():
                if self.standings.take(message) and self.standings.is_due():
                    Task.start_link(save, self.standings.saved(BREAKERS, SNAPSHOT), label="breakers snapshot")
            case _:
                self.pen.heard(message)


class _Moved(msgspec.Struct, frozen=True):
    """To itself: a breaker has changed, and what is to be written and said."""

    name: str
    how: How
    event: NewEvent
    words: str


def said_of(breaker: Breaker, how: How) -> tuple[NewEvent, str]:
    """The event of a change, and what people are told; empty if they need not be.

    People hear of the first opening and of the end, not of each try between them.
    """
    event: BreakerOpened | BreakerHalfOpened | BreakerClosed
    words = ""
    if how == "opened":
        event = BreakerOpened(
            *(breaker.name, breaker.why, breaker.until, breaker.failures, breaker.times, breaker.by),
            grown=breaker.grown,
        )
        if breaker.times == 1 or breaker.by:
            words = _opened(breaker)
    elif how == "half_opened":
        event = BreakerHalfOpened(breaker.name)
    else:
        event = BreakerClosed(breaker.name, breaker.why if breaker.by else "", breaker.by, breaker.grown)
        who = f"{breaker.by} closed its breaker" if breaker.by else "a try worked"
        words = f"{breaker.name} is in use again: {who}."
    return event.new(session=BREAKERS, id=new_id()), words


def breaker_view(breaker: Breaker, now: float) -> BreakerView:
    """A breaker as it stands now."""
    state = breaker.state
    if state == "open" and breaker.until is not None and now >= breaker.until:
        state = "half_open"
    calls, failed = breaker.window(now)
    kind = breaker.name.partition(":")[0]
    return BreakerView(
        breaker.name,
        kind if kind in KINDS else "other",
        state,
        breaker.since,
        breaker.until,
        breaker.failures,
        calls,
        failed,
        breaker.times,
        breaker.why,
        breaker.by,
        breaker.steps(now),
    )


def breaker_views(table: BreakerTable, now: float) -> tuple[BreakerView, ...]:
    """All of them, those that are not closed first, then those that failed, by name."""
    found = [breaker_view(each, now) for each in table]
    return tuple(sorted(found, key=lambda view: (view.state == "closed", -view.failures, view.name)))


def open_names(views: Sequence[BreakerView]) -> list[str]:
    """Of those, what is held back or being tried."""
    return [view.name for view in views if view.state != "closed"]


def _opened(breaker: Breaker) -> str:
    until = "until somebody closes its breaker (`planaria breakers close`)"
    if breaker.until is not None:
        until = f"for {max(1, round(breaker.until - breaker.since))} s; then one call tries it"
    cause = f"{breaker.by} holds it back" if breaker.by else "it keeps failing"
    return f"{breaker.name} is not used {until}: {cause} ({breaker.why}). `planaria breakers` shows it."


def _checked(name: str) -> str:
    kind, colon, what = name.partition(":")
    if not colon or not what or not kind.isidentifier() or len(name) > 200:
        raise BreakerRefused(f"{name!r} is no name of a breaker; write one such as tool:web.fetch")
    return name
