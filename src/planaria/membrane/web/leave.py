"""Where a caller's tools may go on the web: its authority, asked for each address on the way."""

from planaria.membrane.authority import Allowed
from planaria.membrane.capability import Touch
from planaria.membrane.scopes.scope import Place
from planaria.membrane.tool import Context
from planaria.membrane.web.outbound import Leave


def leave_of(context: Context, capability: str = "net.fetch") -> Leave:
    """Asks of a redirect what the gate has asked of the first address; without an authority all is let through.

    An address for which a person would have to be asked is refused on the way: nobody has been.
    """
    authority = context.authority

    def leave(url: str) -> str:
        if authority is None:
            return ""
        verdict = authority.check(Touch(capability, url), Place(context.garden, context.room or ""))
        if isinstance(verdict, Allowed):
            return ""
        return f"{capability} has no grant for it"

    return leave
