"""A model call, in a task of its own: whom to ask is found, what is sent is put together, noted and sent, so its end.

One task makes one attempt. What it came to is an event, and the fold of the turn's events decides whether there is
another: at the next model, or at the same one after a rest (`membrane/calls/treatment.py`).
The beginning of a turn and its first request are one append. A call that was cut off is made again with the very same
request, which the journal has, under the same idempotency key: a provider that honours keys charges it once.
"""

from collections.abc import Sequence
from functools import reduce

import msgspec

from planaria.agents.desk import Desk, Known, append
from planaria.agents.prompt.request import lean
from planaria.agents.thinking.attempt import (
    Queueing,
    after_failure,
    broken_off,
    chosen,
    cut_off,
    failure,
    permits_of,
    wish_of,
)
from planaria.agents.thinking.brief import Brief, after, ask, gather, on_the_way
from planaria.agents.thinking.meter import Meter
from planaria.agents.thinking.outcome import checked
from planaria.agents.thinking.pressure import Pressed, pressure, window_of
from planaria.agents.thinking.spans import in_span
from planaria.agents.thinking.stand_in import prepare
from planaria.agents.thinking.streaming import RESUMED, Streaming
from planaria.agents.thinking.work import Behind
from planaria.agents.turn.events import ModelFailed, ModelResponded
from planaria.agents.turn.turn import Turn, place_of, take
from planaria.cortex.errors import EventRefused
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.event_type import EventType
from planaria.immune.guards.loops import Finding
from planaria.membrane.calls.exchange import Caller, Exchange
from planaria.membrane.calls.treatment import Verdict
from planaria.membrane.errors import ProviderError
from planaria.membrane.gate.prepared import Prepared
from planaria.membrane.models.directory import ModelDirectory
from planaria.otp import sleep
from planaria.rooms.message import Delivery


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
    results: Sequence[NewEvent] = (),
    taken: Sequence[Delivery] = (),
) -> Thought | Behind | Pressed | Finding:
    """Make one attempt at a model call, its text streamed into the room.

    Args:
        brief: of the steps before; None for the first of the turn, and after a restart.
        wait: seconds to wait first.
        results: the end of the last tool call of the step before, not written yet.
        taken: messages that are taken into the turn before this call.
    """
    if wait:
        await sleep(wait)
    models = await ModelDirectory.models("models")
    state = after(desk, turn, results)
    told = on_the_way(desk, state, taken)
    state = after(desk, state, told)
    notes = _Notes(desk, turn, (*results, *told))
    exchange = Exchange(models, permits_of(desk))
    window = window_of(desk, exchange, state.course.excluded)
    brief = brief or await gather(desk, state, window)
    if brief.circle is not None:
        return brief.circle
    wish = wish_of(desk, state, brief)
    # Where there is no step to hand on, nothing would be gained.
    if len(state.steps) > state.course.since and (pressed := pressure(desk, wish, window)) is not None:
        return pressed
    queueing = Queueing(desk, turn, bool(wait))
    try:
        try:
            caller = Caller(desk.session, turn.id)
            seat = await exchange.seat(wish, caller, turn.tried, cut_off(turn), queueing.tell)
        except ProviderError as error:
            # Nothing was sent, and every way was gone already.
            await notes.fail(failure(turn, error, Verdict("stop"), turn.tries + 1))
            return Thought(tuple(notes.events), brief)
        try:
            queueing.over()
            asked, request = ask(desk, state, brief, seat.choice)
            if asked is not turn.asked:
                asked = chosen(asked, seat)
                written = await notes.write(lean(asked, turn.asked), asked.key)
                # With a result among what was written: the journal may have masked more of it than was foreseen.
                true = reduce(take, written, turn) if results else state
                if true.steps != state.steps:
                    asked, request = ask(desk, msgspec.structs.replace(true, open=False), brief, seat.choice)
                    await notes.write(lean(asked, true.asked), asked.key)
            again = RESUMED if brief.resumed and not turn.steps and not turn.failures else ""
            meter = Meter(asked, request, desk.drafts, exchange.models, seat)
            stream = Streaming(desk, turn, asked.step, again, meter)
            try:
                running = stream.run(seat.choice.provider, seat.patient(request))
                response = await in_span(desk, turn, asked, exchange.models, running, stream)
            except ProviderError as error:
                cost = (
                    None
                    if error.usage is None
                    else exchange.models.cost_micro(asked.provider, asked.model, error.usage)
                )
                seat.end(error, error.usage, cost)
                then = after_failure(turn, seat, error, asked.attempt)
                stream.broken(broken_off(seat, error, then))
                await notes.fail(failure(turn, error, then, asked.attempt, seat, stream, cost))
                seat.settle()
                return Thought(tuple(notes.events), brief)
            cost = exchange.models.cost_micro(asked.provider, asked.model, response.usage)
            seat.end(None, response.usage, cost)
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
                cost_micro=cost,
                first_ms=round(stream.first * 1000, 3),
                duration_ms=round(stream.whole * 1000, 3),
                attempt=asked.attempt,
            )
            most = desk.definition.guards.calls_per_step
            crowd = bool(most) and len(response.tool_calls) > most  # of which none is to be begun
            ready = {
                place: prepare(desk, call, desk.context(turn, place), desk.authority_in(state))
                for n, call in enumerate(response.tool_calls[: desk.definition.parallel])
                if state.last is None and not crowd and (place := place_of(turn, asked.step, n))
            }
            try:
                begun = [event for prepared in ready.values() for event in prepared.events]
                await notes.write(answer, asked.key, [*begun, *checked(desk, turn, response)])
            except EventRefused as error:
                # Asking again would cost again and end the same.
                text = f"the model's answer cannot be written down: {error.reason}"
                await notes.fail(
                    ModelFailed(
                        *(turn.id, asked.step, text),
                        retry=False,
                        attempt=asked.attempt,
                        fault="unwritable",
                        provider=response.provider,
                        model=response.model,
                        then="stop",
                        usage=response.usage,
                        cost_micro=cost,
                    )
                )
                ready = {}
            seat.settle()
        finally:
            seat.close()
    except Known:
        return Behind()
    return Thought(tuple(notes.events), brief, ready)


class _Notes:
    """What one call has written; the first append also has what was to go before it."""

    def __init__(self, desk: Desk, turn: Turn, results: Sequence[NewEvent]) -> None:
        self.events: list[Event] = []
        self._desk = desk
        self._turn = turn
        self._first = [*results] if turn.begun else [desk.started(turn, len(turn.steps)), *results]

    async def write(self, payload: EventType, place: str, more: Sequence[NewEvent] = ()) -> list[Event]:
        """Write one event and more behind it; its place in the turn makes its id. Answers all that was written."""
        events = [*self._first, self._desk.event(self._turn, payload, place), *more]
        written = await append(events)
        self._first = []
        self.events += written
        return written

    async def fail(self, problem: ModelFailed) -> None:
        """Write that the call has failed. One try may fail several times, if nobody knew how it ended."""
        place = f"{problem.turn}/{problem.step}/{problem.attempt}/{self._turn.failures}"
        await self.write(problem, place)
