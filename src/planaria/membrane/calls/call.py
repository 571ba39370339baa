"""A whole model call for whoever is no turn: attempts, one after the other, until a model has answered.

    answer = await call_model(exchange, Request("light"), request, Caller("run:42"), notes)

An agent's turn makes its attempts one by one (`agents/thinking/think.py`), since each is a step of its fold; both
follow the same table. What each attempt came to is told to `notes`, which write it down where the caller keeps its
events.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from planaria.membrane.calls.exchange import Caller, Exchange
from planaria.membrane.calls.seat import Seat
from planaria.membrane.calls.treatment import Tried, Verdict, verdict
from planaria.membrane.errors import ProviderError
from planaria.membrane.models.router import Request
from planaria.membrane.provider import Delta, ModelRequest, ModelResponse, push
from planaria.otp import sleep, wall_time


class Notes(Protocol):
    """What is written down of a call. Each is awaited before the call goes on."""

    async def requested(self, seat: Seat, request: ModelRequest, attempt: int) -> None:
        """This request is about to be sent."""
        ...

    async def responded(
        self, seat: Seat, response: ModelResponse, attempt: int, cost_micro: int | None
    ) -> None:
        """It was answered."""
        ...

    async def failed(
        self, seat: Seat | None, error: ProviderError, attempt: int, then: Verdict, cost_micro: int | None
    ) -> None:
        """It failed, and this is done about it; without a seat nobody could be asked."""
        ...


class NoNotes:
    """Nothing is written down."""

    async def requested(self, seat: Seat, request: ModelRequest, attempt: int) -> None:
        """Nothing."""

    async def responded(
        self, seat: Seat, response: ModelResponse, attempt: int, cost_micro: int | None
    ) -> None:
        """Nothing."""

    async def failed(
        self, seat: Seat | None, error: ProviderError, attempt: int, then: Verdict, cost_micro: int | None
    ) -> None:
        """Nothing."""


class Listener:
    """Hears an answer while it is written; made to be subclassed."""

    def piece(self, delta: Delta) -> None:
        """A piece of it."""

    def again(self, error: ProviderError) -> None:
        """What came so far does not count: another attempt begins."""


async def call_model(
    exchange: Exchange,
    wish: Request,
    request: ModelRequest,
    caller: Caller,
    notes: Notes | None = None,
    listener: Listener | None = None,
    tried: Sequence[Tried] = (),
) -> ModelResponse:
    """Ask until a model has answered, for the running process.

    Args:
        wish: which models may be asked.
        request: its `model` is put in for each attempt; its key gets the number of the attempt behind it.
        tried: attempts of an earlier process that failed; their numbers count on.
    Raises:
        ProviderError: the last failure, when nobody is left to ask.
    """
    notes, listener = notes or NoNotes(), listener or Listener()
    failed = [*tried]
    while True:
        attempt = max((one.attempt for one in failed), default=0) + 1
        try:
            seat = await exchange.seat(wish, caller, failed)
        except ProviderError as error:
            await notes.failed(None, error, attempt, Verdict("stop"), None)
            raise
        try:
            key = f"{request.idempotency_key}/{attempt}" if request.idempotency_key else ""
            sent = msgspec.structs.replace(request, model=seat.choice.model, idempotency_key=key)
            await notes.requested(seat, sent, attempt)
            try:
                response = await push(seat.choice.provider, seat.patient(sent), listener.piece)
            except ProviderError as error:
                at, wait = wall_time(), error.retry_after or 0.0
                mine = (seat.candidate.provider, seat.candidate.model)
                failed.append(Tried(*mine, error.kind, attempt, error.retry, at + wait if wait else 0.0))
                then = verdict([mine, *seat.others], failed, at)
                cost = None if error.usage is None else exchange.models.cost_micro(*mine, error.usage)
                seat.end(error, error.usage, cost)
                await notes.failed(seat, error, attempt, then, cost)
                seat.settle()
                if then.then == "stop":
                    raise
                listener.again(error)
            else:
                cost = exchange.models.cost_micro(
                    seat.candidate.provider, seat.candidate.model, response.usage
                )
                seat.end(None, response.usage, cost)
                await notes.responded(seat, response, attempt, cost)
                seat.settle()
                return response
        finally:
            seat.close()
        if then.wait:
            await sleep(then.wait)
