import sys
import threading
from collections.abc import AsyncGenerator
from types import FrameType
from typing import Any

import pytest

from planaria.cortex.telemetry.feed import READY, Feed
from planaria.cortex.telemetry.handlers import DETACHED, attach, detach, handlers_of
from planaria.cortex.telemetry.signal import Point, Signal, SpanFailed, SpanStarted, SpanStopped
from planaria.cortex.telemetry.span import begin_span, emit, span
from planaria.otp import (
    GenServer,
    Node,
    NotAProcess,
    Task,
    call,
    child,
    exit_signal,
    receive,
    self_,
    set_trace,
    sleep,
    spawn,
)
from planaria.testing.node import TestNode, running_node


@pytest.fixture
def seen(node: TestNode) -> list[Signal]:
    """All signals of the node."""
    signals: list[Signal] = []
    attach(signals.append, starts=True, node=node)
    return signals


async def test_a_span_tells_its_start_and_its_end_with_the_same_keys(node: TestNode, seen: list[Signal]):
    async def work() -> None:
        with span("tool.call", {"gen_ai.tool.name": "web.fetch"}, trace_id="T", key="k", under="u") as s:
            await sleep(2.5)
            s.set("outcome", "ok")

    node.spawn(work)
    await node.advance(3)
    started, stopped = seen
    assert isinstance(started, SpanStarted) and isinstance(stopped, SpanStopped)
    for signal in (started, stopped):
        assert (signal.name, signal.id, signal.parent) == ("tool.call", 1, 0)
        assert (signal.trace_id, signal.key, signal.under) == ("T", "k", "u")
        assert signal.at == 1767225600.0
    assert stopped.duration == 2.5
    assert stopped.attributes == {"gen_ai.tool.name": "web.fetch", "outcome": "ok"}


async def test_an_exception_makes_it_a_failure_and_goes_on(node: TestNode, seen: list[Signal]):
    async def work() -> None:
        with pytest.raises(ValueError, match="no such city"), span("tool.call"):
            raise ValueError("no such city")

    await node.run(work)
    failed = seen[-1]
    assert isinstance(failed, SpanFailed)
    assert (failed.error_type, failed.error) == ("ValueError", "no such city")


async def test_a_kill_ends_a_span_as_failed(node: TestNode, seen: list[Signal]):
    async def work() -> None:
        with span("tool.call"):
            await sleep(100)

    process = node.spawn(work)
    await node.settle()
    await node.run(_kill, process)
    await node.settle()
    failed = seen[-1]
    assert isinstance(failed, SpanFailed) and failed.error_type == "Killed" and failed.process is process


async def _kill(process: Any) -> None:
    exit_signal(process, "kill")


async def test_a_failure_without_an_exception_is_said_by_its_code_and_told_once(
    node: TestNode, seen: list[Signal]
):
    async def work() -> None:
        with span("model.call") as s:
            s.fail("timeout", "no answer in 60 s")

    await node.run(work)
    failed = seen[-1]
    assert len(seen) == 2 and isinstance(failed, SpanFailed) and failed.error_type == "timeout"


async def test_what_is_over_stays_as_it_was_told(node: TestNode, seen: list[Signal]):
    async def misuse() -> None:
        with span("tool.call", {"planaria.branch": "ok"}) as s:
            s.stop()
            s.stop()
            s.fail("late")
            s.set("planaria.branch", "late")
            s.update({"planaria.caller": "late"})
        s.fail("later")
        with pytest.raises(ValueError, match="entered again"), s:
            raise ValueError("it is entered again")

    await node.run(misuse)
    (stopped,) = [signal for signal in seen if not isinstance(signal, SpanStarted)]
    assert isinstance(stopped, SpanStopped) and stopped.attributes == {"planaria.branch": "ok"}


async def test_a_span_in_a_generator_ends_with_it_and_leaves_others_alone(node: TestNode, seen: list[Signal]):
    async def pieces() -> AsyncGenerator[int]:
        with span("model.call"):
            yield 1
            yield 2

    async def work() -> None:
        taken = pieces()
        with span("turn"):
            async for _ in taken:
                break
        await taken.aclose()
        with span("tool.call"):
            pass

    await node.run(work)
    ended = {signal.name: signal for signal in seen if isinstance(signal, SpanStopped | SpanFailed)}
    assert isinstance(ended["model.call"], SpanFailed) and ended["model.call"].error_type == "GeneratorExit"
    assert ended["model.call"].parent == ended["turn"].id and ended["tool.call"].parent == 0


