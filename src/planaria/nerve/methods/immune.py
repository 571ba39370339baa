"""Methods about what is held back and what may be spent: breakers and budgets."""

import msgspec

from planaria.cortex.errors import JournalUnavailable
from planaria.immune.breakers.keeper import BreakerRefused, Breakers, BreakerView
from planaria.immune.ledger.account_views import AccountView
from planaria.immune.ledger.budget import LimitsError
from planaria.immune.ledger.keeper import Ledger
from planaria.nerve.methods.method import Channel, Nothing, Services
from planaria.nerve.protocol import ControlError


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A breaker to open, for so many seconds or until it is closed, and who says so."""

    name: str
    by: str
    why: str = ""
    seconds: float | None = None


class Closing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A breaker to close, and who says so."""

    name: str
    by: str
    why: str = ""


class WhichAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account with those below it; without one all."""

    account: str = ""


class Limiting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of an account: by name a number, or `none`. `by` is kept."""

    account: str
    limits: dict[str, str]
    by: str


async def breakers(params: Nothing, services: Services, channel: Channel) -> tuple[BreakerView, ...]:
    """The breakers."""
    return await Breakers.views("breakers")


async def open_(params: Opening, services: Services, channel: Channel) -> BreakerView:
    """Hold something back."""
    try:
        return await Breakers.open("breakers", params.name, params.by, params.why, params.seconds)
    except BreakerRefused as error:
        raise ControlError("refused", str(error)) from error


async def close(params: Closing, services: Services, channel: Channel) -> BreakerView:
    """Let it be used again."""
    try:
        return await Breakers.close("breakers", params.name, params.by, params.why)
    except BreakerRefused as error:
        raise ControlError("refused", str(error)) from error


async def accounts(params: WhichAccount, services: Services, channel: Channel) -> tuple[AccountView, ...]:
    """What was spent and what may be."""
    found = await Ledger.views("ledger", params.account)
    if not found:
        raise ControlError("refused", f"there is no account {params.account!r}; `planaria budget` shows them")
    return found


async def limit(params: Limiting, services: Services, channel: Channel) -> tuple[AccountView, ...]:
    """Set limits."""
    try:
        return await Ledger.set("ledger", params.account, params.limits, params.by)
    except LimitsError as error:
        raise ControlError("refused", str(error)) from error
    except JournalUnavailable as error:
        raise ControlError("unavailable", error.cause, error.mend) from error
