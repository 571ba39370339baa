"""Looking at a node: nothing has to be prepared, nobody is asked, and what is shown is true."""

import asyncio
import inspect
from collections.abc import AsyncIterator

from planaria.otp import (
    GenServer,
    Node,
    Pid,
    call,
    cast,
    child,
    dynamic,
    link,
    monitor,
    receive,
    sleep,
    supervisor,
    trap_exits,
)
from planaria.testing.node import TestNode

from .support import Counter, idle, reason_of_end


def line_of(function: object, text: str) -> int:
    """The line number in this file on which `function` says `text`."""
    lines, first = inspect.getsourcelines(function)  # type: ignore[arg-type]
    return next(first + offset for offset, line in enumerate(lines) if text in line)


async def outer() -> None:
    await inner()


async def inner() -> None:
    await sleep(3600)  # the exact await


class Slow(GenServer):
    def init(self) -> None:
        self.mood = "calm"
        self._secret = "hidden"

    @call
    async def work(self, what: str, times: int = 1) -> None:
        await sleep(60)  # working

    @cast
    def rest(self) -> None:
        self.mood = "rested"


async def test_awaits_show_file_line_and_function_of_the_exact_await(node: TestNode) -> None:
    pid = node.spawn(outer)
    await node.settle()
    frames = node.info(pid).awaits
    assert [frame.function for frame in frames] == ["outer", "inner"]
    assert frames[-1].file == __file__
    assert frames[-1].line == line_of(inner, "the exact await")


async def test_awaits_reach_into_asyncio_waits_and_handlers(node: TestNode) -> None:
    pid = await node.run(Slow.start)
    calling = asyncio.ensure_future(Slow.work(pid, "x"))
    await node.settle()
    frames = node.info(pid).awaits
    assert frames[-1].line == line_of(inspect.unwrap(Slow.work), "# working")
    await node.advance(61)
    await asyncio.gather(calling, return_exceptions=True)


async def test_a_waiting_plain_process_shows_where_it_receives(node: TestNode) -> None:
    pid = node.spawn(idle)
    await node.settle()
    info = node.info(pid)
    assert info.status == "waiting"
    assert info.awaits[-1].function == "idle"


async def test_status_follows_what_a_process_does(node: TestNode) -> None:
    pid = await node.run(Slow.start)
    assert node.info(pid).status == "waiting"
    calling = asyncio.ensure_future(Slow.work.within(None)(pid, "x"))
    await node.settle()
    info = node.info(pid)
    assert info.status == "suspended"
    assert info.current is not None and info.current.text == "work('x')"
    await node.advance(61)
    await calling
    info = node.info(pid)
    assert (info.status, info.current, info.awaits) == ("waiting", None, [])
    node.send(pid, "x")
    assert node.info(pid).status == "ready"


async def test_queued_messages_are_shown_in_order_and_consumed_ones_remembered(node: TestNode) -> None:
    pid = await node.run(Slow.start)
    calling = asyncio.ensure_future(Slow.work.within(None)(pid, "x", times=2))
    await node.settle()
    Slow.rest(pid)
    node.send(pid, "hello")
    queued, consumed = node.messages(pid)
    assert [message.text for message in queued] == ["rest()", "'hello'"]
    assert [message.kind for message in queued] == ["cast", "info"]
    assert consumed[-1].text == "work('x', times=2)"
    assert node.info(pid).queue_len == 2
    await node.advance(61)
    await calling
    queued, consumed = node.messages(pid)
    assert queued == []
    assert [message.text for message in consumed[-3:]] == ["work('x', times=2)", "rest()", "'hello'"]


async def test_the_state_of_a_server_is_its_public_attributes(node: TestNode) -> None:
    pid = await node.run(Slow.start)
    assert node.state(pid) == {"mood": "calm"}
    Slow.rest(pid)
    await node.settle()
    assert node.state(pid) == {"mood": "rested"}


