"""The watchdog: whoever holds up the node is named, broken and restarted, and nobody else is hurt."""

import asyncio
import itertools
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import pytest

from planaria.otp import (
    CallFailed,
    Crash,
    GenServer,
    Node,
    ServerExited,
    StartFailed,
    call,
    cast,
    child,
    receive,
    supervisor,
)
from planaria.otp.kernel.event import KernelEvent, ProcessExited, ProcessStalled
from planaria.otp.kernel.process import Process
from planaria.otp.kernel.reason import Stalled
from planaria.otp.observe.breaker import private_signal
from planaria.otp.observe.charge import Charge
from planaria.otp.observe.stall import Stall
from planaria.otp.observe.watchdog import SWITCH, Watchdog
from tests.otp.support import Counter

LIMIT = 0.15
PATIENCE = 60.0
"""Seconds after which a test gives up; none waits that long."""


@pytest.fixture
async def node():
    async with Node("watched") as node:
        yield node


@pytest.fixture
async def watchdog(node):
    with Watchdog(node, warn=0.03, limit=LIMIT) as watchdog:
        yield watchdog


class Worker(GenServer):
    """Does whatever it is told."""

    def init(self, work: Callable[[], object] | None = None) -> None:
        self.ended: list[object] = []
        if work is not None:
            work()

    @cast
    def do(self, work: Callable[[], object]) -> None:
        work()

    @cast
    async def do_async(self, work: Callable[[], object]) -> None:
        await asyncio.sleep(0)
        work()

    @call
    def ask(self, work: Callable[[], Any]) -> Any:
        return work()

    @cast
    def end(self) -> None:
        self.stop()


class Forwarder(GenServer):
    @call
    async def forward(self, work: Callable[[], Any]) -> Any:
        return await Worker.ask("worker", work)


def spin() -> None:
    while True:
        pass


def compute(seconds: float) -> None:
    """Use a processor, for seconds of its own time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def spin_in_comprehension() -> None:
    [number for number in itertools.count() if number < 0]


def numbers() -> Generator[int]:
    while True:
        yield 1


def spin_in_generator() -> None:
    sum(numbers())


def sort_slowly() -> None:
    sorted(range(1_000_000), key=lambda number: sum(range(3000)))


def recurse(depth: int = 40) -> int:
    return 1 if depth == 0 else recurse(depth - 1) + recurse(depth - 1)


def catastrophic_pattern() -> None:
    re.match(r"(a+)+$", "a" * 40 + "b")


def sleep_in_c() -> None:
    time.sleep(1000)


def wait_for_a_lock() -> None:
    threading.Event().wait()


def casts_without_end() -> None:
    while True:
        Worker.end("nobody")


async def told_of(found: list[ProcessStalled], process: Process) -> ProcessStalled:
    """The first event about a process, once it has come; on a slow machine there may be others before."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for each in found:
                if each.process is process:
                    return each
            await asyncio.sleep(0.001)


def stalls(node: Node) -> list[ProcessStalled]:
    """The kernel's events about stalls, as they come."""
    found: list[ProcessStalled] = []

    def note(event: KernelEvent) -> None:
        if isinstance(event, ProcessStalled):
            found.append(event)

    node.subscribe_events(note)
    return found


async def worker(node: Node):
    await node.start(supervisor(child(Worker, name="worker"), name="root"))
    return node["worker"]


def is_stalled(reason: object) -> bool:
    return isinstance(reason, Crash) and isinstance(reason.error, Stalled)


@pytest.mark.parametrize(
    "work",
    [
        spin,
        spin_in_comprehension,
        spin_in_generator,
        sort_slowly,
        recurse,
        catastrophic_pattern,
        sleep_in_c,
        wait_for_a_lock,
        casts_without_end,
    ],
)
@pytest.mark.parametrize("handler", [Worker.do, Worker.do_async])
async def test_a_process_that_does_not_pause_is_broken_and_restarted(node, watchdog, handler, work):
    first = await worker(node)
    gone = node.wait_exit(first)
    handler(first, work)
    reason = await gone
    assert is_stalled(reason)
    await node.settle()
    assert await node.run(Worker.ask, "worker", lambda: 7) == 7
    assert node["worker"] is not first


