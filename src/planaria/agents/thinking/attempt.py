"""One attempt at a model call: what is wanted of a model, and what a failure of it is noted as.

Which failure leads where is decided in `membrane/calls/treatment.py` and written down with the failure, so that a turn
that is taken up again goes the same way.
"""

from typing import Literal

import msgspec

from planaria.agents.desk import Desk, note
from planaria.agents.thinking.brief import Brief
from planaria.agents.thinking.streaming import Streaming
from planaria.agents.turn.estimate import Estimate
from planaria.agents.turn.events import ModelDelayed, ModelFailed, ModelRequested
from planaria.agents.turn.turn import Turn
from planaria.membrane.calls.exchange import Waiting
from planaria.membrane.calls.permits import Permits
from planaria.membrane.calls.seat import Seat
from planaria.membrane.calls.treatment import Tried, Verdict, verdict
from planaria.membrane.errors import ProviderError, StreamCut, TimedOut
from planaria.membrane.models.catalogue import Ability
from planaria.membrane.models.router import Request
from planaria.otp import NoProcess, send, wall_time

NEEDS_TOOLS: frozenset[Ability] = frozenset({"tools"})
NEEDS_NOTHING: frozenset[Ability] = frozenset()


class Doing(msgspec.Struct, frozen=True):
    """To the session: its model call waits, or goes on."""

    turn: str
    status: Literal["thinking", "waiting"]
    text: str


def permits_of(desk: Desk) -> Permits | None:
    """The permits of the node, if there are any."""
    found = desk.services.get(Permits)
    return found if isinstance(found, Permits) else None


def wish_of(desk: Desk, turn: Turn, brief: Brief) -> Request:
    """What is wanted of a model for the next step, its size estimated from what is known to be sent."""
    definition, drafts = desk.definition, desk.drafts
    characters = len(drafts.system) + len(drafts.tools) + len(turn.message.text)
    characters += brief.characters
    characters += sum(len(aside.text) for aside in turn.asides)
    results = last = 0
    for step in turn.steps[turn.course.since :]:
        last = sum(len(each.text) for each in step.results.values())
        results += last
        characters += len(step.response.text)
    # The oldest are shortened to fit, those of the last step are not.
    characters += min(results, max(brief.room, last)) if brief.room else results
    # Those of the last step, which are the same: nearly always those of this one.
    offered = drafts.offered if drafts.told is not None else desk.gate.offered(desk.authority_in(turn))
    return Request(
        wanted=definition.model,
        needs=NEEDS_TOOLS if offered else NEEDS_NOTHING,
        input_tokens=int(characters / drafts.characters),
        max_output_tokens=definition.max_tokens,
        local_only=definition.local_only,
        exclude=frozenset(turn.course.excluded),
    )


def cut_off(turn: Turn) -> tuple[str, str] | None:
    """Provider and model of an attempt whose end nobody wrote down; it is made again there if that may still be."""
    asked = turn.asked
    if asked is None or not turn.open or any(one.attempt == asked.attempt for one in turn.tried):
        return None
    return asked.provider, asked.model


def chosen(asked: ModelRequested, seat: Seat) -> ModelRequested:
    """The description of a request, with why it goes to this model and how long it waited, where that is news."""
    if not seat.others and asked.attempt == 1 and not seat.waited:
        return asked
    waited = round(seat.waited * 1000, 3)
    return msgspec.structs.replace(asked, why=seat.candidate.why, waited_ms=waited)


def after_failure(turn: Turn, seat: Seat, error: ProviderError, attempt: int) -> Verdict:
    """What is done about a failure."""
    at, wait = wall_time(), error.retry_after or 0.0
    mine = (seat.candidate.provider, seat.candidate.model)
    tried = Tried(*mine, error.kind, attempt, error.retry, at + wait if wait else 0.0)
    return verdict([mine, *seat.others], (*turn.tried, tried), at)


def broken_off(seat: Seat, error: ProviderError, then: Verdict) -> str:
    """What the room is told of a piece of an answer that does not count."""
    goes_on = {
        "other": "another model is asked",
        "again": "it is asked again",
        "stop": "nobody else is asked",
    }
    return f"{seat.candidate.ref} broke off ({error.kind.replace('_', ' ')}), {goes_on[then.then]}"


def failure(
    turn: Turn,
    error: ProviderError,
    then: Verdict,
    attempt: int,
    seat: Seat | None = None,
    stream: Streaming | None = None,
    cost_micro: int | None = None,
) -> ModelFailed:
    """What is noted of a failure.

    Args:
        seat: of an attempt that was made; None if nobody could be asked.
    """
    return ModelFailed(
        turn=turn.id,
        step=len(turn.steps),
        error=str(error),
        retry=error.retry,
        retry_after=error.retry_after,
        attempt=attempt,
        unknown=isinstance(error, StreamCut | TimedOut),
        fault=error.kind,
        provider="" if seat is None else seat.candidate.provider,
        model="" if seat is None else seat.candidate.model,
        then=then.then,
        wait=then.wait,
        text="" if stream is None else stream.shown.strip(),
        usage=error.usage,
        cost_micro=cost_micro,
        duration_ms=0.0 if stream is None else round(stream.whole * 1000, 3),
        estimate=None if stream is None else _estimate(error, stream),
    )


def _estimate(error: ProviderError, stream: Streaming) -> Estimate | None:
    """What an attempt that failed is taken to have cost; None if no answer had begun, or its whole cost is told."""
    written = error.written
    if written is None and error.usage is None and stream.characters:
        written = stream.characters
    if written is None or stream.meter is None:
        return None
    return stream.meter.estimate(written, told=error.usage)


def resting(turn: Turn, wait: float) -> str:
    """What people are told while a call that failed is not made again yet."""
    failed = next(reversed(turn.tried), None)
    who = (
        f"{failed.provider}/{failed.model} failed ({failed.kind.replace('_', ' ')})"
        if failed
        else "it failed"
    )
    return f"{who}, the next try is in {max(1, round(wait))} s"


class Queueing:
    """Tells the session that its call waits, and the journal when everybody refused it.

    Args:
        waits: whether the room was told so already.
    """

    def __init__(self, desk: Desk, turn: Turn, waits: bool = False) -> None:
        self._desk = desk
        self._turn = turn
        self._waits = waits

    async def tell(self, waiting: Waiting) -> None:
        """It waits."""
        self._say("waiting", waiting.why)
        if waiting.round == 1:
            turn, attempt = self._turn, self._turn.tries + 1
            delayed = ModelDelayed(turn.id, len(turn.steps), attempt, waiting.why, waiting.seconds)
            await note([self._desk.event(turn, delayed, f"{turn.id}/{len(turn.steps)}/{attempt}")])

    def over(self) -> None:
        """It goes on."""
        if self._waits:
            self._say("thinking", f"step {len(self._turn.steps) + 1}")

    def _say(self, status: Literal["thinking", "waiting"], text: str) -> None:
        self._waits = status == "waiting"
        try:
            send(self._desk.session, Doing(self._turn.id, status, text))
        except NoProcess:
            pass  # the session is being restarted, and this task ended
