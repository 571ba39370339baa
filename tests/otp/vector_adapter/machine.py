"""The kind `gen_statem` (README section 6.3) on the kernel's `StateMachine`, in both callback styles."""

from collections.abc import Callable, Mapping
from typing import Any

from planaria.otp import (
    Call,
    Cast,
    Deferred,
    End,
    Enter,
    Event,
    EventTimeout,
    Hibernate,
    Ignore,
    Info,
    Internal,
    Keep,
    MachineState,
    Next,
    NextEvent,
    Postpone,
    Repeat,
    Reply,
    StateMachine,
    StateTimeout,
    Stop,
    Timeout,
    Transition,
    call,
    trap_exits,
)
from planaria.otp.servers.timeouts import SetTimeout, TimeoutEvent
from planaria.otp.servers.transition import Action

from .comparison import Json
from .interpreter import Actor, Answer, World, is_program, run_callback
from .upgrades import changed
from .values import Nonsense, reason_from

type Worker = Mapping[str, Json]


class VectorMachine(StateMachine):
    """A state machine that follows the rules of its worker; one callback for all states."""

    prefix = ""
    """Stands before a vector's state to make the machine's."""

    async def init(self, world: World, worker: Worker) -> Any:
        self.worker = worker
        self.actor = Actor(world, self.pid, worker.get("data"))
        self.state_enter = worker.get("enter", False)  # type: ignore[misc]  # each worker has its own class
        world.recorder.label(self.pid, worker["as"])
        trap_exits(worker.get("trap", False))
        self.actor.record("init")
        answer = await self._run_program(worker.get("init", ()))
        if answer.bad_return is not None:
            return Nonsense(answer.bad_return[0])
        if answer.ignore:
            raise Ignore
        if answer.stop is not None:
            raise Stop(answer.stop[0])
        return Next(self.prefix + worker["state"], *self._actions(worker.get("actions", ())))

    @call
    def ask(self, message: Json) -> Deferred[Json]:
        return self.by_state()

    async def handle_event(self, event: Event, state: Any) -> Any:
        return await self.on_event(event)

    async def on_event(self, event: Event) -> Any:
        state = self.name_of_state
        if isinstance(event, Enter):
            previous = event.previous.removeprefix(self.prefix)
            self.actor.record("enter", state=state, **{"from": previous})
            return await self._by_rule("enter", previous, event)
        kind, message = self._read(event)
        self.actor.defer = None if not isinstance(event, Call) else lambda: event
        if is_program(message):
            return await self._by_program(message["run"], event)
        message = self.actor.world.translation.message(message)
        self.actor.record("event", type=kind, msg=message, state=state)
        return await self._by_rule(kind, message, event)

    async def terminate(self, reason: object) -> None:
        translated = self.actor.world.translation.reason(reason)
        self.actor.record("terminate", reason=translated, state=self.name_of_state)
        await self._run_program(self.worker.get("terminate", ()))

    def get_state(self) -> MachineState:
        return MachineState(self.state, {"data": self.actor.state})

    def set_state(self, state: MachineState) -> None:
        super().set_state(MachineState(state.state, super().get_state().data))
        self.actor.state = state.data["data"]

    def code_change(self, old_version: object, extra: object) -> Next | None:
        data = self.actor.state
        self.actor.record("code_change", vsn=old_version, state=self.name_of_state, data=data, extra=extra)
        change = self.worker.get("code_change", {})
        self.actor.state = changed(data, change)
        return Next(self.prefix + change["state"]) if "state" in change else None

    @property
    def name_of_state(self) -> str:
        return str(self.state).removeprefix(self.prefix)

    # --- rules and programs ---------------------------------------------------------------------------------------

    async def _by_program(self, program: Json, event: Event) -> Any:
        answer = await self._run_program(program)
        if answer.bad_return is not None:
            self.actor.state = answer.state_before
            return Nonsense(answer.bad_return[0])
        replies = [] if answer.reply is None else [Reply(answer.reply[0])]
        if answer.stop is not None:
            return End(answer.stop[0], *(replies if isinstance(event, Call) else ()))
        if not isinstance(event, Call) or answer.noreply:
            return Keep()
        return Keep(*(replies or [Reply("ok")]))

    async def _by_rule(self, kind: Json, message: Json, event: Event) -> Any:
        rule = next((one for one in self.worker["rules"] if self._fits(one, kind, message)), None)
        if rule is None:
            return Keep(reply={"unhandled": message}) if isinstance(event, Call) else Keep()
        answer = await self._run_program(rule.get("ops", ()))
        transition = self._transition(rule.get("then", "keep"), self._actions(rule.get("actions", ())))
        if isinstance(transition, Nonsense):
            self.actor.state = answer.state_before
        return transition

    def _fits(self, rule: Json, kind: Json, message: Json) -> bool:
        states = rule.get("state", self.name_of_state)
        return (
            self.name_of_state in (states if isinstance(states, list) else [states])
            and rule.get("event", kind) == kind
            and rule.get("msg", message) == message
        )

    def _transition(self, then: Json, actions: list[Action]) -> Transition | Nonsense:
        match then:
            case "keep":
                return Keep(*actions)
            case "repeat":
                return Repeat(*actions)
            case {"next": state}:
                return Next(self.prefix + state, *actions)
            case {"stop": reason}:
                return End(reason_from(reason))
            case {"stop_and_reply": {"reason": reason}}:
                replies = [action for action in actions if isinstance(action, Reply)]
                return End(reason_from(reason), *replies)
            case {"bad_return": value}:
                return Nonsense(value)
            case _:
                raise AssertionError(f"unknown `then`: {then!r}")

    def _actions(self, actions: Json) -> list[Action]:
        return [self._action(action) for action in actions]

    def _action(self, action: Json) -> Action:
        match action:
            case "postpone":
                return Postpone()
            case "hibernate":
                return Hibernate()
            case {"next_event": {"type": kind, "msg": message}}:
                return NextEvent(_event(kind, message))
            case {"reply": value}:
                return Reply(value)
            case {"reply_to": {"key": key, "value": value}}:
                kept = self.actor.recorder.callers[key]
                assert isinstance(kept, Call)
                return Reply(value, to=kept)
            case {"state_timeout": what}:
                return _set(StateTimeout, what)
            case {"event_timeout": what}:
                return _set(EventTimeout, what)
            case {"timeout": named}:
                return _set(lambda message: Timeout(named["name"], message), named)
            case _:
                raise AssertionError(f"unknown action: {action!r}")

    async def _run_program(self, program: Json) -> Answer:
        return await run_callback(self.actor, program)

    def _read(self, event: Event) -> tuple[Json, Json]:
        """An event as (type, message)."""
        match event:
            case Call("ask", (message,)):
                return "call", message
            case Cast("tell", (message,)):
                return "cast", message
            case Info(message):
                return "info", message
            case Internal(message):
                return "internal", message
            case StateTimeout(message):
                return "state_timeout", message
            case EventTimeout(message):
                return "event_timeout", message
            case Timeout(name, message):
                return {"timeout": name}, message
            case _:
                raise AssertionError(f"unknown event: {event!r}")


class EveryState(type):
    """Gives a class a method for each state a vector may name."""

    def __getattr__(cls, name: str) -> Callable[..., Any]:
        if name.startswith("in_"):
            return VectorMachine.on_event
        raise AttributeError(name)


class VectorMachineByState(VectorMachine, metaclass=EveryState):
    """The same, with one callback for each state."""

    prefix = "in_"
    handle_event = StateMachine.handle_event


def _event(kind: Json, message: Json) -> Event:
    match kind:
        case "cast":
            return Cast("tell", (message,))
        case "info":
            return Info(message)
        case "internal":
            return Internal(message)
        case "state_timeout":
            return StateTimeout(message)
        case "event_timeout":
            return EventTimeout(message)
        case {"timeout": name}:
            return Timeout(name, message)
        case _:
            raise AssertionError(f"unknown type of event: {kind!r}")


def _set(event: Callable[[Json], TimeoutEvent], what: Json) -> SetTimeout:
    if what.get("cancel"):
        return event(None).cancel()
    if "update" in what:
        return event(what["update"]).update()
    return event(what.get("msg")).after(what["ms"] / 1000)
