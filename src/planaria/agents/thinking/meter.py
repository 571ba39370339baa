"""What a model call costs while its answer is written: estimated, told to the accounts, noted if it is cut off."""

import math

from planaria.agents.prompt.drafts import Drafts, sent
from planaria.agents.turn.estimate import Estimate
from planaria.agents.turn.events import ModelRequested
from planaria.membrane.calls.exchange import Market
from planaria.membrane.calls.seat import Seat
from planaria.membrane.errors import HeldBack
from planaria.membrane.provider import ModelRequest, Usage


class Meter:
    """The meter of one attempt.

    Args:
        drafts: knows how many characters a token has.
    """

    def __init__(
        self, asked: ModelRequested, request: ModelRequest, drafts: Drafts, models: Market, seat: Seat
    ) -> None:
        self._asked = asked
        self._models = models
        self._seat = seat
        self._request = request
        self._characters = drafts.characters

    def estimate(self, written: int, seconds: float = 0.0, told: Usage | None = None) -> Estimate:
        """What it is taken to have cost.

        Args:
            written: characters of the answer that had come.
            told: by the provider, of this attempt.
        """
        told = told or Usage()
        output = max(told.output_tokens, math.ceil(written / self._characters))
        usage = Usage(
            told.input_tokens or self._prompt(),
            output,
            told.cached_tokens,
            told.cache_write_tokens,
            told.reasoning_tokens,
        )
        asked = self._asked
        cost = self._models.cost_micro(asked.provider, asked.model, usage)
        took = round(seconds * 1000, 3)
        return Estimate(asked.step, asked.attempt, asked.provider, asked.model, usage, cost, took)

    def tell(self, written: int) -> None:
        """Let the accounts know how far it has come. Whom a limit stops is told by their owner.

        Raises:
            HeldBack: the limit of its provider is passed; another one may go on.
        """
        estimate = self.estimate(written)
        usage = estimate.usage
        passed = self._seat.streamed(estimate.cost_micro or 0, usage.input_tokens + usage.output_tokens)
        if passed is not None:
            raise HeldBack(str(passed))

    def _prompt(self) -> int:
        return math.ceil(sent(self._asked.tools or "", self._request) / self._characters)
