"""System requests: state looked at and replaced, suspension, code change, the end, statistics."""

from typing import Any

import pytest

from planaria.otp import (
    CallError,
    CallFailed,
    CallTimeout,
    Crash,
    DynamicSupervisor,
    Event,
    GenServer,
    MachineState,
    Next,
    NoProcess,
    NotAProcess,
    Pid,
    ServerExited,
    StateMachine,
    Stop,
    Supervisor,
    Transition,
    bounded,
    call,
    cast,
    child,
    dynamic,
    exit_signal,
    now,
    send,
    sleep,
    spawn,
    spawn_link,
    stop,
    supervisor,
    sys,
)
from planaria.otp.kernel.ambient import wait_down
from planaria.otp.kernel.mailbox import deliver_kernel
from planaria.otp.kernel.process import new_request
from planaria.otp.servers.system import SystemMessage
from planaria.otp.servers.wrapper import server_of
from planaria.testing.node import TestNode
from tests.otp.support import Boom, Counter, idle


class Slotted:
    __slots__ = ("__private", "count", "unset")

    def __init__(self) -> None:
        self.count = 1
        self.__private = "x"


class Slots(Slotted, GenServer):
    """A server whose state lies in slots and in its `__dict__`."""

    def init(self) -> None:
        self.more = 2


async def test_the_state_is_the_attributes_by_name(node: TestNode) -> None:
    pid = await node.run(Counter.start, 3)
    assert await sys.get_state(pid) == {"count": 3, "seen": [], "waiting": []}
    slotted = await node.run(Slots.start)
    assert await sys.get_state(slotted) == {"count": 1, "_Slotted__private": "x", "more": 2}


async def test_a_state_is_replaced_by_what_a_function_makes_of_it(node: TestNode) -> None:
    async def work() -> tuple[object, int]:
        pid = await Counter.start(3)
        new = await sys.replace_state(pid, lambda state: {**state, "count": 10})
        return new["count"], await Counter.add(pid)

    assert await node.run(work) == (10, 11)
    pid = await node.run(Slots.start)
    await sys.replace_state(pid, lambda state: {"count": 5})
    assert await sys.get_state(pid) == {"count": 5}


async def test_a_state_that_does_not_fit_and_a_function_that_raises_change_nothing(node: TestNode) -> None:
    def boom(state: Any) -> Any:
        raise Boom

    pid = await node.run(Counter.start, 3)
    with pytest.raises(Boom):
        await sys.replace_state(pid, boom)
    with pytest.raises(TypeError):
        await sys.replace_state(pid, lambda state: {1: 2})
    assert (await sys.get_state(pid))["count"] == 3


class Shown(GenServer):
    """Says itself what its state is."""

    def init(self) -> None:
        self.parts = [1, 2]

    def get_state(self) -> int:
        return sum(self.parts)

    def set_state(self, state: int) -> None:
        self.parts = [state]


async def test_a_server_may_say_itself_what_its_state_is(node: TestNode) -> None:
    pid = await node.run(Shown.start)
    assert await sys.get_state(pid) == 3
    assert await sys.replace_state(pid, lambda state: state + 4) == 7
    assert await sys.get_state(pid) == 7


class Light(StateMachine):
    def init(self) -> Next:
        self.changes = 0
        return Next("red")

    @cast
    def switch(self, to: str) -> None: ...

    def red(self, event: Event) -> Transition | None:
        self.changes += 1
        return Next(event.args[0]) if hasattr(event, "args") else None

    green = red

    def code_change(self, old_version: object, extra: object) -> Next | None:
        self.changes = -1
        if extra == "refuse":
            raise Stop("not now")
        if extra == "crash":
            raise Boom
        return None if extra is None else Next(extra)


async def test_state_and_data_of_a_machine(node: TestNode) -> None:
    pid = await node.run(Light.start)
    assert await sys.get_state(pid) == MachineState("red", {"changes": 0})
    await sys.replace_state(pid, lambda state: MachineState("green", {"changes": 7}))
    Light.switch(pid, "red")
    assert await sys.get_state(pid) == ("red", {"changes": 8})


async def test_messages_to_a_suspended_server_wait_and_are_handled_in_order(node: TestNode) -> None:
    class Notes(GenServer):
        def init(self) -> None:
            self.notes: list[object] = []

        def handle_info(self, message: object) -> None:
            self.notes.append(message)

    async def work(mailbox: Any) -> object:
        pid = await Notes.start_link(mailbox=mailbox)
        for number in range(3):
            send(pid, number)
        await sys.suspend(pid)
        for number in range(3, 6):
            send(pid, number)
        assert (await sys.get_status(pid)).suspended
        assert (await sys.get_state(pid))["notes"] == [0, 1, 2]
        await sys.suspend(pid)  # twice is once
        resuming = spawn(resume, pid)
        send(pid, 6)
        await wait_down(resuming)
        send(pid, 7)
        assert not (await sys.get_status(pid)).suspended
        await sys.resume(pid)  # of one that runs: nothing
        return (await sys.get_state(pid))["notes"]

    async def resume(pid: Pid) -> None:
        await sys.resume(pid)

    assert await node.run(work, None) == list(range(8))
    assert await node.run(work, bounded(4, "refuse")) == list(range(8))


