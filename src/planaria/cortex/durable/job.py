"""Work that is done later, or again: its events, in the session `work`, and what they come to. Pure.

A job is open from `work.submitted` until its end: `work.finished`, `work.cancelled` or `work.died`. The three have the
same id, and the journal takes an id once, so a job ends once. Every other event of a job has it as its cause.
"""

import hashlib
from typing import Any, Literal

import msgspec

from planaria.cortex.durable.letters import letter
from planaria.cortex.event import Event, NewEvent, new_id, repeatable_id
from planaria.cortex.event_type import EventMismatch, EventType
from planaria.cortex.folded import Folded

SESSION = "work"
"""The stream of all jobs."""
MOST_CUT_OFF = 10
"""Attempts in a row that may be cut off by a crash before the job is taken for its cause."""
MOST_ERRORS = 20
"""Errors of a job that are remembered, the latest."""
LONGEST_ERROR = 1000
"""Characters of an error that are kept."""


class Retry(msgspec.Struct, frozen=True, omit_defaults=True):
    """How often something is tried, and how long it rests in between.

    Args:
        attempts: at most this many, at least 1.
        first: seconds before the second attempt; each further rest is `factor` times as long, up to `longest`.
        jitter: the part of a rest that is left to chance, from 0 to 1, so that many do not come back at once.
    """

    attempts: int = 5
    first: float = 2.0
    factor: float = 4.0
    longest: float = 3600.0
    jitter: float = 0.1

    def rest(self, failures: int, seed: str) -> float:
        """Seconds to rest after so many failures. Chance comes from the seed: the same one gives the same rest."""
        exponent = min(failures - 1, 64)
        rest = min(self.longest, self.first * self.factor**exponent)
        digest = hashlib.sha256(f"{seed}/{failures}".encode()).digest()
        chance = int.from_bytes(digest[:4]) / 2**32
        return rest * (1 + self.jitter * (2 * chance - 1))


class WorkSubmitted(EventType, frozen=True, omit_defaults=True):
    """Something is to be done. Accepted: it will end, whatever is killed meanwhile.

    Attributes:
        work: what, by the name of who does it: `room.say`.
        payload: for whoever does it.
        at: unix seconds, not before; 0.0: at once.
        label: for people.
        by: who wants it, `agent:scout`.
        origin: the first job of which this is a repeat, if a dead letter was replayed.
        given_up: how often the same has been given up before.
    """

    kind = "work.submitted"

    work: str
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    at: float = 0.0
    retry: Retry | None = None
    label: str = ""
    by: str = ""
    room: str = ""
    origin: str = ""
    given_up: int = 0


class WorkStarted(EventType, frozen=True):
    """An attempt begins, in the process of the event. Caused by the job."""

    kind = "work.started"

    attempt: int


class WorkFailed(EventType, frozen=True, omit_defaults=True):
    """An attempt has failed; the next is at `at` (unix seconds). `cut_off`: its process was killed."""

    kind = "work.failed"

    attempt: int
    error: str
    at: float
    cut_off: bool = False


class WorkFinished(EventType, frozen=True, omit_defaults=True):
    """The job is done."""

    kind = "work.finished"

    attempt: int
    result: Any = None


class WorkCancelled(EventType, frozen=True, omit_defaults=True):
    """The job is not wanted any more."""

    kind = "work.cancelled"

    by: str = ""
    why: str = ""


class WorkDied(EventType, frozen=True):
    """The job was given up; its letter is in the same append."""

    kind = "work.died"

    attempt: int
    error: str


ENDS = (WorkFinished.kind, WorkCancelled.kind, WorkDied.kind)

type Standing = Literal["planned", "running", "resting"]


class Job(msgspec.Struct, frozen=True):
    """Work that is open.

    Attributes:
        due: unix seconds of the next attempt.
        attempt: attempts begun.
        failures: of them that failed; `cut_off` of them in a row that were killed.
        errors: of the failed ones, oldest first.
        gone: its content was erased, so that nobody can do it.
    """

    id: str
    work: str
    payload: dict[str, Any]
    at: float
    due: float
    retry: Retry
    label: str = ""
    by: str = ""
    room: str = ""
    origin: str = ""
    given_up: int = 0
    trace_id: str = ""
    subject: str = ""
    attempt: int = 0
    failures: int = 0
    cut_off: int = 0
    running: bool = False
    errors: tuple[str, ...] = ()
    gone: bool = False

    @property
    def standing(self) -> Standing:
        """What it does now."""
        return "running" if self.running else "resting" if self.attempt else "planned"

    def event(self, what: EventType) -> NewEvent:
        """An event of this job, with the id that makes it happen once."""
        if what.kind in ENDS:
            event_id = end_id(self.id)
        else:
            event_id = repeatable_id(self.id, what.kind, str(getattr(what, "attempt", 0)))
        return what.new(
            session=SESSION, trace_id=self.trace_id, cause_id=self.id, id=event_id, subject=self.subject
        )


