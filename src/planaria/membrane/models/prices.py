"""What a model call costs, in micro-USD: whole numbers, and None where nobody told us.

The table is `prices.json`: micro-USD for a million tokens, with its source and date. A model that is not in it has
no price, never a guessed one. Does badly: batch and priority processing, prices that change with the hour (left out
of the table), and a vendor's change after the table's date.
"""

import re
from importlib import resources

import msgspec

from planaria.membrane.provider import Usage

# A snapshot's date at the end of a name: 20260101 or 2026-01-01.
DATED = re.compile(r"-20\d{2}(\d{4}|-\d{2}-\d{2})$")


class Rates(msgspec.Struct, frozen=True):
    """Micro-USD for a million tokens, from `tokens` of input on."""

    input: int
    output: int
    cached: int | None = None
    cache_write: int | None = None
    tokens: int = 0


class ModelPrice(Rates, frozen=True):
    """One model's rates; `above`: others once the prompt is longer; `dated`: also for its dated snapshots."""

    above: tuple[Rates, ...] = ()
    dated: bool = False


class PriceTable(msgspec.Struct, frozen=True):
    """All prices, by provider and model."""

    source: str
    date: str
    unit: str
    providers: dict[str, dict[str, ModelPrice]]

    def find(self, provider: str, model: str) -> ModelPrice | None:
        """The price of a model as the provider names it."""
        models = self.providers.get(provider, {})
        if (price := models.get(model)) is not None:
            return price
        price = models.get(DATED.sub("", model))
        return price if price is not None and price.dated else None

    def cost_micro(self, provider: str, model: str, usage: Usage) -> int | None:
        """What a call cost, in micro-USD, rounded up; None if the price is unknown.

        A cached token without a rate of its own costs what an uncached one does, so the sum is never too low.
        """
        price = self.find(provider, model)
        if price is None:
            return None
        return cost_of(
            price, usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens
        )


def cost_of(
    price: ModelPrice,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
    cache_write_tokens: int = 0,
) -> int:
    """What so many tokens cost, in micro-USD, rounded up; `input_tokens` counts the cached ones too."""
    rates: Rates = price
    for step in price.above:
        if input_tokens > step.tokens:
            rates = step
    plain = max(0, input_tokens - cached_tokens - cache_write_tokens)
    total = (
        plain * rates.input
        + cached_tokens * (rates.input if rates.cached is None else rates.cached)
        + cache_write_tokens * (rates.input if rates.cache_write is None else rates.cache_write)
        + output_tokens * rates.output
    )
    return -(-total // 1_000_000)


def load_prices() -> PriceTable:
    """The table that comes with the package."""
    data = resources.files("planaria.membrane.models").joinpath("prices.json").read_bytes()
    return msgspec.json.decode(data, type=PriceTable)