async def test_a_thread_tells_nothing_as_it_is_no_process(node: TestNode, seen: list[Signal]):
    def outside() -> None:
        with span("tool.call"):
            emit("telemetry.export_failed")

    async def work() -> None:
        with span("turn"):
            thread = threading.Thread(target=outside)
            thread.start()
            thread.join()  # while this process runs, which would be taken for whose code it is

    await node.run(work)
    assert {signal.name for signal in seen} == {"turn"}


async def test_spans_nest_within_the_code_of_a_process_across_await(node: TestNode, seen: list[Signal]):
    async def work(name: str, pause: float) -> None:
        with span(f"{name} outer", trace_id=name):
            await sleep(pause)
            with span(f"{name} inner"):
                await sleep(pause)
        with span(f"{name} after"):
            pass

    node.spawn(work, "a", 1.0)
    node.spawn(work, "b", 1.5)
    await node.advance(5)
    ended = {signal.name: signal for signal in seen if isinstance(signal, SpanStopped)}
    for name in "ab":
        inner, outer = ended[f"{name} inner"], ended[f"{name} outer"]
        assert inner.parent == outer.id and inner.trace_id == name
        assert ended[f"{name} after"].parent == 0


async def test_the_trace_is_that_of_the_message_in_hand(node: TestNode, seen: list[Signal]):
    async def work() -> None:
        set_trace("T7")
        with span("room.post"):
            pass

    await node.run(work)
    assert seen[-1].trace_id == "T7"


class Asked(GenServer):
    @call
    def look(self) -> int:
        with span("inside"):
            return 1


async def test_a_call_on_the_callers_stack_does_not_nest_in_the_callers_span(
    node: TestNode, seen: list[Signal]
):
    asked = await node.start(child(Asked))

    async def work() -> None:
        with span("around"):
            await Asked.look(asked)
            with span("later"):
                pass

    await node.run(work)
    ended = {signal.name: signal for signal in seen if isinstance(signal, SpanStopped)}
    assert ended["inside"].parent == 0
    assert ended["later"].parent == ended["around"].id


async def test_a_task_has_its_own_spans(node: TestNode, seen: list[Signal]):
    async def piece() -> None:
        with span("piece", under="turn:1"):
            pass

    async def work() -> None:
        with span("turn", key="turn:1"):
            await Task.start_link(piece).result()

    await node.run(work)
    piece_ended = next(s for s in seen if s.name == "piece")
    assert isinstance(piece_ended, SpanStarted) and (piece_ended.parent, piece_ended.under) == (0, "turn:1")


async def test_a_span_over_several_messages_is_ended_by_its_owner(node: TestNode, seen: list[Signal]):
    async def work() -> None:
        turn = begin_span("turn", {"gen_ai.agent.name": "scout"}, key="turn:1")
        await sleep(1)
        with span("other"):
            pass
        turn.stop()
        turn.fail("late")

    node.spawn(work)
    await node.advance(2)
    ended = [s for s in seen if isinstance(s, SpanStopped | SpanFailed)]
    assert [(s.name, s.parent) for s in ended] == [("other", 0), ("turn", 0)]
    assert ended[1].duration == 1.0


async def test_a_point_has_no_length(node: TestNode, seen: list[Signal]):
    async def work() -> None:
        emit("telemetry.dropped", {"planaria.count": 3}, trace_id="T")

    await node.run(work)
    (point,) = seen
    assert isinstance(point, Point) and point.attributes == {"planaria.count": 3} and point.trace_id == "T"


