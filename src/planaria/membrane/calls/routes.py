"""Routes that were found before, for as long as nothing stands against any of their candidates.

A route depends on the catalogue, the wish, how providers are used and which breakers are open. While every provider has
room and the breakers of its first candidate are closed, equal wishes have equal routes, so most turns look theirs up.
Sizes of prompts are taken up to the next of 1, 1.5, 2, 3, 4, 6, 8, ... tokens for this: a cost is estimated too high by
half at most, and a model for which the larger size would be too long is judged by the exact one.
"""

import msgspec

from planaria.membrane.models.catalogue import Catalogue
from planaria.membrane.models.models import Choice
from planaria.membrane.models.router import Request, Route

MOST = 512
"""Routes that are remembered; then all are forgotten."""


class Routes:
    """Routes and choices by one catalogue; another one begins with none."""

    __slots__ = ("_catalogue", "choices", "found")

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None
        self.found: dict[Request, Route] = {}
        self.choices: dict[tuple[str, str], Choice] = {}

    def of(self, catalogue: Catalogue) -> "Routes":
        """Those found by this catalogue."""
        if self._catalogue is not catalogue or len(self.found) > MOST:
            self._catalogue = catalogue
            self.found, self.choices = {}, {}
        return self


def rounded(request: Request) -> Request:
    """The same wish for a prompt of a round size."""
    return msgspec.structs.replace(request, input_tokens=round_up(request.input_tokens))


def round_up(tokens: int) -> int:
    """The next of 0, 1, 2, 3, 4, 6, 8, 12, 16, ..."""
    if tokens < 4:
        return max(tokens, 0)
    power = 1 << (tokens - 1).bit_length()  # of two, at least as large
    return power * 3 // 4 if tokens <= power * 3 // 4 else power


def is_lasting(found: Route) -> bool:
    """Whether a route holds for all sizes up to the round one: nothing was left out for its size."""
    return bool(found.candidates) and not any("do not fit" in each.why for each in found.left_out)
