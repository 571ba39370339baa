"""Live trace: what processes receive, send, answer, become, start and end with."""

import asyncio
from typing import Any

import pytest

from planaria.otp import (
    Deferred,
    GenServer,
    Node,
    Pid,
    call,
    cast,
    child,
    receive,
    self_,
    send,
    spawn,
    supervisor,
    sys,
)
from planaria.otp.observe.trace import Trace, Tracer
from planaria.testing.node import running_node


@pytest.fixture
async def node():
    async with running_node("traced") as node:
        yield node


@pytest.fixture
def tracer(node):
    tracer = Tracer(node)
    yield tracer
    tracer.close()


class Account(GenServer):
    def init(self, balance: int = 0) -> None:
        self.balance = balance
        self.waiting: list[Deferred[int]] = []

    @call
    def deposit(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    @call
    async def deposit_slowly(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    @call
    def later(self) -> Deferred[int]:
        self.waiting.append(deferred := self.defer())
        return deferred

    @cast
    def answer(self, value: int) -> None:
        self.waiting.pop().reply(value)

    @cast
    def crash(self) -> None:
        raise ValueError("boom")


class Teller(GenServer):
    @call
    async def pay(self, amount: int) -> int:
        return await Account.deposit("account", amount)


async def bank(node: Node) -> None:
    await node.start(supervisor(child(Account, name="account"), child(Teller, name="teller"), name="bank"))


def story(trace: Trace) -> list[tuple[Any, ...]]:
    """The events in short."""
    told: list[tuple[Any, ...]] = []
    for event in trace.events:
        match event["event"]:
            case "received" | "sent":
                told.append((event["event"], event["name"], event["message"]))
            case "replied":
                told.append(("replied", event["name"], event.get("value", event.get("error"))))
            case "state":
                told.append(("state", event["name"], event["changed"]))
            case "exited":
                told.append(("exited", event["name"], event["reason"]["text"]))
            case other:
                told.append((other, event["name"]))
    return told


@pytest.mark.parametrize("handler", [Account.deposit, Account.deposit_slowly])
async def test_a_call_is_received_answered_and_changes_the_state(node, tracer, handler):
    await bank(node)
    with tracer.trace("account") as trace:
        await node.run(handler, "account", 5)
        await node.settle()
    name = "deposit" if handler is Account.deposit else "deposit_slowly"
    assert story(trace) == [
        ("received", "account", f"{name}(5)"),
        ("replied", "account", "5"),
        ("state", "account", {"balance": ["0", "5"]}),
    ]


async def test_what_a_traced_process_sends_is_seen_with_its_cause(node, tracer):
    await bank(node)
    with tracer.trace("teller") as trace:
        await node.run(Teller.pay, "teller", 7)
        await node.settle()
    received, sent, replied = trace.events
    assert [each["event"] for each in (received, sent, replied)] == ["received", "sent", "replied"]
    assert sent["message"] == "deposit(7)"
    assert sent["to"] == f"account {node['account']}"
    assert sent["cause"] == received["id"]
    assert replied["value"] == "7"


async def test_a_deferred_answer_is_told_when_it_is_given(node, tracer):
    await bank(node)
    with tracer.trace("account") as trace:
        asking = node.spawn(Account.later, "account")
        await node.settle()
        assert [each[0] for each in story(trace)] == ["received", "state"]
        await node.run(_answer)
        await node.settle()
    assert ("replied", "account", "9") in story(trace)
    assert not asking.alive


async def _answer() -> None:
    Account.answer("account", 9)


async def test_a_crash_and_the_process_that_comes_after(node, tracer):
    await bank(node)

    async def crash() -> None:
        Account.crash("account")

    with tracer.trace("account") as trace:
        await node.run(crash)
        await node.settle()
        await node.run(Account.deposit, "account", 1)
        await node.settle()
    told = story(trace)
    assert told[:2] == [("received", "account", "crash()"), ("exited", "account", "ValueError: boom")]
    assert ("started", "account") in told
    assert told[-1] == ("state", "account", {"balance": ["0", "1"]})


async def test_patterns_match_names_labels_and_classes(node, tracer):
    await bank(node)
    for pattern in ("acc*", "Account", str(node["account"])):
        with tracer.trace(pattern) as trace:
            await node.run(Account.deposit, "account", 1)
            await node.settle()
        assert ("received", "account", "deposit(1)") in story(trace)


async def test_a_plain_function_is_traced_too(node, tracer):
    async def parent() -> None:
        while True:
            sender = await receive(Pid)
            spawn(helper, label="helper")
            send(sender, "done")

    async def helper() -> None:
        return None

    pid = node.spawn(parent)

    async def ask() -> object:
        send(pid, self_())
        return await receive()

    with tracer.trace(pid) as trace:
        await node.run(ask)
        await node.settle()
    assert [event["event"] for event in trace.events] == ["received", "sent"]


async def test_children_that_are_spawned_are_told(node, tracer):
    await bank(node)
    with tracer.trace("bank") as trace:
        node.whereis("account")
        await node.run(_crash)
        await node.settle()
    assert "spawned" in [event["event"] for event in trace.events]


async def _crash() -> None:
    Account.crash("account")


async def test_the_buffer_is_bounded_and_counts_what_it_dropped(node, tracer):
    await bank(node)
    with tracer.trace("account", size=3) as trace:
        for _ in range(5):
            await node.run(Account.deposit, "account", 1)
        await node.settle()
    assert len(trace.events) == 3
    assert trace.dropped == 12


async def test_two_traces_do_not_disturb_each_other(node, tracer):
    await bank(node)
    with tracer.trace("account") as one:
        with tracer.trace("account") as two:
            await node.run(Account.deposit, "account", 1)
            await node.settle()
        await node.run(Account.deposit, "account", 1)
        await node.settle()
    assert len(two.events) == 3
    assert len(one.events) == 6


async def test_off_means_that_nothing_is_left_in_the_way(node, tracer):
    await bank(node)
    memory, remember = node.recent, node.scheduler.remember
    with tracer.trace("*"):
        await node.run(Account.deposit, "account", 1)
        assert node.recent is not memory
    assert node.recent is memory
    assert node.scheduler.remember == remember
    assert [each[1].handler for each in memory if each[0] == "call"] == ["deposit"]


async def test_a_message_that_was_put_aside_is_told_once_with_what_it_changed(node, tracer):
    await bank(node)
    with tracer.trace("account") as trace:
        await node.run(sys.suspend, node["account"])
        answer = asyncio.ensure_future(node.run(Account.deposit, "account", 5))
        await node.settle()
        await node.run(sys.resume, node["account"])
        assert await answer == 5
        await node.settle()
    told = story(trace)
    assert told.count(("received", "account", "deposit(5)")) == 1
    assert ("state", "account", {"balance": ["0", "5"]}) in told
    assert ("replied", "account", "5") in told


async def test_a_value_that_cannot_be_shown_hurts_nobody(node, caplog):
    def refuses(name: str, value: object, limit: int) -> str:
        raise RuntimeError("no")

    await bank(node)
    with Tracer(node, refuses).trace("*"):
        assert await node.run(Account.deposit, "account", 1) == 1
    assert "could not show" in caplog.text


async def test_followers_get_each_event(node):
    heard: list[dict[str, Any]] = []
    tracer = Tracer(node)
    await bank(node)
    with tracer.trace("account", tell=heard.append) as trace:
        await node.run(Account.deposit, "account", 1)
        await node.settle()
    assert heard == list(trace.events)
