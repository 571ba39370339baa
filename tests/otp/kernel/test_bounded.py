"""Bounded mailboxes: who waits, who is refused, what is dropped, and that it is told."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from planaria.otp import (
    CallFailed,
    CallTimeout,
    Crash,
    Deferred,
    Down,
    Event,
    ExitSignal,
    GenServer,
    MailboxFull,
    MessageShed,
    Next,
    Pid,
    ServerExited,
    StateMachine,
    Task,
    TaskFailed,
    bounded,
    broadcast,
    call,
    cast,
    child,
    exit_signal,
    hang,
    limit_mailbox,
    monitor,
    multi_call,
    receive,
    self_,
    send,
    send_after,
    send_when_room,
    sleep,
    spawn,
    spawn_link,
    stop,
    subscribe,
    supervisor,
    sys,
    task_supervisor,
    timeout,
    trap_exits,
)
from planaria.otp.kernel.bounded import Bound, BoundedQueue, Letter, Policy
from planaria.testing.node import TestNode
from tests.otp.support import reason_of_end


class Gate(GenServer):
    """Takes down what it is told; `close` keeps it busy until its test opens it."""

    def init(self) -> None:
        self.seen: list[object] = []

    @call
    async def close(self, seconds: float) -> Deferred[None]:
        deferred = self.defer()
        deferred.reply(None)
        await sleep(seconds)
        return deferred

    @cast
    def note(self, what: object) -> None:
        self.seen.append(what)

    @call
    def ask(self, what: object) -> object:
        self.seen.append(what)
        return what

    @call
    def everything(self) -> list[object]:
        return list(self.seen)

    def handle_info(self, message: object) -> None:
        self.seen.append(message)


async def closed_gate(limit: int, policy: Policy = "block", **more: Any) -> Pid:
    """A server that is busy for a second and has an empty mailbox."""
    pid = await Gate.start(mailbox=bounded(limit, policy, **more))
    await Gate.close(pid, 1.0)
    return pid


async def until_queued(pid: Pid, count: int) -> None:
    """Return when so many messages wait, in the mailbox and outside it."""
    while True:
        info = pid.node.info(pid)
        if info.queue_len + (0 if info.mailbox is None else info.mailbox.waiting) >= count:
            return
        await sleep(0)


@pytest.fixture
def shed(node: TestNode) -> list[MessageShed]:
    """What the mailboxes of the node turned away."""
    told: list[MessageShed] = []
    node.subscribe_events(lambda event: told.append(event) if isinstance(event, MessageShed) else None)
    return told


async def opened(node: TestNode, pid: Pid) -> list[object]:
    """What the gate has taken down when it has handled all that waited."""
    await node.advance(2.0)
    return await Gate.everything(pid)


# --- refusing -------------------------------------------------------------------------------------------------


async def test_a_full_mailbox_refuses_casts_sends_and_calls(node: TestNode, shed: list[MessageShed]) -> None:
    async def work() -> Pid:
        pid = await closed_gate(2, "refuse")
        Gate.note(pid, 1)
        send(pid, 2)
        for again in (lambda: Gate.note(pid, 3), lambda: send(pid, 3)):
            with pytest.raises(MailboxFull, match=r"is full \(2 waiting\)"):
                again()
        with pytest.raises(MailboxFull):
            await Gate.ask(pid, 3)
        return pid

    pid = await node.run(work)
    info = node.info(pid).mailbox
    assert info is not None
    assert (info.limit, info.policy, info.refused, info.dropped) == (2, "refuse", 3, 0)
    assert [(e.process, e.kind, e.what, e.policy) for e in shed] == [
        (pid, kind, "refused", "refuse") for kind in ("cast", "info", "call")
    ]
    assert await opened(node, pid) == [1, 2]
    assert node.info(pid).mailbox == info


async def test_the_message_in_hand_does_not_count_and_room_comes_back(node: TestNode) -> None:
    async def work() -> list[object]:
        pid = await closed_gate(1, "refuse")
        Gate.note(pid, 1)
        with pytest.raises(MailboxFull):
            Gate.note(pid, "lost")
        await sleep(2)
        for number in range(2, 5):
            Gate.note(pid, number)
            await sleep(0)
        return await Gate.everything(pid)

    running = asyncio.ensure_future(node.run(work))
    await node.advance(5)
    assert await running == [1, 2, 3, 4]


async def test_code_outside_is_refused_like_everybody(node: TestNode) -> None:
    pid = await node.run(closed_gate, 1, "refuse")
    node.send(pid, 1)
    with pytest.raises(MailboxFull):
        node.send(pid, 2)
    with pytest.raises(MailboxFull):
        Gate.note(pid, 2)
    with pytest.raises(MailboxFull):
        await Gate.ask(pid, 2)
    assert await opened(node, pid) == [1]


async def test_an_unbounded_process_has_no_counters_and_no_limit(node: TestNode) -> None:
    async def work() -> Pid:
        pid = await Gate.start()
        await Gate.close(pid, 1.0)
        for number in range(1000):
            Gate.note(pid, number)
        return pid

    pid = await node.run(work)
    assert node.info(pid).mailbox is None
    assert await opened(node, pid) == list(range(1000))


async def test_uncaught_a_refusal_is_a_crash_of_the_sender(node: TestNode) -> None:
    async def work() -> Pid:
        pid = await closed_gate(1, "refuse")

        async def careless() -> None:
            for number in range(3):
                Gate.note(pid, number)

        return spawn(careless)

    pid = await node.run(work)
    await node.settle()
    assert pid.reason == CallFailed("mailbox_full")


async def test_one_call_to_several_names_those_who_are_full(node: TestNode) -> None:
    async def work() -> tuple[list[tuple[Any, object]], list[tuple[Any, object]], Pid, Pid]:
        full, free = await closed_gate(1, "refuse"), await Gate.start()
        Gate.note(full, 1)
        answers, failures = await multi_call(Gate.ask, [full, free], 5)
        return list(answers), list(failures), full, free

    answers, failures, full, free = await node.run(work)
    assert (answers, failures) == ([(free, 5)], [(full, "mailbox_full")])


async def test_a_state_machine_may_be_bounded_too(node: TestNode) -> None:
    class Stuck(StateMachine):
        def init(self) -> Next:
            return Next("stuck")

        async def stuck(self, event: Event) -> None:
            await hang()

    async def work() -> Pid:
        pid = await Stuck.start(mailbox=bounded(1, "drop_newest"))
        for number in range(5):
            send(pid, number)
            await sleep(0)
        return pid

    pid = await node.run(work)
    info = node.info(pid).mailbox
    assert info is not None
    assert info.dropped == 3  # one in hand, one waits


# --- blocking -------------------------------------------------------------------------------------------------


async def test_senders_who_await_wait_for_room_in_order(node: TestNode) -> None:
    done: list[str] = []

    async def patient(pid: Pid, name: str) -> None:
        await Gate.note.when_room(pid, name)
        done.append(name)

    async def work() -> Pid:
        pid = await closed_gate(1)
        Gate.note(pid, "first")
        for number, name in enumerate(("a", "b", "c")):
            spawn(patient, pid, name, label=name)
            await until_queued(pid, number + 2)
        return pid

    pid = await node.run(work)
    await node.settle()
    info = node.info(pid).mailbox
    assert info is not None
    assert (info.waited, info.waiting, done) == (3, 3, [])
    assert await opened(node, pid) == ["first", "a", "b", "c"]
    assert sorted(done) == ["a", "b", "c"]
    info = node.info(pid).mailbox
    assert info is not None
    assert (info.waited, info.waiting, info.refused, info.dropped) == (3, 0, 0, 0)


async def test_a_call_waits_for_room_and_then_for_its_answer(node: TestNode) -> None:
    answers: list[object] = []

    async def ask(pid: Pid, what: object) -> None:
        answers.append(await Gate.ask(pid, what))

    async def work() -> Pid:
        pid = await closed_gate(2)
        for number in range(5):
            spawn(ask, pid, number)
        return pid

    pid = await node.run(work)
    await node.settle()
    assert (node.info(pid).queue_len, answers) == (2, [])
    assert sorted(await opened(node, pid), key=str) == [0, 1, 2, 3, 4]
    assert sorted(answers, key=str) == [0, 1, 2, 3, 4]


async def test_a_plain_cast_or_send_cannot_wait_and_raises(node: TestNode) -> None:
    async def work() -> Pid:
        pid = await closed_gate(1)
        Gate.note(pid, 1)
        with pytest.raises(MailboxFull, match="when_room"):
            Gate.note(pid, 2)
        with pytest.raises(MailboxFull, match="send_when_room"):
            send(pid, 2)
        return pid

    pid = await node.run(work)
    assert await opened(node, pid) == [1]


async def test_a_call_that_timed_out_before_there_was_room_is_never_handled(node: TestNode) -> None:
    async def ask(pid: Pid) -> None:
        with pytest.raises(CallTimeout):
            await Gate.ask.within(0.5)(pid, "late")
        await hang()

    async def work() -> Pid:
        pid = await closed_gate(1)
        Gate.note(pid, 1)
        spawn(ask, pid)
        return pid

    pid = await node.run(work)
    assert await opened(node, pid) == [1]


async def test_a_sender_killed_or_out_of_patience_while_it_waits_has_not_sent(node: TestNode) -> None:
    gave_up: list[str] = []

    async def patient(pid: Pid, what: str) -> None:
        await send_when_room(pid, what)

    async def impatient(pid: Pid) -> None:
        try:
            async with timeout(0.001):
                await send_when_room(pid, "impatient")
        except TimeoutError:
            gave_up.append("impatient")

    async def work() -> tuple[Pid, Pid, Pid]:
        pid = await closed_gate(1)
        send(pid, "first")
        killed = spawn(patient, pid, "killed")
        hasty = spawn(impatient, pid)
        spawn(patient, pid, "patient")
        return pid, killed, hasty

    pid, killed, hasty = await node.run(work)
    await reason_of_end(node, hasty)
    await node.run(_kill, killed)
    assert await opened(node, pid) == ["first", "patient"]
    assert gave_up == ["impatient"]


async def _kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


async def test_when_the_receiver_dies_those_who_wait_go_on_and_callers_are_told(node: TestNode) -> None:
    told: list[object] = []

    async def patient(pid: Pid) -> None:
        await send_when_room(pid, "x")
        told.append("went on")

    async def ask(pid: Pid) -> None:
        try:
            await Gate.ask(pid, 1)
        except ServerExited as error:
            told.append(error.why)

    async def work() -> None:
        pid = await closed_gate(1)
        send(pid, "first")
        spawn(patient, pid)
        spawn(ask, pid)
        await until_queued(pid, 3)
        exit_signal(pid, "kill")

    await node.run(work)
    await node.settle()
    assert sorted(told, key=str) == ["killed", "went on"]


async def test_code_outside_can_wait_for_room_too(node: TestNode) -> None:
    pid = await node.run(closed_gate, 1)
    node.send(pid, 1)
    waiting = [
        asyncio.ensure_future(send_when_room(pid, 2)),
        asyncio.ensure_future(Gate.note.when_room(pid, 3)),
    ]
    await node.settle()
    assert not any(each.done() for each in waiting)
    waiting[0].cancel()
    assert await opened(node, pid) == [1, 3]
    await waiting[1]


async def test_waiting_for_room_in_an_unbounded_mailbox_does_not_wait(node: TestNode) -> None:
    async def work() -> list[object]:
        pid = await Gate.start()
        await send_when_room(pid, 1)
        await Gate.note.when_room(pid, 2)
        return await Gate.everything(pid)

    assert await node.run(work) == [1, 2]


# --- dropping -------------------------------------------------------------------------------------------------


async def test_the_oldest_message_makes_room(node: TestNode, shed: list[MessageShed]) -> None:
    async def work() -> Pid:
        pid = await closed_gate(3, "drop_oldest")
        for number in range(10):
            Gate.note(pid, number)
        return pid

    pid = await node.run(work)
    info = node.info(pid).mailbox
    assert info is not None
    assert (info.dropped, node.info(pid).queue_len) == (7, 3)
    assert [event.message for event in shed] == [("note", (n,), {}) for n in range(7)]
    assert await opened(node, pid) == [7, 8, 9]


async def test_the_newest_message_is_dropped(node: TestNode, shed: list[MessageShed]) -> None:
    async def work() -> Pid:
        pid = await closed_gate(3, "drop_newest")
        for number in range(10):
            Gate.note(pid, number)
        with pytest.raises(MailboxFull):
            await Gate.ask(pid, "call")
        return pid

    pid = await node.run(work)
    assert [event.what for event in shed] == ["dropped"] * 8
    assert await opened(node, pid) == [0, 1, 2]


async def test_a_call_shed_from_the_mailbox_fails_at_its_caller_at_once(node: TestNode) -> None:
    told: list[object] = []

    async def ask(pid: Pid) -> None:
        with pytest.raises(MailboxFull):
            await Gate.ask(pid, "shed")
        told.append("full")

    async def work() -> Pid:
        pid = await closed_gate(1, "drop_oldest")
        spawn(ask, pid)
        await until_queued(pid, 1)
        Gate.note(pid, 1)
        return pid

    pid = await node.run(work)
    await node.settle()
    assert told == ["full"]  # no time has passed: it did not wait for its deadline
    assert await opened(node, pid) == [1]


def urgency(letter: Letter) -> float:
    """Urgent text first; calls above all."""
    if letter.kind == "call":
        return 10
    return float(letter.args[0] if letter.kind == "cast" else letter.what)


async def test_the_lowest_priority_is_shed_and_of_equals_the_youngest(
    node: TestNode, shed: list[MessageShed]
) -> None:
    async def work() -> Pid:
        pid = await closed_gate(3, "shed", priority=urgency)
        for number in (1.0, 5.0, 3.0, 4.0, 2.0, 3.0):
            Gate.note(pid, number)
        send(pid, 9.0)
        return pid

    pid = await node.run(work)
    assert [event.message[1][0] for event in shed if isinstance(event.message, tuple)] == [1.0, 2.0, 3.0, 3.0]
    assert await opened(node, pid) == [5.0, 4.0, 9.0]


async def test_of_waiting_equals_the_youngest_is_shed(node: TestNode, shed: list[MessageShed]) -> None:
    async def work() -> Pid:
        pid = await closed_gate(3, "shed", priority=lambda letter: float(letter.what[0]))
        for message in ("1a", "1b", "1c", "5d"):
            send(pid, message)
        return pid

    pid = await node.run(work)
    assert [event.message for event in shed] == ["1c"]
    assert await opened(node, pid) == ["1a", "1b", "5d"]


async def test_a_priority_that_raises_is_the_senders_fault(node: TestNode) -> None:
    async def work() -> Pid:
        pid = await closed_gate(2, "shed", priority=urgency)
        Gate.note(pid, 1.0)
        Gate.note(pid, 1.0)
        with pytest.raises(ValueError, match="could not convert"):
            Gate.note(pid, "no number")
        return pid

    pid = await node.run(work)
    assert await opened(node, pid) == [1.0, 1.0]


# --- what is never turned away -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["block", "refuse", "drop_oldest", "drop_newest"])
async def test_the_kernels_own_messages_always_get_in(node: TestNode, policy: Policy) -> None:
    seen: list[Any] = []

    async def dies() -> None:
        await receive()

    async def keeper() -> None:
        trap_exits()
        limit_mailbox(bounded(1, policy))
        watched, linked = spawn(dies), spawn_link(dies)
        monitor(watched)
        send_after(0.1, self_(), "timer")
        send(watched, "die")
        exit_signal(linked, "enough")
        await sleep(1.0)  # all of them come while nobody takes anything
        while True:
            seen.append(await receive())

    async def work() -> Pid:
        pid = spawn(keeper)
        await sleep(0.5)
        for number in range(3):
            try:
                send(pid, number)
            except MailboxFull:
                pass
        return pid

    running = asyncio.ensure_future(node.run(work))
    await node.advance(3.0)
    await running
    assert {type(each) for each in seen if not isinstance(each, int)} == {Down, ExitSignal, str}


async def test_a_server_with_a_full_mailbox_can_be_stopped_and_killed(node: TestNode) -> None:
    async def fill() -> Pid:
        pid = await closed_gate(1, "refuse")
        Gate.note(pid, 1)
        return pid

    async def work() -> Pid:
        pid = await fill()
        await stop(pid)
        return pid

    running = asyncio.ensure_future(node.run(work))
    await node.advance(2.0)
    assert (await running).reason == "normal"
    pid = await node.run(fill)
    await node.run(_kill, pid)
    assert pid.reason == "killed"


async def test_a_broadcast_reaches_the_others_when_one_is_full(node: TestNode) -> None:
    got: list[object] = []

    async def listener(bound: Bound | None) -> None:
        subscribe("news")
        if bound is not None:
            limit_mailbox(bound)
            await hang()
        while True:
            got.append(await receive())

    async def work() -> None:
        spawn(listener, bounded(1, "refuse"))
        spawn(listener, None)
        await sleep(0)
        for number in range(3):
            broadcast("news", number)
        await sleep(0)

    await node.run(work)
    for number in range(3, 6):
        node.broadcast("news", number)
    await node.settle()
    assert got == list(range(6))


async def test_selective_receive_makes_room(node: TestNode) -> None:
    got: list[object] = []

    async def picky() -> None:
        while True:
            got.append(await receive(str))
            await sleep(1)
            got.append(await receive(int))

    async def work() -> None:
        pid = spawn(picky, mailbox=bounded(2))
        await sleep(0)
        for message in (1, "a", 2, "b"):
            await send_when_room(pid, message)

    running = asyncio.ensure_future(node.run(work))
    await node.advance(5)
    await running
    assert got == ["a", 1, "b", 2]


async def test_a_message_taken_out_of_order_lets_a_sender_in(node: TestNode) -> None:
    async def picky() -> None:
        await sleep(1)
        await receive(str)
        await hang()

    async def patient(pid: Pid) -> None:
        await send_when_room(pid, 3)

    async def work() -> tuple[Pid, Pid]:
        pid = spawn(picky, mailbox=bounded(2))
        send(pid, 1)
        send(pid, "a")
        return pid, spawn(patient, pid)

    pid, sender = await node.run(work)
    await node.settle()
    assert sender.alive
    await node.advance(2.0)
    assert (sender.reason, node.info(pid).queue_len) == ("normal", 2)


# --- starting, saying, checking ------------------------------------------------------------------------------------


async def test_a_child_keeps_its_bound_across_restarts(node: TestNode) -> None:
    spec = child(Gate, name="gate", mailbox=bounded(5, "drop_newest"))
    await node.start(supervisor(spec))
    first = node["gate"]
    assert node.info(first).mailbox is not None
    await node.run(_kill, first)
    await node.settle()
    info = node.info(node["gate"]).mailbox
    assert node["gate"] is not first
    assert info is not None
    assert (info.limit, info.dropped) == (5, 0)


async def test_a_bound_taken_while_messages_wait_keeps_them(node: TestNode) -> None:
    got: list[object] = []

    async def late() -> None:
        await sleep(1)
        limit_mailbox(bounded(2, "drop_newest"))
        send(self_(), "too much")
        while True:
            got.append(await receive())

    async def work() -> None:
        pid = spawn(late)
        for number in range(4):
            send(pid, number)

    await node.run(work)
    await node.advance(2)
    assert got == [0, 1, 2, 3]


async def test_the_log_tells_of_a_flood_without_becoming_one(
    node: TestNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    async def work() -> None:
        pid = await closed_gate(1, "drop_newest")
        for number in range(1001):
            Gate.note(pid, number)

    await node.run(work)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 10
    assert "512 dropped so far" in lines[-1]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"limit": 0}, "at least 1"),
        ({"limit": 1, "policy": "forget"}, "there are: block, refuse"),
        ({"limit": 1, "policy": "shed"}, "give priority="),
        ({"limit": 1, "policy": "block", "priority": urgency}, "leave priority out"),
    ],
)
def test_a_bound_that_makes_no_sense_is_refused(args: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        bounded(**args)


async def test_a_server_that_crashes_with_a_full_mailbox_ends_as_any(node: TestNode) -> None:
    async def work() -> object:
        pid = await closed_gate(2, "refuse")
        Gate.note(pid, 1)
        send(pid, 2)
        exit_signal(pid, Crash(ValueError("x")))
        return pid.reason

    assert isinstance(await node.run(work), Crash)


# --- suspended, crowded, misjudged ---------------------------------------------------------------------------------


async def in_time(node: TestNode, work: Callable[[], Awaitable[Any]]) -> Any:
    """What `work` returns in a process for which time passes."""
    running = asyncio.ensure_future(node.run(work))
    await node.advance(10.0)
    return await running


@pytest.mark.parametrize(
    ("policy", "kept"),
    [("block", [0, 1, "asked"]), ("refuse", [0, 1]), ("drop_oldest", [3, 4]), ("drop_newest", [0, 1])],
)
async def test_the_bound_holds_while_the_server_is_suspended(
    node: TestNode, policy: Policy, kept: list[object]
) -> None:
    async def work() -> list[object]:
        pid = await Gate.start(mailbox=bounded(2, policy))
        await sys.suspend(pid)
        for number in range(5):
            await sleep(0.1)  # it could take each of them
            if policy in ("block", "refuse") and number >= 2:
                with pytest.raises(MailboxFull):
                    Gate.note(pid, number)
            else:
                Gate.note(pid, number)
        info = node.info(pid)
        assert info.mailbox is not None and info.queue_len == 2
        assert (await sys.get_state(pid))["seen"] == []
        if policy == "block":
            spawn(Gate.ask, pid, "asked")
            await sleep(0.1)
        await sys.resume(pid)
        await sleep(0.1)
        return await Gate.everything(pid)

    assert await in_time(node, work) == kept


async def test_a_suspended_server_with_a_bound_hears_its_parent_and_a_stop(node: TestNode) -> None:
    async def work() -> list[object]:
        reasons: list[object] = []
        for end in (stop, lambda pid: exit_signal(pid, "kill")):
            pid = await Gate.start(mailbox=bounded(1))
            await sys.suspend(pid)
            Gate.note(pid, 1)
            task = Task.start(Gate.ask, pid, 2, under="tasks")
            await sleep(0.1)
            ended = end(pid)
            if ended is not None:
                await ended
            with pytest.raises(TaskFailed, match=r"normal|killed"):
                await task.result()
            reasons.append(pid.reason)
        return reasons

    await node.start(task_supervisor(name="tasks"))
    assert await in_time(node, work) == ["normal", "killed"]


async def test_a_suspended_server_with_a_bound_counts_and_changes_code(node: TestNode) -> None:
    async def work() -> object:
        pid = await Gate.start(mailbox=bounded(2, "drop_newest"))
        await sys.suspend(pid)
        await sys.statistics(pid, True)
        Gate.note(pid, 1)
        await sys.change_code(pid, None, None)
        await sys.replace_state(pid, lambda state: {**state, "seen": [0]})
        await sys.resume(pid)
        seen = await Gate.everything(pid)
        counted = await sys.statistics(pid)
        assert counted is not None and counted.by_kind["cast"] == 1
        return seen

    assert await in_time(node, work) == [0, 1]


async def test_senders_who_gave_up_are_forgotten_while_the_server_is_stuck(node: TestNode) -> None:
    async def impatient(pid: Pid) -> None:
        for _ in range(1000):
            with pytest.raises(CallTimeout):
                await Gate.ask.within(0.0001)(pid, 1)

    async def work() -> int:
        pid = await closed_gate(1)
        Gate.note(pid, 0)
        await impatient(pid)
        assert isinstance(pid.queue, BoundedQueue)
        return len(pid.queue.parked)

    assert await in_time(node, work) < 100


async def test_those_who_wait_stay_outside_while_the_kernels_own_messages_fill_the_mailbox(
    node: TestNode,
) -> None:
    async def work() -> None:
        pid = await closed_gate(1)
        for number in range(3):
            send_after(0.1, pid, number)  # a timer's message always gets in
        await sleep(0.2)
        for _ in range(3):
            spawn(send_when_room, pid, "in time")
        await sleep(0.1)
        node.subscribe_events(lambda _: None)
        most = 0

        def handle(self: Gate, message: object) -> None:
            nonlocal most
            most = max(most, node.info(self.pid).queue_len)

        Gate.handle_info, before = handle, Gate.handle_info  # type: ignore[method-assign]
        try:
            await sleep(2.0)
        finally:
            Gate.handle_info = before  # type: ignore[method-assign]
        assert most == 2

    await in_time(node, work)


async def test_nobody_waits_for_room_in_its_own_mailbox(node: TestNode) -> None:
    async def work() -> None:
        limit_mailbox(bounded(1))
        send(self_(), "one")
        with pytest.raises(MailboxFull):
            await send_when_room(self_(), "two")

    await in_time(node, work)


@pytest.mark.parametrize("rank", [None, "high", float("nan")])
async def test_a_priority_that_is_no_number_is_told_to_the_sender(node: TestNode, rank: Any) -> None:
    async def work() -> None:
        pid = await closed_gate(1, "shed", priority=lambda letter: rank if letter.args == (2,) else 1)
        Gate.note(pid, 1)
        with pytest.raises(TypeError, match=r"the priority of Letter\(.*args=\(2,\).* is .*, no number"):
            Gate.note(pid, 2)
        Gate.note(pid, 3)

    await in_time(node, work)


async def test_a_message_whose_priority_fails_too_late_for_its_sender_goes_first(
    node: TestNode, caplog: pytest.LogCaptureFixture
) -> None:
    def rank(letter: Letter) -> float:
        return 1 / letter.args[0]  # type: ignore[no-any-return]

    async def work() -> Pid:
        pid = await closed_gate(1, "shed", priority=rank)
        Gate.note(pid, 0)  # finds the mailbox empty: nobody asks for its rank
        Gate.note(pid, 1)
        return pid

    assert await opened(node, await node.run(work)) == [1]
    assert "ZeroDivisionError" in caplog.text
