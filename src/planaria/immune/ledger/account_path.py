"""Who spends: what leads to the accounts that are charged."""

import msgspec


class AccountPath(msgspec.Struct, frozen=True):
    """Who spends: every account above is charged, too.

    Attributes:
        session: the stream the call is noted in: `session:scout@garden`, `run:<id>`. Its name tells agent and room.
        turn: the turn it belongs to; empty if none.
        provider: of a model call; empty for a tool.
    """

    session: str
    turn: str = ""
    provider: str = ""
