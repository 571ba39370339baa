"""Work that is done later, or again until it is done: a durable queue of jobs, and so of timers.

Started by the node as `child(Work, handlers, name="work")`, after all that its handlers use.

    id = await Work.submit("work", "room.say", {"room": "garden", ...}, key=call_id, at=wall_time() + 3600)

A job is accepted when it is in the journal; `submission(...)` gives its event, to append together with what it follows
from, also while this process is away. When it is due its handler is run in a task. A handler that returns has done it;
one that raises has failed, and is tried again after a rest that survives restarts; after its last attempt, or on
`GiveUp`, the job becomes a dead letter. An attempt whose process or node was killed is made again: a handler keys what
it does by `job.id`, so that doing it twice is doing it once.

A job that is far away is an entry in memory, no task and no timer: there is one timer, for the nearest, and it goes
off once a minute at least, so that a machine that slept, or a clock that was set, is noticed. A job is not begun
before its time by the wall clock; a rest between attempts is measured by the steady one, so a wall clock that goes
back does not lengthen it.
Emits in the journal, session `work`: see `job.py`. `Job` on the topic `work` when one changes, `JobOver` when it ends.
Does badly: 100 000 open jobs at most, 64 kB each; a payload is kept in memory until its job is over.
"""

import heapq
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar

import msgspec

from planaria.cortex.durable.job import (
    SESSION,
    Job,
    Plan,
    Retry,
    WorkCancelled,
    WorkDied,
    WorkFinished,
    WorkStarted,
    after_failure,
    ending,
    submission,
)
from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.folded import save
from planaria.cortex.journal import Journal
from planaria.cortex.patience import patiently
from planaria.cortex.telemetry.signal import Value
from planaria.cortex.telemetry.span import span
from planaria.otp import (
    CallError,
    Down,
    GenServer,
    Server,
    Task,
    TaskDone,
    TaskRef,
    TimerRef,
    broadcast,
    call,
    cancel_timer,
    now,
    reason_text,
    send_after,
    set_trace,
    sleep,
    subscribe,
    wall_time,
)

SNAPSHOT = "plan"
MOST_OPEN = 100_000
"""Jobs that may be open."""
LARGEST_PAYLOAD = 64 * 1024
"""Bytes of JSON."""
LONGEST_SLEEP = 60.0
"""Seconds until the clocks are looked at again."""
CLOCK_WAS_SET = 0.5
"""Seconds by which the wall clock may part from the steady one before all is planned anew."""
LONGEST_START = 10.0
"""Seconds the queue may be away before a job is not taken."""
START_LOOK = 0.1
"""Seconds between two looks for it."""
CUT_OFF = "cut off: its process, or the node, ended while it ran"


class WorkRefused(ValueError):
    """A job cannot be accepted as it is; the text says why."""


class GiveUp(Exception):
    """Raised by a handler: trying again would fail as well. The text becomes the reason of the dead letter."""


class Handler(msgspec.Struct, frozen=True):
    """Who does one kind of work.

    Args:
        run: does it, in a task of its own; what it returns is noted as the result (JSON, short). Run twice with the
            same `job.id` it has to have the effect of once.
        within: seconds one attempt may take; None for what waits, for people or for a long call.
        at_once: attempts at one time; more wait, and keep no other kind from running.
    """

    run: Callable[[Job], Awaitable[object]]
    within: float | None = 120.0
    at_once: int = 16


class JobOver(msgspec.Struct, frozen=True):
    """On the topic `work`: a job has ended, by an event of this kind."""

    id: str
    how: str


class _Tick(msgspec.Struct, frozen=True):
    """To itself: look what is due."""


class _TimeUp(msgspec.Struct, frozen=True):
    """To itself: this attempt has taken as long as it may."""

    job: str
    attempt: int


class _Attempt(msgspec.Struct):
    """An attempt under way, or the writing down of how one ended."""

    ref: TaskRef
    job: str
    work: str
    attempt: int


class _Failed(msgspec.Struct, frozen=True):
    """How an attempt ended that did not do it: another one may, unless it is final."""

    error: str
    final: bool = False
    outage: bool = False


