"""Schedules: every slot once, through downtime, restarts and slow runs."""

import pytest

from planaria.otp import exit_signal
from tests.workflows.support import graph
from tests.workflows.world import SlowStore, as_markdown, world

LINE = {"a": {"*": "end"}}
QUARTER = {"schedule": "*/15 * * * *"}


@pytest.fixture
async def garden(tmp_path):
    async with world(tmp_path, seed=5) as made:
        yield made


def shift(place, seconds):
    """Another start of the same clock: as if the node had been down for so long."""
    clock = place.node.virtual_clock
    clock._offset += seconds


async def slots(place):
    start = 1767225600.0
    events = await place.events("workflow.run.started")
    return [round((event.payload["slot"] - start) / 60, 2) for event in events]


async def test_a_scheduled_workflow_runs_at_its_slots(garden):
    garden.write("test.md", as_markdown(graph(LINE), **QUARTER))
    await garden.begin()
    await garden.node.advance(14 * 60)
    assert await slots(garden) == []
    await garden.node.advance(47 * 60)
    assert await slots(garden) == [15, 30, 45, 60]


async def test_a_new_schedule_is_kept_without_a_restart(garden):
    await garden.begin()
    await garden.node.advance(20 * 60)
    garden.write("test.md", as_markdown(graph(LINE), **QUARTER))
    await garden.changed("test.md")
    await garden.node.advance(11 * 60)
    assert await slots(garden) == [30]


async def test_a_changed_schedule_counts_from_the_change(garden):
    garden.write("test.md", as_markdown(graph(LINE), schedule="0 7 * * *"))
    await garden.begin()
    await garden.node.advance(20 * 60)
    garden.write("test.md", as_markdown(graph(LINE), **QUARTER))
    await garden.changed("test.md")
    await garden.node.settle()
    assert await slots(garden) == []
    await garden.node.advance(11 * 60)
    assert await slots(garden) == [30]


async def test_a_workflow_whose_first_run_is_now_starts_at_once_and_then_by_the_clock(garden):
    garden.write("test.md", as_markdown(graph(LINE), first_run="now", **QUARTER))
    await garden.begin()
    assert len(garden.calls) == 1
    await garden.node.advance(16 * 60)
    assert len(garden.calls) == 2


async def test_a_slot_that_comes_while_the_run_before_goes_on_is_skipped(garden):
    held = garden.hold("a")
    garden.write("test.md", as_markdown(graph(LINE, a={"timeout": 9000.0}), **QUARTER))
    await garden.begin()
    await garden.node.advance(40 * 60)
    assert await slots(garden) == [15]
    skipped = await garden.events("workflow.slot.skipped")
    assert len(skipped) == 1
    held.set()
    await garden.node.advance(21 * 60)
    assert await slots(garden) == [15, 45, 60]


@pytest.mark.parametrize("victim", ["schedules", "workflows", "workflow_floor"])
async def test_no_slot_runs_twice_when_processes_die(garden, victim):
    garden.write("test.md", as_markdown(graph(LINE), **QUARTER))
    await garden.begin()

    async def fire(pid) -> None:
        exit_signal(pid, "kill")

    for _ in range(8):
        await garden.node.advance(5 * 60)
        await garden.node.run(fire, garden.node[victim])
        await garden.node.settle()
        await garden.node.advance(1)
    assert await slots(garden) == [15, 30]


async def test_after_downtime_a_missed_schedule_runs_once(tmp_path):
    store = SlowStore()
    async with world(tmp_path, seed=6, store=store) as first:
        first.write("test.md", as_markdown(graph(LINE), **QUARTER))
        await first.begin()
        await first.node.advance(16 * 60)
        assert await slots(first) == [15]
    async with world(tmp_path, seed=7, store=store) as second:
        shift(second, 3 * 3600 + 60)
        await second.begin()
        assert await slots(second) == [15, 180]
        await second.node.advance(60)
        assert await slots(second) == [15, 180]
        await second.node.advance(15 * 60)
        assert await slots(second) == [15, 180, 195]


async def test_a_schedule_that_missed_its_very_first_slot_runs_once(tmp_path):
    store = SlowStore()
    async with world(tmp_path, seed=6, store=store) as first:
        first.write("test.md", as_markdown(graph(LINE), **QUARTER))
        await first.begin()
        await first.node.advance(60)
    async with world(tmp_path, seed=7, store=store) as second:
        shift(second, 20 * 60)
        await second.begin()
        assert await slots(second) == [15]


async def test_a_schedule_edited_while_the_node_was_down_counts_from_the_boot(tmp_path):
    store = SlowStore()
    async with world(tmp_path, seed=6, store=store) as first:
        first.write("test.md", as_markdown(graph(LINE), schedule="0 7 * * *"))
        await first.begin()
    async with world(tmp_path, seed=7, store=store) as second:
        second.write("test.md", as_markdown(graph(LINE), **QUARTER))
        shift(second, 20 * 60)
        await second.begin()
        assert await slots(second) == []


async def test_a_clock_that_jumps_is_noticed_within_a_minute(garden):
    garden.write("test.md", as_markdown(graph(LINE), schedule="0 7 * * *"))
    await garden.begin()
    shift(garden, 8 * 3600)
    await garden.node.advance(61)
    assert await slots(garden) == [7 * 60]


async def test_a_broken_file_keeps_its_schedule(garden):
    good = as_markdown(graph(LINE), **QUARTER)
    garden.write("test.md", good)
    await garden.begin()
    garden.write("test.md", good.replace("test.step", "test.stp"))
    await garden.changed("test.md")
    await garden.node.advance(16 * 60)
    assert await slots(garden) == [15]
