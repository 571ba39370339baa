"""What stands between a call that may be made and its run: the breaker of the tool, and the budget of the caller."""

from dataclasses import dataclass

from planaria.config.breakers import FailureClass
from planaria.immune.amount import Amount
from planaria.immune.breakers.breaker import Admitted, Open
from planaria.immune.breakers.table import BreakerTable, breakers_of
from planaria.immune.ledger.ledger import AccountPath, Accounts, Exhausted, Reservation, accounts_of
from planaria.membrane.tool import Context, Denied, Done, Failed, HeldBack, Outcome, Tool
from planaria.otp import self_

ONE_CALL = Amount(calls=1)


@dataclass(slots=True)
class Guarded:
    """A call that was let through: to be told how it ended."""

    breakers: BreakerTable
    admitted: Admitted
    accounts: Accounts
    reserved: Reservation
    call_id: str

    def ended(self, outcome: Outcome, failure: FailureClass | None) -> None:
        """Tell breaker and budget.

        Args:
            failure: what class of failure it was, if the outcome does not tell.
        """
        ok = isinstance(outcome, Done)
        why = "" if isinstance(outcome, Done) else outcome.error[:200]
        self.breakers.report(self.admitted, ok, why, failure or _class_of(outcome))
        self.accounts.end(self.reserved, self.call_id)

    def gone(self) -> None:
        """The call was killed: it says nothing about the tool."""
        self.breakers.release(self.admitted)
        self.accounts.release(self.reserved)


def closed_now(tool: Tool) -> HeldBack | None:
    """Why no call is let through now, without asking to be the one who tries; None: one may be."""
    breakers = breakers_of(self_().node)
    if breakers.state(name := breaker_of(tool)) != "open":
        return None
    breaker = breakers.get(name)
    assert breaker is not None
    return held_back(Open(name, breaker.until, breaker.why))


def let_through(tool: Tool, context: Context) -> Guarded | HeldBack:
    """Let a call through, or say what holds it back."""
    node = self_().node
    breakers, accounts = breakers_of(node), accounts_of(node)
    admitted = breakers.admit(breaker_of(tool))
    if isinstance(admitted, Open):
        return held_back(admitted)
    reserved = accounts.reserve(AccountPath(context.session, context.cause_id or ""), ONE_CALL)
    if isinstance(reserved, Exhausted):
        breakers.release(admitted)
        return HeldBack(str(reserved), retry=reserved.until is not None, by=f"budget:{reserved.account}")
    return Guarded(breakers, admitted, accounts, reserved, context.call_id)


def breaker_of(tool: Tool) -> str:
    """The name of the breaker that guards a tool."""
    return tool.breaker or f"tool:{tool.name}"


def held_back(closed: Open) -> HeldBack:
    """A breaker's word as the outcome of a call."""
    return HeldBack(str(closed), retry=closed.until is not None, by=f"breaker:{closed.name}")


def _class_of(outcome: Outcome) -> FailureClass:
    match outcome:
        case Denied():
            return "refused"
        case Failed(retry=True):
            return "unavailable"
        case _:
            return "failed"
