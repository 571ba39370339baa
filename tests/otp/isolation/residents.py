"""Servers and functions the tests run in workers; they are imported there."""

import ctypes
import gc
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from planaria.otp import (
    Call,
    Deferred,
    Down,
    Event,
    Exit,
    ExitSignal,
    GenServer,
    Ignore,
    Next,
    Pid,
    StateMachine,
    Stop,
    Transition,
    call,
    cast,
    exit_signal,
    link,
    monitor,
    receive,
    register,
    self_,
    send,
    send_after,
    sleep,
    spawn,
    spawn_link,
    subscribe,
    trap_exits,
    unlink,
    whereis,
)
from planaria.otp.isolation.channel import Channel


class Boom(Exception):
    """What crashes in tests crash with."""


class Strange(Exception):
    """An error whose `__init__` takes other arguments than `args`."""

    def __init__(self, what: str, *, code: int) -> None:
        super().__init__(f"{what} ({code})")
        self.code = code


@dataclass(frozen=True)
class Point:
    """A record."""

    x: int
    y: int


class Handle:
    """No record: not let in at home unless listed."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other.number == self.number

    __hash__ = None  # type: ignore[assignment]


class Desk(GenServer):
    """Does in a worker whatever a test asks for."""

    def init(self, start: Any = 0, how: Any = "") -> None:
        match how:
            case "ignore":
                raise Ignore
            case "refuse":
                raise Stop("not today")
            case "raise":
                raise Boom("at the start")
            case "hang":
                time.sleep(60)
        self.count: int = start
        self.seen: list[Any] = []
        self.waiting: list[Deferred[Any]] = []

    @call
    def add(self, by: int = 1) -> int:
        self.count += by
        return self.count

    @call
    async def add_slowly(self, by: int = 1) -> int:
        await sleep(0.001)
        return self.add(by)

    @call
    def os_pid(self) -> int:
        return os.getpid()

    @call
    def echo(self, value: Any) -> Any:
        return value

    @call
    def later(self) -> Deferred[Any]:
        deferred: Deferred[Any] = self.defer()
        self.waiting.append(deferred)
        return deferred

    @call
    def hand_over(self, to: Pid) -> Deferred[Any]:
        deferred: Deferred[Any] = self.defer()
        send(to, deferred)
        return deferred

    @cast
    def answer(self, value: Any) -> None:
        for deferred in self.waiting:
            deferred.reply(value)

    @call
    def refused(self) -> Deferred[int]:
        return self.refuse(Strange("no", code=7))

    @call
    def refused_locally(self) -> Deferred[int]:
        return self.refuse(make_error())

    @call
    def last_words(self, size: int) -> bytes:
        self.stop("said")
        return bytes(size)

    @cast
    def end_by_handle(self) -> None:
        self.stop(Handle(3))

    @call
    def ends_by_handle(self) -> Pid:
        return spawn(end_by_handle)

    @cast
    def signal_handle(self, pid: Pid) -> None:
        exit_signal(pid, Handle(4))

    @cast
    def keep_interpreter(self, nesting: int) -> None:
        re.match(r"(a+)+$", "a" * nesting + "b")

    @call
    def streams_of_commands(self) -> str:
        read, write = os.pipe()
        os.set_inheritable(write, True)
        os.system(f"ls -l /proc/self/fd >&{write}")
        os.close(write)
        with open(read) as listed:
            return listed.read()

    @call
    def crash(self) -> None:
        raise Boom("in the worker", 3)

    @cast
    def end(self, reason: object = "normal") -> None:
        self.stop(reason)

    @call
    def everything(self) -> list[Any]:
        return self.seen

    @call
    def who(self) -> tuple[Pid, str, Pid | None]:
        return self.pid, str(self.pid), self.caller()

    @cast
    def tell(self, to: Pid | str, message: Any) -> None:
        send(to, message)

    @call
    async def ask(self, other: Pid | str, by: int) -> int:
        return await Desk.add(other, by)

    @call
    def find(self, name: str) -> Pid | None:
        return whereis(name)

    @call
    def be_called(self, name: str) -> None:
        register(name)

    @call
    def tie(self, pid: Pid) -> None:
        link(pid)

    @call
    def untie(self, pid: Pid) -> None:
        unlink(pid)

    @call
    def watch(self, pid: Pid) -> None:
        monitor(pid)

    @call
    def trap(self) -> None:
        trap_exits()

    @cast
    def signal(self, pid: Pid, reason: object) -> None:
        exit_signal(pid, reason)

    @call
    def listen(self, topic: str) -> None:
        subscribe(topic)

    @call
    def child(self, linked: bool = False) -> Pid:
        return spawn_link(echo_back) if linked else spawn(echo_back)

    @call
    def remind(self, seconds: float) -> None:
        send_after(seconds, self_(), "time")

    @call
    def files(self) -> int:
        opened = []
        try:
            while True:
                opened.append(open(os.devnull))  # noqa: SIM115
        except OSError:
            return len(opened)
        finally:
            for each in opened:
                each.close()

    @call
    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    @call
    def spawn_command(self) -> int:
        return subprocess.Popen(["sleep", "60"]).pid

    @call
    def sum_up(self, data: Any) -> tuple[str, int]:
        return type(data).__name__, sum(memoryview(data)[::65536])

    @cast
    def say(self, text: str) -> None:
        print(text)
        print(f"{text} on stderr", file=sys.stderr)
        logging.getLogger("tests.desk").warning("%s in the log", text)

    @cast
    def hold_up(self, seconds: float) -> None:
        time.sleep(seconds)

    # --- ends of OS processes ---

    @call
    def spin(self) -> None:
        while True:
            pass

    @call
    def eat(self) -> None:
        kept = []
        while True:
            kept.append(bytearray(4 << 20))

    @call
    def die_by(self, number: int) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    @call
    def bad_access(self) -> None:
        ctypes.string_at(0)

    @call
    def leave(self, status: int) -> None:
        os._exit(status)

    @call
    def write_garbage(self, data: bytes) -> None:
        [stream] = [each for each in gc.get_objects() if type(each) is Channel]
        stream.sock.setblocking(True)
        stream.sock.sendall(data)
        time.sleep(60)

    def handle_info(self, message: Any) -> None:
        match message:
            case ExitSignal(sender, reason):
                self.seen.append(("exit", sender, reason))
            case Down(_, process, reason):
                self.seen.append(("down", process, reason))
            case _:
                self.seen.append(message)


class Silent(GenServer):
    """Has no word for messages but one."""

    def handle_info(self, message: Any) -> None:
        if message == "end":
            self.stop()
        else:
            super().handle_info(message)


class Lamp(StateMachine):
    """Is on or off."""

    def init(self) -> Next:
        return Next(self.off)

    @call
    def press(self) -> Deferred[str]:
        return self.by_state()

    def off(self, event: Event) -> Transition | None:
        return Next(self.on, reply="on") if isinstance(event, Call) else None

    def on(self, event: Event) -> Transition | None:
        return Next(self.off, reply="off") if isinstance(event, Call) else None


def make_error() -> Exception:
    """An error of a class nobody can import."""

    class Local(Exception): ...

    return Local("7 apples")


class Careful(Desk):
    """Traps exits and tells whoever started it that it lets go."""

    trap_exit = True

    def init(self, start: Any = None, how: Any = 0.0) -> None:
        super().init()
        self.told: Pid | None = start
        self.patience: float = how

    def terminate(self, reason: object) -> None:
        time.sleep(self.patience)
        if self.told is not None:
            send(self.told, ("terminated", reason))


async def echo_back() -> None:
    """Answers each pid with its own."""
    while True:
        match await receive():
            case Pid() as asker:
                send(asker, ("here", self_()))
            case "crash":
                raise Boom("child")
            case _:
                pass


async def end_by_handle() -> None:
    """Ends with a reason home does not let in."""
    await receive()
    raise Exit(Handle(5))


async def adder(total: int) -> None:
    """A plain function with a mailbox."""
    trap_exits()
    while True:
        match await receive():
            case (Pid() as asker, int() as by):
                total += by
                send(asker, total)
            case ExitSignal(_, reason):
                raise Exit(("asked to", reason))


def fib(n: int) -> int:
    """Computes for its own sake."""
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def spin() -> None:
    """Computes for ever."""
    while True:
        pass


def boom() -> None:
    """Raises."""
    raise Boom("computed")


def abort() -> None:
    """Ends as a failed assertion in C does."""
    os.kill(os.getpid(), signal.SIGABRT)


def bounds() -> tuple[int, int]:
    """The soft limits on processor time and files."""
    return resource.getrlimit(resource.RLIMIT_CPU)[0], resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def hand_back(value: object) -> object:
    """Returns its argument."""
    return value
