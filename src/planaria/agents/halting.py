"""What a stop is aimed at, and what became of it."""

from dataclasses import dataclass
from typing import Literal

import msgspec

type Kind = Literal["session", "agent", "room", "all"]

PREFIX = "session:"
"""Names of sessions begin with it."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is stopped.

    Attributes:
        name: of the session (with or without `session:`), the agent or the room; empty for all.
    """

    kind: Kind
    name: str = ""

    def includes(self, session: str) -> bool:
        """Whether a session of this name is meant: itself, or below it."""
        agent, _, room = session.removeprefix(PREFIX).partition("@")
        room = room.partition("/")[0]
        match self.kind:
            case "session":
                whole = PREFIX + self.name.removeprefix(PREFIX)
                return session == whole or session.startswith(f"{whole}/")
            case "agent":
                return agent == self.name
            case "room":
                return room == self.name
            case "all":
                return True


class Halted(msgspec.Struct, frozen=True):
    """What became of one session.

    Attributes:
        turns: those that were stopped; none if it was idle.
        problem: why it is not certain that the stop is in the journal; empty if it is.
    """

    session: str
    turns: tuple[str, ...] = ()
    problem: str = ""
