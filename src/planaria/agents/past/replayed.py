"""What a replay shows of a session: its steps, prompts and states, as values that JSON can say."""

from typing import Any, Literal

import msgspec

from planaria.agents.turn.events import SessionForked
from planaria.membrane.provider import Message


class CallView(msgspec.Struct, frozen=True):
    """One tool call: what was asked for, and what came of it; `result` is None if nobody knows."""

    place: str
    tool: str
    arguments: dict[str, Any]
    result: str | None = None
    failed: bool = False
    duration_ms: float = 0.0


class StepView(msgspec.Struct, frozen=True):
    """One step.

    Attributes:
        number: from 1, in the session.
        at: unix seconds; 0 if unknown.
        kept: it was made in the session this one branched off.
        text: the message, or what the model said.
        decided: an answer in a word: `says` something, or `calls` tools.
        input_tokens, output_tokens, cost_micro: attempts that failed included, as far as their providers told; in
            millionths of a US dollar, None if the price is not known.
        failures: attempts that failed, each with who was asked.
        attempt: how often the message had been delivered.
        outcome: of the turn, if it ended after this step: `answered`, `failed`, `erased`.
        prompt: of an answer: `exact` if what was sent can be rebuilt and has the digest it was sent with, `changed` if
            the digest is another, `unknown` if it cannot be rebuilt.
        digest: of the prompt, as written when it was sent.
        problems: why something cannot be shown.
        seq: place of its event in the journal.
    """

    number: int
    kind: Literal["message", "answer"]
    turn: str
    at: float = 0.0
    seq: int = 0
    author: str = ""
    text: str = ""
    reasoning: str = ""
    decided: str = ""
    calls: tuple[CallView, ...] = ()
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro: int | None = None
    duration_ms: float = 0.0
    failures: tuple[str, ...] = ()
    kept: bool = False
    attempt: int = 1
    outcome: str = ""
    prompt: Literal["", "exact", "changed", "unknown"] = ""
    digest: str = ""
    problems: tuple[str, ...] = ()


class Totals(msgspec.Struct, frozen=True):
    """What a session came to, up to the last step shown."""

    turns: int = 0
    steps: int = 0
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro: int = 0
    unpriced: int = 0


class StateView(msgspec.Struct, frozen=True):
    """The state a session holds after a step.

    Attributes:
        turn: the one in hand; empty if none is.
        next: what it would do next: `think`, `act`, `say`, or `rest`.
        digest: of all that is known of the turn.
        value: the turn, as JSON.
    """

    turn: str
    next: str
    digest: str
    value: dict[str, Any]


class ReplayView(msgspec.Struct, frozen=True):
    """A session, replayed."""

    session: str
    agent: str
    room: str
    steps: tuple[StepView, ...]
    total: int
    totals: Totals
    state: StateView | None
    fork: SessionForked | None = None


class PromptView(msgspec.Struct, frozen=True):
    """What one model call was sent.

    Attributes:
        exact: whether the digest of what is shown is the one written when it was sent.
        digest: the one written.
    """

    provider: str
    model: str
    messages: tuple[Message, ...]
    tools: tuple[str, ...]
    max_tokens: int | None
    temperature: float | None
    digest: str
    exact: bool
    problems: tuple[str, ...] = ()


class StepDetail(msgspec.Struct, frozen=True):
    """One step, with its prompt and the state after it."""

    session: str
    step: StepView
    prompt: PromptView | None
    state: StateView


class RunStep(msgspec.Struct, frozen=True):
    """One step of a run, with what its model was sent, if it was asked here."""

    step: StepView
    prompt: PromptView | None = None


class Run(msgspec.Struct, frozen=True):
    """The steps of a session, to be compared with those of another."""

    session: str
    total: int
    totals: Totals
    steps: tuple[RunStep, ...]
    fork: SessionForked | None = None