@pytest.mark.parametrize("limit", [None, 20])
async def test_what_was_held_comes_before_what_lies_behind_the_resumption(
    node: TestNode, limit: int | None
) -> None:
    async def start() -> Pid:
        return await Counter.start(mailbox=None if limit is None else bounded(limit, "refuse"))

    pid = await node.run(start)
    await sys.suspend(pid)
    for number in range(3):
        node.send(pid, number)
    await node.settle()
    resume = SystemMessage("resume", None, new_request("sys", (), {}, None, pid))
    deliver_kernel(pid, "system", resume)
    for number in range(3, 6):
        node.send(pid, number)
    await node.settle()
    assert (await sys.get_state(pid))["seen"] == list(range(6))


async def test_messages_right_behind_the_suspension_are_held(node: TestNode) -> None:
    pid = await node.run(Counter.start)

    async def suspend_it() -> None:
        await sys.suspend(pid)

    asking = node.spawn(suspend_it)
    node.send(pid, "before")
    await node.settle()
    node.send(pid, "after")
    await node.settle()
    assert not asking.alive
    assert "after" not in (await sys.get_state(pid))["seen"]
    await sys.resume(pid)
    await node.settle()
    assert (await sys.get_state(pid))["seen"] == ["before", "after"]


async def test_a_call_to_a_suspended_server_times_out_and_is_handled_all_the_same(node: TestNode) -> None:
    async def ask(pid: Pid) -> None:
        with pytest.raises(CallTimeout):
            await Counter.add(pid, 5)

    pid = await node.run(Counter.start)
    await sys.suspend(pid)
    asking = node.spawn(ask, pid)
    await node.advance(6)
    assert asking.reason == "normal"
    await sys.resume(pid)
    assert await Counter.add(pid, 0) == 5


async def test_stop_kill_and_terminate_end_a_suspended_server_and_its_callers_hear_of_it(
    node: TestNode,
) -> None:
    reasons: list[object] = []

    async def ask(pid: Pid) -> None:
        try:
            await Counter.add(pid, 5)
        except ServerExited as error:
            reasons.append(error.why)

    async def kill(pid: Pid) -> None:
        exit_signal(pid, "kill")

    async def end(pid: Pid) -> None:
        await sys.terminate(pid, "over")

    async def stop_it(pid: Pid) -> None:
        await stop(pid)

    for how in (stop_it, kill, end):
        pid = await node.run(Counter.start)
        await sys.suspend(pid)
        node.spawn(ask, pid)
        await node.settle()
        await node.run(how, pid)
        await node.settle()
        assert not pid.alive
    assert reasons == ["normal", "killed", "over"]


async def test_the_parents_exit_ends_a_suspended_server_others_exits_wait(node: TestNode) -> None:
    ends: list[object] = []

    class Trapping(Counter):
        trap_exit = True

        def terminate(self, reason: object) -> None:
            ends.append(reason)

    async def parent() -> None:
        pid = await Trapping.start_link()
        await sys.suspend(pid)
        stranger = spawn(signal, pid, "from a stranger")
        await wait_down(stranger)
        assert ends == []
        exit_signal(pid, "from the parent")
        await wait_down(pid)

    async def signal(pid: Pid, reason: str) -> None:
        exit_signal(pid, reason)

    node.spawn(parent)
    await node.settle()
    assert ends == ["from the parent"]


async def test_a_suspended_supervisor_restarts_nothing_until_resumed(node: TestNode) -> None:
    top = await node.start(supervisor(child(Counter, name="counter"), dynamic(name="dynamic")))
    assert (await sys.get_status(top)).server == "Supervisor"
    assert (await sys.get_state(node["dynamic"]))["children"] == {}
    await sys.suspend(top)
    first = node["counter"]
    await node.run(stop, first, "shutdown")
    await node.settle()
    assert node.whereis("counter") is None
    await sys.resume(top)
    await node.settle()
    assert await Counter.add(node["counter"]) == 1
    assert len(await Supervisor.which_children(top)) == 2
    assert await DynamicSupervisor.which_children(node["dynamic"]) == []


async def test_the_status_names_the_parent(node: TestNode) -> None:
    async def work() -> tuple[sys.Status, Pid]:
        pid = await Counter.start_link(1)
        return await sys.get_status(pid), pid

    status, pid = await node.run(work)
    assert status.process is pid
    assert status.parent is not None
    assert (status.server, status.suspended, status.state["count"]) == ("Counter", False, 1)
    assert (await sys.get_status(await node.run(Counter.start))).parent is None


class Upgraded(Counter):
    async def code_change(self, old_version: object, extra: object) -> None:
        self.count = (old_version, extra)  # type: ignore[assignment]
        del self.seen
        if extra == "refuse":
            raise Stop("not now")
        if extra == "crash":
            raise Boom


