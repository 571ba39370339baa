"""Ids: their form, and that they never run backwards."""

import os
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.cortex.event import Ids, new_id
from planaria.otp import Node

TIMES = st.lists(st.floats(min_value=-1e3, max_value=2.8e11, allow_nan=False), min_size=1, max_size=50)


def ids_at(times: list[float], tail: int = 0) -> list[str]:
    clock: Iterator[float] = iter(times)
    source = Ids(lambda: next(clock), lambda bits: tail)
    return [source.next() for _ in times]


@settings(deadline=None)  # the machine may be busy
@given(TIMES, st.integers(min_value=0, max_value=2**79 - 1))
def test_each_id_is_greater_than_the_one_before_whatever_the_clock_does(
    times: list[float], tail: int
) -> None:
    ids = ids_at(times, tail)
    assert all(first < second for first, second in pairwise(ids))
    assert {len(one) for one in ids} == {26}


@settings(deadline=None)  # the machine may be busy
@given(st.floats(0, 2.8e11), st.floats(0, 2.8e11), st.integers(0, 2**79 - 1), st.integers(0, 2**79 - 1))
def test_ids_of_two_sources_sort_by_their_times(early: float, late: float, one: int, other: int) -> None:
    if int(early * 1000) < int(late * 1000):
        assert ids_at([early], one) < ids_at([late], other)


def test_an_id_is_a_ulid() -> None:
    # The example of the ULID specification: 1469918176385 ms is 01ARYZ6S41.
    assert ids_at([1469918176.385], tail=0) == ["01ARYZ6S41" + "0" * 16]
    assert ids_at([1469918176.385], tail=2**80 - 1) == ["01ARYZ6S41" + "Z" * 16]


def test_within_a_millisecond_the_tail_counts_on() -> None:
    assert ids_at([1.0, 1.0], tail=31) == ["00000000Z8000000000000000Z", "00000000Z80000000000000010"]


def test_a_tail_counts_on_past_the_letters_that_seldom_change() -> None:
    assert ids_at([1.0, 1.0], tail=2**70 - 1) == ["00000000Z800" + "Z" * 14, "00000000Z801" + "0" * 14]


def test_a_tail_at_its_end_borrows_a_millisecond() -> None:
    tails = iter([2**80 - 1, 7])
    source = Ids(lambda: 1.0, lambda bits: next(tails))
    assert [source.next(), source.next()] == ["00000000Z8" + "Z" * 16, "00000000Z9" + "0" * 15 + "7"]


def test_ids_of_many_threads_are_all_different() -> None:
    found: list[list[str]] = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda own=own: own.extend(new_id() for _ in range(2000))) for own in found
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for own in found for one in own}) == 8000
    assert all(own == sorted(own) for own in found)


@pytest.mark.subprocess
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_program_gives_other_ids() -> None:
    new_id()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs, ours = os.read(read, 26).decode(), new_id()
    os.close(read)
    os.close(write)
    assert theirs[10:20] != ours[10:20]


async def test_inside_a_process_ids_follow_ids_given_outside(node: Node) -> None:
    before = new_id()

    async def inside() -> str:
        return new_id()

    assert before < await node.run(inside) < new_id()