class Work(GenServer):
    """The queue. `submit` and `cancel` are for callers, in their own process."""

    trap_exit: ClassVar[bool] = True

    async def init(self, handlers: Mapping[str, Handler]) -> None:
        """Read what is to be done.

        Args:
            handlers: who does each kind of work.
        """
        subscribe(f"journal:{SESSION}")
        self.handlers = dict(handlers)
        self.attempts: dict[str, _Attempt] = {}  # by job
        self.busy: Counter[str] = Counter()
        self.held: dict[str, deque[str]] = {}  # due, while as many of its kind as may be are under way
        self.heap: list[tuple[float, str]] = []  # steady time of the next look at a job
        self.looks: dict[str, float] = {}
        self.timer: TimerRef | None = None
        self.offset = wall_time() - now()
        self.plan = await Plan.load(SESSION, SNAPSHOT)
        for job in self.plan.jobs.values():
            self._schedule(job)
        self._look()

    # --- for callers ---------------------------------------------------------------------------------------------

    @staticmethod
    async def submit(
        work: Server,
        kind: str,
        payload: dict[str, Any],
        *,
        key: str = "",
        at: float = 0.0,
        retry: Retry | None = None,
        label: str = "",
        by: str = "",
        room: str = "",
        trace_id: str = "",
        cause_id: str | None = None,
        subject: str = "",
    ) -> str:
        """Have something done; the job's id. It is accepted, and survives anything, when this returns.

        Waits up to 10 seconds for a queue that is just being started, as it is the last to be.

        Args:
            kind: who does it: a key of the handlers.
            payload: at most 64 kB of JSON.
            key: makes it one job, however often it is submitted.
            at: unix seconds, not before; 0.0: at once.
            retry: how often it is tried; by default 5 times within three minutes.
            label: for people, in lists: `remind ada of the tea`.
            by: who wants it, `agent:scout`.
        Raises:
            WorkRefused: nobody does this, too much is planned, or the payload is too large.
            JournalUnavailable, CallError: it is not certain that it was accepted; submit it again with its key.
        """
        if problem := await _refusal(work, kind):
            raise WorkRefused(problem)
        event = submission(
            kind,
            payload,
            key=key,
            at=at,
            retry=retry,
            label=label,
            by=by,
            room=room,
            trace_id=trace_id,
            cause_id=cause_id,
            subject=subject,
        )
        if problem := fault(event, retry):
            raise WorkRefused(problem)
        try:
            await Journal.append("journal", [event])
        except EventRefused as error:
            if error.duplicate_of != event.id:
                raise WorkRefused(f"this cannot be written down: {error.reason}") from error
        return event.id

    @staticmethod
    async def cancel(work: Server, id: str, *, by: str = "", why: str = "") -> bool:
        """End a job: an attempt under way is killed. False if it is over already, or never was.

        Raises:
            JournalUnavailable, CallError: it is not certain that it was cancelled; do it again.
        """
        job = await Work.find(work, id)
        if job is None:
            return False
        try:
            await Journal.append("journal", [job.event(WorkCancelled(by, why))])
        except EventRefused as error:
            if error.duplicate_of is None:
                raise
            return False
        return True

    # --- calls ---------------------------------------------------------------------------------------------------

    @call
    def find(self, id: str) -> Job | None:
        """An open job."""
        return self.plan.jobs.get(id)

    @call
    def jobs(
        self, room: str | None = None, by: str | None = None, kinds: tuple[str, ...] = (), limit: int = 1000
    ) -> tuple[Job, ...]:
        """The open jobs, the next first."""
        found = [
            job
            for job in self.plan.jobs.values()
            if (room is None or job.room == room)
            and (by is None or job.by == by)
            and (not kinds or job.work in kinds)
        ]
        return tuple(heapq.nsmallest(max(0, limit), found, key=lambda job: (job.due, job.id)))

    @call
    def refusal(self, kind: str) -> str:
        """Why no job of this kind can be accepted now; empty if one can."""
        if kind not in self.handlers:
            near = get_close_matches(kind, self.handlers, n=1, cutoff=0.5)
            mend = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(self.handlers))}"
            return f"nobody here does {kind!r}; {mend}"
        if len(self.plan.jobs) >= MOST_OPEN:
            return f"{MOST_OPEN} jobs are planned already; cancel some first"
        return ""

    # --- what happens --------------------------------------------------------------------------------------------

    def handle_info(self, message: Any) -> None:
        match message:
            case Event():
                self._happened(message)
            case TaskDone(ref=ref, value=value):
                self._ended(ref, value)
            case Down(ref=ref, reason=reason):
                self._ended(ref, _why(reason))
            case _TimeUp(job=id, attempt=attempt):
                self._time_up(id, attempt)
            case _Tick():
                self._look()
            case _:
                pass  # the exit of a task that has said how it went

    def _happened(self, event: Event) -> None:
        if not self.plan.take(event):
            return
        job = self.plan.jobs.get(event.id) or self.plan.jobs.get(event.cause_id or "")
        if job is not None:
            if event.id == job.id:
                self._schedule(job)
                self._look()
            broadcast(SESSION, job)
        elif event.cause_id is not None:
            self.looks.pop(event.cause_id, None)
            under_way = self.attempts.get(event.cause_id)
            if under_way is not None and event.kind == WorkCancelled.kind:
                under_way.ref.cancel()
                self._forget(under_way)
                self._look()
            broadcast(SESSION, JobOver(event.cause_id, event.kind))
        if self.plan.is_due():
            Task.start_link(save, self.plan.saved(SESSION, SNAPSHOT), label="work snapshot")

    def _ended(self, ref: object, value: object) -> None:
        """A task is over: the job has ended, or what the attempt came to is still to be written down."""
        attempt = next((each for each in self.attempts.values() if each.ref is ref), None)
        if attempt is None:
            return
        self._forget(attempt)
        job = self.plan.jobs.get(attempt.job)
        if job is None:
            pass
        elif job.running:
            self._note(job, value if isinstance(value, _Failed) else _Failed("it ended without a word"))
        else:
            self._schedule(job)
        self._look()

    def _forget(self, attempt: _Attempt) -> None:
        del self.attempts[attempt.job]
        self.busy[attempt.work] -= 1
        held = self.held.get(attempt.work, ())
        while held:
            if (next_one := held.popleft()) in self.plan.jobs:
                self._at(next_one, now())
                break

    def _time_up(self, id: str, number: int) -> None:
        attempt = self.attempts.get(id)
        job = self.plan.jobs.get(id)
        if attempt is None or job is None or attempt.attempt != number or not job.running:
            return
        attempt.ref.cancel()
        self._forget(attempt)
        self._note(job, _Failed(f"no end within {self.handlers[job.work].within:g} seconds"))
        self._look()

    # --- time ----------------------------------------------------------------------------------------------------

    def _schedule(self, job: Job) -> None:
        """Look at a job again when it is due."""
        wait = max(0.0, job.due - wall_time())
        if job.running or job.gone:
            wait = 0.0
        elif job.attempt:
            wait = min(wait, job.retry.longest * (1 + job.retry.jitter))  # the wall clock may have gone back
        self._at(job.id, now() + wait)

    def _at(self, id: str, when: float) -> None:
        self.looks[id] = when
        heapq.heappush(self.heap, (when, id))

    def _look(self) -> None:
        """Begin what is due, and plan the next look."""
        offset = wall_time() - now()
        if abs(offset - self.offset) > CLOCK_WAS_SET:
            self.offset = offset
            for job in self.plan.jobs.values():
                if not job.attempt and job.id not in self.attempts:
                    self._schedule(job)
        while self.heap and self.heap[0][0] <= now():
            when, which = heapq.heappop(self.heap)
            if self.looks.get(which) != when:
                continue  # it was planned anew, or is over
            del self.looks[which]
            due = self.plan.jobs.get(which)
            if due is not None and which not in self.attempts:
                self._due(due)
        wait = min(LONGEST_SLEEP, max(0.0, self.heap[0][0] - now())) if self.heap else LONGEST_SLEEP
        if self.timer is not None:
            cancel_timer(self.timer)
        self.timer = send_after(wait, self.pid, _Tick())

    def _due(self, job: Job) -> None:
        handler = self.handlers.get(job.work)
        if job.running:
            self._note(job, _Failed(CUT_OFF, outage=True))
        elif job.gone:
            self._begin(job, _write, [job.event(WorkCancelled(why="its content was erased"))])
        elif handler is None:
            self._begin(job, _write, ending(job, f"nobody here does {job.work!r}"))
        elif not job.attempt and job.due > wall_time():
            self._schedule(job)  # by the wall clock it is too early
        elif self.busy[job.work] >= handler.at_once:
            self.held.setdefault(job.work, deque()).append(job.id)
        else:
            self._begin(job, _attempt, job, handler)
            if handler.within is not None:
                send_after(handler.within, self.pid, _TimeUp(job.id, job.attempt + 1))

    def _note(self, job: Job, failed: _Failed) -> None:
        handler = self.handlers.get(job.work)
        after = after_failure(
            job,
            failed.error,
            wall_time(),
            cut_off=failed.outage,
            final=failed.final,
            waits=handler is not None and handler.within is None,
        )
        events = ending(job, after.error) if isinstance(after, WorkDied) else [job.event(after)]
        self._begin(job, _write, events)

    def _begin(self, job: Job, what: Callable[..., Awaitable[object]], *args: Any) -> None:
        set_trace(job.trace_id or None)
        ref = Task.start_link(what, *args, label=f"work {job.work}")
        self.attempts[job.id] = _Attempt(ref, job.id, job.work, job.attempt + 1)
        self.busy[job.work] += 1


