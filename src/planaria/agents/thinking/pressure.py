"""Whether the prompt of a session comes near the size of its model's context.

Tokens are estimated: characters by the characters a token had in this session's usage so far, 4 before that is known.
"""

from collections.abc import Iterable

import msgspec

from planaria.agents.desk import Desk
from planaria.membrane.calls.exchange import Exchange, catalogue_of
from planaria.membrane.models.router import Request

ASSUMED = 128_000
"""Tokens of a context whose size is not known."""
LEAST = 1000
"""Tokens of a prompt below which nobody looks."""


class Pressed(msgspec.Struct, frozen=True):
    """A prompt is too near to the size of the context.

    Attributes:
        tokens: of the prompt, estimated.
        window: tokens the model takes; `assumed`: nobody knows, so this was taken.
        share: of the window from which a session hands off.
    """

    tokens: int
    window: int
    share: float
    assumed: bool = False

    @property
    def words(self) -> str:
        """For people."""
        known = ", as its size is not known" if self.assumed else ""
        return (
            f"Its context was nearly full: about {self.tokens} of {self.window} tokens{known}, "
            f"{self.tokens / self.window:.0%}."
        )


def window_of(desk: Desk, exchange: Exchange, excluded: tuple[str, ...]) -> int | None:
    """Tokens the model that would answer takes; None if that is not known.

    Args:
        excluded: models that are not to answer.
    """
    catalogue = catalogue_of(exchange.models)
    if catalogue is None:
        return None
    about, key = desk.drafts.window, (desk.definition.model, excluded)
    if about[0] is catalogue and about[1] == key:
        return about[2]
    # Whatever the sizes of prompt and answer: they are what is to be judged.
    route = exchange.route(
        Request(
            wanted=desk.definition.model,
            local_only=desk.definition.local_only,
            exclude=frozenset(excluded),
        )
    )
    sizes: Iterable[int | None] = (
        place.model.context_tokens
        for each in route.candidates
        if (place := catalogue.find(each.ref)) is not None
    )
    window = next(iter(sizes), None)
    desk.drafts.window = (catalogue, key, window)
    return window


def pressure(desk: Desk, wish: Request, window: int | None) -> Pressed | None:
    """Whether a prompt is too near to the size of the context."""
    share, tokens = desk.definition.guards.context, wish.input_tokens
    if not share or tokens < LEAST:
        return None
    size = window or ASSUMED
    return Pressed(tokens, size, share, window is None) if tokens >= size * share else None
