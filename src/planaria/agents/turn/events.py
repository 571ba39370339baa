"""What sessions write into the journal: one class for each kind of event.

A session's stream is `session:<agent>@<room>`. All events of a turn are in the trace of its message and have the turn
as their cause; the tool calls between them are written by the gate. A turn is named after its message, with `~<n>`
behind it when it is attempt n.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import msgspec

from planaria.agents.turn.estimate import Estimate
from planaria.cortex.event_type import EventType, with_place
from planaria.membrane.provider import ModelResponse, ToolCall, Usage
from planaria.rooms.message import AuthorKind

FORKS = "forks"
"""The stream of `session.forked` and `session.removed`."""


def session_name(agent: str, room: str) -> str:
    """Registered name of a session's process, and its stream in the journal."""
    return f"session:{agent}@{room}"


class TurnStarted(EventType, frozen=True, omit_defaults=True):
    """A message is being handled.

    Attributes:
        message: its id; the text is in the room's stream.
        attempt: 1, or more for a message that was delivered again.
        kept: in the first turn of a branch, how many model answers of the session it branched off it goes on from.
    """

    kind: ClassVar[str] = "turn.started"
    message: str
    author: str
    attempt: int = 1
    kept: int = 0


class Talk(msgspec.Struct, frozen=True, omit_defaults=True):
    """The stretch of a room's transcript that a model was shown, by places.

    Attributes:
        first, last: places in the journal of its first and last message; 0 if nothing was shown.
        left_out: ids of messages between them that were not shown, as they wait for answers of their own.
    """

    first: int = 0
    last: int = 0
    left_out: tuple[str, ...] = ()


class PartSize(msgspec.Struct, frozen=True, array_like=True):
    """One part of a prompt: its name, characters, budget in tokens, and how many characters were cut off.

    Of `talk` the characters are those of the messages shown, and `cut` is 1 if earlier ones are not; of `turn` they are
    those that the results of its tools may have.
    """

    name: str
    characters: int
    budget: int = 0
    cut: int = 0


class ModelRequested(EventType, frozen=True, omit_defaults=True):
    """A model is about to be asked: all that the request is made of, most of it by reference.

    The messages are: `system`; the messages of `talk`; the message in hand; the answers of this turn's earlier steps,
    each with the results of its tools. What is None is the same as in the request before of the same turn.

    Attributes:
        step: which model call of the turn, from 0.
        attempt: which try of this step, from 1. One that was cut off is made again as the same.
        messages: how many were sent.
        digest: of the request, see `agents/prompt/request.py`; empty if an older program wrote this.
        system: the first message's text.
        tools: the tools on offer, a JSON list of their specs.
        why: why this model was chosen, if there was a choice.
        waited_ms: milliseconds in the queue before the provider.
        model, max_tokens, temperature, tool_choice, response_schema: as sent to the provider.
        composition: how messages are made of all this, see `agents/prompt/prompt.py`; 1 in what older programs wrote.
        parts: what `system` consists of, in order, and the budgets of talk and turn.
    """

    kind: ClassVar[str] = "model.requested"
    version: ClassVar[int] = 2
    turn: str
    step: int
    provider: str
    model: str
    attempt: int = 1
    messages: int = 0
    digest: str = ""
    system: str | None = None
    tools: str | None = None
    talk: Talk | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    why: str = ""
    waited_ms: float = 0.0
    tool_choice: str | None = None
    response_schema: dict[str, Any] | None = None
    composition: int = 1
    parts: tuple[PartSize, ...] | None = None

    @classmethod
    def upcast(cls, version: int, payload: dict[str, Any]) -> dict[str, Any]:
        """Version 1 had the names of the tools and counts, so what was sent is not known."""
        return {name: value for name, value in payload.items() if name != "tools"}

    @classmethod
    def moved(cls, payload: dict[str, Any], place: Callable[[int], int]) -> dict[str, Any]:
        """See `EventType.moved`."""
        talk = payload.get("talk")
        if not isinstance(talk, dict):
            return payload
        return {**payload, "talk": with_place(with_place(talk, "first", place), "last", place)}

    @property
    def key(self) -> str:
        """The name of this try in its session, the same whenever it is repeated."""
        return f"{self.turn}/{self.step}/{self.attempt}"


