"""Partitions (Elixir's PartitionSupervisor): a key has one process, until that is restarted."""

import pytest

from planaria.otp import (
    NoProcess,
    PartitionSupervisor,
    child,
    exit_signal,
    partition,
    partition_pids,
    partitions,
    stop,
)
from planaria.otp.supervision.partition_supervisor import partition_number
from planaria.testing.node import TestNode
from tests.otp.support import Counter


async def test_a_key_always_finds_the_same_partition_across_restarts(node: TestNode) -> None:
    await node.start(partitions(lambda number: child(Counter, 100 * number), 3, name="counters"))

    async def work() -> None:
        pids = partition_pids("counters")
        assert [await Counter.add(pid, 0) for pid in pids] == [0, 100, 200]
        assert [partition("counters", number) for number in (0, 1, 2, 3, -4)] == [*pids, pids[0], pids[1]]
        mine = partition("counters", "garden")
        await Counter.add(mine)
        assert partition("counters", "garden") == mine
        exit_signal(mine, "kill")
        with pytest.raises(NoProcess, match="counters/"):
            partition("counters", "garden")
        assert mine not in partition_pids("counters")
        while len(partition_pids("counters")) < 3:
            await PartitionSupervisor.count_children("counters")
        assert partition_pids("counters").index(partition("counters", "garden")) == pids.index(mine)
        assert [info.id for info in await PartitionSupervisor.which_children("counters")] == [0, 1, 2]
        await stop("counters", "shutdown")
        with pytest.raises(NoProcess):
            partition("counters", 1)

    await node.run(work)


def test_keys_are_spread_and_do_not_depend_on_the_run() -> None:
    assert partition_number("garden", 1000) == 0
    counts = [0] * 4
    for number in range(4000):
        counts[partition_number(f"key {number}", 4)] += 1
    assert min(counts) > 800


def test_there_is_at_least_one_partition() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        partitions(lambda number: child(Counter), 0)
