"""Random state machines, beside what a real gen_statem (OTP 25) did with the same rules and the same events.

`gen_statem_recorded.jsonl` holds one machine a line: whether it has enter calls, its first state, the actions of its
start, its rules, the steps done to it, and what was seen: every callback in order, every reply. Times are milliseconds.
Kept are only machines that behave the same however much time each step takes, so nothing hangs on luck.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planaria.otp import (
    Call,
    CallError,
    Cast,
    End,
    Enter,
    Event,
    EventTimeout,
    Info,
    Internal,
    Keep,
    MachineState,
    Next,
    NextEvent,
    Pid,
    Postpone,
    Repeat,
    Reply,
    StateMachine,
    StateTimeout,
    Timeout,
    Transition,
    sleep,
    sys,
)
from planaria.otp.kernel.mailbox import deliver
from planaria.otp.kernel.process import Request, new_request
from planaria.otp.servers.remote import Cast as CastClient
from planaria.otp.servers.timeouts import TimeoutEvent
from planaria.otp.servers.transition import Action
from planaria.testing.node import TestNode, running_node

RECORDED = Path(__file__).parent / "gen_statem_recorded.jsonl"
STEP = 0.006
"""Seconds a step took when this was recorded, about."""

type Json = Any


def recorded() -> list[Json]:
    return [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


class Follower(StateMachine):
    """Does what its rules say, and writes down what happens as Erlang writes it."""

    def init(self, machine: Json, log: list[str]) -> Next:
        self.state_enter = machine["enter"]  # type: ignore[misc]  # one class for machines with and without
        self.rules = machine["rules"]
        self.log = log
        return Next(machine["state"], *map(action_of, machine["start"]))

    def handle_event(self, event: Event, state: Any) -> Any:
        kind, message = read(event)
        if kind == "enter":
            self.log.append(f"{{enter,{state},{message}}}")
        else:
            self.log.append(f"{{event,{erlang(kind)},{message},{state}}}")
        for rule in self.rules:
            if state in rule["states"] and rule["event"] == kind and rule["message"] in ("any", message):
                actions = [each for each in rule["actions"] if each[0] != "reply" or isinstance(event, Call)]
                return transition_of(rule["then"], [action_of(each) for each in actions])
        return Keep(reply="unhandled") if isinstance(event, Call) else Keep()

    def terminate(self, reason: object) -> None:
        self.log.append(f"{{terminate,{reason},{self.state}}}")


class SlowFollower(Follower):
    """The same with callbacks that wait."""

    def handle_event(self, event: Event, state: Any) -> Any:
        return self.later(event, state)

    async def later(self, event: Event, state: Any) -> Any:
        await sleep(0)
        return super().handle_event(event, state)


def erlang(kind: Json) -> str:
    return kind if isinstance(kind, str) else f"{{timeout,{kind[1]}}}"


def read(event: Event) -> tuple[Json, Json]:
    match event:
        case Call(name):
            return "call", name
        case Cast(name):
            return "cast", name
        case Info(message):
            return "info", message
        case Internal(message):
            return "internal", message
        case Enter(previous):
            return "enter", previous
        case StateTimeout(message):
            return "state_timeout", message
        case EventTimeout(message):
            return "event_timeout", message
        case Timeout(name, message):
            return ["timeout", name], message
        case _:
            raise AssertionError(event)


def timeout_of(kind: Json, message: Json = None) -> TimeoutEvent:
    match kind:
        case "state_timeout":
            return StateTimeout(message)
        case "event_timeout":
            return EventTimeout(message)
        case _:
            return Timeout(kind[1], message)


def action_of(action: Json) -> Action:
    match action:
        case ["postpone"]:
            return Postpone()
        case ["next_event", "internal", message]:
            return NextEvent(Internal(message))
        case ["next_event", "cast", message]:
            return NextEvent(Cast(message))
        case ["next_event", "info", message]:
            return NextEvent(Info(message))
        case ["reply", value]:
            return Reply(value)
        case ["cancel", kind]:
            return timeout_of(kind).cancel()
        case ["update", kind, message]:
            return timeout_of(kind, message).update()
        case ["set", kind, milliseconds, message]:
            return timeout_of(kind, message).after(milliseconds / 1000)
        case _:
            raise AssertionError(action)


def transition_of(then: Json, actions: list[Action]) -> Transition:
    match then:
        case "keep":
            return Keep(*actions)
        case "repeat":
            return Repeat(*actions)
        case ["next", state]:
            return Next(state, *actions)
        case ["stop", reason]:
            return End(reason)
        case ["stop_and_reply", reason]:
            return End(reason, *(each for each in actions if isinstance(each, Reply)))
        case _:
            raise AssertionError(then)


class Driver:
    """Does the steps to one machine, from outside."""

    def __init__(self, node: TestNode, machine: Pid, log: list[str]) -> None:
        self.node = node
        self.machine = machine
        self.log = log
        self.replies: list[str] = []

    async def do(self, step: Json) -> None:
        try:
            match step:
                case ["sleep", milliseconds]:
                    await self.node.advance(milliseconds / 1000)
                case ["batch", steps]:
                    for each in steps:
                        self.send(each)
                case ["sysget"]:
                    self.log.append(f"{{state,{(await sys.get_state(self.machine)).state}}}")
                case ["suspend"]:
                    await sys.suspend(self.machine)
                case ["resume"]:
                    await sys.resume(self.machine)
                case ["replace", state]:
                    await sys.replace_state(self.machine, lambda now: MachineState(state, now.data))
                case _:
                    self.send(step)
        except CallError:
            if step == ["sysget"]:
                self.log.append("{state,dead}")
        await self.node.settle()
        if step[0] != "batch":
            await self.node.advance(STEP)

    def send(self, step: Json) -> None:
        match step:
            case ["cast", message]:
                CastClient(Follower.init, message)(self.machine)
            case ["info", message]:
                self.node.send(self.machine, message)
            case ["call", number, message]:
                request = new_request(message, (), {}, None, self.machine)
                request.notify = lambda: self.replied(number, request)
                if self.machine.alive:
                    now = self.node.now
                    envelope = ("call", request, None, self.node.next_id(), None, 0, now, self.machine)
                    deliver(self.machine, envelope)  # type: ignore[arg-type]
                else:
                    self.replies.append(f"{{reply,{number},{{fail,gone}}}}")

    def replied(self, number: int, request: Request) -> None:
        result = f"{{ok,{request.value}}}" if request.error is None else "{fail,gone}"
        self.replies.append(f"{{reply,{number},{result}}}")


def schedules() -> Iterator[tuple[type[Follower], int | None]]:
    yield Follower, None
    yield Follower, 1
    yield SlowFollower, 2


@pytest.mark.parametrize("machine", [pytest.param(each, id=str(each["id"])) for each in recorded()])
async def test_a_random_machine_does_what_erlang_did(machine: Json) -> None:
    for cls, seed in schedules():
        async with running_node("recorded", seed=seed) as node:
            log: list[str] = []
            pid = await node.run(cls.start, machine, log)
            await node.advance(0.02)
            driver = Driver(node, pid, log)
            for step in machine["steps"]:
                await driver.do(step)
            assert log == machine["events"]
            assert sorted(driver.replies) == machine["replies"]
            assert pid.alive == machine["alive"]
