"""Upgrades that end in the middle, or meet each other: what is under way is forgotten, nothing is left half done."""

import asyncio
import gc
import weakref
from collections import Counter as Tally
from collections import OrderedDict, deque
from typing import Any

import pytest

from planaria.otp import CallError, CodeRolledBack, Node, StartFailed, TaskFailed, exit_signal, upgrade
from planaria.otp.upgrade.version import VERSIONS
from tests.otp.upgrade.test_load import BY_TEN, COUNTER, load


async def test_a_node_that_stops_before_the_upgrade_begins_leaves_nothing_busy(code):
    code.module("e1", COUNTER)
    async with Node("brief") as node:
        loading = asyncio.ensure_future(load("e1", node=node))
        await asyncio.sleep(0)
        await node.stop()
        with pytest.raises(TaskFailed, match="killed"):
            await loading
    assert VERSIONS.busy is None
    with pytest.raises(StartFailed, match="has stopped"):
        await load("e1", node=node)
    assert VERSIONS.busy is None


async def test_a_rollback_that_never_ran_leaves_nothing_busy(code):
    code.module("e2", COUNTER)
    async with Node("brief") as node:
        await load("e2", node=node)
        going_back = asyncio.ensure_future(upgrade.rollback("e2", node=node))
        await asyncio.sleep(0)
        await node.stop()
        with pytest.raises(TaskFailed, match="killed"):
            await going_back
    assert VERSIONS.busy is None


@pytest.mark.parametrize("way", ["def", "async def"])
@pytest.mark.parametrize("end", ["SystemExit(3)", "GeneratorExit()", "Stalled('e3.py:1', 'f', 2.0)"])
async def test_a_code_change_that_ends_the_program_is_a_failure(node, code, way, end):
    m = code.module("e3", COUNTER)
    counters = [await node.run(m.Counter.start, 0) for _ in range(3)]
    head = "from planaria.otp import Stalled\n"  # as the watchdog raises it
    code.write("e3", head + BY_TEN + f"    {way} code_change(self, old, extra): raise {end}\n")
    with pytest.raises(upgrade.UpgradeFailed, match=f"code_change ended with {end.partition('(')[0]}"):
        await load("e3", node=node)
    assert [await m.Counter.add(each) for each in counters] == [1, 1, 1]


async def test_whoever_must_not_be_killed_cannot_ask_for_a_third_version(node, code):
    """A server that upgrades itself twice in one message would be left on the first of the two."""
    twice = """
    @call
    async def twice(self, write) -> list[str]:
        outcomes = []
        for step in (10, 100):
            write(step)
            try:
                await upgrade.load("e4", check=False, probation=0, grace=0.1)
                outcomes.append("loaded")
            except upgrade.UpgradeRefused as refused:
                outcomes.append(str(refused))
        return outcomes
"""
    m = code.module("e4", COUNTER + twice)
    counter = await node.run(m.Counter.start, 0)

    def write(step):
        code.write("e4", COUNTER.replace("step = 1", f"step = {step}") + twice)

    first, second = await m.Counter.twice(counter, write)
    assert first == "loaded"
    assert "in the middle of a message on the version before last" in second
    assert await m.Counter.add(counter) == code["e4"].Counter.step == 10


async def test_processes_of_another_node_are_not_left_behind_by_a_rollback(code):
    m = code.module("e5", COUNTER)
    async with Node("a") as a, Node("b") as b:
        counter = await a.run(m.Counter.start, 0)
        code.write("e5", BY_TEN)
        await load("e5", node=a)
        with pytest.raises(upgrade.UpgradeRefused, match="go back there"):
            await upgrade.rollback("e5", node=b)
        assert await m.Counter.add(counter) == 10
        await upgrade.rollback("e5", node=a)
        assert await m.Counter.add(counter) == 1


