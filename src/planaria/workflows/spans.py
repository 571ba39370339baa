"""The spans of a run: `workflow.run` as long as one process carries it, `workflow.step` for each step it enters."""

from planaria.cortex.telemetry.span import Span, begin_span
from planaria.otp import is_orderly, reason_text
from planaria.workflows.definition import FAILED
from planaria.workflows.events import Fact, RunFinished, StepFinished, StepStarted
from planaria.workflows.messages import run_name
from planaria.workflows.state import State


class RunSpans:
    """Follows the facts of a run; begun once what the journal knows of it is read."""

    def __init__(self) -> None:
        self._run: Span | None = None
        self._step: Span | None = None
        self._state: State | None = None
        self._trace_id = ""

    def begin(self, state: State, trace_id: str) -> None:
        """The run is taken up, at its start or in the middle of a step."""
        if self._run is not None or state.status != "running":
            return
        self._state, self._trace_id = state, trace_id
        attributes = {"planaria.workflow": state.workflow, "planaria.run": state.run}
        self._run = begin_span("workflow.run", attributes, trace_id=trace_id, key=run_name(state.run))
        if state.current is not None:
            self._enter(state.current.step, state.current.visit)

    def follow(self, fact: Fact) -> None:
        """A fact is in the journal."""
        match fact:
            case StepStarted(step=step, visit=visit):
                self._enter(step, visit)
            case StepFinished(branch=branch, error=error) if self._step is not None:
                self._step.set("planaria.branch", branch)
                if branch == FAILED:
                    self._step.fail(FAILED, error or "")
                self._step.stop()
            case RunFinished(status=status, error=error) if self._run is not None:
                self._run.set("planaria.outcome", status)
                if status == FAILED:
                    self._run.fail(FAILED, error or "")
                self._run.stop()
            case _:
                pass

    def end(self, reason: object) -> None:
        """The process ends; what is not over by then was cut off."""
        for span in (self._step, self._run):
            if span is not None and not span.over:
                span.fail("shutdown" if is_orderly(reason) else "crash", reason_text(reason))

    def _enter(self, step: str, visit: int) -> None:
        assert self._state is not None
        run = run_name(self._state.run)
        attributes = {
            "planaria.workflow": self._state.workflow,
            "planaria.run": self._state.run,
            "planaria.step": step,
        }
        key = f"{run}/{step}/{visit}"
        self._step = begin_span("workflow.step", attributes, trace_id=self._trace_id, key=key, under=run)
