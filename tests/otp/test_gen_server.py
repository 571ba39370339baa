"""Generic servers: calls, casts, starts, stops, what a callback may say beside its answer."""

import asyncio

import pytest

from planaria.otp import (
    AlreadyStarted,
    CallError,
    CallFailed,
    CallTimeout,
    Crash,
    Deferred,
    ExitSignal,
    GenServer,
    Ignore,
    MessageDropped,
    NoProcess,
    Pid,
    ServerExited,
    StartFailed,
    Stop,
    call,
    cast,
    exit_signal,
    monitor,
    receive,
    send,
    sleep,
    spawn,
    stop,
)
from planaria.testing.node import TestNode

from .support import Boom, Counter, idle, reason_of_end


async def test_a_call_answers_with_what_the_handler_returns(node: TestNode) -> None:
    async def work() -> tuple[int, int, int]:
        pid = await Counter.start(10)
        return await Counter.add(pid, by=5), await Counter.add_slowly(pid), await Counter.add(pid)

    assert await node.run(work) == (15, 16, 17)


async def test_a_call_from_code_outside_works_with_a_pid(node: TestNode) -> None:
    pid = await node.run(Counter.start, 10)
    assert await Counter.add(pid, by=5) == 15
    Counter.crash(pid)
    assert isinstance(await reason_of_end(node, pid), Crash)
    with pytest.raises(NoProcess):
        await Counter.add(pid)


async def test_a_name_is_looked_up_at_each_use(node: TestNode) -> None:
    async def work() -> list[int]:
        first = await Counter.start(1, name="counter")
        answers = [await Counter.add("counter")]
        exit_signal(first, "kill")
        await Counter.start(100, name="counter")
        return [*answers, await Counter.add("counter")]

    assert await node.run(work) == [2, 101]


async def test_calls_casts_and_messages_of_one_sender_keep_their_order(node: TestNode) -> None:
    class Listener(GenServer):
        def init(self) -> None:
            self.heard: list[str] = []

        @call
        def ask(self, text: str) -> list[str]:
            self.heard.append(text)
            return self.heard

        @cast
        def tell(self, text: str) -> None:
            self.heard.append(text)

        def handle_info(self, message: str) -> None:
            self.heard.append(message)

    async def work() -> list[str]:
        pid = await Listener.start()
        Listener.tell(pid, "a")
        send(pid, "b")
        Listener.tell(pid, "c")
        heard = await Listener.ask(pid, "d")
        return list(heard)

    assert await node.run(work) == ["a", "b", "c", "d"]


async def test_a_call_to_nobody_raises_noproc_and_a_cast_says_nothing(node: TestNode) -> None:
    async def work() -> None:
        with pytest.raises(NoProcess, match="nobody"):
            await Counter.add("nobody")
        Counter.answer("nobody", 1)

    await node.run(work)


async def test_a_call_too_slow_raises_timeout_and_its_late_reply_vanishes(node: TestNode) -> None:
    class Slow(GenServer):
        def init(self) -> None:
            self.handled = 0

        @call
        async def work(self) -> str:
            await sleep(0.3)
            self.handled += 1
            return "late"

        @call
        def count(self) -> int:
            return self.handled

    async def work() -> tuple[int, bool]:
        pid = await Slow.start()
        with pytest.raises(CallTimeout, match=r"0\.1 s"):
            await Slow.work.within(0.1)(pid)
        handled = await Slow.count(pid)
        try:
            await receive(timeout=0)
        except TimeoutError:
            return handled, True
        return handled, False

    task = asyncio.ensure_future(node.run(work))
    await node.advance(1)
    assert await task == (1, True)


async def test_a_caller_learns_how_the_server_ended_and_dies_of_it_unless_it_cares(node: TestNode) -> None:
    class Fragile(GenServer):
        @call
        def crash(self) -> None:
            raise Boom

        @call
        def leave(self) -> Deferred[None]:
            self.stop("normal")
            return self.defer()

    async def careful() -> None:
        with pytest.raises(ServerExited) as caught:
            await Fragile.crash(await Fragile.start())
        assert isinstance(caught.value.why, Crash)
        with pytest.raises(ServerExited) as caught:
            await Fragile.leave(await Fragile.start())
        assert caught.value.why == "normal"

    async def careless() -> None:
        await Fragile.leave(await Fragile.start())

    await node.run(careful)
    assert await reason_of_end(node, node.spawn(careless)) == CallFailed("normal")


async def test_a_server_that_calls_itself_is_told_at_once(node: TestNode) -> None:
    class Selfish(GenServer):
        @call
        async def ask(self) -> str:
            try:
                await Selfish.ask(self.pid)
            except CallError as error:
                return str(error.why)
            return "no"

    async def work() -> str:
        return await Selfish.ask(await Selfish.start())

    assert await node.run(work) == "calling_self"


