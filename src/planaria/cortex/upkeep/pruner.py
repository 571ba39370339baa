"""Applies retention: once a day while the node runs, and by hand (`planaria journal prune`).

Started by the node as `child(Pruner, policy, name="pruner")`, after the journal. Works in small steps with a rest after
each, so a commit waits for one step at most. Where it was interrupted it begins anew the next time: what is done is
done. Emits `journal.pruned` in the journal, session `node`, if anything went.
Does badly: each run looks at every event that is old enough and has its payload still.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from planaria.cortex.chronicle_events import SESSION, JournalPruned
from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.journal import Journal
from planaria.cortex.upkeep.retention import Doomed, Looker, Policy
from planaria.otp import (
    CallError,
    Down,
    GenServer,
    Server,
    Task,
    TaskDone,
    TaskRef,
    call,
    send_after,
    sleep,
    wall_time,
)

FIRST = 300.0
"""Seconds after the start of the node."""
EVERY = 86_400.0
"""Seconds between two runs."""
AGAIN = 600.0
"""Seconds until a run that failed is tried again."""
REST = 0.05
"""Seconds between two steps."""


class ClassTotal(msgspec.Struct):
    """What of one class goes, or went: events, bytes of their payloads as kept, and the times of the first and last."""

    events: int = 0
    bytes: int = 0
    first_at: float = 0.0
    last_at: float = 0.0

    def add(self, doomed: Doomed) -> None:
        """Count one more."""
        self.first_at = self.first_at or doomed.at
        self.events, self.bytes, self.last_at = self.events + 1, self.bytes + doomed.size, doomed.at


class Pruned(msgspec.Struct):
    """What a run did, or would do.

    Attributes:
        classes: by class; only those of which anything goes.
        kept: events that are old enough and stay, since something still needs them.
        contents: long texts that nothing referred to any more and were deleted; 0 when only looking.
        freed: bytes by which the store shrank, or can use anew; 0 when only looking.
    """

    classes: dict[str, ClassTotal] = {}
    kept: int = 0
    contents: int = 0
    freed: int = 0

    @property
    def events(self) -> int:
        """How many lose their payload."""
        return sum(total.events for total in self.classes.values())


async def prune(
    journal: Server,
    policy: Policy,
    now: float,
    *,
    dry: bool,
    rest: float = REST,
    progress: Callable[[int], object] | None = None,
) -> Pruned:
    """One run through the journal.

    Args:
        now: unix seconds.
        dry: only look.
        rest: seconds between two steps.
        progress: told after each step how many events go so far.
    Raises:
        JournalUnavailable, CallError: it stopped there; what was done is done.
    """
    looker = Looker(journal, policy, now)
    found = Pruned()
    before = await Journal.size(journal)
    after = 0
    while True:
        step = await looker.step(after)
        if step.doomed and not dry:
            await Journal.strip(journal, [doomed.seq for doomed in step.doomed])
        for doomed in step.doomed:
            found.classes.setdefault(doomed.cls, ClassTotal()).add(doomed)
        found.kept += step.kept
        after = step.after
        if progress is not None:
            progress(found.events)
        if step.over:
            break
        await sleep(rest)
    if found.events and not dry:
        found.contents = await Journal.sweep_contents(journal)
        found.freed = max(0, before - await Journal.size(journal))
        await _note(journal, found)
    return found


async def _note(journal: Server, found: Pruned) -> None:
    classes = {name: total.events for name, total in found.classes.items()}
    pruned = JournalPruned(found.events, found.contents, found.freed, classes)
    try:
        await Journal.append(journal, [pruned.new(session=SESSION)])
    except EventRefused as error:  # a dict of numbers is never refused
        raise AssertionError(str(error)) from error


class Pruner(GenServer):
    """See the module."""

    trap_exit: ClassVar[bool] = True

    def init(self, policy: Policy, journal: Server = "journal") -> None:
        """Plan the first run; with a policy that keeps everything there is none."""
        self.policy = policy
        self.journal = journal
        self.task: TaskRef | None = None
        self.last: Pruned | None = None
        self.trouble = ""
        if policy.ages:
            send_after(FIRST, self.pid, "prune")

    @call
    def last_run(self) -> Pruned | None:
        """What the last run of this process did."""
        return self.last

    def handle_info(self, message: Any) -> None:
        """It is time, or a run is over."""
        match message:
            case "prune" if self.task is None:
                self.task = Task.start_link(_run, self.journal, self.policy, label="prune the journal")
            case TaskDone(ref=ref, value=Pruned() as found) if ref is self.task:
                self.task, self.last = None, found
                send_after(EVERY, self.pid, "prune")
            case TaskDone(ref=ref) | Down(ref=ref) if ref is self.task:
                self.task = None
                send_after(AGAIN, self.pid, "prune")
            case _:
                pass  # the exit of a task that has said how it went


async def _run(journal: Server, policy: Policy) -> Pruned | None:
    """One run; None if the journal is away."""
    try:
        return await prune(journal, policy, wall_time(), dry=False)
    except (JournalUnavailable, CallError):
        return None
