"""A turn: one message handled until the agent rests. What happened so far decides what is next. Pure.

A turn is a fold over its events, so it can be taken up where it stood when its process, or the node, was killed:
model calls that were answered are not made again, tools that finished are not run again.

Kinds, in the session's stream, all in the trace of the message: `turn.started` {message}, `model.requested`
{step, ...}, `model.responded` {step, text, tool_calls, usage, ...}, `model.failed` {step, error, retry, retry_after},
`tool.started` and `tool.finished` (written by the gate, `call_id` = `<turn>/<step>/<n>`), `turn.finished` {outcome}.
"""

from typing import Any

import msgspec

from planaria.cortex.event import Event
from planaria.membrane.provider import ModelResponse, ToolCall, Usage
from planaria.rooms.message import RoomMessage

MAX_FAILURES = 3
"""Times one model call is tried when its provider says that trying again may help."""

STARTED, FINISHED = "turn.started", "turn.finished"
REQUESTED, RESPONDED, FAILED = "model.requested", "model.responded", "model.failed"
KINDS = (RESPONDED, FAILED, "tool.started", "tool.finished", FINISHED)
"""Those a turn is folded from."""
LONGEST_WAIT = 60.0
"""Seconds a provider may ask to wait before the next try; one that asks for more is not tried again."""


class ToolResult(msgspec.Struct, frozen=True):
    """What a tool call came to, as the model reads it."""

    call_id: str
    text: str
    failed: bool = False


class Step(msgspec.Struct, frozen=True):
    """One answer of the model and the results of the tools it called, by place."""

    response: ModelResponse
    results: dict[str, ToolResult] = {}
    begun: frozenset[str] = frozenset()
    """Places of calls that were started; without a result they were cut off."""


class Turn(msgspec.Struct, frozen=True):
    """A turn as far as it has come. Replaced, never changed."""

    message: RoomMessage
    steps: tuple[Step, ...] = ()
    failures: int = 0
    """Failures of the model call in hand, in a row."""
    last_error: str = ""
    may_retry: bool = True
    retry_after: float = 0.0
    """Seconds the provider asked to wait after its last failure."""
    begun: bool = False
    resumed: bool = False
    """Taken up after a kill: people may have seen a piece of an answer that is not going on."""
    finished: bool = False

    @property
    def id(self) -> str:
        """The turn is named after its message."""
        return self.message.id


class Think(msgspec.Struct, frozen=True):
    """Next: call the model; `wait` seconds first, after a failure."""

    step: int
    wait: float = 0.0


class ToolRun(msgspec.Struct, frozen=True):
    """One tool call to make, at its place in the turn. `cut_off`: it was begun before, nobody knows how it ended."""

    place: str
    call: ToolCall
    cut_off: bool = False


class Act(msgspec.Struct, frozen=True):
    """Next: run these tools, all at once."""

    runs: tuple[ToolRun, ...]


class Say(msgspec.Struct, frozen=True):
    """Next: say this in the room; the turn is over then."""

    text: str
    model: str | None
    failed: bool = False


type Action = Think | Act | Say


def place_of(turn: Turn, step: int, number: int) -> str:
    """The name of a tool call, the same whenever the turn is taken up: its effects go by it."""
    return f"{turn.id}/{step}/{number}"


def next_action(turn: Turn, max_steps: int) -> Action:
    """What a turn needs next."""
    if turn.failures and (turn.failures >= MAX_FAILURES or not turn.may_retry):
        return Say(f"I could not answer: {turn.last_error}", None, failed=True)
    if turn.steps:
        number = len(turn.steps) - 1
        step = turn.steps[-1]
        if not step.response.tool_calls:
            return Say(step.response.text.strip() or "(no answer)", model_label(step.response))
        open_runs = tuple(
            ToolRun(place, call, place in step.begun)
            for n, call in enumerate(step.response.tool_calls)
            if (place := place_of(turn, number, n)) not in step.results
        )
        if open_runs:
            return Act(open_runs)
        if len(turn.steps) >= max_steps:
            text = f"I stopped after {max_steps} steps without an answer; `planaria journal tail` shows them."
            return Say(text, None, failed=True)
    wait = 0.0 if not turn.failures else max(2.0 ** (turn.failures - 1), turn.retry_after)
    return Think(len(turn.steps), wait)


