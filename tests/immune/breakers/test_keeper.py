"""The breakers of a running node: what is journalled and said, what a restart keeps, what people may do."""

from functools import partial

import pytest

from planaria.config.breakers import BreakerPolicy, BreakerSettings
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.immune.breakers.breaker import Admitted, Open
from planaria.immune.breakers.keeper import TOPIC, BreakerRefused, Breakers, Turned
from planaria.immune.breakers.table import BreakerTable, breakers_of
from planaria.immune.notice import NOTICE
from planaria.otp import Pid, child, exit_signal, receive, sleep, subscribe, supervisor, wait_down, whereis
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode

POLICY = BreakerSettings(tool=BreakerPolicy(failures=2, jitter=0.0, cooldown=10.0))
NAME = "tool:web.fetch"


class Rig:
    def __init__(self, node: TestNode) -> None:
        self.node = node
        self.store = MemoryStore()

    async def start(self) -> None:
        await self.node.start(child(Journal, lambda: self.store, name="journal"))
        await self.node.start(
            supervisor(child(Breakers, POLICY, name="breakers"), max_restarts=9, within=1.0)
        )

    @property
    def table(self) -> BreakerTable:
        return breakers_of(self.node)

    async def fail(self, times: int = 2) -> None:
        for _ in range(times):
            admitted = self.table.admit(NAME)
            assert isinstance(admitted, Admitted)
            self.table.report(admitted, False, "connection refused", "unreachable")
        await self.node.settle()

    async def events(self, *kinds: str) -> list[Event]:
        return await self.node.run(partial(Journal.read, "journal", Query(kinds=kinds)))

    async def notices(self) -> list[str]:
        events = await self.events("work.submitted")
        return [event.payload["payload"]["text"] for event in events if event.payload["work"] == NOTICE]

    async def restart(self) -> None:
        async def kill() -> None:
            pid = whereis("breakers")
            assert pid is not None
            exit_signal(pid, "kill")
            await wait_down(pid)

        await self.node.run(kill)
        await self.node.settle()


@pytest.fixture
async def rig(node: TestNode) -> Rig:
    rig = Rig(node)
    await rig.start()
    return rig


async def test_where_nobody_keeps_breakers_everything_is_admitted(node: TestNode) -> None:
    table = breakers_of(node)
    for _ in range(100):
        admitted = table.admit(NAME)
        assert isinstance(admitted, Admitted)
        table.report(admitted, False, "broke", "crash")
    assert len(table) == 0


async def test_what_changes_is_in_the_journal_and_the_first_opening_and_the_end_are_said(rig: Rig) -> None:
    await rig.fail()
    assert isinstance(rig.table.admit(NAME), Open)
    await rig.node.advance(10.0)
    assert rig.table.states() == {NAME: "half_open"}  # to be tried, though nobody has yet
    await rig.fail(1)
    await rig.node.advance(20.0)
    probe = rig.table.admit(NAME)
    assert isinstance(probe, Admitted)
    rig.table.report(probe, True)
    await rig.node.settle()
    kinds = [event.kind for event in await rig.events() if event.session == "breakers"]
    assert kinds == [
        "breaker.opened",
        "breaker.half_opened",
        "breaker.opened",
        "breaker.half_opened",
        "breaker.closed",
    ]
    opened, back = await rig.notices()
    assert opened.startswith("tool:web.fetch is not used for 10 s; then one call tries it")
    assert "connection refused" in opened
    assert back == "tool:web.fetch is in use again: a try worked."


async def test_a_restart_keeps_what_was_open(rig: Rig) -> None:
    await rig.fail()
    await rig.restart()
    refused = rig.table.admit(NAME)
    assert isinstance(refused, Open) and refused.why == "connection refused"
    await rig.node.advance(10.0)
    assert isinstance(rig.table.admit(NAME), Admitted)
    await rig.node.settle()
    await rig.restart()  # while somebody tries: who that was is gone, the next one tries
    assert isinstance(rig.table.admit(NAME), Admitted)


async def test_a_restart_keeps_the_growth_of_what_was_closed_by_a_try(rig: Rig) -> None:
    await rig.fail()
    await rig.node.advance(10.0)
    probe = rig.table.admit(NAME)
    assert isinstance(probe, Admitted)
    rig.table.report(probe, True)
    await rig.node.settle()
    await rig.restart()
    assert rig.table.state(NAME) == "closed"
    await rig.fail()
    opened = [event for event in await rig.events() if event.kind == "breaker.opened"][-1]
    assert opened.payload["until"] - opened.at == pytest.approx(20.0, abs=0.1)


async def test_a_try_whose_process_died_is_free(rig: Rig) -> None:
    await rig.fail()
    await rig.node.advance(10.0)
    tried: list[object] = []

    async def hang() -> None:
        tried.append(rig.table.admit(NAME))
        await sleep(1000)

    holder = rig.node.spawn(hang)
    await rig.node.settle()
    assert isinstance(tried[0], Admitted)
    refused = rig.table.admit(NAME)
    assert isinstance(refused, Open) and refused.trying
    await rig.node.run(partial(_kill, holder))
    assert isinstance(rig.table.admit(NAME), Admitted)


async def test_people_open_and_close(rig: Rig) -> None:
    view = await rig.node.run(partial(Breakers.open, "breakers", NAME, "person:ada", "being moved"))
    assert (view.state, view.until, view.by) == ("open", None, "person:ada")
    await rig.node.advance(100_000)
    assert isinstance(rig.table.admit(NAME), Open)
    await rig.restart()
    assert isinstance(rig.table.admit(NAME), Open)
    view = await rig.node.run(partial(Breakers.close, "breakers", NAME, "person:ada"))
    assert view.state == "closed"
    assert isinstance(rig.table.admit(NAME), Admitted)
    await rig.node.settle()
    said = await rig.notices()
    assert said[0].startswith("tool:web.fetch is not used until somebody closes its breaker")
    assert "person:ada" in said[0] and "person:ada" in said[1]


async def test_closing_a_closed_one_forgets_its_failures_and_says_nothing(rig: Rig) -> None:
    await rig.fail(1)
    await rig.node.run(partial(Breakers.close, "breakers", NAME, "person:ada"))
    await rig.fail(1)
    assert rig.table.state(NAME) == "closed"
    assert await rig.notices() == []


async def test_a_name_that_is_none_is_refused(rig: Rig) -> None:
    with pytest.raises(BreakerRefused, match=r"write one such as tool:web\.fetch"):
        await rig.node.run(partial(Breakers.open, "breakers", "web.fetch", "ada"))
    with pytest.raises(BreakerRefused, match="`planaria breakers` shows them"):
        await rig.node.run(partial(Breakers.close, "breakers", "tool:nobody", "ada"))


async def test_whoever_wants_to_know_is_told(rig: Rig) -> None:
    async def listen() -> Turned:
        subscribe(TOPIC)
        for _ in range(2):
            admitted = rig.table.admit(NAME)
            assert isinstance(admitted, Admitted)
            rig.table.report(admitted, False, "broke", "crash")
        told: Turned = await receive(Turned)
        return told

    assert await rig.node.run(listen) == Turned(NAME, "opened")


async def _kill(pid: Pid) -> None:
    exit_signal(pid, "kill")
    await wait_down(pid)
