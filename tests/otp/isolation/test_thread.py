"""A server whose plain callbacks run in a thread: the node goes on while it blocks."""

import threading
from typing import Any

import pytest

from planaria.otp import (
    Crash,
    Deferred,
    GenServer,
    Pid,
    ServerExited,
    StateMachine,
    call,
    cast,
    child,
    exit_signal,
    receive,
    self_,
    send,
    sleep,
    spawn,
    stop,
    supervisor,
)
from tests.otp.isolation.residents import Boom

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Device(GenServer):
    """Blocks, as a library in C does."""

    def init(self, gate: threading.Event) -> None:
        self.gate = gate
        self.threads = {threading.current_thread().name}
        self.seen: list[Any] = []
        self.waiting: list[Deferred[Any]] = []

    @call
    def read(self) -> str:
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(20)
        return "data"

    @call
    async def asked(self) -> set[str]:
        self.seen.append(threading.current_thread() is threading.main_thread())
        return self.threads

    @call
    def boom(self) -> None:
        raise Boom("in the thread")

    @call
    def refused(self) -> Deferred[int]:
        return self.refuse(ValueError("no"))

    @call
    def later(self) -> Deferred[str]:
        deferred: Deferred[str] = self.defer()
        self.waiting.append(deferred)
        return deferred

    @cast
    def answer(self, value: str) -> None:
        for deferred in self.waiting:
            deferred.reply(value)

    @call
    def tell(self, to: Pid) -> object:
        self.at_home(send, to, ("from", self.pid))  # type: ignore[attr-defined]
        return self.at_home(double, 4)  # type: ignore[attr-defined]

    @cast
    def end(self) -> None:
        self.stop("enough")

    def handle_info(self, message: Any) -> None:
        self.seen.append((message, threading.current_thread() is threading.main_thread()))

    @call
    def everything(self) -> list[Any]:
        return self.seen


async def double(number: int) -> int:
    return 2 * number


async def start(home: Any, gate: threading.Event | None = None) -> Pid:
    gate = gate or threading.Event()
    process: Pid | None = await home.run(child(Device, gate, name="device", isolation="thread").start_child)
    assert process is not None
    return process


async def test_the_node_goes_on_while_a_handler_blocks(home):
    gate = threading.Event()
    device = await start(home, gate)

    async def work() -> None:
        reader = spawn(read_and_tell, device, self_())
        await sleep(0.01)
        assert home.info(device).status == "suspended"
        gate.set()
        assert await receive() == "data"
        assert reader is not None
        names = await Device.asked(device)
        assert names == {f"device {device!s}"}

    await home.run(work)


async def read_and_tell(device: Pid, to: Pid) -> None:
    send(to, await Device.read(device))


async def test_answers_errors_and_messages_are_those_of_any_server(home):
    device = await start(home)

    async def work() -> None:
        with pytest.raises(ValueError, match="no"):
            await Device.refused(device)
        spawn(answer_soon, device)
        assert await Device.later(device) == "late"
        assert await Device.tell(device, self_()) == 8
        assert await receive() == ("from", device)
        send(device, "info")
        assert await Device.everything(device) == [("info", False)]
        with pytest.raises(ServerExited) as failed:
            await Device.boom(device)
        assert isinstance(failed.value.why, Crash)
        assert str(failed.value.why.error) == "in the thread"

    await home.run(work)
    assert not device.alive


async def answer_soon(device: Pid) -> None:
    Device.answer(device, "late")


async def test_stop_from_inside_and_from_outside(home):
    one = await start(home)
    gone = home.wait_exit(one)
    Device.end(one)
    assert await gone == "enough"
    two = await start(home)
    await home.run(stop, two, "shutdown")
    assert two.reason == "shutdown"


async def test_a_killed_process_is_dead_at_once_and_its_thread_is_reported(home, caplog):
    gate = threading.Event()
    await home.start(supervisor(child(Device, gate, name="device", isolation="thread"), name="root"))
    device = home["device"]

    async def work() -> None:
        spawn(read_and_tell, device, self_())
        await sleep(0.01)
        exit_signal(device, "kill")
        assert not device.alive
        while self_().node.names.get("device") in (None, device):
            await sleep(0.001)

    await home.run(work)
    [record] = [r for r in caplog.records if r.name == "planaria.thread"]
    assert "was killed; its thread cannot be" in record.getMessage()
    assert "threading.py" in record.getMessage() or "self.gate.wait" in record.getMessage()
    abandoned = [t for t in threading.enumerate() if t.name == f"device {device!s}"]
    assert len(abandoned) == 1
    gate.set()
    abandoned[0].join(5)
    assert not abandoned[0].is_alive()
    assert await Device.read(home["device"]) == "data"


async def test_a_state_machine_is_refused():
    class Door(StateMachine): ...

    with pytest.raises(TypeError, match="can run in a worker"):
        child(Door, isolation="thread")
