"""A kill is final at once: whatever its code still does, the process is dead to everybody."""

import asyncio
import subprocess
import sys

import pytest

from planaria.otp import (
    CleanupFailed,
    Down,
    ExitSignal,
    GenServer,
    Killed,
    NoProcess,
    Pid,
    call,
    exit_signal,
    link,
    monitor,
    receive,
    register,
    self_,
    send,
    sleep,
    spawn,
    trap_exits,
)
from planaria.testing.node import TestNode

from .support import Boom, Counter, collect, idle, reason_of_end


async def kill(node: TestNode, pid: Pid) -> None:
    async def work() -> None:
        exit_signal(pid, "kill")

    await node.run(work)


class Swallower(GenServer):
    """Swallows whatever is thrown into it and goes on."""

    @call
    async def work(self, rounds: int) -> str:
        for _ in range(rounds):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue
        return "survived"


async def test_code_that_swallows_its_cancellation_is_dead_all_the_same(node: TestNode) -> None:
    pid = await node.run(Swallower.start)
    calling = asyncio.ensure_future(Swallower.work(pid, 1))
    await node.settle()
    await kill(node, pid)
    assert not pid.alive
    assert isinstance((await asyncio.gather(calling, return_exceptions=True))[0], Exception)


async def test_the_name_is_free_and_the_monitors_told_at_once(node: TestNode) -> None:
    async def stubborn() -> None:
        register("stubborn")
        while True:
            try:
                await sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                raise

    pid = node.spawn(stubborn)
    await node.settle()

    async def work() -> tuple[object, bool]:
        monitor(pid)
        exit_signal(pid, "kill")
        down = await receive(Down, timeout=0)
        register("stubborn", spawn(idle))
        return down.reason, pid.alive

    assert await node.run(work) == ("killed", False)


async def test_the_dead_can_do_nothing_as_a_process(node: TestNode) -> None:
    got: list[object] = []
    refused: list[str] = []
    target = node.spawn(collect, got)

    async def ghost() -> None:
        try:
            await sleep(3600)
        finally:
            for action in (
                lambda: send(target, "from beyond"),
                lambda: spawn(idle),
                lambda: register("ghost"),
                lambda: link(target),
                self_,
            ):
                try:
                    action()
                except Killed as error:
                    refused.append(type(error).__name__)

    pid = node.spawn(ghost)
    await node.settle()
    await kill(node, pid)
    await node.settle()
    assert (got, refused) == ([], ["Killed"] * 5)


async def test_the_dead_can_let_go_of_what_they_hold(node: TestNode) -> None:
    freed: list[str] = []

    async def holder() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            freed.append("file")

    pid = node.spawn(holder)
    await node.settle()
    await kill(node, pid)
    for _ in range(3):
        await node.settle()
    assert freed == ["file"]


async def test_what_the_dead_raise_is_an_event_and_nobodys_problem(node: TestNode) -> None:
    events: list[object] = []
    node.subscribe_events(events.append)

    async def clumsy() -> None:
        try:
            await sleep(3600)
        finally:
            raise Boom

    pid = node.spawn(clumsy)
    await node.settle()
    await kill(node, pid)
    await node.settle()
    assert pid.reason == "killed"
    [failed] = [event for event in events if isinstance(event, CleanupFailed)]
    assert isinstance(failed.error, Boom)


async def test_a_caller_killed_while_it_waits_takes_no_reply(node: TestNode) -> None:
    server = await node.run(Counter.start)

    async def caller() -> None:
        await Counter.later(server)

    pid = node.spawn(caller)
    await node.settle()
    await kill(node, pid)
    Counter.answer(server, 1)
    await node.settle()
    assert await Counter.add(server) == 1


async def test_a_process_that_kills_itself_goes_no_further(node: TestNode) -> None:
    reached: list[int] = []

    async def work() -> None:
        exit_signal(self_(), "kill")
        reached.append(1)

    assert await reason_of_end(node, node.spawn(work)) == "killed"
    assert not reached


async def test_a_server_that_kills_its_caller_inside_the_call_is_unharmed(node: TestNode) -> None:
    class Assassin(GenServer):
        @call
        def ask(self) -> str:
            caller = self.caller()
            assert caller is not None
            exit_signal(caller, "kill")
            return "too late"

        @call
        def ping(self) -> str:
            return "pong"

    assassin = await node.run(Assassin.start)
    reached: list[str] = []

    async def victim() -> None:
        reached.append(await Assassin.ask(assassin))

    assert await reason_of_end(node, node.spawn(victim)) == "killed"
    assert not reached
    assert await Assassin.ping(assassin) == "pong"


async def test_a_killed_caller_stops_even_if_its_code_catches_everything(node: TestNode) -> None:
    class Assassin(GenServer):
        @call
        def ask(self) -> None:
            caller = self.caller()
            assert caller is not None
            exit_signal(caller, "kill")

    assassin = await node.run(Assassin.start)
    got: list[object] = []
    target = node.spawn(collect, got)

    async def victim() -> None:
        try:
            await Assassin.ask(assassin)
        except BaseException:  # noqa: BLE001  the point of the test
            pass
        send(target, "still here")

    pid = node.spawn(victim)
    assert await reason_of_end(node, pid) == "killed"
    await node.settle()
    assert got == []


async def test_a_linked_trapping_process_is_told_killed_not_kill(node: TestNode) -> None:
    async def work() -> object:
        trap_exits()
        pid = spawn(idle)
        link(pid)
        exit_signal(pid, "kill")
        return (await receive(ExitSignal)).reason

    assert await node.run(work) == "killed"


async def test_callers_of_a_killed_server_fail_at_once(node: TestNode) -> None:
    server = await node.run(Counter.start)
    waiting = [asyncio.ensure_future(Counter.later.within(None)(server)) for _ in range(3)]
    await node.settle()
    await kill(node, server)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(getattr(result, "why", None)) for result in results] == ["killed"] * 3
    failed = (await asyncio.gather(Counter.add(server), return_exceptions=True))[0]
    assert isinstance(failed, NoProcess)


STUBBORN = """
import asyncio
from planaria.otp import Node

async def stubborn():
    for _ in range(5):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue

async def main():
    async with Node("stubborn") as node:
        node.spawn(stubborn)
        await asyncio.sleep(0.01)

asyncio.run(main())
print("over")
"""


@pytest.mark.subprocess
def test_a_program_ends_although_dead_code_swallows_its_cancellation() -> None:
    # A process of its own: where the promise is broken, the event loop never closes.
    command = [sys.executable, "-c", STUBBORN]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except subprocess.TimeoutExpired:
        pytest.fail("the program did not end")
    assert done.stdout == "over\n", done.stderr
