"""A seat: the right to make one attempt at a model call, and the duty to say how it went.

It holds a permit of the provider's lane, the admission of its breakers and a reservation of money. `end` gives back
what others wait for as soon as the answer is whole or has failed; `settle` lets go of the reservation once that is in
the journal. Whatever is left is let go of by `close`, so a killed attempt blocks nobody.
"""

from collections.abc import Sequence

import msgspec

from planaria.immune.amount import Amount
from planaria.immune.breakers.breaker import Admitted
from planaria.immune.breakers.table import BreakerTable
from planaria.immune.ledger.ledger import Accounts, Exhausted, Reservation
from planaria.membrane.calls.lane import Permit
from planaria.membrane.calls.permits import Permits
from planaria.membrane.calls.process import TOPIC, view
from planaria.membrane.calls.treatment import TREATMENTS
from planaria.membrane.errors import ProviderError
from planaria.membrane.models.catalogue import ProviderLimits
from planaria.membrane.models.models import Choice
from planaria.membrane.models.router import Candidate
from planaria.membrane.provider import ModelRequest, Patience, Usage
from planaria.otp import broadcast

UNSAID = (None, None, None)


class Seat:
    """The right to ask `choice` once.

    Attributes:
        choice: whom to ask.
        candidate: the same with the router's reason.
        others: the further candidates, in order, as provider and model.
        waited: seconds in queues.
    """

    __slots__ = (
        *("_accounts", "_admitted", "_breakers", "_ended", "_permit", "_permits", "_reservation"),
        *("candidate", "choice", "limits", "others", "waited"),
    )

    def __init__(
        self,
        choice: Choice,
        candidate: Candidate,
        others: Sequence[tuple[str, str]],
        limits: ProviderLimits,
        permits: Permits | None,
        permit: Permit | None,
        breakers: BreakerTable,
        admitted: Sequence[Admitted],
        accounts: Accounts,
        reservation: Reservation,
    ) -> None:
        self.choice = choice
        self.candidate = candidate
        self.others = others
        self.limits = limits
        self.waited = 0.0 if permit is None else permit.waited
        self._permits = permits
        self._permit = permit
        self._breakers = breakers
        self._admitted = admitted
        self._accounts = accounts
        self._reservation: Reservation | None = reservation
        self._ended = False

    def patient(self, request: ModelRequest) -> ModelRequest:
        """The request with as much patience for silence as the provider's limits say."""
        limits = self.limits
        said = (limits.first_byte_s, limits.idle_s, limits.wordless_s)
        if said == UNSAID or request.patience is not None:
            return request
        return msgspec.structs.replace(request, patience=Patience(None, *said))

    def end(
        self,
        error: ProviderError | None = None,
        usage: Usage | None = None,
        cost_micro: int | None = None,
    ) -> None:
        """The attempt is over; said twice, it counts once.

        Args:
            error: how it failed; None if it did not.
            usage: what it took; None if nobody knows.
        """
        if self._ended:
            return
        self._ended = True
        if self._reservation is not None:
            self._accounts.over(self._reservation)
        if self._permits is not None and self._permit is not None:
            self._permits.give_back(self._permit, usage, cost_micro)
        wait = error.retry_after or 0.0 if error is not None else 0.0
        if error is None:
            for admitted in self._admitted:
                self._breakers.report(admitted, True)
            return
        fault = TREATMENTS.get(error.kind, TREATMENTS["failed"]).fault
        for admitted in self._admitted:
            self._breakers.report(admitted, False, str(error), fault, wait)
        if wait and self._permits is not None:
            name = self.choice.provider.name
            self._permits.rest(name, self.limits, wait, "it asked for time")
            broadcast(TOPIC, view(self._permits.lanes[name]))

    def streamed(self, micro_usd: int, tokens: int) -> Exhausted | None:
        """So much the call has cost so far, estimated; the limit of its provider, if that is passed."""
        if self._reservation is None or self._ended:
            return None
        return self._accounts.streamed(self._reservation, Amount(micro_usd, tokens))

    def settle(self) -> None:
        """How it went is in the journal."""
        if self._reservation is not None:
            self._accounts.settle(self._reservation)
            self._reservation = None

    def close(self) -> None:
        """Let go of what is still held; for `finally`. Nothing is awaited, so it works while being killed."""
        if self._reservation is not None:
            self._accounts.release(self._reservation)
            self._reservation = None
        if not self._ended:
            self._ended = True
            for admitted in self._admitted:
                self._breakers.release(admitted)
            # Last, as it may have to tell those who wait, which the killed cannot.
            if self._permits is not None and self._permit is not None:
                self._permits.give_back(self._permit)
