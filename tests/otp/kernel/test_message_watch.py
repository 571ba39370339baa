"""Debug mode for messages: what changes after it was sent is reported, with both ends and the field."""

import logging
import sys
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from planaria.otp import (
    COMPILED,
    Bound,
    Deferred,
    GenServer,
    MessageChanged,
    Node,
    Pid,
    bounded,
    call,
    cast,
    receive,
    self_,
    send,
    sleep,
    spawn,
)
from planaria.otp.kernel.debug_messages import debug_messages_from_environment
from planaria.otp.kernel.message_watch import hooks
from planaria.testing.node import TestNode, running_node

pytestmark = pytest.mark.skipif(COMPILED, reason="debug_messages needs the kernel in plain Python")


@dataclass(slots=True)
class Item:
    name: str
    tags: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Order:
    items: list[Item]
    notes: dict[str, Any] = field(default_factory=dict)


class Shelf(GenServer):
    """Keeps what it is given; gives what it keeps."""

    def init(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.kept: list[Any] = []
        self.mine: dict[str, list[int]] = {"numbers": [1, 2]}

    @cast
    async def put(self, thing: Any) -> None:
        await sleep(self.seconds)
        self.kept.append(thing)

    @call
    def keep(self, thing: Any) -> None:
        self.kept.append(thing)

    @call
    def spoil(self, thing: list[Any]) -> None:
        thing.append("spoiled")

    @call
    def numbers(self) -> dict[str, list[int]]:
        return self.mine

    @call
    def copied(self) -> list[int]:
        return list(self.mine["numbers"])

    @call
    def early(self) -> Deferred[list[int]]:
        deferred = self.defer()
        deferred.reply(self.mine["numbers"])
        self.mine["numbers"].append(99)
        return deferred

    @cast
    def count(self) -> None:
        self.mine["numbers"].append(3)

    def handle_info(self, message: Any) -> None:
        self.kept.append(message)


@pytest_asyncio.fixture
async def watched() -> AsyncIterator[TestNode]:
    async with running_node(debug_messages=True) as node:
        yield node


@pytest.fixture
def changes(watched: TestNode) -> list[MessageChanged]:
    """What was reported."""
    told: list[MessageChanged] = []
    watched.subscribe_events(lambda event: told.append(event) if isinstance(event, MessageChanged) else None)
    return told


async def busy_shelf() -> Pid:
    """One with a message in hand for a second."""
    pid = await Shelf.start(1.0)
    Shelf.put(pid, None)
    await sleep(0.1)
    return pid


# --- sent, then changed --------------------------------------------------------------------------------------------


async def test_a_list_in_a_cast_changed_by_its_sender_is_reported(
    watched: TestNode, changes: list[MessageChanged], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    async def work() -> tuple[Pid, Pid]:
        pid = await busy_shelf()
        items = [1, 2]
        Shelf.put(pid, items)
        items.append(3)
        return self_(), pid

    running = _later(watched, work)
    await watched.advance(0.2)
    sender, receiver = await running
    await watched.advance(5.0)
    [change] = changes
    assert (change.sender, change.process, change.what) == (sender, receiver, "put")
    assert (change.path, change.was, change.now, change.when) == ("args[0][2]", "nothing", "3", "waiting")
    [line] = [each.getMessage() for each in caplog.records]
    assert line.startswith(f"put from {sender} to {receiver!s} was changed by")
    assert "args[0][2] was nothing, is 3" in line


@pytest.mark.parametrize("bound", [None, bounded(100)])
async def test_each_of_many_that_wait_is_watched(
    watched: TestNode, changes: list[MessageChanged], bound: Bound | None
) -> None:
    async def work() -> None:
        pid = await Shelf.start(1.0, mailbox=bound)
        Shelf.put(pid, None)
        await sleep(0.1)
        lists: list[list[int]] = [[] for _ in range(6)]
        for each in lists:
            Shelf.put(pid, each)
        send(pid, lists[5])
        for each in lists:
            each.append(1)

    running = _later(watched, work)
    await watched.advance(20.0)
    await running
    await watched.settle()
    assert [each.what for each in changes] == ["put"] * 6 + ["list"]


def _later(node: Node, work: Any) -> Any:
    import asyncio

    return asyncio.ensure_future(node.run(work))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda order: setattr(order.items[1], "name", "x"), "message.items[1].name"),
        (lambda order: order.items.pop(), "message.items[1]"),
        (lambda order: order.items[0].tags.add("new"), "message.items[0].tags"),
        (lambda order: order.notes.update(to="x"), "message.notes['to']"),
        (lambda order: order.notes["deep"][0].append(1), "message.notes['deep'][0][0]"),
        (lambda order: order.notes["raw"].extend(b"x"), "message.notes['raw']"),
        (lambda order: order.notes["line"].append(1), "message.notes['line'][0]"),
        (lambda order: order.notes.pop("raw"), "message.notes['raw']"),
        (lambda order: setattr(order.notes["me"].items[0], "name", 7), "message.items[0].name"),
    ],
)
async def test_the_path_names_the_field_that_changed(
    watched: TestNode, changes: list[MessageChanged], change: Any, path: str
) -> None:
    async def work() -> None:
        pid = await Shelf.start()
        order = Order([Item("a"), Item("b")])
        order.notes.update(deep=([],), raw=bytearray(b"raw"), line=deque(), me=order)
        send(pid, order)
        change(order)

    await watched.run(work)
    await watched.settle()
    assert [each.path for each in changes] == [path]


