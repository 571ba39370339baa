"""Whether the state a session holds is the one its events make. Pure."""

from typing import Any

import msgspec

from planaria.agents.prompt.request import digest_of
from planaria.agents.turn.events import SessionDiverged
from planaria.agents.turn.turn import Turn

SHOWN = 80
"""Characters of a value that are told."""


def plain(turn: Turn) -> dict[str, Any]:
    """A turn as JSON says it."""
    value: dict[str, Any] = msgspec.json.decode(_encode(turn))
    return value


def _encode(turn: Turn) -> bytes:
    return msgspec.json.encode(turn, order="deterministic")


def state_digest(turn: Turn) -> str:
    """A digest of all that is known of a turn: 32 hexadecimal digits, equal for equal turns."""
    return digest_of(_encode(turn))


def compare(held: Turn, folded: Turn) -> SessionDiverged | None:
    """What tells the two apart; None if they are equal."""
    if held == folded:
        return None
    return SessionDiverged(
        held.id, state_digest(held), state_digest(folded), first_difference(plain(held), plain(folded))
    )


def first_difference(one: Any, other: Any, place: str = "") -> str:
    """The first place where two JSON values part, with what is there; empty if they do not."""
    if one == other:
        return ""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(name for name in other if name not in one)]:
            if one.get(name) != other.get(name):
                return first_difference(one.get(name), other.get(name), f"{place}.{name}" if place else name)
    if isinstance(one, list) and isinstance(other, list):
        for number, (left, right) in enumerate(zip(one, other, strict=False)):
            if left != right:
                return first_difference(left, right, f"{place}[{number}]")
        return f"{place}: {len(one)} against {len(other)}"
    return f"{place}: {_shown(one)} against {_shown(other)}"


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
