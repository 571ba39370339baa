"""What the journal keeps how long: every kind of event has a class, every class an age, and some things stay for ever.

Retention takes away payloads; the event stays with its place, id, kind and time, and the chain holds. It lets go of an
event only if all of this is so:

- its class has an age, and it is older than that;
- its kind is no `STATE`: what is rebuilt from such events is needed as long as the node lives;
- it is not the newest of its kind in its session: programs remember by such an event (what a feed brought last);
- its trace is over: every message that asked somebody is answered, given up, or whom it asked has left; every turn,
  run, question and job in it has ended;
- if it tells that a run began or ended: a later checkpoint of the workflows has taken it in.

So a node that is restarted afterwards has the same work to do as before.
Does badly: a trace that never ends (an agent that was deleted without leaving its room) is kept for ever.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from planaria.config.age import parse_age
from planaria.config.settings import RetentionSettings
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.store import Stored
from planaria.otp import Server

type Class = Literal["conversations", "models", "tools", "runs", "node", "other", "state"]

CLASSES: tuple[tuple[str, Class], ...] = (
    ("room.message", "conversations"),
    ("turn.*", "models"),
    ("model.*", "models"),
    ("session.tripped", "models"),
    ("session.handed_off", "models"),
    ("restart.chosen", "models"),
    ("tool.*", "tools"),
    ("workflow.schedule.*", "state"),
    ("workflow.slot.*", "state"),
    ("workflow.checkpoint", "state"),
    ("workflow.*", "runs"),
    ("process.*", "node"),
    ("child.asked", "models"),
    ("child.finished", "models"),
    ("child.*", "node"),
    ("supervisor.*", "node"),
    ("node.*", "node"),
    ("operator.*", "node"),
    ("chronicle.*", "node"),
    ("telemetry.*", "node"),
    ("message.*", "node"),
    ("events.*", "node"),
    ("journal.*", "node"),
    ("room.*", "state"),  # which rooms there are, who is in them
    ("session.*", "state"),
    ("feed.*", "state"),  # what was seen already
    ("git.*", "state"),
    ("work.*", "state"),
    ("question.*", "state"),
    ("dead.*", "state"),
    ("breaker.*", "state"),
    ("budget.*", "state"),
    ("provider.*", "state"),
    ("approval.asked", "tools"),
    ("approval.decided", "tools"),
    ("approval.*", "state"),
    ("totp.*", "state"),
)
"""Pattern of kinds and their class; the first that matches counts, `other` for those that none matches."""

ENDS: dict[str, tuple[str, ...]] = {
    "turn.started": ("turn.finished",),
    "workflow.run.started": ("workflow.run.finished",),
    "question.asked": ("question.answered", "question.expired", "question.withdrawn"),
    "work.submitted": ("work.finished", "work.died", "work.cancelled"),
}
"""What begins something, and what ends it."""

MESSAGE, AGAIN, LEFT, LETTER = "room.message", "room.redelivered", "room.left", "dead.lettered"
COUNTED_IN = ("workflow.run.started", "workflow.run.finished")
CHECKPOINT = "workflow.checkpoint"
PAGE = 200
"""Events looked at in one step."""


class Policy(msgspec.Struct, frozen=True):
    """Ages by class in seconds; a class that is not in it is kept for ever."""

    ages: dict[str, float]

    @property
    def shortest(self) -> float | None:
        """The shortest age; None if everything is kept."""
        return min(self.ages.values(), default=None)


class Doomed(msgspec.Struct, frozen=True):
    """An event whose payload may go."""

    seq: int
    at: float
    kind: str
    cls: str
    size: int


class Step(msgspec.Struct, frozen=True):
    """One step through the journal: what may go, and where the next begins; `over` when there is none."""

    doomed: tuple[Doomed, ...]
    kept: int
    after: int
    over: bool


def policy_of(settings: RetentionSettings) -> Policy:
    """The policy that settings which were checked describe."""
    ages = {name: parse_age(text) for name, text in msgspec.structs.asdict(settings).items()}
    return Policy({name: age for name, age in ages.items() if age is not None})


def class_of(kind: str) -> Class:
    """The class of a kind."""
    for pattern, cls in CLASSES:
        if fnmatchcase(kind, pattern):
            return cls
    return "other"


class Looker:
    """Walks the journal and says what may go; remembers what it asked. Made anew for each walk.

    Args:
        now: unix seconds.
    """

    def __init__(self, journal: Server, policy: Policy, now: float) -> None:
        self.journal = journal
        self.policy = policy
        self.now = now
        self._over: dict[str, bool] = {}
        self._taken_in: int | None = None

    async def step(self, after: int) -> Step:
        """Look at the next events.

        Raises:
            JournalUnavailable, CallError: it cannot be read.
        """
        shortest = self.policy.shortest
        if shortest is None:
            return Step((), 0, after, True)
        query = Query(after_seq=after, before_at=self.now - shortest, stripped=False, limit=PAGE)
        page = await Journal.stored(self.journal, query)
        due = [event for event in page if self._is_due(event)]
        newest = await self._newest(due)
        doomed = [event for event in due if event.seq not in newest and await self._may_go(event)]
        told = tuple(
            Doomed(event.seq, event.at, event.kind, class_of(event.kind), len(event.payload))
            for event in doomed
        )
        return Step(told, len(due) - len(doomed), page[-1].seq if page else after, len(page) < PAGE)

    def _is_due(self, event: Stored) -> bool:
        age = self.policy.ages.get(class_of(event.kind))
        return age is not None and event.at < self.now - age

    async def _newest(self, events: Sequence[Stored]) -> set[int]:
        """Those that nothing of their kind has followed in their session."""
        last: dict[tuple[str, str], int] = {(event.session, event.kind): event.seq for event in events}
        found: set[int] = set()
        for (session, kind), seq in last.items():
            query = Query(session=session, kinds=(kind,), after_seq=seq, limit=1)
            if not await Journal.stored(self.journal, query):
                found.add(seq)
        return found

    async def _may_go(self, event: Stored) -> bool:
        if event.kind in COUNTED_IN and event.seq > await self._last_checkpoint():
            return False
        if event.trace_id not in self._over:
            self._over[event.trace_id] = await self._is_over(event.trace_id)
        return self._over[event.trace_id]

    async def _last_checkpoint(self) -> int:
        """Up to which place the newest checkpoint of the workflows has read; 0 without one."""
        if self._taken_in is None:
            query = Query(kinds=(CHECKPOINT,), limit=1, newest_first=True)
            found = await Journal.read(self.journal, query)
            upto = found[0].payload.get("upto", 0) if found else 0
            self._taken_in = upto if isinstance(upto, int) else 0
        return self._taken_in

    async def _is_over(self, trace: str) -> bool:
        kinds = (MESSAGE, AGAIN, LETTER, *ENDS, *(end for ends in ENDS.values() for end in ends))
        events = await Journal.read(self.journal, Query(trace_id=trace, kinds=kinds))
        if not all_ended(events):
            return False
        for message, agents in unanswered(events):
            for agent in agents:
                again = (e.seq for e in events if e.kind == AGAIN and e.payload.get("agent") == agent)
                since = max(again, default=message.seq)  # who left before it was delivered again has it still
                query = Query(session=message.session, kinds=(LEFT,), after_seq=since)
                left = await Journal.read(self.journal, query)
                if not any(event.payload.get("agent") == agent for event in left):
                    return False
        return True


def all_ended(events: Iterable[Event]) -> bool:
    """Whether as much ended as began, by session and kind: also what lost its payload counts."""
    begun: dict[tuple[str, str], int] = {}
    begins = {end: start for start, ends in ENDS.items() for end in ends}
    for event in events:
        if event.kind in ENDS:
            key = (event.session, event.kind)
            begun[key] = begun.get(key, 0) + 1
        elif event.kind in begins:
            key = (event.session, begins[event.kind])
            begun[key] = begun.get(key, 0) - 1
    return all(count <= 0 for count in begun.values())


def unanswered(events: Sequence[Event]) -> list[tuple[Event, list[str]]]:
    """Messages of one trace that asked somebody who neither answered nor gave up, and whom.

    Args:
        events: in order; a message that was delivered again waits again.
    """
    asked: dict[str, Event] = {}
    waiting: dict[str, dict[str, int]] = {}  # by message: whom it asked, and the attempt
    for event in events:
        cause, said = event.cause_id or "", event.payload
        open_ = waiting.get(cause, {})
        if event.kind == LETTER:
            target = str(said.get("target", ""))
            if not target:  # erased, and so is the message
                open_.clear()
            elif open_.get(agent := target.rpartition("/")[2], 1) <= _attempt(said):
                open_.pop(agent, None)
        elif event.kind == AGAIN and cause in asked:
            waiting.setdefault(cause, {})[str(said.get("agent"))] = _attempt(said)
        elif event.kind == MESSAGE:
            author = str(said.get("author"))
            if said.get("final", True) and open_.get(author, 1) <= _attempt(said):
                open_.pop(author, None)
            asked[event.id] = event
            if isinstance(agents := said.get("to"), list):
                waiting[event.id] = {str(agent): 1 for agent in agents}
    return [(asked[message], list(agents)) for message, agents in waiting.items() if agents]


def _attempt(payload: Mapping[str, Any]) -> int:
    attempt = payload.get("attempt", 1)
    return attempt if isinstance(attempt, int) else 1