async def test_a_change_after_it_was_handled_is_reported_while_the_receiver_holds_it(
    watched: TestNode, changes: list[MessageChanged]
) -> None:
    async def work() -> None:
        pid = await Shelf.start()
        kept, dropped = [1], [1]
        await Shelf.keep(pid, kept)
        await Shelf.spoil(pid, ["mine no more"])
        send(await Shelf.start(), 0)
        kept.append(2)
        await sleep(0)
        dropped.append(2)

    running = _later(watched, work)
    await watched.advance(1.0)
    await running
    await watched.settle()
    assert [(each.path, each.when) for each in changes] == [("args[0][1]", "handled")]


async def test_a_receiver_that_changes_what_the_sender_keeps_is_reported_as_the_one_who_did(
    watched: TestNode, changes: list[MessageChanged]
) -> None:
    async def work() -> Pid:
        pid = await Shelf.start()
        mine = ["fresh"]
        await Shelf.spoil(pid, mine)
        await sleep(0.5)
        assert mine
        return pid

    running = _later(watched, work)
    await watched.advance(1.0)
    receiver = await running
    [change] = changes
    assert (change.path, change.now, change.by) == ("args[0][1]", "'spoiled'", receiver)


# --- replies ------------------------------------------------------------------------------------------------------


async def test_a_reply_changed_by_the_server_afterwards_is_reported(
    watched: TestNode, changes: list[MessageChanged]
) -> None:
    async def work() -> tuple[Pid, Pid]:
        pid = await Shelf.start()
        answer = await Shelf.numbers(pid)
        Shelf.count(pid)
        await sleep(0.1)
        assert answer
        return pid, self_()

    running = _later(watched, work)
    await watched.advance(1.0)
    server, caller = await running
    [change] = changes
    assert (change.what, change.path) == ("the reply to numbers", "reply['numbers'][2]")
    assert (change.sender, change.process, change.by) == (server, caller, server)


async def test_a_reply_changed_right_after_it_was_given_is_reported(
    watched: TestNode, changes: list[MessageChanged]
) -> None:
    async def work() -> None:
        pid = await Shelf.start()
        answer = await Shelf.early(pid)
        await sleep(0.1)
        assert answer

    running = _later(watched, work)
    await watched.advance(1.0)
    await running
    assert [each.path for each in changes] == ["reply[2]"]


async def test_a_copy_in_a_reply_is_no_sharing(watched: TestNode, changes: list[MessageChanged]) -> None:
    async def work() -> None:
        pid = await Shelf.start()
        answer = await Shelf.copied(pid)
        answer.append(7)
        Shelf.count(pid)
        await sleep(0.1)

    running = _later(watched, work)
    await watched.advance(1.0)
    await running
    assert changes == []


# --- what is not reported -------------------------------------------------------------------------------------------


async def test_handing_over_and_forgetting_is_no_sharing(
    watched: TestNode, changes: list[MessageChanged]
) -> None:
    async def grows() -> None:
        mine = await receive(list)
        mine.append("more")
        await sleep(1.0)

    async def work() -> None:
        pid = spawn(grows)
        send(pid, ["yours now"])
        await Shelf.spoil(await Shelf.start(), ["yours too"])
        await sleep(0.5)

    running = _later(watched, work)
    await watched.advance(5.0)
    await running
    assert changes == []


async def test_equal_values_put_anew_are_no_change(watched: TestNode, changes: list[MessageChanged]) -> None:
    async def work() -> None:
        pid = await Shelf.start()
        numbers = {"big": 10**20, "text": "".join(["a", "b"])}
        send(pid, numbers)
        numbers["big"], numbers["text"] = int("1" + "0" * 20), "".join(["a", "b"])

    await watched.run(work)
    await watched.settle()
    assert changes == []