async def test_a_handler_that_raises_is_detached_and_said_so_and_hurts_nobody(
    node: TestNode, seen: list[Signal], caplog: pytest.LogCaptureFixture
):
    def broken(signal: Signal) -> None:
        raise RuntimeError("I am broken")

    attach(broken, node=node)
    done: list[int] = []

    async def work() -> None:
        with span("tool.call"):
            done.append(1)
        with span("tool.call"):
            done.append(2)

    await node.run(work)
    assert done == [1, 2]
    assert handlers_of(node).detached == 1
    told = [signal for signal in seen if signal.name == DETACHED]
    assert len(told) == 1 and told[0].attributes["error.type"] == "RuntimeError"
    assert "is detached" in caplog.text
    assert sum(isinstance(signal, SpanStopped) for signal in seen) == 2


async def test_a_handler_that_raises_again_in_what_it_says_itself_is_detached_once(
    node: TestNode, seen: list[Signal]
):
    def broken(signal: Signal) -> None:
        if signal.name == "tool.call":
            emit("telemetry.handler_says", node=node)
        raise RuntimeError("I am broken")

    async def work() -> None:
        with span("tool.call"):
            pass

    attach(broken, node=node)
    await node.run(work)
    assert handlers_of(node).detached == 1
    assert len([signal for signal in seen if signal.name == DETACHED]) == 1


async def test_handlers_belong_to_their_node(node: TestNode, seen: list[Signal]):
    async def work() -> None:
        with span("elsewhere"):
            pass

    async with running_node("other") as other:
        await other.run(work)
    assert seen == []


async def test_a_handler_goes_with_the_process_that_attached_it(node: TestNode):
    signals: list[Signal] = []

    async def listener() -> None:
        attach(signals.append)
        await receive()

    async def work() -> None:
        with span("one"):
            pass

    process = node.spawn(listener)
    await node.settle()
    await node.run(work)
    assert len(signals) == 1
    await node.run(_kill, process)
    await node.run(work)
    assert len(signals) == 1 and handlers_of(node).ends == ()


async def test_detached_is_detached(node: TestNode, seen: list[Signal]):
    assert detach(seen.append, node=node)
    assert not detach(seen.append, node=node)


async def test_a_handler_is_nobodys_process(node: TestNode):
    faults: list[BaseException] = []

    def look(signal: Signal) -> None:
        try:
            self_()
        except NotAProcess as error:
            faults.append(error)

    attach(look, node=node)

    async def work() -> None:
        with span("one"):
            pass
        self_()

    await node.run(work)
    assert len(faults) == 1


def test_outside_of_any_process_nothing_is_told_unless_a_node_is_given():
    node = Node("outside")
    signals: list[Signal] = []
    attach(signals.append, node=node)
    with span("silent") as s:
        s.set("a", 1)
    with span("told", node=node):
        pass
    assert [signal.name for signal in signals] == ["told"]


async def test_a_feed_hands_over_in_handfuls_and_counts_what_does_not_fit(node: TestNode):
    took: list[int] = []

    async def reader() -> None:
        feed = Feed(self_(), limit=5)
        attach(feed)
        spawn(work)
        while True:
            assert await receive() is READY
            took.append(len(feed.take()))
            dropped[0] = feed.dropped

    async def work() -> None:
        for _ in range(8):
            with span("one"):
                pass
        await sleep(1)
        with span("one"):
            pass

    dropped = [0]
    node.spawn(reader)
    await node.advance(2)
    assert took == [5, 1] and dropped == [3]


async def test_a_feed_may_be_taken_in_parts(node: TestNode):
    took: list[int] = []

    async def reader() -> None:
        feed = Feed(self_(), limit=100)
        attach(feed)
        spawn(work)
        while True:
            assert await receive() is READY
            took.append(len(feed.take(most=3)))

    async def work() -> None:
        for _ in range(7):
            emit("one")

    node.spawn(reader)
    await node.settle()
    assert took == [3, 3, 1]


def test_without_a_listener_a_span_costs_a_few_bytecodes():
    """Counted, not timed: the operations of the block itself and of all it calls."""
    node = Node("quiet")
    handlers_of(node)
    counted = [0]

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        # Python 3.12 counts only if some frame wants it when tracing begins.
        frame.f_trace_opcodes = True
        if event == "opcode":
            counted[0] += 1
        return trace

    def work() -> None:
        with span("tool.call", {"gen_ai.tool.name": "x"}, node=node):
            pass

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = (
        True  # Python 3.12 counts only if some frame wants it when tracing begins
    )
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    assert 0 < counted[0] < 70
