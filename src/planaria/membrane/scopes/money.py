"""Scopes that are sums: so much may be spent in one call. `0.50 USD`."""

import re
from dataclasses import dataclass
from decimal import Decimal

from planaria.membrane.scopes.scope import Place, ScopeError, Unreadable

MICRO = 1_000_000
_SUM = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(?: ?(?:USD|\$))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class MoneyScope:
    """At most this many millionths of a US dollar in one call."""

    text: str
    most: int

    @property
    def everything(self) -> bool:
        """See `Scope`; a sum nobody says is in no scope."""
        return False

    def covers(self, what: int) -> bool:
        """See `Scope`."""
        return what <= self.most

    def concerns(self, what: int) -> bool:
        """See `Scope`; here the same."""
        return self.covers(what)


def money_scope(text: str) -> MoneyScope:
    """A scope from its text.

    Raises:
        ScopeError: it is no sum.
    """
    found = _SUM.match(text)
    if found is None:
        raise ScopeError(f"{text!r} is no sum; write US dollars such as '0.50 USD'")
    return MoneyScope(text, int(Decimal(found[1]) * MICRO))


def money_text(what: int) -> str:
    """The text of the scope that covers this sum."""
    return f"{Decimal(what) / MICRO:f} USD"


def read_money(what: object, place: Place) -> int:
    """Millionths of a US dollar.

    Raises:
        Unreadable: it is no sum, or a negative one.
    """
    if isinstance(what, bool) or not isinstance(what, int) or what < 0:
        raise Unreadable(f"{what!r} is no sum of money")
    return what