class ModelResponded(EventType, frozen=True, omit_defaults=True):
    """A model has answered.

    Attributes:
        cost_micro: millionths of a US dollar; None if the price is not known.
        first_ms, duration_ms: milliseconds to the first piece and to the last.
    """

    kind: ClassVar[str] = "model.responded"
    turn: str
    step: int
    text: str
    usage: Usage
    finish_reason: str
    model: str
    provider: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    cost_micro: int | None = None
    first_ms: float = 0.0
    duration_ms: float = 0.0
    attempt: int = 1

    @property
    def response(self) -> ModelResponse:
        """The answer as the provider gave it."""
        return ModelResponse(
            text=self.text,
            tool_calls=self.tool_calls,
            usage=self.usage,
            finish_reason=self.finish_reason,
            model=self.model,
            provider=self.provider,
            reasoning=self.reasoning,
        )


class ModelFailed(EventType, frozen=True, omit_defaults=True):
    """A model call has failed.

    Attributes:
        retry: whether the same may work later.
        retry_after: seconds the provider asks to wait; None if it does not say.
        unknown: whether the provider may have answered all the same. Where the same model is asked again, it is the
            same try.
        fault: what kind of error it was, see `membrane/calls/treatment.py`; empty if an older program wrote this.
        provider, model: who failed; empty if nobody was asked.
        then: what is done about it: `other` model asked at once, one asked `again` after `wait` seconds, `stop`; empty
            if an older program wrote this.
        text: what had come of the answer, and was shown; it is no part of the answer.
        usage, cost_micro: what the provider said it charged all the same; None if it told nothing.
        estimate: what the attempt is taken to have cost, where the answer had begun and that was not told whole.
    """

    kind: ClassVar[str] = "model.failed"
    turn: str
    step: int
    error: str
    retry: bool
    retry_after: float | None = None
    attempt: int = 1
    unknown: bool = False
    fault: str = ""
    provider: str = ""
    model: str = ""
    then: Literal["", "other", "again", "stop"] = ""
    wait: float = 0.0
    text: str = ""
    usage: Usage | None = None
    cost_micro: int | None = None
    duration_ms: float = 0.0
    estimate: Estimate | None = None


class ModelDelayed(EventType, frozen=True, omit_defaults=True):
    """Nobody may be asked now: every candidate refused, so the call waits. Written once for each call that does.

    Attributes:
        attempt: that is to be made.
        why: of one of them.
        wait: seconds until all are asked for again.
    """

    kind: ClassVar[str] = "model.delayed"
    turn: str
    step: int
    attempt: int
    why: str
    wait: float = 0.0


class TurnFinished(EventType, frozen=True):
    """A turn is over: `answered`, `failed` (the room was told why), or `erased` (its trace is gone)."""

    kind: ClassVar[str] = "turn.finished"
    turn: str
    outcome: str


class SessionDiverged(EventType, frozen=True):
    """The state a session held is not the one its events make: it has stopped the turn rather than answer from it.

    Attributes:
        held, folded: digests of the two.
        difference: the first place where they part, and what is there in each.
    """

    kind: ClassVar[str] = "session.diverged"
    turn: str
    held: str
    folded: str
    difference: str


class SessionForked(EventType, frozen=True, omit_defaults=True):
    """A session branches off another; in the stream `forks`. The branch begins with a message, said anew in its room.

    Attributes:
        session: the one it branches off.
        turn: the turn of that session in which it does.
        step: number of the step in that session, as `planaria replay` counts: messages and model answers, from 1.
        kept: model answers of the turn that are kept, with the results of their tools; what follows is made anew.
        until_seq: the last event of `session` that is kept.
        room: the room of the branch.
        agent: who sits there.
        author, author_kind, text: the message the branch begins with.
        origin: the room the agent is told it sits in: the one all this began in.
        model: which model answers there; empty for the agent's own.
        edit: what was changed: empty, `message` or `answer`.
        answer: the edited answer in place of the last one kept.
        by: who asked for it.
    """

    kind: ClassVar[str] = "session.forked"
    session: str
    turn: str
    step: int
    room: str
    agent: str
    author: str
    text: str
    author_kind: AuthorKind = "person"
    origin: str = ""
    kept: int = 0
    until_seq: int = 0
    model: str = ""
    edit: str = ""
    answer: ModelResponse | None = None
    by: str = ""

    @classmethod
    def moved(cls, payload: dict[str, Any], place: Callable[[int], int]) -> dict[str, Any]:
        """See `EventType.moved`."""
        return with_place(payload, "until_seq", place)

    @property
    def branch(self) -> str:
        """The stream of the branch."""
        return session_name(self.agent, self.room)


class SessionRemoved(EventType, frozen=True):
    """A branch is no longer run; what was said in it stays. In the stream `forks`."""

    kind: ClassVar[str] = "session.removed"
    room: str
    by: str = ""
