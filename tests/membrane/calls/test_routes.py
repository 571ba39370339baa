"""Routes are looked up while nothing stands against them, and judged anew as soon as something does."""

import pytest

from planaria.config.breakers import BreakerSettings
from planaria.immune.breakers.table import BreakerTable, breakers_of
from planaria.membrane.calls.exchange import Exchange
from planaria.membrane.calls.permits import Permits
from planaria.membrane.calls.routes import round_up
from planaria.membrane.models.catalogue import Catalogue, CatalogueModel, CatalogueProvider, ProviderLimits
from planaria.membrane.models.models import Choice
from planaria.membrane.models.router import Request
from planaria.membrane.provider import Usage
from planaria.otp import hang, node_, register, self_, wall_time
from planaria.otp.kernel.table import publish
from planaria.testing.node import TestNode

LIMITS = ProviderLimits(concurrency=1)


class Market:
    """Two providers, the first of which has a small context."""

    def __init__(self) -> None:
        small, large = CatalogueModel("m", context_tokens=1000), CatalogueModel("m", context_tokens=100_000)
        self.catalogue = Catalogue(
            (
                CatalogueProvider("a", "openai", models=(small,), limits=LIMITS),
                CatalogueProvider("b", "openai", models=(large,), limits=LIMITS),
            ),
            default="a/m",
            fallback={"default": ("b/m",)},
        )

    def resolve(self, ref: str | None = None) -> Choice:
        raise AssertionError("nobody is asked")

    def cost_micro(self, provider: str, model: str, usage: Usage) -> int | None:
        return None


def refs(exchange: Exchange, tokens: int) -> list[str]:
    return [each.ref for each in exchange.route(Request(input_tokens=tokens)).candidates]


async def test_equal_wishes_of_like_size_are_routed_once(node: TestNode):
    async def work() -> None:
        exchange = Exchange(Market(), permits := Permits())
        assert refs(exchange, 65) == refs(exchange, 90) == ["a/m", "b/m"]
        assert [each.input_tokens for each in permits.routes.found] == [96]

    await node.run(work)


async def test_what_fits_but_would_not_rounded_up_is_judged_by_its_own_size(node: TestNode):
    async def work() -> None:
        exchange = Exchange(Market(), permits := Permits())
        assert refs(exchange, 900) == ["a/m", "b/m"]
        assert refs(exchange, 1001) == ["b/m"]
        assert not permits.routes.found

    await node.run(work)


async def test_a_provider_without_room_and_one_that_rests_are_seen_at_once(node: TestNode):
    async def work() -> None:
        exchange = Exchange(Market(), permits := Permits())
        assert refs(exchange, 10) == ["a/m", "b/m"]
        permits.rest("a", LIMITS, 20.0, "it asked for time")
        assert refs(exchange, 10) == ["b/m"]

    await node.run(work)


async def test_an_open_breaker_is_seen_at_once(node: TestNode):
    async def keep() -> None:
        register("breakers")
        publish(self_(), BreakerTable(BreakerSettings(), wall_time))
        await hang()

    node.spawn(keep)
    await node.settle()

    async def work() -> None:
        exchange = Exchange(Market(), Permits())
        assert refs(exchange, 10) == ["a/m", "b/m"]
        breakers_of(node_()).make("provider:a").open_by_hand(0.0, "ada")
        assert refs(exchange, 10) == ["b/m"]

    await node.run(work)


@pytest.mark.parametrize(
    ("tokens", "up"), [(0, 0), (1, 1), (3, 3), (5, 6), (7, 8), (64, 64), (65, 96), (97, 128)]
)
def test_sizes_are_rounded_up_by_half_at_most(tokens: int, up: int):
    assert round_up(tokens) == up
    for number in range(1, 5000):
        assert number <= round_up(number) <= 1.5 * number + 1