def model_label(response: ModelResponse) -> str:
    """Who wrote it, for people: `offline`, or `provider/model`."""
    return (
        response.provider if response.provider == response.model else f"{response.provider}/{response.model}"
    )


def responded(turn: Turn, response: ModelResponse) -> Turn:
    """The model has answered."""
    return msgspec.structs.replace(
        turn, steps=(*turn.steps, Step(response)), failures=0, last_error="", may_retry=True, retry_after=0.0
    )


def failed(turn: Turn, error: str, retry: bool, retry_after: float | None = None) -> Turn:
    """The model call has failed."""
    wait = retry_after or 0.0
    return msgspec.structs.replace(
        turn,
        failures=turn.failures + 1,
        last_error=error,
        may_retry=retry and wait <= LONGEST_WAIT,
        retry_after=wait,
    )


def finished_tool(turn: Turn, place: str, result: ToolResult) -> Turn:
    """A tool has answered."""
    last = turn.steps[-1]
    step = msgspec.structs.replace(last, results={**last.results, place: result})
    return msgspec.structs.replace(turn, steps=(*turn.steps[:-1], step))


def begun_tool(turn: Turn, place: str) -> Turn:
    """A tool was started."""
    last = turn.steps[-1]
    step = msgspec.structs.replace(last, begun=last.begun | {place})
    return msgspec.structs.replace(turn, steps=(*turn.steps[:-1], step))


def take(turn: Turn, event: Event) -> Turn:
    """Take one event of the session in; those of other turns change nothing."""
    payload = event.payload
    if event.kind == RESPONDED and payload.get("turn") == turn.id and payload["step"] == len(turn.steps):
        return responded(turn, response_from(payload))
    if event.kind == FAILED and payload.get("turn") == turn.id and payload["step"] == len(turn.steps):
        return failed(turn, payload["error"], payload["retry"], payload.get("retry_after"))
    if event.kind == FINISHED and payload.get("turn") == turn.id:
        return msgspec.structs.replace(turn, finished=True)
    if event.kind in ("tool.started", "tool.finished"):
        return _take_tool(turn, event.kind, payload)
    return turn


def _take_tool(turn: Turn, kind: str, payload: dict[str, Any]) -> Turn:
    place = str(payload.get("call_id", ""))
    if not turn.steps or not place.startswith(f"{turn.id}/{len(turn.steps) - 1}/"):
        return turn
    if kind == "tool.started":
        return begun_tool(turn, place)
    return finished_tool(turn, place, result_from(turn, place, payload))


def result_from(turn: Turn, place: str, payload: dict[str, Any]) -> ToolResult:
    """A tool's result as the journal has it, in the words the model would have read."""
    call = turn.steps[-1].response.tool_calls[int(place.rpartition("/")[2])]
    outcome = payload.get("outcome")
    if outcome is None:
        return ToolResult(call.id, f"Failed: {payload.get('error') or 'no reason given'}", failed=True)
    text = outcome.get("text")
    if text is None:
        value = outcome.get("value")
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return ToolResult(call.id, text)


def response_payload(turn: Turn, step: int, response: ModelResponse) -> dict[str, Any]:
    """A model's answer for the journal."""
    return {
        "turn": turn.id,
        "step": step,
        "text": response.text,
        "reasoning": response.reasoning,
        "tool_calls": msgspec.to_builtins(response.tool_calls),
        "usage": msgspec.to_builtins(response.usage),
        "finish_reason": response.finish_reason,
        "model": response.model,
        "provider": response.provider,
    }


def response_from(payload: dict[str, Any]) -> ModelResponse:
    """A model's answer from the journal."""
    return ModelResponse(
        text=payload["text"],
        tool_calls=msgspec.convert(payload["tool_calls"], tuple[ToolCall, ...]),
        usage=msgspec.convert(payload["usage"], Usage),
        finish_reason=payload["finish_reason"],
        model=payload["model"],
        provider=payload["provider"],
        reasoning=payload.get("reasoning", ""),
    )
