"""What a session works with, and how its events are written and read: with patience while the journal is away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from planaria.agents.definition import AgentDefinition
from planaria.agents.kinship import ChildAsked
from planaria.agents.prompt.drafts import Drafts
from planaria.agents.turn.events import SessionForked, TurnFinished, TurnStarted
from planaria.agents.turn.turn import Turn
from planaria.cortex.codec.prepare import encode_payload
from planaria.cortex.errors import EventRefused
from planaria.cortex.event import FORMER_DIGITS, Event, NewEvent, former_id, repeatable_id
from planaria.cortex.event_type import EventType
from planaria.cortex.journal import Journal
from planaria.cortex.patience import patiently
from planaria.cortex.query import Query
from planaria.cortex.redact import Flow, Redactor
from planaria.membrane.authority import Authority, Layer
from planaria.membrane.gate.gate import Gate
from planaria.membrane.tool import Context
from planaria.records.record import Record

_from_json = msgspec.json.Decoder(dict[str, Any]).decode

REREAD = "session.result"
"""The tool that reads a result again."""
LONG_RESULTS = 40_000
"""Characters of a turn's results from which on some may be shown cut."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a session needs to work: who it is, where, and with what.

    Attributes:
        services: what tools may ask for; a `Redactor` among them knows the node's secrets.
        fork: how this session branched off another, if it did.
        child: what it was started for by another session, if it was; then it sits in no room.
        files: what the garden's own files say, by part of the prompt.
        plan: the record of its plan.
        drafts: what it has put together before.
        authority: what it may do: what its record says, and of a child no more than those above it may.
    """

    definition: AgentDefinition
    room: str
    session: str
    garden: Path
    gate: Gate
    services: Mapping[type, object] = field(default_factory=dict)
    fork: SessionForked | None = None
    child: ChildAsked | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    plan: Record | None = None
    drafts: Drafts = field(default_factory=Drafts)
    authority: Authority = field(init=False)

    def __post_init__(self) -> None:
        own = self.definition.authority()
        made = own if self.child is None else self.child.authority(own)
        object.__setattr__(self, "authority", made)

    def authority_in(self, turn: Turn) -> Authority:
        """What it may do in a turn; where not all of it is shown, it may read its own results again, too."""
        if not turn.course.since and (len(turn.steps) < 2 or results_of(turn) < LONG_RESULTS):
            return self.authority
        known = self.drafts.rereading
        if known is None or known[0] is not self.authority:
            known = self.drafts.rereading = (self.authority, _also(self.authority, REREAD))
        return known[1]

    @property
    def agent(self) -> str:
        """The agent's name."""
        return self.definition.name

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema its answers have to fit; None: they are text."""
        return self.definition.answer if self.child is None else self.child.schema

    @property
    def told_room(self) -> str:
        """The room it is told it sits in: a branch is told of the one it began in, so that nothing else changes."""
        return self.fork.origin or self.room if self.fork is not None else self.room

    def mask(self, text: str) -> str:
        """The text as the journal will have it, secrets masked: what is sent is what is written."""
        redactor = self.services.get(Redactor)
        return redactor.text(text) if isinstance(redactor, Redactor) else text

    def flow(self) -> Flow:
        """Masks an answer while it is written."""
        redactor = self.services.get(Redactor)
        return Flow(redactor if isinstance(redactor, Redactor) else Redactor())

    def event(self, turn: Turn, payload: EventType, *place: str) -> NewEvent:
        """An event of the turn. What it is called follows from its place, so it is written once, whoever tries."""
        # Of a message that an earlier build took, what was noted then is found again.
        made = former_id if len(turn.message.id) == FORMER_DIGITS else repeatable_id
        return payload.new(
            session=self.session,
            trace_id=turn.message.trace_id,
            cause_id=turn.id,
            id=made(self.session, payload.kind, *place),
            subject=turn.message.subject,
        )

    def foreseen(self, event: NewEvent) -> Event:
        """An event as the journal will have it, before it is there; it has no place yet."""
        known = self.drafts.foreseen
        if known is not None and known[0] is event:
            return known[1]
        made = self._foreseen(event)
        self.drafts.foreseen = (event, made)
        return made

    def _foreseen(self, event: NewEvent) -> Event:
        redactor = self.services.get(Redactor)
        known = redactor if isinstance(redactor, Redactor) else None
        payload = msgspec.to_builtins(event.payload) if known is None else _masked(known, event.payload)
        return Event(
            seq=0,
            id=event.id,
            at=0.0,
            trace_id=event.trace_id,
            cause_id=event.cause_id,
            node="",
            process="",
            session=event.session,
            kind=event.kind,
            payload=payload,
            version=event.version,
            subject=event.subject,
        )

    def started(self, turn: Turn, kept: int = 0) -> NewEvent:
        """The beginning of a turn."""
        message = turn.message
        return self.event(turn, TurnStarted(message.id, message.author, turn.attempt, kept), turn.id)

    def finished(self, turn: Turn, outcome: str) -> NewEvent:
        """The end of a turn."""
        return self.event(turn, TurnFinished(turn.id, outcome), turn.id)

    def context(self, turn: Turn, place: str) -> Context:
        """Who makes a tool call, for the gate."""
        return Context(
            caller=f"agent:{self.agent}",
            garden=self.garden,
            session=self.session,
            room=self.room,
            trace_id=turn.message.trace_id,
            cause_id=turn.id,
            call_id=place,
            subject=turn.message.subject,
            hops=turn.hops,
            services=self.services,
            authority=self.authority,
        )


def results_of(turn: Turn) -> int:
    """Characters of the results of a turn's tools."""
    return sum(len(result.text) for step in turn.steps for result in step.results.values())