async def test_the_reason_names_file_line_and_function(node, watchdog):
    first = await worker(node)
    gone = node.wait_exit(first)
    Worker.do(first, spin)
    reason = await gone
    assert isinstance(reason, Crash) and isinstance(reason.error, Stalled)
    line = spin.__code__.co_firstlineno
    assert reason.error.where in (f"{__file__}:{line + 1}", f"{__file__}:{line + 2}")
    assert reason.where == reason.error.where
    assert reason.error.function == "spin"
    assert reason.error.seconds >= LIMIT


async def test_an_event_and_the_log_tell_who_with_which_message_and_where(node, watchdog, caplog):
    found = stalls(node)
    first = await worker(node)
    gone = node.wait_exit(first)
    Worker.do(first, spin)
    await gone
    event = await told_of(found, first)
    assert event.name == "worker"
    assert event.outcome == "broken"
    assert event.message == "do(<function spin>)"
    assert __file__ in event.where
    warning = next(record for record in caplog.records if "without a pause" in record.getMessage())
    assert warning.levelno == logging.WARNING
    assert "in spin" in warning.getMessage()


async def test_it_only_warns_below_the_limit_and_tells_how_long_it_took(node):
    noticed: list[str] = []
    found = stalls(node)
    first = await worker(node)
    told = threading.Event()

    def tell(stall: Stall) -> None:
        noticed.append(stall.who)
        told.set()

    with Watchdog(node, warn=0.03, limit=None, tell=tell):
        assert await node.run(Worker.ask, "worker", lambda: told.wait(PATIENCE)) is True
        event = await told_of(found, first)
    assert f"worker {first!r}" in noticed
    assert event.outcome == "resumed"
    assert event.seconds >= 0.03
    assert first.alive


async def test_the_innermost_of_nested_calls_is_the_culprit(node, watchdog):
    first = await worker(node)
    await node.start(supervisor(child(Forwarder, name="forwarder"), name="second"))
    with pytest.raises(ServerExited) as failure:
        await node.run(Forwarder.forward, "forwarder", spin)
    assert isinstance(failure.value.why, CallFailed) and is_stalled(failure.value.why.reason)
    assert is_stalled(first.reason)


async def test_init_without_end_fails_the_start(node, watchdog):
    with pytest.raises(StartFailed) as failure:
        await node.run(lambda: Worker.start(spin))
    assert is_stalled(failure.value.reason)


async def test_a_terminate_without_end_is_broken(node, watchdog):
    class Clinging(Worker):
        def terminate(self, reason: object) -> None:
            spin()

    pid = await node.run(Clinging.start)
    gone = node.wait_exit(pid)
    Clinging.end(pid)
    assert is_stalled(await gone)


async def test_a_predicate_of_receive_without_end_is_broken(node, watchdog):
    def never(message: object) -> bool:
        while True:
            pass

    async def choosy() -> None:
        await receive(never)

    pid = node.spawn(choosy)
    gone = node.wait_exit(pid)
    node.send(pid, "hello")
    assert is_stalled(await gone)


async def test_a_plain_function_in_c_is_broken(node, watchdog):
    pid = node.spawn(time.sleep, 1000)
    assert is_stalled(await node.wait_exit(pid))


async def test_a_finalizer_without_end_is_left_and_the_process_goes_on(node, watchdog, monkeypatch):
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    class Sticky:
        def __del__(self) -> None:
            spin()

    first = await worker(node)
    assert await node.run(Worker.ask, "worker", lambda: Sticky() and None) is None
    assert first.alive
    assert [type(each.exc_value) for each in unraisable] == [Stalled]


async def test_code_that_swallows_it_gets_it_again_until_it_ends(node, watchdog, caplog):
    caught: list[BaseException] = []

    def stubborn() -> None:
        while len(caught) < 5:
            try:
                spin()
            except BaseException as error:  # noqa: BLE001
                caught.append(error)

    found = stalls(node)
    first = await worker(node)
    assert await node.run(Worker.ask, "worker", stubborn) is None
    assert len(caught) == 5
    assert first.alive
    assert (await told_of(found, first)).outcome == "swallowed"
    assert "must raise it again" in caplog.text


async def test_a_loop_in_finally_is_broken_too(node, watchdog):
    def clinging() -> None:
        try:
            spin()
        finally:
            spin()

    first = await worker(node)
    gone = node.wait_exit(first)
    Worker.do(first, clinging)
    assert is_stalled(await gone)


