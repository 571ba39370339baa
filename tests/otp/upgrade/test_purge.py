"""Two versions at most: who still runs the one before is waited for, then killed. And functions that keep up."""

import asyncio
from typing import Any

from planaria.otp import child, receive, send, sleep, spawn, spawn_link, supervisor, task_child, upgrade
from planaria.otp.kernel.event import OldCodeKilled
from tests.otp.upgrade.test_load import BY_TEN, COUNTER, load

LONG = 1e6
"""Seconds of the virtual clock: no deadline for what a real thread does."""
LOOPS = """
async def stubborn():
    while True:
        await receive()

async def short():
    await sleep(1.0)

async def inner(): await receive()
async def outer(): await inner()

async def faithful(count=0):
    asker = await receive()
    send(asker, ("one", count))
    return upgrade.again(faithful, count + 1)
"""


async def test_a_third_load_waits_for_those_on_the_oldest_then_kills_them(node, code):
    m = code.module("p1", LOOPS + COUNTER)
    told: list[Any] = []
    seen: list[Any] = []
    node.subscribe_events(told.append)

    async def work():
        stubborn, outer = spawn(m.stubborn), spawn(m.outer)
        counter = await m.Counter.start(0)
        code.write("p1", LOOPS + BY_TEN)
        report = await load("p1")
        seen.append(set(report.left) == {stubborn, outer} and report.killed == ())
        young = spawn(m.stubborn)
        short = spawn(m.short)
        await sleep(0)
        report = await load("p1", grace=2.0)
        seen.append((set(report.killed) == {stubborn, outer}, stubborn.alive, outer.alive))
        seen.append((young.alive, counter.alive, short.reason, report.left == (young,)))
        await sleep(3.0)
        report = await load("p1", grace=2.0)
        seen.append(report.killed == (young,))

    running = node.spawn(work)
    for _ in range(100):
        await node.settle()
        await node.advance(0.1)
    assert running.reason == "normal"
    assert seen == [True, (True, False, False), (True, True, "normal", True), True]
    assert [(e.module, e.version) for e in told if isinstance(e, OldCodeKilled)] == [("p1", 1)] * 2 + [
        ("p1", 2)
    ]


async def test_a_server_that_never_finished_its_message_is_killed_too(node, code):
    m = code.module("p2", COUNTER.replace("sleep(1.0)", "sleep(1000.0)"))
    seen: list[Any] = []

    async def work():
        counter = await m.Counter.start(0)
        task = m.Counter.slowly.within(None)
        spawn(lambda: task(counter))
        await sleep(0.1)
        code.write("p2", BY_TEN)
        seen.append((await load("p2", patience=0.1)).late == (counter,))
        seen.append((await load("p2", patience=0.1, grace=0.5)).killed == (counter,))

    node.spawn(work)
    for _ in range(30):
        await node.settle()
        await node.advance(0.1)
    assert seen == [True, True]


async def test_a_function_that_says_again_goes_on_with_the_newest_version(node, code):
    m = code.module("p3", LOOPS)

    async def work():
        from planaria.otp import self_

        async def ask():
            send(loop, self_())
            return await receive()

        loop = spawn_link(upgrade.follow, m.faithful, 5)
        assert [await ask(), await ask()] == [("one", 5), ("one", 6)]
        code.write("p3", LOOPS.replace('"one"', '"two"'))
        report = await load("p3")
        assert report.left == (loop,)  # in the middle of `receive`
        assert await ask() == ("one", 7)
        assert await ask() == ("two", 8)
        code.write("p3", LOOPS.replace('"one"', '"three"'))
        assert (await load("p3")).killed == ()
        assert loop.alive

    await node.run(work)


async def test_children_of_both_kinds_come_back_on_the_newest_version_after_a_purge(node, code):
    m = code.module("p4", LOOPS + COUNTER)
    await node.start(
        supervisor(
            task_child(m.stubborn, name="stubborn"),
            child(m.Counter, 0, name="thread", isolation="thread"),
            max_restarts=10,
        )
    )

    async def work():
        code.write("p4", LOOPS + BY_TEN)
        report = await load("p4", grace=0.0, patience=LONG)
        seen.append({each.name for each in report.left})
        seen.append(len((await load("p4", grace=0.0, patience=LONG)).killed))
        await sleep(0.5)
        seen.append(len((await load("p4", grace=0.0, patience=LONG)).killed))
        seen.append(await m.Counter.add.within(LONG)("thread"))

    seen: list[Any] = []
    running = node.spawn(work)
    async with asyncio.timeout(60):
        while running.alive:  # the thread takes its own time, while the clock runs ahead
            await node.settle()
            await node.advance(0.05)
    assert running.reason == "normal"
    assert seen == [{"stubborn", "thread"}, 2, 0, 10]