def submission(
    work: str,
    payload: dict[str, Any],
    *,
    key: str = "",
    at: float = 0.0,
    retry: Retry | None = None,
    label: str = "",
    by: str = "",
    room: str = "",
    origin: str = "",
    given_up: int = 0,
    trace_id: str = "",
    cause_id: str | None = None,
    subject: str = "",
) -> NewEvent:
    """The event that submits a job; its id is the job's. Append it together with what it follows from.

    Args:
        key: makes it one job, however often it is submitted.
    """
    submitted = WorkSubmitted(work, payload, at, retry, label, by, room, origin, given_up)
    job = job_id(key) if key else new_id()
    return submitted.new(session=SESSION, trace_id=trace_id, cause_id=cause_id, id=job, subject=subject)


def job_id(key: str) -> str:
    """The id of the job with this key."""
    return repeatable_id(SESSION, key)


def end_id(job: str) -> str:
    """The id of the end of a job."""
    return repeatable_id(SESSION, job, "end")


class Plan(Folded):
    """All open jobs, folded."""

    jobs: dict[str, Job] = msgspec.field(default_factory=dict)
    done: int = 0
    died: int = 0

    def apply(self, event: Event) -> None:
        """See `Folded`. What is erased or pruned is told by its kind and its cause."""
        if event.kind == WorkSubmitted.kind:
            self.jobs[event.id] = _job(event)
            return
        job = self.jobs.get(event.cause_id or "")
        if job is None:
            return
        match event.kind:
            case WorkStarted.kind:
                self.jobs[job.id] = msgspec.structs.replace(job, attempt=job.attempt + 1, running=True)
            case WorkFailed.kind:
                self.jobs[job.id] = _failed(job, event)
            case WorkDied.kind:
                del self.jobs[job.id]
                self.died += 1
            case kind if kind in ENDS:
                del self.jobs[job.id]
                self.done += 1
            case _:
                pass  # of a later program

    def size(self) -> int:
        """See `Folded`."""
        return len(self.jobs)


def _job(event: Event) -> Job:
    try:
        asked = WorkSubmitted.of(event)
    except EventMismatch:
        return Job(event.id, "", {}, event.at, event.at, Retry(), trace_id=event.trace_id, gone=True)
    due = asked.at or event.at
    return Job(
        event.id,
        asked.work,
        asked.payload,
        due,
        due,
        asked.retry or Retry(),
        label=asked.label,
        by=asked.by,
        room=asked.room,
        origin=asked.origin,
        given_up=asked.given_up,
        trace_id=event.trace_id,
        subject=event.subject,
    )


def _failed(job: Job, event: Event) -> Job:
    try:
        failed = WorkFailed.of(event)
    except EventMismatch:
        failed = WorkFailed(
            job.attempt, "(unknown)" if event.state == "whole" else f"({event.state})", event.at
        )
    return msgspec.structs.replace(
        job,
        running=False,
        due=failed.at,
        failures=job.failures + (not failed.cut_off),
        cut_off=job.cut_off + 1 if failed.cut_off else 0,
        errors=(*job.errors, failed.error)[-MOST_ERRORS:],
    )


def ending(job: Job, error: str) -> list[NewEvent]:
    """The end of a job that is given up, and its dead letter."""
    evidence = {
        "work": job.work,
        "payload": job.payload,
        "label": job.label,
        "by": job.by,
        "room": job.room,
        "at": job.at,
        "retry": msgspec.to_builtins(job.retry),
        "errors": [*job.errors, error],
        "job": job.id,
    }
    dead = letter("work", error, target=job.origin or job.id, evidence=evidence, attempt=job.given_up + 1)
    return [
        job.event(WorkDied(job.attempt, error)),
        dead.new(trace_id=job.trace_id, cause_id=job.id, subject=job.subject),
    ]


def after_failure(
    job: Job, error: str, now: float, *, cut_off: bool = False, final: bool = False, waits: bool = False
) -> WorkFailed | WorkDied:
    """What follows from an attempt that failed: another one after a rest, or the end.

    Args:
        cut_off: nothing said that it failed; its process, or the node, was killed.
        final: whoever did it says that another attempt would fail as well.
        waits: it spends its time waiting, so that being cut off says nothing against it.
    """
    failures, cuts = job.failures + (not cut_off), job.cut_off + cut_off
    suspected = cuts >= MOST_CUT_OFF and not waits
    if final or failures >= job.retry.attempts or suspected:
        return WorkDied(job.attempt, error[:LONGEST_ERROR])
    rest = job.retry.rest(max(1, failures), job.id)
    return WorkFailed(job.attempt, error[:LONGEST_ERROR], now + rest, cut_off)
