"""A model call, in a task of its own: what is sent is put together, noted, sent, and the answer noted.

The beginning of a turn and its first request are one append. A call that was cut off is made again with the very same
request, which the journal has, under the same idempotency key: a provider that honours keys charges it once.
"""

from collections.abc import AsyncIterator, Sequence
from functools import reduce

import msgspec

from planaria.agents.brief import Brief, after, ask, gather, on_the_way
from planaria.agents.desk import Desk, Known, append_after
from planaria.agents.events import ModelFailed, ModelResponded
from planaria.agents.request import lean
from planaria.agents.spans import in_span
from planaria.agents.turn import Turn, place_of, take
from planaria.agents.work import Behind
from planaria.cortex.errors import EventRefused
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.event_type import EventType
from planaria.membrane.errors import ProviderError, StreamCut, TimedOut
from planaria.membrane.gate.prepared import Prepared
from planaria.membrane.models.directory import ModelDirectory
from planaria.membrane.provider import ModelResponse, Piece, TextDelta
from planaria.otp import now, sleep
from planaria.rooms.message import Delivery, room_name
from planaria.rooms.room import Room

PIECE = 24
"""Characters of a streamed answer that are sent on together, at least."""


class Thought(msgspec.Struct, frozen=True):
    """A model call is over, well or not; it is in the journal."""

    events: tuple[Event, ...]
    brief: Brief | None
    ready: dict[str, Prepared] = {}
    """The tool calls it asked for, by place; their beginning is in the journal, too."""


async def think(
    desk: Desk,
    turn: Turn,
    brief: Brief | None,
    wait: float,
    ahead: Sequence[NewEvent],
    results: Sequence[NewEvent] = (),
    taken: Sequence[Delivery] = (),
) -> Thought | Behind:
    """Make one model call, its text streamed into the room.

    Args:
        brief: of the steps before; None for the first of the turn, and after a restart.
        wait: seconds to wait first.
        ahead: events that are to be written first, some of which may be there already.
        results: the end of the last tool call of the step before, not written yet.
        taken: messages that are taken into the turn before this call.
    """
    if wait:
        await sleep(wait)
    models = await ModelDirectory.models("models")
    state = after(desk, turn, results)
    told = on_the_way(desk, state, taken)
    state = after(desk, state, told)
    notes = _Notes(desk, turn, ahead, (*results, *told))
    attempt = turn.tries + 1
    try:
        try:
            choice = models.resolve(desk.definition.model)
            brief = brief or await gather(desk, state)
            asked, request = ask(desk, state, brief, choice)
            attempt = asked.attempt
            if asked is not turn.asked:
                written = await notes.write(lean(asked, turn.asked), asked.key)
                true = reduce(take, written, turn)
                if true.steps != state.steps:  # the journal masked more of a result than was foreseen
                    asked, request = ask(desk, msgspec.structs.replace(true, open=False), brief, choice)
                    attempt = asked.attempt
                    await notes.write(lean(asked, true.asked), asked.key)
            streaming = _stream(desk, turn, brief, choice.provider.stream(request))
            response, first, whole = await in_span(desk, turn, asked, models, streaming)
        except ProviderError as error:
            await notes.fail(
                ModelFailed(
                    turn=turn.id,
                    step=len(turn.steps),
                    error=str(error),
                    retry=error.retry,
                    retry_after=error.retry_after,
                    attempt=attempt,
                    unknown=isinstance(error, StreamCut | TimedOut),
                )
            )
            return Thought(tuple(notes.events), brief)
        desk.drafts.measure(request, response.usage)
        answer = ModelResponded(
            turn=turn.id,
            step=asked.step,
            text=response.text,
            usage=response.usage,
            finish_reason=response.finish_reason,
            model=response.model,
            provider=response.provider,
            reasoning=response.reasoning,
            tool_calls=response.tool_calls,
            cost_micro=models.cost_micro(choice.provider.name, choice.model, response.usage),
            first_ms=round(first * 1000, 3),
            duration_ms=round(whole * 1000, 3),
            attempt=asked.attempt,
        )
        ready = {
            place: desk.gate.prepare(
                call.name, call.arguments, desk.context(turn, place), desk.definition.tools
            )
            for n, call in enumerate(response.tool_calls[: desk.definition.parallel])
            if state.last is None and (place := place_of(turn, asked.step, n))
        }
        try:
            begun = [event for prepared in ready.values() for event in prepared.events]
            await notes.write(answer, asked.key, begun)
        except EventRefused as error:
            # Asking again would cost again and end the same.
            text = f"the model's answer cannot be written down: {error.reason}"
            await notes.fail(ModelFailed(turn.id, asked.step, text, retry=False, attempt=asked.attempt))
            ready = {}
    except Known:
        return Behind()
    return Thought(tuple(notes.events), brief, ready)


class _Notes:
    """What one call has written; the first append also has what was to go before it."""

    def __init__(
        self, desk: Desk, turn: Turn, ahead: Sequence[NewEvent], results: Sequence[NewEvent]
    ) -> None:
        self.events: list[Event] = []
        self._desk = desk
        self._turn = turn
        self._ahead: Sequence[NewEvent] = ahead
        self._first = [*results] if turn.begun else [desk.started(turn, len(turn.steps)), *results]

    async def write(self, payload: EventType, place: str, more: Sequence[NewEvent] = ()) -> list[Event]:
        """Write one event and more behind it; its place in the turn makes its id. Answers all that was written."""
        events = [*self._first, self._desk.event(self._turn, payload, place), *more]
        written = await append_after(self._ahead, events)
        self._ahead, self._first = (), []
        self.events += written
        return written

    async def fail(self, problem: ModelFailed) -> None:
        """Write that the call has failed. One try may fail several times, if nobody knew how it ended."""
        place = f"{problem.turn}/{problem.step}/{problem.attempt}/{self._turn.failures}"
        await self.write(problem, place)


async def _stream(
    desk: Desk, turn: Turn, brief: Brief, pieces: AsyncIterator[Piece]
) -> tuple[ModelResponse, float, float]:
    """Hand the answer on to the room while it is written; the whole, seconds to its first piece and to its last."""
    begun = now()
    first = 0.0
    sent = False
    # What it says after its tools, or once more after a failure or a kill, begins a new paragraph.
    held = "\n\n" if turn.steps or turn.failures or brief.resumed else ""
    response: ModelResponse | None = None
    flow = desk.flow()
    async for piece in pieces:
        first = first or now() - begun
        if isinstance(piece, ModelResponse):
            response = piece
        elif isinstance(piece, TextDelta):
            held += flow.take(piece.text)
            # The first words go at once, to be seen; later ones in handfuls.
            if len(held) >= PIECE or (held.strip() and not sent):
                Room.delta(room_name(desk.room), desk.agent, turn.message.id, held)
                held = ""
                sent = True
    held += flow.rest()
    if held.strip():
        Room.delta(room_name(desk.room), desk.agent, turn.message.id, held)
    if response is None:
        raise ProviderError("the provider ended its stream without an answer", retry=True)
    return response, first, now() - begun