async def test_a_deferred_reply_may_come_later_and_only_the_first_counts(node: TestNode) -> None:
    async def work() -> int:
        pid = await Counter.start()

        async def answer() -> None:
            Counter.answer(pid, 7)
            Counter.answer(pid, 8)

        spawn(answer)
        return await Counter.later(pid)

    assert await node.run(work) == 7


async def test_a_server_keeps_nothing_of_calls_whose_callers_gave_up(node: TestNode) -> None:
    pid = await node.run(Counter.start)

    async def work() -> None:
        for _ in range(5):
            with pytest.raises(CallTimeout):
                await Counter.later.within(0)(pid)
        Counter.answer(pid, 1)

    task = asyncio.ensure_future(node.run(work))
    await node.advance(1)
    await task
    await node.settle()
    assert not pid.calls


async def test_init_may_refuse_decline_or_crash(node: TestNode) -> None:
    class Picky(GenServer):
        def init(self, what: str) -> None:
            match what:
                case "refuse":
                    raise Stop("nope")
                case "decline":
                    raise Ignore
                case "crash":
                    raise Boom

    async def work() -> list[object]:
        reasons = []
        for what in ("refuse", "decline", "crash"):
            with pytest.raises(StartFailed) as caught:
                await Picky.start(what)
            reasons.append(caught.value.reason)
        return reasons

    refused, declined, crashed = await node.run(work)
    assert (refused, declined) == ("nope", "ignore")
    assert isinstance(crashed, Crash)


async def test_a_start_that_takes_too_long_is_killed_and_its_starter_told(node: TestNode) -> None:
    class Slow(GenServer):
        async def init(self) -> None:
            await sleep(10)

    async def work() -> object:
        with pytest.raises(StartFailed) as caught:
            await Slow.start_link(timeout=0.1)
        return caught.value.reason

    task = asyncio.ensure_future(node.run(work))
    await node.advance(1)
    assert await task == "timeout"
    assert not node.processes()


async def test_a_name_in_use_refuses_the_start_and_names_the_holder(node: TestNode) -> None:
    async def work() -> bool:
        first = await Counter.start(name="counter")
        with pytest.raises(StartFailed) as caught:
            await Counter.start(name="counter")
        return caught.value.reason == AlreadyStarted(first)

    assert await node.run(work)


async def test_stop_runs_terminate_and_waits_for_the_end(node: TestNode) -> None:
    ended: list[object] = []

    class Tidy(GenServer):
        async def terminate(self, reason: object) -> None:
            await sleep(0.1)
            ended.append(reason)

    async def work() -> bool:
        pid = await Tidy.start()
        await stop(pid, "enough")
        return pid.alive

    task = asyncio.ensure_future(node.run(work))
    await node.advance(1)
    assert await task is False
    assert ended == ["enough"]


async def test_stopping_what_is_not_there_or_takes_too_long_is_said(node: TestNode) -> None:
    class Stubborn(GenServer):
        async def terminate(self, reason: object) -> None:
            await sleep(60)

    async def work() -> None:
        with pytest.raises(NoProcess):
            await stop("nobody")
        pid = await Stubborn.start()
        with pytest.raises(TimeoutError):
            await stop(pid, timeout=0.1)
        assert pid.alive

    task = asyncio.ensure_future(node.run(work))
    await node.advance(1)
    await task


async def test_an_error_in_terminate_replaces_the_reason(node: TestNode) -> None:
    class Clumsy(GenServer):
        @cast
        def end(self) -> None:
            self.stop()

        def terminate(self, reason: object) -> None:
            raise Boom

    pid = await node.run(Clumsy.start)
    Clumsy.end(pid)
    assert isinstance(await reason_of_end(node, pid), Crash)


async def test_the_end_of_the_parent_ends_a_trapping_server_through_terminate(node: TestNode) -> None:
    ended: list[object] = []

    class Trapping(GenServer):
        trap_exit = True

        def terminate(self, reason: object) -> None:
            ended.append(reason)

    async def parent() -> None:
        await Trapping.start_link()
        exit_signal(await receive(), "unused")

    pid = node.spawn(parent)
    await node.settle()

    async def kill() -> None:
        exit_signal(pid, "gone")

    await node.run(kill)
    await node.settle()
    assert ended == ["gone"]
    assert not node.processes()


async def test_exits_of_strangers_are_messages_to_a_trapping_server(node: TestNode) -> None:
    class Trapping(Counter):
        trap_exit = True

    async def work() -> list[object]:
        pid = await Trapping.start()
        exit_signal(pid, "boom")
        return await Trapping.everything(pid)

    [message] = await node.run(work)
    assert isinstance(message, ExitSignal) and message.reason == "boom"


