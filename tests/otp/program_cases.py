"""Small programs for `test_program.py`, each an interpreter of its own: `python -m tests.otp.program_cases NAME`."""

import sys
import threading
import time
from collections.abc import Callable

from planaria.otp import ChildSpec, GenServer, Node, child, hang, run_blocking, supervisor, task_child
from planaria.otp import program as program_module
from planaria.otp.program import Program


def say(text: str) -> None:
    """Print for the test to read."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Polite(GenServer):
    trap_exit = True

    def init(self, name: str) -> None:
        self.name = name

    def terminate(self, reason: object) -> None:
        say(f"{self.name} ends")


class Stubborn(GenServer):
    trap_exit = True

    async def terminate(self, reason: object) -> None:
        say("stubborn is asked")
        await hang()


class Slow(GenServer):
    async def init(self) -> None:
        say("starting")
        await hang()


async def loop() -> None:
    say("looping")
    while True:
        pass


async def stall_once() -> None:
    if "stalled before" in _said:
        say("restarted")
        await hang()
    _said.append("stalled before")
    while True:
        pass


_said: list[str] = []


async def crash() -> None:
    raise ValueError("the moss has dried")


async def sleep_in_thread() -> None:
    await run_blocking(time.sleep, 60.0)


def polite(name: str) -> ChildSpec:
    return child(Polite, name, id=name)


ROOTS: dict[str, Callable[[], ChildSpec]] = {
    "polite": lambda: supervisor(polite("first"), polite("second"), name="root"),
    "stubborn": lambda: supervisor(
        polite("first"), child(Stubborn, shutdown="infinity"), polite("last"), name="root"
    ),
    "starting": lambda: supervisor(polite("first"), child(Slow), name="root"),
    "looping": lambda: supervisor(polite("first"), task_child(loop, id="loop"), name="root"),
    "stalling": lambda: supervisor(polite("first"), task_child(stall_once, id="stall"), name="root"),
    "crashing": lambda: supervisor(
        supervisor(task_child(crash, id="moss", restart="permanent"), name="bed"), name="root"
    ),
    "thread": lambda: supervisor(polite("first"), task_child(sleep_in_thread, id="sleeper"), name="root"),
    "dried": lambda: supervisor(
        *(task_child(crash_once, id="moss", restart="permanent"), child(Dried)),
        name="root",
        strategy="rest_for_one",
        max_restarts=5,
    ),
    "refusing": lambda: supervisor(child(Refusing), name="root"),
}


class Refusing(GenServer):
    def init(self) -> None:
        raise ValueError("no water")


class Dried(GenServer):
    """Starts once."""

    def init(self) -> None:
        if "dried" in _said:
            raise ValueError("no water")
        _said.append("dried")


async def crash_once() -> None:
    if "crash" in _said:
        await hang()
    _said.append("crash")
    raise ValueError("the moss has dried")


def main() -> None:
    name = sys.argv[1]
    program_module.GRACE = 0.5
    deadline = 0.5 if name in ("stubborn", "looping") else 10.0

    async def ready(node: Node) -> None:
        say("ready")

    program = Program(Node("case"), ROOTS[name](), ready, lambda why: say(f"failed: {why}"), deadline)
    if "stop" in sys.argv:
        threading.Timer(0.2, program.stop).start()
    code = program.run()
    say("returned")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
