"""Dead letters: what was given up, for a person to look at, to have done again, or to drop.

Started by the node under the name `dead`; folds the session `dead` (see `letters.py`, which writes them). A letter is
closed once: by a replay, whose job is in the same append and so is done whatever is killed meanwhile, or by a drop.
What is given up again becomes a new letter, which counts the attempts.
Who does the work of a replay is found by the letter's kind among the handlers the node gives.
Emits: `Letter` on the topic `dead`, open and closed; in the journal `dead.lettered`, `dead.replayed`, `dead.dropped`.
Does badly: 10 000 open letters are kept in memory, the oldest beyond are only in the journal, and counted.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import msgspec

from planaria.cortex.durable.job import Job, Retry, end_id, submission
from planaria.cortex.durable.letters import (
    SESSION,
    DeadLettered,
    LetterDropped,
    LetterReplayed,
    closing_id,
    letter_id,
)
from planaria.cortex.durable.work import GiveUp
from planaria.cortex.errors import EventRefused
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.folded import Folded, save
from planaria.cortex.journal import Journal
from planaria.otp import GenServer, Server, Task, broadcast, call, subscribe

SNAPSHOT = "letters"
MOST_OPEN = 10_000
"""Letters kept in memory."""
REMEMBERED = 200
"""Closed letters kept in memory."""
REPLAY = "dead.replay"
"""The kind of work that does a replay."""

type Replayer = Callable[[DeadLettered, Job], Awaitable[object]]
"""Does again what a letter is about. As with any handler, twice with the same job has to have the effect of once."""


class DeadRefused(ValueError):
    """It cannot be replayed or dropped; the text says why."""


class Letter(msgspec.Struct, frozen=True):
    """A letter in one line.

    Attributes:
        number: counted in the garden, for people to name it by.
        letter, target, reason, attempt: as in `DeadLettered`. An erased one has no target.
        at: unix seconds of its death.
        state: `open`, `replayed` or `dropped`; `by` and `closed_at` say by whom and when; `work` is the replay's job.
    """

    id: str
    number: int
    letter: str
    target: str
    reason: str
    attempt: int
    at: float
    trace_id: str = ""
    subject: str = ""
    state: str = "open"
    by: str = ""
    closed_at: float = 0.0
    work: str = ""
    why: str = ""


class LetterView(msgspec.Struct, frozen=True):
    """A letter in full.

    Attributes:
        outcome: what became of its replay: an event's kind, empty while that goes on.
        again: the number of the letter that what was replayed came to, given up once more; 0 for none.
    """

    letter: Letter
    evidence: dict[str, Any]
    outcome: str = ""
    outcome_text: str = ""
    again: int = 0


class Box(Folded):
    """All letters, folded."""

    count: int = 0
    forgotten: int = 0
    open: dict[str, Letter] = msgspec.field(default_factory=dict)
    closed: dict[str, Letter] = msgspec.field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """See `Folded`."""
        if event.kind == DeadLettered.kind:
            self.count += 1
            self.open[event.id] = _letter(event, self.count)
            if len(self.open) > MOST_OPEN:
                del self.open[next(iter(self.open))]
                self.forgotten += 1
            return
        letter = self.open.pop(event.cause_id or "", None)
        if letter is None:
            return
        self.closed[letter.id] = closed_by(letter, event)
        while len(self.closed) > REMEMBERED:
            del self.closed[next(iter(self.closed))]

    def size(self) -> int:
        """See `Folded`."""
        return len(self.open) + len(self.closed)

    def named(self, which: str) -> Letter | None:
        """A letter by its id, or by its number with or without `#`."""
        every = {**self.closed, **self.open}
        number = which.removeprefix("#")
        return every.get(which) or next((each for each in every.values() if str(each.number) == number), None)


class Dead(GenServer):
    """The dead letters of a garden. `show`, `replay` and `drop` are for callers, in their own process."""

    trap_exit: ClassVar[bool] = True

    async def init(self) -> None:
        """Read what has died."""
        subscribe(f"journal:{SESSION}")
        self.box = await Box.load(SESSION, SNAPSHOT)

    # --- for callers ---------------------------------------------------------------------------------------------

    @staticmethod
    async def show(dead: Server, which: str, journal: Server = "journal") -> LetterView:
        """A letter with its evidence, and what became of its replay.

        Args:
            journal: its pid for who is in no process.
        Raises:
            DeadRefused: there is none.
            JournalUnavailable, CallError: the journal cannot be read.
        """
        letter = await Dead._named(dead, which)
        event = await Journal.find(journal, letter.id)
        evidence: dict[str, Any] = {}
        if event is not None:
            with suppress(EventMismatch):  # erased, or of a later program: then there is none to show
                evidence = DeadLettered.of(event).evidence
        if not letter.work:
            return LetterView(letter, evidence)
        end = await Journal.find(journal, end_id(letter.work))
        later = await Dead.find(dead, letter_id(letter.letter, letter.target, letter.attempt + 1))
        again = 0 if later is None else later.number
        if end is None:
            return LetterView(letter, evidence, again=again)
        said = end.payload.get("error") or end.payload.get("result") or ""
        return LetterView(letter, evidence, end.kind, str(said), again)

    @staticmethod
    async def replay(dead: Server, which: str, *, by: str) -> str:
        """Have a letter's work done again; the job's id. It will be, whatever is killed meanwhile.

        Raises:
            DeadRefused: there is no such letter, it is closed, or its content was erased.
            JournalUnavailable, CallError: it is not certain; do it again, it is done once.
        """
        letter = await Dead._open(dead, which)
        event = await Journal.find("journal", letter.id)
        if event is None or event.state != "whole":
            gone = "not in the journal" if event is None else f"{event.state} from the journal"
            raise DeadRefused(f"the content of #{letter.number} is {gone}; all that is left is to drop it")
        try:
            job = replay_job(DeadLettered.of(event), event)
        except EventMismatch as error:
            raise DeadRefused(
                f"#{letter.number} cannot be read: {error}; use the planaria that wrote it"
            ) from error
        replayed = LetterReplayed(by, job.id)
        await Dead._close(dead, letter, replayed, job)
        return job.id

    @staticmethod
    async def drop(dead: Server, which: str, *, by: str, why: str = "") -> None:
        """Decide that a letter's work need not be done. Raises as `replay`."""
        letter = await Dead._open(dead, which)
        await Dead._close(dead, letter, LetterDropped(by, why))

    @staticmethod
    async def _named(dead: Server, which: str) -> Letter:
        letter = await Dead.find(dead, which)
        if letter is None:
            raise DeadRefused(f"there is no dead letter {which!r}; `planaria dead list` shows them")
        return letter

    @staticmethod
    async def _open(dead: Server, which: str) -> Letter:
        letter = await Dead._named(dead, which)
        if letter.state != "open":
            raise DeadRefused(f"#{letter.number} was {letter.state} already, by {letter.by or 'somebody'}")
        return letter

    @staticmethod
    async def _close(
        dead: Server, letter: Letter, how: LetterReplayed | LetterDropped, *together: NewEvent
    ) -> None:
        closing = how.new(
            session=SESSION,
            trace_id=letter.trace_id,
            cause_id=letter.id,
            id=closing_id(letter.id),
            subject=letter.subject,
        )
        try:
            await Journal.append("journal", [closing, *together])
        except EventRefused as error:
            if error.duplicate_of is None:
                raise DeadRefused(f"this cannot be written down: {error.reason}") from error
            letter = await Dead._open(dead, letter.id)  # raises, with who closed it
            raise DeadRefused(f"#{letter.number} was closed just now") from error

    # --- calls ---------------------------------------------------------------------------------------------------

    @call
    def find(self, which: str) -> Letter | None:
        """A letter by id or number, open or of late."""
        return self.box.named(which)

    @call
    def letters(self, closed: bool = False, limit: int = 100) -> tuple[Letter, ...]:
        """The open letters, latest first; with `closed` those that were closed of late, too."""
        found = [*self.box.open.values(), *(self.box.closed.values() if closed else ())]
        found.sort(key=lambda letter: letter.number, reverse=True)
        return tuple(found[: max(0, limit)])

    @call
    def count(self) -> int:
        """How many letters are open."""
        return len(self.box.open) + self.box.forgotten

    def handle_info(self, message: Any) -> None:
        if not isinstance(message, Event) or not self.box.take(message):
            return  # the exit of a task
        letter = self.box.open.get(message.id) or self.box.closed.get(message.cause_id or "")
        if letter is not None:
            broadcast(SESSION, letter)
        if self.box.is_due():
            Task.start_link(save, self.box.saved(SESSION, SNAPSHOT), label="dead letters snapshot")


