"""Runs one scenario (README sections 3 and 9): execute an operation, settle, collect, compare.

The driving process `test` is a process of the node that traps exits and takes one command after the other. Time is
virtual: while an operation of test waits and every process is idle, the clock jumps to the next timer; settling
itself never moves it.
"""

from dataclasses import dataclass, field

from planaria.otp import Crash, Pid, ProcessExited, receive, self_, trap_exits
from planaria.testing.clock import VirtualClock
from planaria.testing.node import running_node

from . import ops_flow, ops_groups, ops_servers, ops_signals, ops_supervisors, ops_sys
from .comparison import Json, disagreements
from .interpreter import Actor, Op, World, execute_step
from .recorder import Recorder
from .values import Translation

OPERATIONS = (ops_flow, ops_groups, ops_servers, ops_signals, ops_supervisors, ops_sys)
"""Each registers its operations when it is imported."""

MOST_JUMPS = 1000
"""Timers one operation may wait for; beyond it the operation never ends."""


@dataclass
class Command:
    """Asks the test process to execute one operation, or, without one, to hand over its inbox."""

    op: Op | None
    done: bool = False
    result: Json = None
    inbox: list[Json] = field(default_factory=list)


@dataclass
class Outcome:
    """What happened, in the form of a scenario's `expect`."""

    results: list[Json]
    trace: list[dict[str, Json]]
    alive: list[str]

    def disagreements(self, expect: Json) -> list[str]:
        return disagreements(expect, self.results, self.trace, self.alive)


async def run_scenario(scenario: Json, seed: int) -> Outcome:
    """Execute a scenario on a fresh node whose schedule comes from `seed`."""
    async with running_node("vectors", seed=seed) as node:
        recorder = Recorder()
        translation = Translation(recorder)
        world = World(node, recorder, translation)

        def note_exit(event: object) -> None:
            if isinstance(event, ProcessExited):
                recorder.died(event.process, translation.reason(event.reason))

        stop_listening = node.subscribe_events(note_exit)
        driver = Driver(world, node.virtual_clock, node.spawn(test_process, world))
        await node.settle()
        for op in scenario.get("setup", {}).get("start", ()):
            await driver.execute(op)
        results, trace = [], []
        for op in scenario["steps"]:
            result, record = await driver.execute(op)
            results.append(result)
            trace.append(record)
        alive = [recorder.name_of(pid) for pid in recorder.labelled() if pid.alive]
        stop_listening()
        return Outcome(results, trace, sorted(alive))


async def test_process(world: World) -> None:
    """The driving process: executes commands, keeps everything else in its mailbox until asked for it."""
    trap_exits(True)
    actor = Actor(world, self_())
    world.recorder.set_test(actor.pid)
    while True:
        command = await receive(Command)
        if command.op is not None:
            command.result = await execute_step(actor, command.op)
        else:
            command.inbox = [world.translation.message(message) for message in await take_all()]
        command.done = True


async def take_all() -> list[object]:
    """Empty the mailbox of the running process without waiting."""
    messages: list[object] = []
    while True:
        try:
            messages.append(await receive(timeout=0))
        except TimeoutError:
            return messages


@dataclass
class Driver:
    """Drives the test process from outside the node."""

    world: World
    clock: VirtualClock
    test: Pid

    async def execute(self, op: Op) -> tuple[Json, dict[str, Json]]:
        """Execute one operation and settle; its result and the record of the step."""
        result = (await self._command(Command(op))).result
        await self.world.node.settle()
        record = self.world.recorder.collect()
        if inbox := (await self._command(Command(None))).inbox:
            record["inbox"] = without_failed_start(inbox, op, result)
        if not record.get("inbox"):
            record.pop("inbox", None)
        return result, record

    async def _command(self, command: Command) -> Command:
        self.world.node.send(self.test, command)
        await self.world.node.settle()
        for _ in range(MOST_JUMPS):
            if command.done:
                return command
            if not self.test.alive:
                reason = self.test.reason
                cause = reason.error if isinstance(reason, Crash) else None
                raise AssertionError(f"the test process died during {command.op}: {reason}") from cause
            await self.clock.jump()
            await self.world.node.settle()
        raise AssertionError(f"{command.op} did not end")


def without_failed_start(inbox: list[Json], op: Op, result: Json) -> list[Json]:
    """A linked start that failed may leave an `EXIT` of the process that failed: releases of OTP differ in this."""
    linked = op["op"] == "start" and (op.get("link") or op["worker"]["kind"] == "supervisor")
    failed = linked and not (isinstance(result, dict) and "ok" in result)
    if not failed:
        return inbox
    label = op["worker"]["as"]
    return [
        message
        for message in inbox
        if not (
            isinstance(message, dict) and str(message.get("EXIT", {}).get("from", "")).startswith(f"{label}#")
        )
    ]