async def test_pids_and_things_of_the_library_are_not_looked_into(
    watched: TestNode, changes: list[MessageChanged]
) -> None:
    async def work() -> None:
        pid = await Shelf.start()
        send(pid, (self_(), logging.getLogger("x"), pytest.raises, Shelf))
        logging.getLogger("x").setLevel(10)

    await watched.run(work)
    await watched.settle()
    assert changes == []


# --- bounds, ends ---------------------------------------------------------------------------------------------------


async def test_deep_wide_and_cyclic_messages_are_watched_within_bounds(
    watched: TestNode, changes: list[MessageChanged]
) -> None:
    async def work() -> None:
        pid = await Shelf.start()
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        cyclic: dict[str, Any] = {}
        cyclic["self"] = cyclic
        wide = [[] for _ in range(100_000)]  # type: ignore[var-annotated]
        for each in (deep, cyclic, wide, bytearray(10_000_000)):
            send(pid, each)
        cyclic["more"] = 1
        wide[-1].append("beyond what is looked at")

    await watched.run(work)
    await watched.settle()
    assert [each.path for each in changes] == ["message['more']"]


async def test_with_crash_the_culprit_ends(caplog: pytest.LogCaptureFixture) -> None:
    async with running_node(debug_messages="crash") as node:

        async def careless(pid: Pid) -> None:
            items = [1]
            send(pid, items)
            items.append(2)
            await sleep(100.0)

        async def work() -> tuple[Pid, Pid]:
            pid = await Shelf.start()
            return pid, spawn(careless, pid)

        shelf, culprit = await node.run(work)
        await node.settle()
        assert culprit.reason == "message_changed"
        assert shelf.alive


async def test_off_nothing_is_watched_and_nothing_is_installed(node: TestNode) -> None:
    assert node.message_watch is None
    assert hooks.tool is None
    async with running_node("other", debug_messages=True):
        assert hooks.tool is not None
    assert hooks.tool is None
    assert sys.monitoring.get_tool(4) is None


async def test_nodes_are_watched_apart(node: TestNode) -> None:
    told: list[object] = []
    async with running_node("other", debug_messages=True) as other:
        other.subscribe_events(
            lambda event: told.append(event) if isinstance(event, MessageChanged) else None
        )
        node.subscribe_events(lambda event: told.append(event) if isinstance(event, MessageChanged) else None)

        async def work() -> None:
            pid = await Shelf.start()
            items = [1]
            send(pid, items)
            items.append(2)

        await node.run(work)
        await node.settle()
        assert told == []
        await other.run(work)
        await other.settle()
        assert len(told) == 1


@pytest.mark.parametrize(("given", "means"), [("", False), ("0", False), ("1", True), ("crash", "crash")])
def test_the_environment_says_whether_to_watch(
    monkeypatch: pytest.MonkeyPatch, given: str, means: object
) -> None:
    monkeypatch.setenv("PLANARIA_DEBUG_MESSAGES", given)
    assert debug_messages_from_environment() == means
    assert (Node().message_watch is not None) is bool(means)


def test_the_environment_must_be_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANARIA_DEBUG_MESSAGES", "yes")
    with pytest.raises(ValueError, match="say 1, crash, or 0"):
        debug_messages_from_environment()


class Touchy:
    """An object whose own code raises whenever somebody looks at it."""

    def __getattribute__(self, name: str) -> Any:
        raise LookupError(name)

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise LookupError("compared")


class TouchyDict(dict[str, int]):
    def items(self) -> Any:
        raise LookupError("items")


class TouchyList(list[int]):
    def __iter__(self) -> Any:
        raise LookupError("iterated")


class Forgetful:
    """A key whose hash is known once."""

    asked = 0

    def __hash__(self) -> int:
        self.asked += 1
        if self.asked > 1:
            raise LookupError("no hash")
        return 1


@pytest.mark.parametrize(
    "make",
    [
        Touchy,
        lambda: {Touchy()},
        lambda: TouchyDict(a=1),
        lambda: TouchyList([1]),
        lambda: {Forgetful(): [1]},
    ],
    ids=["attributes", "comparison", "items", "iteration", "hash"],
)
async def test_looking_breaks_nothing_that_does_not_like_to_be_looked_at(
    watched: TestNode, changes: list[MessageChanged], make: Any
) -> None:
    async def work() -> None:
        pid = await Shelf.start()
        touchy, plain = make(), [1]
        Shelf.put(pid, [touchy, plain])
        await sleep(0)
        plain.append(2)
        await sleep(0)
        assert await Shelf.numbers(pid)

    await watched.run(work)
    await watched.settle()
    assert [change.path for change in changes] == ["args[0][1][1]"]  # what can be looked at is watched