def replay_job(dead: DeadLettered, event: Event) -> NewEvent:
    """The job that does again what a letter is about; one job for one letter."""
    if dead.letter == "work" and "work" in dead.evidence:
        given = dead.evidence
        return submission(
            given["work"],
            given.get("payload", {}),
            key=f"{REPLAY}/{event.id}",
            retry=msgspec.convert(given.get("retry", {}), Retry),
            label=given.get("label", ""),
            by=given.get("by", ""),
            room=given.get("room", ""),
            origin=dead.target,
            given_up=dead.attempt,
            trace_id=event.trace_id,
            cause_id=event.id,
            subject=event.subject,
        )
    return submission(
        REPLAY,
        {"letter": event.id},
        key=f"{REPLAY}/{event.id}",
        label=f"replay {dead.letter} {dead.target}",
        trace_id=event.trace_id,
        cause_id=event.id,
        subject=event.subject,
    )


def replaying(replayers: Mapping[str, Replayer]) -> Callable[[Job], Awaitable[object]]:
    """The handler of the work `dead.replay`: does again what a letter is about, by the letter's kind."""

    async def replay(job: Job) -> object:
        event = await Journal.find("journal", job.payload["letter"])
        if event is None or event.state != "whole":
            raise GiveUp("the letter's content is not in the journal any more")
        try:
            dead = DeadLettered.of(event)
        except EventMismatch as error:
            raise GiveUp(f"the letter cannot be read: {error}") from error
        replayer = replayers.get(dead.letter)
        if replayer is None:
            raise GiveUp(
                f"nobody here can replay a {dead.letter!r}; there are: {', '.join(sorted(replayers))}"
            )
        return await replayer(dead, job)

    return replay


def closed_by(letter: Letter, event: Event) -> Letter:
    """The letter as the event that closed it leaves it. Survives erased events, and those of a later program."""
    state = "replayed" if event.kind == LetterReplayed.kind else "dropped"
    closed = msgspec.structs.replace(letter, state=state, closed_at=event.at)
    try:
        if event.kind == LetterReplayed.kind:
            replayed = LetterReplayed.of(event)
            return msgspec.structs.replace(closed, by=replayed.by, work=replayed.work)
        dropped = LetterDropped.of(event)
    except EventMismatch:
        return closed
    return msgspec.structs.replace(closed, by=dropped.by, why=dropped.why)


def _letter(event: Event, number: int) -> Letter:
    try:
        dead = DeadLettered.of(event)
    except EventMismatch:
        dead = DeadLettered("", "", "(this cannot be read)" if event.state == "whole" else f"({event.state})")
    return Letter(
        event.id,
        number,
        dead.letter,
        dead.target,
        dead.reason,
        dead.attempt,
        event.at,
        event.trace_id,
        event.subject,
    )
