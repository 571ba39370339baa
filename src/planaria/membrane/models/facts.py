"""What is known of vendors' models beside their prices: sizes and abilities, from `models.json`.

The table names its source and date; `scripts/make_model_facts.py` writes it. Of a model that is not in it nothing is
known, and nothing is guessed. Does badly: a vendor's change after the table's date.
"""

from functools import cache
from importlib import resources

import msgspec

from planaria.membrane.models.catalogue import Ability, CatalogueModel
from planaria.membrane.models.prices import DATED, PriceTable, load_prices


class Fact(msgspec.Struct, frozen=True):
    """One model: `context_tokens` is what its prompt may have at most."""

    context_tokens: int | None = None
    max_output_tokens: int | None = None
    abilities: frozenset[Ability] | None = None


class FactTable(msgspec.Struct, frozen=True):
    """All facts, by vendor and model."""

    source: str
    date: str
    providers: dict[str, dict[str, Fact]]

    def find(self, vendor: str, model: str) -> Fact | None:
        """What is known of a model as the vendor names it, or of the one it is a dated snapshot of."""
        models = self.providers.get(vendor, {})
        return models.get(model) or models.get(DATED.sub("", model))


class KnownModels:
    """Prices, sizes and abilities together; a `Facts`."""

    def __init__(self, prices: PriceTable, facts: FactTable) -> None:
        self.prices = prices
        self.facts = facts

    def about(self, vendor: str, model: str) -> CatalogueModel:
        """What is known of a model; its id alone if nothing is."""
        fact = self.facts.find(vendor, model) or Fact()
        return CatalogueModel(
            model,
            fact.context_tokens,
            fact.max_output_tokens,
            self.prices.find(vendor, model),
            fact.abilities,
        )


@cache
def load_known() -> KnownModels:
    """The tables that come with the package, read once."""
    data = resources.files("planaria.membrane.models").joinpath("models.json").read_bytes()
    return KnownModels(load_prices(), msgspec.json.decode(data, type=FactTable))