async def test_relations_are_shown(node: TestNode) -> None:
    other = node.spawn(idle)

    async def work() -> None:
        trap_exits()
        link(other)
        monitor(other)
        await receive()

    pid = node.spawn(work)
    await node.settle()
    info, seen = node.info(pid), node.info(other)
    assert (info.links, info.monitors, info.trap_exit) == ([other], [other], True)
    assert (seen.links, seen.monitored_by, seen.trap_exit) == ([pid], [pid], False)


async def test_a_process_shows_its_age_name_kind_and_work(node: TestNode) -> None:
    await node.start(supervisor(child(Counter, name="counter")))
    pid = node["counter"]
    await node.advance(90)
    await Counter.add(pid)
    info = node.info(pid)
    assert (info.name, info.kind, info.age) == ("counter", "Counter", 90)
    assert info.reductions >= 2
    assert info.parent is not None and info.parent in node.processes()


async def test_the_tree_shows_supervisors_and_their_children_in_order(node: TestNode) -> None:
    await node.start(
        supervisor(
            child(Counter, name="a"),
            supervisor(child(Counter, name="b"), name="inner"),
            dynamic(name="d"),
            name="root",
        )
    )
    [root] = [tree for tree in node.tree() if tree.name == "root"]
    assert [branch.name for branch in root.children] == ["a", "inner", "d"]
    assert [leaf.name for leaf in root.children[1].children] == ["b"]
    Counter.crash(node["a"])
    await node.settle()
    [root] = [tree for tree in node.tree() if tree.name == "root"]
    assert root.children[0].restarts == 1


async def test_the_dead_can_still_be_looked_at(node: TestNode) -> None:
    pid = node.spawn(lambda: None)
    await reason_of_end(node, pid)
    info = node.info(pid)
    assert (info.status, info.reason, info.queue_len, info.awaits) == ("dead", "normal", 0, [])
    assert pid not in node.processes()


async def test_a_message_that_cannot_be_shown_hides_nothing(node: TestNode) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    pid = node.spawn(sleep, 3600)
    await node.settle()
    node.send(pid, Broken())
    node.send(pid, "x" * 10_000)
    queued, _ = node.messages(pid)
    assert "Broken" in queued[0].text
    assert len(queued[1].text) < 1000


async def test_a_message_names_its_sender_and_the_message_that_caused_it(node: TestNode) -> None:
    seen: list[Pid] = []

    async def work() -> None:
        seen.append(await Relay.start())

    class Relay(GenServer):
        def handle_info(self, message: object) -> None:
            if message == "first":
                send_on(self.pid)

    def send_on(pid: Pid) -> None:
        Counter.answer(pid, 1)

    await node.run(work)
    [pid] = seen
    node.send(pid, "first")
    await node.settle()
    _, consumed = node.messages(pid)
    first, second = consumed[-2:]
    assert second.cause == first.id
    assert second.sender == str(pid)


async def test_looking_needs_no_turn_of_the_process() -> None:
    async with Node("frozen") as node:

        async def look() -> str:
            return node.info(node.spawn(idle)).status

        assert await look() == "ready"


async def test_the_tree_shows_every_process_while_a_supervisor_boots(node: TestNode) -> None:
    class SlowToStart(GenServer):
        async def init(self) -> None:
            await sleep(5)

    async def boot() -> None:
        await node.start(supervisor(supervisor(child(Counter), child(SlowToStart))))

    booting = asyncio.ensure_future(boot())
    await node.settle()
    todo, shown = list(node.tree()), set[Pid]()
    while todo:
        branch = todo.pop()
        todo.extend(branch.children)
        if branch.pid is not None:
            shown.add(branch.pid)
    try:
        assert shown == set(node.processes())
    finally:
        await node.advance(6)
        await booting


async def test_awaits_looks_through_async_generators(node: TestNode) -> None:
    async def numbers() -> AsyncIterator[int]:
        await sleep(60)
        yield 1

    async def reader() -> None:
        async for _ in numbers():
            pass

    pid = node.spawn(reader)
    await node.settle()
    functions = [frame.function.rpartition(".")[2] for frame in node.info(pid).awaits]
    assert functions == ["reader", "numbers"]
