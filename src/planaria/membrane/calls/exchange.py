"""Finding somebody to ask: the router's candidates, in turn, until one has a seat.

The best candidate that has not failed yet is waited for, in the queue before its provider; when that is full, when the
provider asked for time, or when its breaker is open, the next one is tried. When all refuse, whoever asks is told
(`Waiting`) and waits, longer each time, before it goes round again: that is the back-pressure on agents. Who found
nothing but full queues goes round again as soon as there is a place in one of them, and is never given up.
Asks no process unless it has to wait.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from planaria.immune.amount import Amount
from planaria.immune.breakers.breaker import Admitted, Open
from planaria.immune.breakers.table import BreakerTable, breakers_of
from planaria.immune.ledger.ledger import AccountPath, Exhausted, accounts_of
from planaria.membrane.calls.lane import Permit
from planaria.membrane.calls.permits import Permits
from planaria.membrane.calls.process import leave_room, wait_for_permit, wait_for_room
from planaria.membrane.calls.routes import is_lasting, rounded
from planaria.membrane.calls.seat import Seat
from planaria.membrane.calls.treatment import LONGEST_WAIT, Place, Tried, places
from planaria.membrane.errors import (
    BreakerOpen,
    BudgetExhausted,
    HeldBack,
    ModelNotFound,
    NotNow,
    ProviderError,
    QueueFull,
)
from planaria.membrane.models.catalogue import Catalogue, ProviderLimits
from planaria.membrane.models.directory import models_now
from planaria.membrane.models.models import Choice, Models
from planaria.membrane.models.router import Candidate, Preferences, ProviderUsage, Request, Route, route
from planaria.membrane.provider import Usage
from planaria.otp import node_, sleep, wall_time

MOST_ROUNDS = 20
"""Times all candidates are gone through while every one refuses; then the call is given up."""
FIRST_PAUSE = 1.0
"""Seconds before the second round; each further pause is twice as long."""
LONGEST_PAUSE = 30.0
ANSWER = 1000
"""Tokens an answer is taken to have where nobody said how long it may be."""
NO_LIMITS = ProviderLimits(concurrency=None, queue=None)


class Market(Protocol):
    """What there is to choose from; `Models` is one. With a `catalogue` calls are routed, else refs are resolved."""

    def resolve(self, ref: str | None = None) -> Choice:
        """The provider and model of a ref; see `Models.resolve`."""
        ...

    def cost_micro(self, provider: str, model: str, usage: Usage) -> int | None:
        """What a call cost; see `Models.cost_micro`."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        session: its stream, whose accounts pay.
        turn: the turn it belongs to; empty if none.
    """

    session: str
    turn: str = ""

    @property
    def flow(self) -> str:
        """Whose share of a provider it takes: the session in a room, for all its sub-agents together."""
        return self.session.partition("/")[0]


class Waiting(msgspec.Struct, frozen=True):
    """Somebody waits before a call.

    Attributes:
        provider: whose queue it stands in; empty if every candidate has refused.
        why: for people.
        seconds: until it asks again; 0 if its turn will be told.
        round: of refusals, from 1; 0 while a place in a full queue was not waited for long.
    """

    provider: str
    why: str
    seconds: float = 0.0
    round: int = 0


type Tell = Callable[[Waiting], Awaitable[None]]


async def _quietly(waiting: Waiting) -> None:
    """Tell nobody."""


class Exchange:
    """Where callers find somebody to ask.

    Args:
        models: what there is.
        permits: of the node; None where nobody counts.
        preferences: of the garden; those of `models` by default.
    Attributes:
        models: newer ones after a wait in which providers were changed.
    """

    def __init__(
        self,
        models: Market,
        permits: Permits | None = None,
        preferences: Preferences | None = None,
    ) -> None:
        self.permits = permits
        self._own_preferences = preferences
        self._take(models)

    def _take(self, models: Market) -> None:
        self.models = models
        self.catalogue = catalogue_of(models)
        told: Preferences = getattr(models, "preferences", Preferences())
        self.preferences = self._own_preferences or told

    def _refresh(self) -> bool:
        """Take what there is now, after a wait; whether it is another than before."""
        newest = models_now(node_()) if isinstance(self.models, Models) else None
        if newest is None or newest is self.models:
            return False
        self._take(newest)
        return True

    def route(self, request: Request) -> Route:
        """The candidates for a request, in order."""
        catalogue = self.catalogue
        if catalogue is None:
            choice = self.models.resolve(request.wanted)
            return Route((Candidate(choice.provider.name, choice.model, "asked for by name"),))
        permits, breakers = self.permits, breakers_of(node_())
        usage: Mapping[str, ProviderUsage] = {} if permits is None else permits.usage()
        if permits is None or usage:
            return self._route(request, catalogue, usage, breakers)
        routes, wish = permits.routes.of(catalogue), rounded(request)
        found = routes.found.get(wish)
        if found is None:
            found = route(wish, catalogue, {}, {}, self.preferences)
            if not is_lasting(found):
                return self._route(request, catalogue, usage, breakers)
            routes.found[wish] = found
        first = found.candidates[0]
        if (
            breakers.state(f"provider:{first.provider}")
            == breakers.state(f"provider:{first.ref}")
            == "closed"
        ):
            return found
        return self._route(request, catalogue, usage, breakers)

    def _route(
        self,
        request: Request,
        catalogue: Catalogue,
        usage: Mapping[str, ProviderUsage],
        breakers: BreakerTable,
    ) -> Route:
        return route(request, catalogue, usage, breakers.states(), self.preferences)

    async def seat(
        self,
        request: Request,
        caller: Caller,
        tried: Sequence[Tried] = (),
        keep: tuple[str, str] | None = None,
        tell: Tell = _quietly,
    ) -> Seat:
        """Wait for the right to make the next attempt, for the running process.

        Args:
            tried: the attempts that failed so far.
            keep: provider and model of an attempt that was cut off with this process; asked first if it still may be.
            tell: awaited whenever it has to wait.
        Raises:
            ProviderError: nobody can be asked: the last reason why, or the router's.
        """
        pause, number, given_up, late, told = FIRST_PAUSE, 0, 0, False, False
        while True:
            try:
                refused = await self._round(request, caller, tried, keep, tell)
            finally:
                if told:  # it came, or it did not: the place is the next one's
                    leave_room()
            if isinstance(refused, Seat):
                return refused
            full = [name for name, each in refused if isinstance(each, QueueFull)]
            error = min(
                (each for _, each in refused), key=lambda each: (not each.retry, each.retry_after or 0.0)
            )
            wait = LONGEST_PAUSE if len(full) == len(refused) else max(pause, error.retry_after or 0.0)
            given_up += not full
            number += not full or late
            if not error.retry or wait > LONGEST_WAIT or given_up == MOST_ROUNDS:
                raise error
            await tell(Waiting("", str(error), wait, number))
            told = False
            if full:
                told = await wait_for_room(full, wait)
                late = not told
            else:
                await sleep(wait)
            self._refresh()
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _round(
        self,
        request: Request,
        caller: Caller,
        tried: Sequence[Tried],
        keep: tuple[str, str] | None,
        tell: Tell,
    ) -> Seat | list[tuple[str, ProviderError]]:
        """Go through all candidates once; a seat, or why each has refused, with the name of its provider."""
        found = self.route(request)
        # Those that are left out for a while are waited for where there is nobody else.
        candidates = found.candidates or found.later
        if not candidates:
            raise found.refusal()
        refs = [(each.provider, each.model) for each in candidates]
        order = places(refs, tried)
        if keep is not None and keep in refs:
            order.sort(key=lambda place: refs[place.number] != keep)
        if not order:
            raise _exhausted(found, tried)
        refused: list[tuple[str, ProviderError]] = []
        for place in order:
            candidate = candidates[place.number]
            others = [refs[each.number] for each in order if each is not place]
            try:
                return await self._sit(candidate, place, others, request, caller, tell)
            except NotNow as error:
                refused.append((candidate.provider, error))
            except ProviderError as error:  # it went away since the route was made
                refused.append((candidate.provider, error))
        return refused

    async def _sit(
        self,
        candidate: Candidate,
        place: Place,
        others: Sequence[tuple[str, str]],
        request: Request,
        caller: Caller,
        tell: Tell,
    ) -> Seat:
        """A seat at one candidate.

        Raises:
            NotNow: it is not to be had now.
        """
        limits = self._limits(candidate.provider)
        breakers = breakers_of(node_())
        names = (f"provider:{candidate.provider}", f"provider:{candidate.ref}")
        tokens = request.input_tokens + (request.max_output_tokens or ANSWER)
        permit = await self._permit(candidate.provider, limits, place, caller, tokens, tell)
        admitted: list[Admitted] = []
        try:
            if permit is not None and permit.waited and self._refresh():
                self._check(candidate, request)
                limits = self._limits(candidate.provider)
            choice = self._choice(candidate, request)
            for name in names:
                passed = breakers.admit(name, "provider")
                if isinstance(passed, Open):
                    after = None if passed.until is None else max(0.0, passed.until - wall_time())
                    raise BreakerOpen(str(passed), retry=passed.until is not None, retry_after=after)
                admitted.append(passed)
            accounts = accounts_of(node_())
            path = AccountPath(caller.session, caller.turn, candidate.provider)
            amount = Amount(candidate.cost_estimate_micro or 0, tokens, 1)
            reserved = accounts.reserve(path, amount)
            if isinstance(reserved, Exhausted):
                raise _refusal(reserved)
        except ProviderError:
            _let_go(breakers, admitted, self.permits, permit)
            raise
        return Seat(
            *(choice, candidate, others, limits, self.permits, permit, breakers, admitted, accounts, reserved)
        )

    def _check(self, candidate: Candidate, request: Request) -> None:
        """Raise `HeldBack` for a candidate that was switched off or changed while one waited for it."""
        found = self.route(request)
        if not any(each.ref == candidate.ref for each in (*found.candidates, *found.later)):
            raise HeldBack(f"{candidate.ref} was changed and may not be asked any more")

    def _choice(self, candidate: Candidate, request: Request) -> Choice:
        catalogue = self.catalogue
        if catalogue is None:
            return self.models.resolve(request.wanted)
        if self.permits is None:
            return self.models.resolve(candidate.ref)
        choices, key = self.permits.routes.of(catalogue).choices, (candidate.provider, candidate.model)
        choice = choices.get(key)
        if choice is None:
            choice = choices[key] = self.models.resolve(candidate.ref)
        return choice

    def _limits(self, provider: str) -> ProviderLimits:
        catalogue = self.catalogue
        entry = None if catalogue is None else catalogue.provider(provider)
        return NO_LIMITS if entry is None else entry.limits

    async def _permit(
        self,
        provider: str,
        limits: ProviderLimits,
        place: Place,
        caller: Caller,
        tokens: int,
        tell: Tell,
    ) -> Permit | None:
        """A permit, after a wait in the queue if there must be one."""
        permits = self.permits
        if permits is None:
            return None
        if (
            place.until
            and (rest := place.until - wall_time()) > 0.0
            and not permits.is_void(provider, place.until)
        ):
            permits.rest(provider, limits, rest, "it asked for time")  # said to a node that was killed since
        permit = permits.acquire_nowait(provider, limits, caller.flow, tokens)
        if permit is None:
            lane = permits.lanes[provider]
            waiting, under_way = len(lane.queue), len(lane.held)
            await tell(
                Waiting(provider, f"{under_way} calls are under way at {provider}, {waiting} wait before it")
            )
            permit = await wait_for_permit(provider, limits, caller.flow, tokens)
        return permit


def catalogue_of(models: Market) -> Catalogue | None:
    """The catalogue behind what there is to choose from, if there is one."""
    found = getattr(models, "catalogue", None)
    return found if isinstance(found, Catalogue) else None


def _let_go(
    breakers: BreakerTable, admitted: Sequence[Admitted], permits: Permits | None, permit: Permit | None
) -> None:
    for each in admitted:
        breakers.release(each)
    if permits is not None and permit is not None:
        permits.give_back(permit, Usage())


def _refusal(exhausted: Exhausted) -> NotNow:
    """A budget that is used up, as an error; a provider's own leaves the others to be asked."""
    after = None if exhausted.until is None else max(0.0, exhausted.until - wall_time())
    if exhausted.account.startswith("provider"):
        return HeldBack(str(exhausted), retry_after=after)
    return BudgetExhausted(str(exhausted), retry_after=after)


def _exhausted(found: Route, tried: Sequence[Tried]) -> ProviderError:
    """Why nobody is left, though there are candidates."""
    refs = ", ".join(each.ref for each in found.candidates)
    return ModelNotFound(f"nobody is left to ask: {refs} failed {len(tried)} times", retry=False)
