"""Functions in workers: awaited, as tasks, as children."""

import asyncio
import math
import os
import signal

import pytest

from planaria.otp import (
    Down,
    Limits,
    Signal,
    Task,
    TaskFailed,
    Unsendable,
    Worker,
    exit_signal,
    receive,
    run_in_worker,
    self_,
    send,
    sleep,
    supervisor,
    task_child,
    trap_exits,
)
from planaria.otp.isolation.proxy import worker_of
from tests.otp.isolation.residents import Boom, abort, adder, boom, bounds, fib, hand_back, spin
from tests.otp.isolation.support import alive, os_pid_of

pytestmark = [pytest.mark.subprocess, pytest.mark.asyncio(loop_scope="module")]


async def test_a_function_runs_in_a_worker_and_its_value_comes_back(home):
    assert await home.run(run_in_worker, fib, 10) == 55
    assert await home.run(run_in_worker, math.factorial, 5) == 120


async def test_what_it_raises_is_raised_here_and_other_ends_are_told(home):
    with pytest.raises(Boom, match="computed") as raised:
        await home.run(run_in_worker, boom)
    assert "residents.py" in str(raised.value.__cause__)
    with pytest.raises(TaskFailed) as failed:
        await home.run(run_in_worker, abort)
    assert failed.value.reason == Signal(signal.SIGABRT)


async def test_a_value_home_cannot_take_is_an_error(home):
    async def work() -> None:
        with pytest.raises(Exception, match="is made inside a function"):
            await run_in_worker(lambda: 1)
        with pytest.raises(Unsendable, match="arguments"):
            await run_in_worker(hand_back, lambda: 1)

    await home.run(work)


async def test_limits_bind_it(home):
    async def work() -> None:
        cpu, files = await run_in_worker(bounds, worker=Worker(Limits(cpu=2.5, files=100)))
        assert (cpu, files) == (3, 100)

    await home.run(work)


async def test_it_is_killed_when_nobody_waits_any_more(home):
    found: list[int] = []

    async def work() -> None:
        with pytest.raises(TimeoutError):
            await run_in_worker(spin, timeout=0.2, label="spinner")

    waiting = home.spawn(work)
    gone = home.wait_exit(waiting)
    while not found:
        found = [os_pid_of(p) for p in home.processes() if p.label == "spinner" and worker_of(p)]
        await asyncio.sleep(0.002)
    assert await gone == "normal"
    while alive(found[0]):
        await asyncio.sleep(0.002)


async def test_a_task_in_a_worker_is_killed_by_cancel(home):
    async def work() -> None:
        ref = Task.start_link(fib, 12, isolation="worker")
        assert await ref.result() == 144
        ref = Task.start_link(spin, isolation="worker", label="task")
        while not (found := [p for p in self_().node.processes() if worker_of(p) and p.label == "task"]):
            await sleep(0.002)
        while not (pid := worker_of(found[0]).os_pid):  # type: ignore[union-attr]
            await sleep(0.002)
        ref.cancel()
        while alive(pid):
            await sleep(0.002)
        trap_exits()
        failing = Task.start_link(abort, isolation="worker")
        down = await receive(Down)
        assert (down.ref, down.reason) == (failing, Signal(signal.SIGABRT))

    await home.run(work)


async def test_a_function_is_a_child_with_a_mailbox(home):
    root = await home.start(supervisor(task_child(adder, 5, name="adder", isolation="worker"), name="root"))

    async def work() -> None:
        send("adder", (self_(), 2))
        assert await receive(int) == 7
        first = self_().node["adder"]
        assert os_pid_of(first) != os.getpid()
        exit_signal(first, "kill")
        while (second := self_().node.names.get("adder")) in (None, first):
            await sleep(0.002)
        assert second is not None
        send(second, (self_(), 1))
        assert await receive(int) == 6

    await home.run(work)
    assert root.alive
