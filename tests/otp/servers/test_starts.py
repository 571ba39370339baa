"""Starts that are watched or limited, hibernation, and calls whose answer comes too late."""

import pytest

from planaria.otp import (
    CallTimeout,
    Deferred,
    Down,
    Event,
    GenServer,
    Hibernate,
    Keep,
    Next,
    Pid,
    StartFailed,
    StateMachine,
    call,
    cast,
    hibernate,
    link,
    receive,
    send,
    sleep,
    spawn,
    unlink,
)
from planaria.otp.supervision.child import child
from planaria.testing.node import TestNode
from tests.otp.support import Counter, idle


class Brief(GenServer):
    """Ends right after its start, with a reason of its own."""

    def init(self) -> None:
        self.stop("brief")


class BriefMachine(StateMachine):
    def init(self) -> Next:
        return Next("end", reply=None)

    def end(self, event: Event) -> None: ...


@pytest.mark.parametrize("cls", [Brief, BriefMachine])
async def test_a_server_watched_from_its_start_is_never_reported_as_noproc(
    node: TestNode, cls: type[Brief] | type[BriefMachine]
) -> None:
    async def work() -> object:
        pid, ref = await cls.start_monitor()
        down = await receive(Down)
        assert (down.ref, down.process) == (ref, pid)
        return down.reason

    reason = await node.run(work)
    assert reason == "brief" if cls is Brief else reason not in ("noproc", "normal")


async def test_a_server_that_lives_on_is_watched(node: TestNode) -> None:
    async def work() -> object:
        pid, ref = await Counter.start_monitor(1)
        Counter.end(pid, "later")
        down = await receive(Down)
        return down == Down(ref, pid, "later")

    assert await node.run(work)


class SlowStart(GenServer):
    async def init(self) -> None:
        await sleep(60)


class SlowMachine(StateMachine):
    async def init(self) -> Next:
        await sleep(60)
        return Next("never")


@pytest.mark.parametrize("cls", [SlowStart, SlowMachine])
async def test_a_start_that_takes_too_long_is_killed(
    node: TestNode, cls: type[SlowStart] | type[SlowMachine]
) -> None:
    failures: list[object] = []

    async def work(linked: bool) -> None:
        start = cls.start_link if linked else cls.start
        try:
            await start(name="slow", timeout=2.0)
        except StartFailed as error:
            failures.append(error.reason)
        failures.append(node.whereis("slow"))

    async def as_child() -> None:
        try:
            await child(cls, name="slow", start_timeout=2.0).start()
        except StartFailed as error:
            failures.append(error.reason)

    for each in (lambda: work(False), lambda: work(True), as_child):
        node.spawn(each)
        await node.advance(2.0)
    assert failures == ["timeout", None, "timeout", None, "timeout"]


async def test_an_answer_that_comes_too_late_vanishes(node: TestNode) -> None:
    class Late(GenServer):
        def init(self) -> None:
            self.kept: Deferred[int] | None = None

        @call
        def ask(self) -> Deferred[int]:
            self.kept = self.defer()
            return self.kept

        @cast
        def answer(self) -> None:
            assert self.kept is not None
            self.kept.reply(1)

    async def work(pid: Pid) -> object:
        with pytest.raises(CallTimeout):
            await Late.ask.within(1.0)(pid)
        Late.answer(pid)
        await sleep(1.0)
        with pytest.raises(TimeoutError):
            await receive(timeout=0)
        return True

    pid = await node.run(Late.start)
    working = node.spawn(work, pid)
    await node.advance(3.0)
    assert working.reason == "normal"
    assert pid.alive
    assert not pid.calls


async def test_hibernation_lets_go_of_empty_tables_and_has_no_other_effect(node: TestNode) -> None:
    class Sleepy(GenServer):
        def init(self) -> None:
            other = spawn(idle)
            link(other)
            unlink(other)
            hibernate()

        @call
        def ask(self) -> int:
            return 1

    class SleepyMachine(StateMachine):
        def init(self) -> Next:
            return Next("only", Hibernate())

        @call
        def ask(self) -> int:
            return 2

        def only(self, event: object) -> Keep | None:
            return None

    pid = await node.run(Sleepy.start)
    assert pid.links is None
    assert await Sleepy.ask(pid) == 1
    machine = await node.run(SleepyMachine.start)
    assert await SleepyMachine.ask(machine) == 2


async def test_a_link_survives_hibernation(node: TestNode) -> None:
    class Linked(GenServer):
        def init(self, other: Pid) -> None:
            link(other)
            hibernate()

        def handle_info(self, message: object) -> None:
            hibernate()

    other = node.spawn(idle)
    pid = await node.run(Linked.start, other)
    assert pid.links == {other}

    async def poke() -> None:
        send(pid, "x")

    await node.run(poke)
    await node.settle()
    assert pid.links == {other}
