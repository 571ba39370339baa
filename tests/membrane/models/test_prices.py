import datetime
import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planaria.membrane.models.prices import ModelPrice, PriceTable, Rates, load_prices
from planaria.membrane.provider import Usage
from planaria.membrane.providers.vendors import VENDORS

STEP = Rates(6_000_000, 22_000_000, 600_000, tokens=200_000)
ONE = ModelPrice(3_000_000, 15_000_000, 300_000, 3_750_000, above=(STEP,), dated=True)
TABLE = PriceTable("a test", "2026-01-01", "micro-USD", {"acme": {"m": ONE, "n": ModelPrice(1, 1)}})


def cost(usage: Usage, model: str = "m") -> int | None:
    return TABLE.cost_micro("acme", model, usage)


def test_a_call_costs_its_tokens_at_their_rates():
    assert cost(Usage(1000, 100)) == 3000 + 1500
    assert (
        cost(Usage(1000, 100, cached_tokens=400, cache_write_tokens=100))
        == 500 * 3 + 400 * 0.3 + 100 * 3.75 + 1500
    )


def test_a_long_prompt_pays_its_own_rates_for_all_of_it():
    assert cost(Usage(200_000, 0)) == 600_000
    assert cost(Usage(200_001, 0)) == 1_200_006


def test_a_part_of_a_micro_is_a_micro():
    assert cost(Usage(1, 0), "n") == 1


def test_an_unknown_model_has_no_price_rather_than_a_guessed_one():
    assert cost(Usage(1, 1), "m-mini") is None
    assert cost(Usage(1, 1), "M") is None
    assert TABLE.cost_micro("other", "m", Usage(1, 1)) is None


def test_a_dated_snapshot_costs_what_its_model_does_where_the_table_says_so():
    assert cost(Usage(1000, 0), "m-2026-01-01") == cost(Usage(1000, 0), "m-20260101") == 3000
    assert cost(Usage(1000, 0), "n-20260101") is None
    assert cost(Usage(1000, 0), "m-0613") is None


def test_nothing_said_costs_nothing():
    assert cost(Usage()) == 0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_cost_is_whole_and_never_negative(tokens, cached, written):
    price = cost(Usage(tokens, tokens, cached, written))
    assert isinstance(price, int)
    assert price >= 0


def test_the_table_names_its_source_and_date():
    table = load_prices()
    assert "genai-prices" in table.source
    datetime.date.fromisoformat(table.date)


def test_the_table_holds_whole_positive_numbers():
    raw = resources.files("planaria.membrane.models").joinpath("prices.json").read_text(encoding="utf-8")
    assert not re.search(r": \d+\.\d", raw)
    for models in load_prices().providers.values():
        for price in models.values():
            assert price.input > 0
            assert price.output > 0
            assert (price.cached or 0) <= price.input


@pytest.mark.parametrize(
    "vendor", [vendor for vendor in VENDORS if vendor.name not in ("openrouter", "deepseek")]
)
def test_the_models_of_the_tiers_have_prices(vendor):
    table = load_prices()
    assert [model for model in vendor.models if table.find(vendor.name, model) is None] == []
