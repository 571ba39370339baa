"""The spans of a session: `turn` as long as one process carries it, `model.call` for each call of a model."""

from collections.abc import Awaitable

from planaria.agents.desk import Desk
from planaria.agents.thinking.streaming import Streaming
from planaria.agents.turn.events import ModelRequested
from planaria.agents.turn.turn import Turn
from planaria.cortex.telemetry.conventions import (
    AGENT,
    CACHED_TOKENS,
    CONVERSATION,
    FINISH_REASONS,
    INPUT_TOKENS,
    OPERATION,
    OUTPUT_TOKENS,
    PROVIDER,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    message_key,
    turn_key,
)
from planaria.cortex.telemetry.signal import Value
from planaria.cortex.telemetry.span import Span, begin_span, span
from planaria.membrane.calls.exchange import Market
from planaria.membrane.provider import ModelResponse

OUTCOME = "planaria.outcome"


def turn_span(desk: Desk, turn: Turn) -> Span:
    """A turn begins, or is taken up by a new process: the same span by its key."""
    about: dict[str, Value] = {
        OPERATION: "invoke_agent",
        AGENT: desk.agent,
        CONVERSATION: desk.session,
        "planaria.room": desk.room,
        "planaria.turn": turn.id,
    }
    message = turn.message
    return begin_span(
        "turn",
        about,
        trace_id=message.trace_id,
        key=turn_key(desk.session, turn.id),
        under=message_key(message.id),
    )


def end_turn(turn: Span) -> None:
    """A turn is over, as its outcome says."""
    outcome = turn.attributes.get(OUTCOME)
    if isinstance(outcome, str) and outcome != "answered":
        turn.fail(outcome)
    turn.stop()


async def in_span(
    desk: Desk,
    turn: Turn,
    asked: ModelRequested,
    models: Market,
    running: Awaitable[ModelResponse],
    stream: Streaming,
) -> ModelResponse:
    """Await a model call inside its span."""
    about: dict[str, Value] = {
        OPERATION: "chat",
        PROVIDER: asked.provider,
        REQUEST_MODEL: asked.model,
        AGENT: desk.agent,
        CONVERSATION: desk.session,
        "planaria.turn": turn.id,
        "planaria.step": asked.step,
        "planaria.attempt": asked.attempt,
    }
    under = turn_key(desk.session, turn.id)
    with span("model.call", about, trace_id=turn.message.trace_id, under=under) as call:
        response = await running
        usage = response.usage
        call.update(
            {
                RESPONSE_MODEL: response.model,
                FINISH_REASONS: (response.finish_reason,),
                INPUT_TOKENS: usage.input_tokens,
                OUTPUT_TOKENS: usage.output_tokens,
                CACHED_TOKENS: usage.cached_tokens,
                "planaria.cost_micro": models.cost_micro(asked.provider, asked.model, usage),
                "planaria.first_ms": round(stream.first * 1000, 3),
            }
        )
    return response
