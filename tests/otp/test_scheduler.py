"""The run queue: fairness, order, one message at a time, and code that believes it runs in an asyncio task."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

import anyio
import httpx2
import pytest

from planaria.otp import (
    CallTimeout,
    GenServer,
    Node,
    Pid,
    Task,
    TaskDone,
    call,
    cast,
    exit_signal,
    receive,
    self_,
    send,
    sleep,
    spawn,
    timeout,
)
from planaria.testing.node import TestNode, running_node

from .support import Boom, Counter, collect, idle, reason_of_end

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


async def test_a_flooded_process_does_not_starve_the_others(node: TestNode) -> None:
    order: list[str] = []

    class Busy(GenServer):
        @cast
        def work(self) -> None:
            order.append("busy")

    class Other(GenServer):
        @cast
        def work(self) -> None:
            order.append("other")

    async def start() -> tuple[Pid, Pid]:
        return await Busy.start(), await Other.start()

    busy, other = await node.run(start)

    async def flood() -> None:
        for _ in range(10_000):
            Busy.work(busy)
        Other.work(other)

    await node.run(flood)
    await node.settle()
    assert order.count("busy") == 10_000
    assert order.index("other") < 200


async def test_a_process_that_feeds_itself_lets_the_event_loop_breathe() -> None:
    class Endless(GenServer):
        def init(self) -> None:
            self.rounds = 0
            send(self.pid, "again")

        def handle_info(self, message: object) -> None:
            self.rounds += 1
            send(self.pid, message)

    async with Node("endless") as node:
        await node.run(Endless.start)
        beats = 0
        for _ in range(50):
            await asyncio.sleep(0)
            beats += 1
        assert beats == 50


async def test_two_processes_that_call_for_ever_let_the_event_loop_breathe() -> None:
    async with Node("chatty") as node:

        async def talk() -> None:
            pid = await Counter.start()
            while True:
                await Counter.add(pid)

        node.spawn(talk)
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(10))
async def test_messages_of_one_sender_stay_in_order_under_any_schedule(seed: int) -> None:
    async with running_node(seed=seed) as node:
        got: list[tuple[str, int]] = []
        target = node.spawn(collect, got)

        async def sender(name: str) -> None:
            for number in range(20):
                send(target, (name, number))
                await sleep(0)

        for name in ("a", "b", "c"):
            node.spawn(sender, name)
        await node.advance(1)
        for name in ("a", "b", "c"):
            assert [number for who, number in got if who == name] == list(range(20))


async def test_the_schedule_is_a_function_of_the_seed() -> None:
    async def trace(seed: int) -> list[str]:
        order: list[str] = []

        async def work(name: str) -> None:
            for _ in range(5):
                order.append(name)
                await sleep(0)

        async with running_node(seed=seed) as node:
            for name in "abcdef":
                node.spawn(work, name)
            await node.advance(1)
        return order

    assert await trace(1) == await trace(1)
    assert len({tuple(await trace(seed)) for seed in range(5)}) > 1


async def test_one_message_is_handled_to_its_end_before_the_next(node: TestNode) -> None:
    steps: list[str] = []

    class Careful(GenServer):
        @cast
        async def work(self, name: str) -> None:
            steps.append(f"{name} begins")
            await sleep(1)
            steps.append(f"{name} ends")

    pid = await node.run(Careful.start)
    for name in ("a", "b"):
        Careful.work(pid, name)
    await node.advance(5)
    assert steps == ["a begins", "a ends", "b begins", "b ends"]


async def test_calls_in_a_circle_end_in_a_timeout_not_in_recursion(node: TestNode) -> None:
    class Ping(GenServer):
        def init(self) -> None:
            self.other: Pid | None = None

        @cast
        def meet(self, other: Pid) -> None:
            self.other = other

        @call
        async def ask(self, depth: int) -> str:
            assert self.other is not None
            return await Ping.ask.within(1)(self.other, depth + 1)

    async def work() -> None:
        a, b = await Ping.start(), await Ping.start()
        Ping.meet(a, b)
        Ping.meet(b, a)
        with pytest.raises(CallTimeout):
            await Ping.ask.within(0.5)(a, 0)

    running = asyncio.ensure_future(node.run(work))
    await node.advance(10)
    await running


async def test_a_chain_of_a_thousand_calls_needs_no_deep_stack(node: TestNode) -> None:
    class Link(GenServer):
        def init(self, following: Pid | None) -> None:
            self.following = following

        @call
        async def length(self) -> int:
            return 1 if self.following is None else 1 + await Link.length(self.following)

    async def work() -> int:
        pid: Pid | None = None
        for _ in range(1000):
            pid = await Link.start(pid)
        assert pid is not None
        return await Link.length(pid)

    assert await node.run(work) == 1000


async def test_starts_nested_a_thousand_deep_need_no_deep_stack(node: TestNode) -> None:
    class Nest(GenServer):
        async def init(self, depth: int) -> None:
            self.inner = await Nest.start(depth - 1) if depth else None

    await node.run(Nest.start, 1000)
    assert len(node.processes()) == 1001


# --- asyncio inside processes -------------------------------------------------------------------------------------


async def test_asyncio_sees_one_task_per_running_code(node: TestNode) -> None:
    async def task_of() -> object:
        before = asyncio.current_task()
        await asyncio.sleep(0)
        return before if before is asyncio.current_task() else None

    outside = asyncio.current_task()
    inside = await node.run(task_of)
    assert inside is not None and inside is not outside
    assert asyncio.current_task() is outside


async def test_two_suspended_processes_have_different_tasks(node: TestNode) -> None:
    tasks: list[object] = []
    gate = asyncio.Event()

    async def work() -> None:
        tasks.append(asyncio.current_task())
        await gate.wait()
        tasks.append(asyncio.current_task())

    node.spawn(work)
    node.spawn(work)
    await node.settle()
    gate.set()
    await node.settle()
    assert len(tasks) == 4 and len(set(tasks)) == 2


@pytest.mark.parametrize("where", ["process", "handler", "task"])
async def test_asyncio_timeout_works_in_a_process_a_handler_and_a_task(node: TestNode, where: str) -> None:
    async def impatient() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            await asyncio.sleep(0)
            return "in time"
        return "never"

    assert await run_in(node, where, impatient) == "in time"


@pytest.mark.parametrize("where", ["process", "handler", "task"])
async def test_a_timeout_around_a_kernel_wait_works(node: TestNode, where: str) -> None:
    async def impatient() -> str:
        try:
            async with timeout(0.01):
                await sleep(3600)
        except TimeoutError:
            return "in time"
        return "never"

    assert await run_in(node, where, impatient) == "in time"


@pytest.mark.parametrize("where", ["process", "handler", "task"])
async def test_task_groups_of_asyncio_and_anyio_work(node: TestNode, where: str) -> None:
    async def grouped() -> list[int]:
        found: list[int] = []

        async def one(value: int) -> None:
            await asyncio.sleep(0)
            found.append(value)

        async with asyncio.TaskGroup() as group:
            for value in (1, 2):
                group.create_task(one(value))
        async with anyio.create_task_group() as nursery:
            for value in (3, 4):
                nursery.start_soon(one, value)
        with anyio.move_on_after(0.01):
            await anyio.sleep(60)
        with pytest.raises(ExceptionGroup):
            await _fail_in_a_group()
        return sorted(found)

    assert await run_in(node, where, grouped) == [1, 2, 3, 4]


@pytest.mark.parametrize("where", ["process", "handler", "task"])
async def test_an_http_client_works(node: TestNode, where: str) -> None:
    async def app(scope: object, receive: object, send: Callable[[object], Awaitable[None]]) -> None:
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    async def fetch() -> str:
        transport = httpx2.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
            return (await client.get("/")).text

    assert await run_in(node, where, fetch) == "hello"


async def test_a_cancelled_future_crashes_the_handler_that_awaits_it(node: TestNode) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await future

    pid = node.spawn(work)
    await node.settle()
    future.cancel()
    await reason_of_end(node, pid)
    assert not pid.alive


async def test_context_variables_do_not_leak_from_one_process_to_another(node: TestNode) -> None:
    seen: list[str] = []

    async def painter() -> None:
        colour.set("red")
        await asyncio.sleep(0)

    async def looker() -> None:
        await asyncio.sleep(0)
        seen.append(colour.get())

    colour.set("base")
    for _ in range(3):
        await reason_of_end(node, node.spawn(painter))
        await reason_of_end(node, node.spawn(looker))
    assert "red" not in seen


@pytest.mark.xfail(strict=True, reason="a sync handler runs in the context of whoever runs it")
async def test_a_handler_cannot_change_the_context_of_its_caller(node: TestNode) -> None:
    class Painter(GenServer):
        @call
        def paint(self) -> None:
            colour.set("red")

        @call
        async def paint_slowly(self) -> None:
            colour.set("green")

    async def work() -> str:
        colour.set("mine")
        pid = await Painter.start()
        await Painter.paint(pid)
        await Painter.paint_slowly(pid)
        return colour.get()

    assert await node.run(work) == "mine"


async def test_a_hundred_suspended_processes_go_on_each_with_its_own_value(node: TestNode) -> None:
    async def work(value: int) -> int:
        colour.set(str(value))
        async with asyncio.timeout(10):
            await asyncio.sleep(0.001 * (value % 7))
        assert colour.get() == str(value)
        return value

    async def all_of_them() -> list[int]:
        refs = [Task.start_link(work, value) for value in range(100)]
        return [await ref.result() for ref in refs]

    assert await node.run(all_of_them) == list(range(100))


async def test_a_process_in_hand_is_the_one_that_runs(node: TestNode) -> None:
    class Who(GenServer):
        @call
        async def me(self) -> tuple[Pid, Pid]:
            first = self_()
            await asyncio.sleep(0)
            return first, self_()

    async def work() -> bool:
        mine = self_()
        pid = await Who.start()
        answer = await Who.me(pid)
        return answer == (pid, pid) and self_() == mine

    assert await node.run(work)


async def test_an_idle_process_has_no_task_of_its_own(node: TestNode) -> None:
    async def work() -> None:
        for _ in range(200):
            await Counter.start()

    before = len(asyncio.all_tasks())
    await node.run(work)
    assert len(asyncio.all_tasks()) <= before + 70


async def test_a_waiting_plain_process_is_woken_by_a_message_not_by_others(node: TestNode) -> None:
    async def work() -> object:
        other = spawn(idle)
        for _ in range(10):
            send(other, "noise")
        return await receive(TaskDone, timeout=1)

    running = asyncio.ensure_future(node.run(work))
    await node.advance(2)
    with pytest.raises(TimeoutError):
        await running


async def _fail() -> None:
    raise Boom


async def _fail_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_fail())
        await asyncio.sleep(60)


async def run_in[R](node: TestNode, where: str, work: Callable[[], Awaitable[R]]) -> R:
    """Run `work` as a plain process, inside a server's handler, or as a task."""

    class Worker(GenServer):
        @call
        async def do(self) -> object:
            return await work()

    async def in_handler() -> object:
        return await Worker.do(await Worker.start())

    async def in_task() -> object:
        return await Task.start_link(work).result()

    runner = {"process": work, "handler": in_handler, "task": in_task}[where]
    return await node.run(runner)  # type: ignore[arg-type]


async def test_two_functions_that_answer_each_other_for_ever_leave_the_event_loop_its_turn(
    node: TestNode,
) -> None:
    async def echo() -> None:
        while True:
            send(await receive(), self_())

    async def chatter() -> None:
        other = spawn(echo)
        while True:
            send(other, self_())
            await receive()

    first = node.spawn(chatter)
    for _ in range(3):
        await asyncio.sleep(0)  # each needs a turn of the event loop, which the two must leave it
    assert first.alive
    assert node.info(first).reductions > 100
    await node.run(_kill, first)


async def test_a_function_with_a_full_mailbox_leaves_the_event_loop_its_turn(node: TestNode) -> None:
    taken: list[object] = []

    async def eat() -> None:
        while True:
            taken.append(await receive())

    eater = node.spawn(eat)
    for number in range(10_000):
        node.send(eater, number)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 0 < len(taken) < 10_000
    await node.settle()
    assert taken == list(range(10_000))


async def _kill(pid: Pid) -> None:
    exit_signal(pid, "kill")
