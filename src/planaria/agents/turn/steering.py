"""What changes a turn on its way, as events of its session: messages taken in, limits, answers that do not fit.

All have the turn as their cause and are folded by `take` in `turn.py` into `Turn.asides`; nothing else tells a running
turn anything.
"""

from typing import ClassVar, Literal

from planaria.cortex.event_type import EventType
from planaria.rooms.message import AuthorKind

type How = Literal["steer", "collect"]
type Limit = Literal["steps", "tool_calls", "tokens", "seconds", "usd"]


class TurnSteered(EventType, frozen=True, omit_defaults=True):
    """A further message is part of the turn: the model sees it before its next call, and the reply answers it, too.

    Attributes:
        message: its id; `delivery` is the attempt at it, from 1.
        step: the model call before which it is shown.
        how: `steer` came while the turn ran, `collect` waited when it began.
        text: what it says. The event has the subject of the message, so it is erased with that person's data.
    """

    kind: ClassVar[str] = "turn.steered"
    turn: str
    step: int
    message: str
    author: str
    text: str
    author_kind: AuthorKind = "person"
    how: How = "steer"
    delivery: int = 1


class TurnLimited(EventType, frozen=True):
    """A limit of the turn is reached: one last model call, without tools, may say what was found.

    Attributes:
        step: that call.
        reached, allowed: what the turn had come to, and the limit; dollars in millionths, the rest in its own unit.
    """

    kind: ClassVar[str] = "turn.limited"
    turn: str
    step: int
    limit: Limit
    reached: int
    allowed: int


class TurnChecked(EventType, frozen=True):
    """An answer that was to fit a JSON schema does not: the model is told, and asked once more.

    Attributes:
        step: the model call that is told.
        problem: what is wrong, in the words the model is told.
    """

    kind: ClassVar[str] = "turn.checked"
    turn: str
    step: int
    problem: str