async def _refusal(work: Server, kind: str) -> str:
    """What `Work.refusal` answers; asked again while the queue is being started."""
    until = now() + LONGEST_START
    while True:
        try:
            return await Work.refusal(work, kind)
        except CallError:
            if now() >= until:
                raise
        await sleep(START_LOOK)


async def _attempt(job: Job, handler: Handler) -> _Failed | None:
    """One attempt, in a task: its beginning, the work, its end."""
    number = job.attempt + 1
    if not await _write([job.event(WorkStarted(number))]):
        return _Failed(CUT_OFF, outage=True)  # begun by an earlier process of this queue
    about: dict[str, Value] = {"planaria.work": job.work, "planaria.attempt": number}
    with span("work.attempt", about, trace_id=job.trace_id, key=f"work:{job.id}"):
        try:
            result = await handler.run(msgspec.structs.replace(job, attempt=number))
        except GiveUp as error:
            return _Failed(str(error), final=True)
        except JournalUnavailable as error:
            return _Failed(str(error), outage=error.retry)
        except CallError as error:
            return _Failed(str(error))
    try:
        await _write([job.event(WorkFinished(number, result))])
    except EventRefused as error:
        return _Failed(f"it was done, but its result cannot be written down: {error.reason}", final=True)
    return None


async def _write(events: list[NewEvent]) -> bool:
    """Write events together; waits while the journal is away. False if the first is there already."""
    try:
        await patiently(lambda: Journal.append("journal", events))
    except EventRefused as error:
        if error.duplicate_of is None:
            raise
        return False
    return True


def _why(reason: object) -> _Failed:
    """What the end of a task says about its attempt."""
    return _Failed(reason_text(reason), outage=reason in ("kill", "killed"))


def fault(event: NewEvent, retry: Retry | None) -> str:
    """Why a job cannot be accepted as it is; empty if it can."""
    try:
        size = len(msgspec.json.encode(event.payload))
    except (TypeError, ValueError, RecursionError) as error:
        return f"its payload cannot be said in JSON: {error}"
    if size > LARGEST_PAYLOAD:
        return f"its payload has {size} bytes, at most {LARGEST_PAYLOAD} are allowed; put it into a note"
    if retry is not None and (
        retry.attempts < 1
        or retry.first < 0
        or retry.factor < 1
        or retry.longest < 0
        or not 0 <= retry.jitter <= 1
    ):
        return "a retry has at least 1 attempt, rests that do not shrink, and a jitter from 0 to 1"
    return ""