async def test_a_continuation_runs_before_any_message_that_waits(node: TestNode) -> None:
    heard: list[str] = []

    class Eager(GenServer):
        def init(self) -> None:
            send(self.pid, "early")
            self.continue_with("setup")

        def handle_continue(self, what: str) -> None:
            heard.append(what)

        def handle_info(self, message: str) -> None:
            heard.append(message)

    await node.run(Eager.start)
    await node.settle()
    assert heard == ["setup", "early"]


async def test_silence_is_told_after_its_time_and_any_message_breaks_it(node: TestNode) -> None:
    heard: list[str] = []

    class Patient(GenServer):
        @cast
        def wait(self) -> None:
            self.timeout_after(1)

        def handle_timeout(self) -> None:
            heard.append("silence")

        def handle_info(self, message: str) -> None:
            heard.append(message)

    pid = await node.run(Patient.start)
    Patient.wait(pid)
    await node.advance(0.9)
    node.send(pid, "noise")
    await node.advance(2)
    assert heard == ["noise"]
    Patient.wait(pid)
    await node.advance(1.1)
    assert heard == ["noise", "silence"]


async def test_stop_in_a_handler_still_sends_the_answer(node: TestNode) -> None:
    class Leaving(GenServer):
        @call
        def leave(self) -> str:
            self.stop("done")
            return "bye"

    async def work() -> tuple[str, object]:
        pid = await Leaving.start()
        monitor(pid)
        return await Leaving.leave(pid), (await receive()).reason

    assert await node.run(work) == ("bye", "done")


async def test_a_message_nobody_handles_is_dropped_with_an_event(node: TestNode) -> None:
    class Deaf(GenServer):
        pass

    dropped: list[object] = []
    node.subscribe_events(lambda event: dropped.append(event) if isinstance(event, MessageDropped) else None)
    pid = await node.run(Deaf.start)
    node.send(pid, "hello")
    await node.settle()
    assert dropped == [MessageDropped(pid, "hello")]
    assert pid.alive


async def test_a_request_to_the_wrong_kind_of_server_is_refused_by_name(node: TestNode) -> None:
    class Other(GenServer):
        pass

    async def work() -> None:
        pid = await Other.start()
        with pytest.raises(CallError, match="add"):
            await Counter.add(pid)
        assert pid.alive

    await node.run(work)


async def test_a_handler_can_be_overridden_and_call_its_parent(node: TestNode) -> None:
    class Double(Counter):
        @call
        def add(self, by: int = 1) -> int:
            return super().add(2 * by)

    async def work() -> tuple[int, int]:
        pid = await Double.start()
        return await Double.add(pid, 2), await Counter.add(pid, 2)

    assert await node.run(work) == (4, 8)


async def test_a_call_to_a_plain_process_fails_when_that_process_ends(node: TestNode) -> None:
    async def work() -> object:
        pid = spawn(idle)
        spawn(_end_later, pid)
        with pytest.raises(CallError) as caught:
            await Counter.add.within(None)(pid)
        return caught.value.why

    task = asyncio.ensure_future(node.run(work))
    await node.advance(1)
    assert task.done(), "the caller waits for a dead process"
    assert await task == "boom"


async def test_a_handler_whose_wait_is_cancelled_ends_through_terminate(node: TestNode) -> None:
    ended: list[object] = []

    class Unlucky(GenServer):
        @cast
        async def wait(self) -> None:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

        def terminate(self, reason: object) -> None:
            ended.append(reason)

    pid = await node.run(Unlucky.start)
    Unlucky.wait(pid)
    await reason_of_end(node, pid)
    assert len(ended) == 1


async def test_a_handler_that_receives_is_told_instead_of_stealing_messages(node: TestNode) -> None:
    class Thief(GenServer):
        @call
        async def steal(self) -> object:
            return await receive(timeout=0)

    pid = await node.run(Thief.start)
    with pytest.raises(ServerExited) as caught:
        await Thief.steal(pid)
    assert isinstance(caught.value.why, Crash) and isinstance(caught.value.why.error, RuntimeError)


async def test_a_server_that_stops_itself_from_outside_is_told_at_once(node: TestNode) -> None:
    class Confused(GenServer):
        @call
        async def leave(self) -> str:
            try:
                await stop(self.pid)
            except CallError as error:
                return str(error.why)
            return "no"

    async def work() -> str:
        return await Confused.leave.within(1)(await Confused.start())

    running = asyncio.ensure_future(node.run(work))
    await node.advance(10)
    assert await running == "calling_self"


async def _end_later(pid: Pid) -> None:
    await sleep(0.5)
    exit_signal(pid, "boom")


async def test_a_plain_process_may_answer_a_call(node: TestNode) -> None:
    """As in OTP, where it gets `{'$gen_call', From, Request}` and may gen_server:reply(From, Answer)."""

    async def plain() -> None:
        request = await receive()
        assert (request.handler, request.args) == ("add", (2,))
        request.reply(3)

    assert await Counter.add(node.spawn(plain), 2) == 3
