"""A thread of one's own: the order of its work, its end, and how its news reach the processes."""

import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from planaria.otp import Node, OneThread, Pid, post_blocking, receive, run_blocking, self_


@asynccontextmanager
async def one_thread() -> AsyncIterator[OneThread]:
    executor = OneThread("tested")
    try:
        yield executor
    finally:
        executor.shutdown()


async def test_its_work_is_done_in_order_and_in_its_own_thread() -> None:
    done: list[tuple[int, str]] = []
    async with one_thread() as executor:
        for number in range(5):
            executor.post(lambda n=number: done.append((n, threading.current_thread().name)))  # type: ignore[misc]
        assert await run_blocking(lambda: len(done), executor=executor) == 5
    assert done == [(n, "tested") for n in range(5)]


async def test_what_the_work_raises_is_raised_at_whoever_waits() -> None:
    async with one_thread() as executor:
        with pytest.raises(ZeroDivisionError):
            await run_blocking(lambda: 1 / 0, executor=executor)
        assert await run_blocking(lambda: 1, executor=executor) == 1


def test_what_was_given_up_before_it_began_is_not_done() -> None:
    executor, gate = OneThread("tested"), threading.Event()
    done: list[int] = []
    executor.post(gate.wait)
    future = executor.submit(done.append, 1)
    assert future.cancel()
    gate.set()
    executor.shutdown()
    assert done == []


def test_one_that_was_shut_down_ends_behind_its_work_and_takes_no_more() -> None:
    executor, done = OneThread("tested"), []
    executor.post(lambda: done.append(1))
    executor.shutdown()
    assert done == [1]
    with pytest.raises(RuntimeError, match="tested was shut down"):
        executor.submit(print)


def test_the_thread_of_one_that_is_forgotten_ends() -> None:
    executor = OneThread("forgotten")
    (thread,) = [each for each in threading.enumerate() if each.name == "forgotten"]
    del executor
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


async def test_whoever_posted_work_goes_on_and_is_told_of_its_end() -> None:
    async with one_thread() as executor, Node("n") as node:

        async def ask() -> list[Any]:
            me: Pid = self_()
            for work in (lambda: 7, lambda: 1 / 0):
                post_blocking(work, executor=executor, done=lambda outcome: node.send(me, outcome))
            return [await receive(), await receive()]

        value, error = await node.run(ask)
    assert value == 7
    assert isinstance(error, ZeroDivisionError)


async def test_those_whom_the_end_of_work_wakes_run_in_the_same_callback() -> None:
    async with one_thread() as executor, Node("n") as node:
        order: list[str] = []

        async def ask() -> None:
            me = self_()

            def done(outcome: object) -> None:
                node.scheduler.loop.call_soon(order.append, "loop")
                node.send(me, outcome)

            post_blocking(lambda: None, executor=executor, done=done)
            await receive()
            order.append("process")

        await node.run(ask)
    assert order == ["process", "loop"]
