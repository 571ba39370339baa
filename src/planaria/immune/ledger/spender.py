"""Who spends, told from the name of a stream: `session:scout@garden/ab12` is a child of a session of scout's. Pure.

A child's stream is its parent's with a slash and a name behind it, so a name tells all who stand above.
"""

GARDEN = "garden"
"""The account of everything together."""
SESSION, RUN, TURN, PROVIDER = "session:", "run:", "turn:", "provider:"
KINDS = ("garden", "agent", "room", "provider", "session", "run", "turn")


def is_session(stream: str) -> bool:
    """Whether it is an agent's, or a child's."""
    return stream.startswith(SESSION)


def agent_of(stream: str) -> str:
    """The agent whose session, or whose child's session, this is; empty for other streams."""
    return stream[len(SESSION) :].partition("@")[0] if is_session(stream) else ""


def room_of(stream: str) -> str:
    """The room it sits in; empty for other streams."""
    return stream.partition("@")[2].partition("/")[0] if is_session(stream) else ""


def parent_of(stream: str) -> str:
    """The session a child's session belongs to; empty for those of no parent."""
    return stream.rpartition("/")[0] if is_session(stream) and "/" in stream else ""


def depth_of(stream: str) -> int:
    """How many sessions stand above it."""
    return stream.count("/") if is_session(stream) else 0


def turn_account(stream: str, turn: str) -> str:
    """The account of a turn; turns of two agents about one message have one name, so the session is in it."""
    return f"{TURN}{stream}#{turn}"


def kind_of(account: str) -> str:
    """The kind of an account, from its name; empty for what is none."""
    if account == GARDEN:
        return GARDEN
    kind, colon, rest = account.partition(":")
    return kind if colon and rest and kind in KINDS else ""
