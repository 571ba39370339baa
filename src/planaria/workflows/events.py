"""What workflows write into the journal: one class for each kind of event.

The facts of one run are in its stream, `run:<id>`, in the order in which they count; what is about workflows and not
about one run is in the stream `workflows`.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from planaria.cortex.event import Event
from planaria.cortex.event_type import EventType

SESSION = "workflows"
"""The stream of what is about workflows and not about one run."""

type RunStatus = Literal["running", "done", "failed", "cancelled"]
type Items = tuple[Any, ...]


class Fact(EventType, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened in a run; `at` is Unix seconds. A field that has its default is left out."""

    at: float


class RunStarted(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Accepted: from now on the run will end, whatever dies. Holds the definition it goes on with.

    `slot` is the time a schedule asked for, in Unix seconds; no two runs of a workflow have the same one.
    """

    kind: ClassVar[str] = "workflow.run.started"
    run: str
    workflow: str
    hash: str
    definition: dict[str, Any]
    trigger: str
    arguments: dict[str, Any]
    slot: float | None = None


class RunResumed(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A new process took the run up after the one before it died in the middle of a step."""

    kind: ClassVar[str] = "workflow.run.resumed"
    run: str
    step: str


class StepStarted(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A step was entered for the `visit`th time; `items` is the list of a step with `each`."""

    kind: ClassVar[str] = "workflow.step.started"
    step: str
    visit: int
    items: Items | None = None


class StepRetried(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A call failed and is made again at `due`; `attempt` is the number of the one that failed.

    `tool`: a breaker holds the step's tool back, so from now on the call is made with this one.
    """

    kind: ClassVar[str] = "workflow.step.retried"
    step: str
    visit: int
    index: int | None
    attempt: int
    error: str
    due: float
    tool: str = ""


class ItemFinished(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """One element of a step with `each` is done."""

    kind: ClassVar[str] = "workflow.item.finished"
    step: str
    visit: int
    index: int
    branch: str
    value: Any = None
    text: str | None = None
    error: str | None = None
    attempt: int = 1


class StepFinished(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A step took a branch, which leads to `target`. With `each`, `value` holds one value per element."""

    kind: ClassVar[str] = "workflow.step.finished"
    step: str
    visit: int
    branch: str
    target: str | None
    value: Any = None
    text: str | None = None
    error: str | None = None
    attempt: int = 1
    branches: tuple[str, ...] | None = None


class RunFinished(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The run is over; `path` are the steps in the order they were entered.

    `halted`: a breaker holds back what it cannot do without; a dead letter is in the same append.
    """

    kind: ClassVar[str] = "workflow.run.finished"
    run: str
    workflow: str
    status: RunStatus
    path: tuple[str, ...] = ()
    error: str | None = None
    halted: bool = False


class ScheduleSet(EventType, frozen=True):
    """A workflow's schedule is new or was changed; it counts from `at` (Unix seconds)."""

    kind: ClassVar[str] = "workflow.schedule.set"
    workflow: str
    cron: str
    zone: str
    at: float


class SlotSkipped(EventType, frozen=True):
    """A slot of a schedule (Unix seconds) came while the run before it went on."""

    kind: ClassVar[str] = "workflow.slot.skipped"
    workflow: str
    slot: float


class Checkpoint(EventType, frozen=True):
    """How all runs stand after the event `upto`, so that a boot reads no more than what follows; see `ledger.py`."""

    kind: ClassVar[str] = "workflow.checkpoint"
    upto: int
    active: dict[str, Any]
    recent: dict[str, Any]
    last: dict[str, Any]
    slots: dict[str, float]
    standing: dict[str, Any]

    @classmethod
    def moved(cls, payload: dict[str, Any], place: Callable[[int], int]) -> dict[str, Any]:
        """See `EventType.moved`. Among other events it says nothing: all are to be read."""
        upto = payload.get("upto")
        return payload if not isinstance(upto, int) or place(upto) == upto else {**payload, "upto": 0}


FACTS: dict[str, type[Fact]] = {
    fact.kind: fact
    for fact in (RunStarted, RunResumed, StepStarted, StepRetried, ItemFinished, StepFinished, RunFinished)
}


def read_fact(event: Event) -> Fact | None:
    """A fact from the journal; None for an event that says nothing about the state (such as `tool.started`).

    Raises:
        EventMismatch: it was erased or pruned, or a later program wrote it.
    """
    fact = FACTS.get(event.kind)
    return None if fact is None else fact.of(event)