async def test_crashes_roll_back_even_while_another_upgrade_is_under_way(node, code):
    m = code.module("e6", COUNTER)
    other = code.module("e7", COUNTER)
    counters = [await node.run(m.Counter.start, 0) for _ in range(5)]
    busy = await node.run(other.Counter.start, 0)
    code.write("e6", BY_TEN + "    @call\n    def add(self): raise ValueError('a bug')\n")
    await upgrade.load("e6", node=node, check=False)
    back = []
    node.subscribe_events(lambda event: back.append(event) if isinstance(event, CodeRolledBack) else None)
    slow = asyncio.ensure_future(other.Counter.slowly(busy))
    await node.settle()
    loading = asyncio.ensure_future(load("e7", node=node))
    await node.settle()
    for each in counters[:3]:
        with pytest.raises(CallError):
            await m.Counter.add(each)
    await node.settle()
    assert VERSIONS.busy == "e7"
    assert back == []
    for _ in range(15):
        await node.settle()
        await node.advance(0.1)
    await loading
    await slow
    assert [event.modules for event in back] == [("e6",)]
    assert await m.Counter.add(counters[4]) == 1


async def test_versions_that_nobody_runs_are_forgotten(node, code):
    m = code.module("e8", COUNTER)
    counter = await node.run(m.Counter.start, 0)
    del m
    seen = []
    for step in range(20):
        code.write("e8", COUNTER.replace("step = 1", f"step = {step}"))
        await load("e8", node=node)
        seen.append(weakref.ref(code["e8"].Counter))
    gc.collect()
    assert sum(each() is not None for each in seen) <= 3  # two, and one step further back
    assert len(counter.on_death) == 1


async def test_the_dead_are_forgotten_by_the_way_back(node, code):
    m = code.module("e9", COUNTER)
    counter = await node.run(m.Counter.start, 0)
    await load("e9", node=node)
    assert counter in VERSIONS.last["e9"].moved
    await node.run(exit_signal_to, counter)
    assert counter not in VERSIONS.last["e9"].moved


async def exit_signal_to(process):
    exit_signal(process, "kill")


class Loud(dict):  # type: ignore[type-arg]
    """A table that minds."""

    def clear(self):
        raise ValueError("no")

    def update(self, *args, **kwargs):
        raise ValueError("no")


STATEFUL = (
    COUNTER
    + """
    @call
    def keep(self, value): self.value = value
    @call
    def kept(self): return self.value
"""
)


async def test_containers_of_any_make_get_their_content_back(node, code):
    m = code.module("e10", STATEFUL)
    counter = await node.run(m.Counter.start, 0)
    kept: list[Any] = [Loud(a=1), OrderedDict(b=1, a=2), Tally(x=3), deque([1], maxlen=2)]
    await m.Counter.keep(counter, kept)
    await load("e10", node=node)
    dict.update(kept[0], b=2)
    kept[1].move_to_end("b")
    kept[2]["x"] += 1
    kept[3].append(5)
    await upgrade.rollback("e10", node=node)
    assert [repr(each) for each in await m.Counter.kept(counter)] == [
        "{'a': 1}",
        "OrderedDict({'b': 1, 'a': 2})",
        "Counter({'x': 3})",
        "deque([1], maxlen=2)",
    ]


async def test_one_that_cannot_go_back_does_not_keep_the_others(node, code, caplog):
    m = code.module("e11", STATEFUL)
    counters = [await node.run(m.Counter.start, 0) for _ in range(3)]
    change = """
    def set_state(self, state):
        raise ValueError("never")
    def code_change(self, old, extra):
        if self.count == 7: raise ValueError("not me")
"""
    code.write("e11", STATEFUL + change)
    stubborn = counters[1]
    stubborn.body.set_state = None  # not even the old class can restore it
    for _ in range(7):
        await m.Counter.add(counters[2])
    with pytest.raises(upgrade.UpgradeFailed, match="not me"):
        await load("e11", node=node)
    assert stubborn.reason == "killed"
    assert await m.Counter.add(counters[0]) == 1
    assert "could not go back and is killed" in caplog.text