async def test_terminate_is_run_as_after_any_crash(node, watchdog):
    said: list[object] = []

    class Tidy(Worker):
        def terminate(self, reason: object) -> None:
            said.append(reason)

    pid = await node.run(Tidy.start)
    gone = node.wait_exit(pid)
    Tidy.do(pid, spin)
    assert await gone is said[0]


async def test_code_outside_any_process_is_reported_and_left_alone(node, watchdog):
    found = stalls(node)
    done = asyncio.Event()

    def callback() -> None:
        while watchdog.stall is None or watchdog.stall.seconds < 2 * LIMIT:
            time.sleep(0.001)
        done.set()

    asyncio.get_running_loop().call_soon(callback)
    async with asyncio.timeout(PATIENCE):
        await done.wait()
        while not found:
            await asyncio.sleep(0.001)
    assert {(each.process, each.outcome) for each in found} == {(None, "resumed")}


async def test_many_short_messages_are_no_stall(node, watchdog):
    await worker(node)

    async def busy() -> None:
        until = time.monotonic() + 2 * LIMIT
        while time.monotonic() < until:
            await Worker.ask("worker", lambda: time.sleep(0.002))

    await node.run(busy)
    assert not [each for each in watchdog.stalls if each.raised]


async def test_code_that_calls_others_all_the_time_is_no_stall_though_they_answer_on_its_stack(
    node, watchdog
):
    await worker(node)

    async def busy() -> None:
        for _ in range(40):
            compute(LIMIT / 10)
            assert await Worker.ask("worker", lambda: 7) == 7

    await node.run(busy)
    assert not [each for each in watchdog.stalls if each.raised]


async def test_a_process_is_not_charged_what_others_take_of_the_processor(node, watchdog, monkeypatch):
    """As if it had waited for a processor all the time, at which a real machine can only be asked to hint."""

    def state(self: Charge) -> tuple[bool, float]:
        return True, time.monotonic() - self.cpu

    monkeypatch.setattr(Charge, "_state", state)
    await worker(node)
    assert await node.run(Worker.ask, "worker", lambda: time.sleep(4 * LIMIT)) is None
    assert not watchdog.stalls


async def test_a_stopped_debugger_is_not_broken(node, watchdog):
    released = time.monotonic() + 3 * LIMIT
    interaction = {"__name__": "pdb", "released": released, "monotonic": time.monotonic}
    exec("def interact():\n while monotonic() < released: pass", interaction)
    first = await worker(node)
    assert await node.run(Worker.ask, "worker", interaction["interact"]) is None
    assert first.alive
    assert not watchdog.stalls


async def test_the_others_keep_their_timers_within_the_limit(node, watchdog):
    """One process loops for ever, again and again; the others' timers go on."""
    await node.start(supervisor(child(Worker, name="worker"), name="root", max_restarts=100))
    found = stalls(node)
    ticks = 0

    async def ticking() -> None:
        nonlocal ticks
        while len(found) < 3:
            await asyncio.sleep(0.01)
            ticks += 1

    async def hogging() -> None:
        for number in range(3):
            before = ticks
            while ticks < before + 5:  # the others have had their turns meanwhile
                await asyncio.sleep(0.001)
            Worker.do("worker", spin)
            while len(found) == number:
                await asyncio.sleep(0.001)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(node.run(ticking), node.run(hogging))
    assert [each.outcome for each in found] == ["broken"] * 3
    assert ticks >= 15


async def test_only_culprits_end_and_no_call_of_the_others_is_lost_or_doubled(node, watchdog):
    works = (spin, spin_in_generator, recurse, sleep_in_c, casts_without_end, catastrophic_pattern)
    ended: list[tuple[str, bool]] = []
    node.subscribe_events(
        lambda event: (
            ended.append((event.label, is_stalled(event.reason)))
            if isinstance(event, ProcessExited) and event.reason != "normal"
            else None
        )
    )
    tree = supervisor(
        child(Worker, name="hog"), child(Counter, name="counter"), name="root", max_restarts=100
    )
    await node.start(tree)
    asked = 0

    async def client() -> None:
        nonlocal asked
        while len(ended) < len(works):
            await Counter.add("counter")
            asked += 1
            await asyncio.sleep(0)

    async def hogging() -> None:
        for work in works:
            Worker.do("hog", work)
            before = len(ended)
            while len(ended) == before:
                await asyncio.sleep(0.001)

    await asyncio.gather(node.run(hogging), *(node.run(client) for _ in range(5)))
    assert ended == [("hog", True)] * len(works)
    assert await node.run(Counter.add, "counter", 0) == asked