def _also(authority: Authority, tool: str) -> Authority:
    """The same with one more tool on offer; no capability comes with it."""
    made = Authority(authority.caller)
    made.layers = tuple(
        layer if layer.names is None else Layer((*layer.names, tool), layer.grants.values(), open=layer.open)
        for layer in authority.layers
    )
    return made


def _masked(redactor: Redactor, payload: dict[str, Any]) -> dict[str, Any]:
    """The payload as the journal will have it: all its texts are searched for secrets at once, as they are there."""
    encoded = encode_payload(payload)
    if isinstance(encoded, bytes):
        return _from_json(redactor.json(encoded))
    masked = redactor.value(msgspec.to_builtins(payload))  # the journal will refuse it
    assert isinstance(masked, dict)
    return masked


class Known(Exception):
    """An event is in the journal already: somebody was here before, and what it says stands.

    Attributes:
        id: of that event.
    """

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(id)


async def append(events: Sequence[NewEvent]) -> list[Event]:
    """Write events, all or none; while the journal is away, wait.

    Raises:
        Known: one of them is there already.
        EventRefused: one of them can never be written.
    """
    try:
        return await patiently(lambda: Journal.append("journal", events))
    except EventRefused as error:
        if error.duplicate_of is None:
            raise
        raise Known(error.duplicate_of) from error


async def append_after(ahead: Sequence[NewEvent], events: Sequence[NewEvent]) -> list[Event]:
    """Write `events`, in one append with `ahead`, some of which may be in the journal already. Answers `events`.

    Raises:
        Known, EventRefused: as `append`, about `events`.
    """
    ahead = list(ahead)
    while True:
        try:
            return (await append([*ahead, *events]))[len(ahead) :]
        except Known as known:
            left = [event for event in ahead if event.id != known.id]
            if len(left) == len(ahead):
                raise
            ahead = left


async def note(events: Sequence[NewEvent]) -> None:
    """Write events that may be there already."""
    await append_after(events, ())


async def read(query: Query) -> list[Event]:
    """Read the journal; while it is away, wait."""
    return await patiently(lambda: Journal.read("journal", query))


async def find(id: str) -> Event | None:
    """The event of this id; while the journal is away, wait."""
    return await patiently(lambda: Journal.find("journal", id))
