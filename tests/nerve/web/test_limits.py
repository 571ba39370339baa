"""The page of breakers and budgets."""

from functools import partial

from planaria.cortex.event import NewEvent
from planaria.cortex.journal import Journal
from planaria.immune.breakers.keeper import Breakers
from planaria.immune.ledger.ledger import accounts_of
from tests.nerve.web.garden import Visit, read_until, visiting

EVIL = '"><script>alert(1)</script>'


async def spend(visit: Visit, micro: int) -> None:
    payload = {"provider": "fast", "cost_micro": micro, "usage": {"input_tokens": 700}, "duration_ms": 10.0}
    event = NewEvent("model.responded", payload, session="session:scout@garden", cause_id="M")
    await Journal.append(visit.node["journal"], [event])


async def hold_back(visit: Visit, name: str, why: str = "being moved") -> None:
    await visit.node.run(partial(Breakers.open, "breakers", name, "person:ada", why))


async def test_what_is_spent_and_held_back_shows_by_itself(tmp_path):
    async with visiting(tmp_path) as visit:
        html = (await visit.get("/limits")).text
        assert "Nothing with a breaker was used" in html and "of $20.00 usd per day" in html
        async with visit.stream("/live/limits") as pieces:
            await read_until(pieces, "Nothing with a breaker")
            await hold_back(visit, "tool:web.fetch")
            assert "being moved" in await read_until(pieces, "tool:web.fetch")
            await spend(visit, 16_500_000)
            assert 'value="0.825"' in await read_until(pieces, "$16.50 of $20.00 usd per day")


async def test_a_breaker_is_opened_and_closed_here(tmp_path):
    async with visiting(tmp_path) as visit:
        answer = await visit.post("/limits/breakers", name="provider:fast/big", why="too dear")
        assert "provider:fast/big is held back until it is closed here." in answer.text
        assert "/limits/breakers/provider%3Afast%2Fbig/close" in (await visit.get("/limits")).text
        answer = await visit.post("/limits/breakers/provider%3Afast%2Fbig/close")
        assert "provider:fast/big is in use again." in answer.text
        (view,) = await Breakers.views(visit.node["breakers"])
        assert (view.state, view.by) == ("closed", "person:you")
        assert "Not held back" in (await visit.post("/limits/breakers", name="fast")).text
        assert "Not closed" in (await visit.post("/limits/breakers/tool%3Anone/close")).text


async def test_a_limit_is_set_here_and_taken_back(tmp_path):
    async with visiting(tmp_path) as visit:
        answer = await visit.post("/limits/budget", account="garden", limit="usd_per_day", amount="3")
        assert "usd_per_day of garden is now 3." in answer.text
        assert accounts_of(visit.node).book.garden.limits.usd_per_day == 3.0
        await visit.post("/limits/budget", account="garden", limit="usd_per_day", amount="")
        assert accounts_of(visit.node).book.garden.limits.usd_per_day == 20.0
        answer = await visit.post("/limits/budget", account="garden", limit="usd_per_day", amount="much")
        assert "Not set: usd_per_day is &#39;much&#39;" in answer.text


async def test_names_and_reasons_cannot_break_the_page(tmp_path):
    async with visiting(tmp_path) as visit:
        await hold_back(visit, f"tool:{EVIL}", EVIL)
        html = (await visit.get("/limits")).text
        assert EVIL not in html and "&lt;script&gt;" in html