async def test_code_is_changed_while_suspended(node: TestNode) -> None:
    pid = await node.run(Upgraded.start)
    with pytest.raises(sys.NotSuspended, match="is not suspended: suspend it"):
        await sys.change_code(pid, "v1")
    await sys.suspend(pid)
    await sys.change_code(pid, "v1", "x")
    assert await sys.get_state(pid) == {"count": ("v1", "x"), "waiting": []}


@pytest.mark.parametrize("cls", [Upgraded, Light])
async def test_a_code_change_that_fails_leaves_the_state(node: TestNode, cls: Any) -> None:
    pid = await node.run(cls.start)
    before = await sys.get_state(pid)
    await sys.suspend(pid)
    with pytest.raises(sys.CodeChangeFailed, match="refused: not now") as refused:
        await sys.change_code(pid, "v1", "refuse")
    with pytest.raises(sys.CodeChangeFailed, match="raised: Boom") as crashed:
        await sys.change_code(pid, "v1", "crash")
    assert (refused.value.reason, refused.value.refused) == ("not now", True)
    assert isinstance(crashed.value.reason, Crash)
    assert await sys.get_state(pid) == before
    assert (await sys.get_status(pid)).suspended


async def test_a_machines_code_change_may_change_its_state(node: TestNode) -> None:
    pid = await node.run(Light.start)
    await sys.suspend(pid)
    await sys.change_code(pid, "v1", None)
    assert await sys.get_state(pid) == ("red", {"changes": -1})
    await sys.change_code(pid, "v1", "green")
    assert await sys.get_state(pid) == ("green", {"changes": -1})


async def test_messages_are_counted_on_demand(node: TestNode) -> None:
    async def work() -> None:
        pid = await Counter.start()
        server = pid.body
        assert await sys.statistics(pid) is None
        await sys.statistics(pid, on=True)
        assert pid.body is not server
        await Counter.add(pid)
        send(pid, "hello")
        send(pid, "again")
        counted = await sys.statistics(pid)
        assert counted is not None
        assert (counted.by_kind["call"], counted.by_kind["info"]) == (1, 2)
        await sys.suspend(pid)
        await sys.statistics(pid, on=False)
        assert server_of(pid) is server
        await sys.resume(pid)
        assert pid.body is server
        assert await Counter.add(pid) == 2

    await node.run(work)


async def test_requests_fail_as_calls_do(node: TestNode) -> None:
    pid = await node.run(Counter.start)
    plain = node.spawn(idle)
    with pytest.raises(CallError, match="is a plain function: system requests are for servers"):
        await sys.get_state(plain)
    with pytest.raises(NotAProcess):
        await sys.get_state("counter")

    class Asking(GenServer):
        @call
        async def itself(self) -> object:
            return await sys.get_state(self.pid)

    with pytest.raises(CallError) as itself:
        await Asking.itself(await node.run(Asking.start))
    assert itself.value.why == CallFailed("calling_self")
    await node.run(stop, pid)
    with pytest.raises(NoProcess):
        await sys.get_state(pid)


async def test_a_request_fails_when_the_server_ends_first_or_takes_too_long(node: TestNode) -> None:
    class Slow(GenServer):
        @cast
        async def work(self) -> None:
            from_now = now()
            spawn_link(idle)
            while now() < from_now + 4:
                await sleep(1)
            raise Boom

    failures: list[object] = []

    async def look(pid: Pid, timeout: float) -> None:
        try:
            await sys.get_state(pid, timeout=timeout)
        except CallError as error:
            failures.append(error.why)

    pid = await node.run(Slow.start)
    Slow.work(pid)
    node.spawn(look, pid, 1.0)
    node.spawn(look, pid, 9.0)
    await node.advance(5)
    assert failures[0] == "timeout"
    assert isinstance(failures[1], Crash)


async def test_a_request_begins_a_silence_anew_and_a_suspension_holds_it(node: TestNode) -> None:
    quiet: list[float] = []

    class Quiet(GenServer):
        def init(self) -> None:
            self.timeout_after(10)

        def handle_timeout(self) -> None:
            quiet.append(node.clock.now() - begun)

    begun = node.clock.now()
    pid = await node.run(Quiet.start)
    await node.advance(6)
    await sys.get_state(pid)
    await node.advance(9)
    assert quiet == []
    await sys.suspend(pid)
    await node.advance(50)
    await sys.resume(pid)
    await node.advance(9)
    assert quiet == []
    await sys.get_state(pid)
    await node.advance(9.5)
    assert quiet == []
    await node.advance(1)
    assert quiet == [84.0]


async def test_those_who_look_see_the_server_behind_a_suspension_and_what_waits(node: TestNode) -> None:
    top = await node.start(supervisor(child(Counter, 3, name="counter"), name="top"))
    pid = node["counter"]
    await sys.statistics(pid, on=True)
    await sys.suspend(pid)
    await sys.suspend(top)
    node.send(pid, "held")
    await node.settle()
    assert node.info(pid).kind == "Counter"
    assert node.state(pid)["count"] == 3
    assert [view.text for view in node.messages(pid)[0]] == ["'held'"]
    assert [branch.label for branch in node.tree()[0].children] == ["counter"]