def test_in_another_thread_than_the_main_one_it_breaks_too():
    reasons: list[object] = []

    async def main() -> None:
        async with Node("apart") as node:
            with Watchdog(node, warn=0.03, limit=LIMIT):
                for work in (spin, spin_in_comprehension, spin_in_generator, recurse, sort_slowly):
                    pid = await node.run(Worker.start)
                    gone = node.wait_exit(pid)
                    Worker.do(pid, work)
                    reasons.append(await gone)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(PATIENCE)
    assert [is_stalled(reason) for reason in reasons] == [True] * 5
    assert sys.monitoring.get_tool(4) is None


def tell_of_notes(watchdog: Watchdog, told: threading.Event) -> None:
    """Set the event once the stall that lasts has a note."""
    while (stall := watchdog.stall) is None or not stall.notes:
        time.sleep(0.005)
    told.set()


def test_what_cannot_be_broken_is_reported_with_the_way_out(caplog, monkeypatch):
    """A wait in C outside the main thread hears no signal."""

    async def main() -> None:
        async with Node("apart") as node:
            with Watchdog(node, warn=0.03, limit=0.05) as watchdog:
                pid = await node.run(Worker.start)
                told = threading.Event()
                watcher = threading.Thread(target=tell_of_notes, args=(watchdog, told))
                watcher.start()
                with suppress(ServerExited):  # it is broken as soon as it comes back, if that is in time
                    await node.run(Worker.ask, pid, lambda: told.wait(PATIENCE))
                watcher.join(PATIENCE)

    monkeypatch.setattr("planaria.otp.observe.watchdog.UNSEEN", 0.1)
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(PATIENCE)
    assert 'isolation="worker"' in caplog.text


async def test_a_handler_that_was_there_hears_signals_that_are_not_ours(node):
    heard: list[int] = []
    number = private_signal()
    before = signal.signal(number, lambda number, frame: heard.append(number))
    try:
        with Watchdog(node):
            os.kill(os.getpid(), number)
        assert heard == [number]
    finally:
        signal.signal(number, before)


async def test_a_program_that_takes_the_handler_away_is_not_ended_by_the_signal(node, watchdog):
    def careless() -> None:
        signal.signal(private_signal(), signal.SIG_DFL)
        compute(2 * LIMIT)

    first = await worker(node)
    assert await node.run(Worker.ask, "worker", careless) is None
    assert first.alive


async def test_it_leaves_no_trace(node):
    handlers = [signal.getsignal(number) for number in (private_signal(), signal.SIGALRM)]
    with Watchdog(node, warn=0.03):
        pass
    assert [signal.getsignal(number) for number in (private_signal(), signal.SIGALRM)] == handlers
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert not [thread for thread in threading.enumerate() if thread.name == "planaria watchdog"]


async def test_a_program_may_borrow_the_alarm(node):
    handler = signal.getsignal(signal.SIGALRM)
    with Watchdog(node, warn=0.01) as watchdog:
        ours = signal.signal(signal.SIGALRM, signal.SIG_IGN)
        watchdog._put_off_alarm()
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)  # whoever borrows it hears nothing of ours
        signal.signal(signal.SIGALRM, ours)
        watchdog._put_off_alarm()
        assert signal.getitimer(signal.ITIMER_REAL) != (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == handler


async def test_of_two_nodes_in_one_loop_each_has_its_own_watchdog(node, watchdog, caplog):
    async with Node("second") as second:
        with Watchdog(second, warn=0.03, limit=LIMIT) as other:
            pid = await second.run(Worker.start)
            gone = second.wait_exit(pid)
            Worker.do(pid, spin)
            assert is_stalled(await gone)
            async with asyncio.timeout(PATIENCE):
                while not other.stalls:
                    await asyncio.sleep(0.001)
    assert pid not in [each.process for each in watchdog.stalls]
    assert "went on by itself" not in "".join(
        record.getMessage() for record in caplog.records if repr(pid) in record.getMessage()
    )


async def test_it_can_be_switched_off(node, monkeypatch):
    monkeypatch.setenv(SWITCH, "off")
    with Watchdog(node) as watchdog:
        assert not watchdog.watching


def test_times_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="seconds above 0"):
        Watchdog(Node(), warn=0.5, limit=0.1)
