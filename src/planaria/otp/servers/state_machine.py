"""The state machine: a server whose answer to an event depends on the state it is in.

```python
class Door(StateMachine):
    def init(self, code: str) -> Next:
        self.code = code
        return Next("locked")

    @call
    def unlock(self, code: str) -> Deferred[bool]:
        return self.by_state()                      # every state answers in its own way

    @call
    def hint(self) -> str:
        return f"{len(self.code)} signs"            # the same in all states

    def locked(self, event: Event) -> Transition | None:
        match event:
            case Call("unlock", (code,)) if code == self.code:
                return Next(self.open, StateTimeout().after(10.0), reply=True)
            case Call("unlock"):
                return Keep(reply=False)
            case _:
                return None

    def open(self, event: Event) -> Transition | None:
        match event:
            case StateTimeout():
                return Next(self.locked)
            case Call("unlock"):
                return Keep(postpone=True)
            case _:
                return None

door = await Door.start_link("1234")
await Door.unlock(door, "1234")                     # True
```

The state is named by a string, and the method of that name is its callback; or override `handle_event`, the one
callback for all states, which then may be any values compared by `==`. The attributes are the data.
Source: OTP's gen_statem. Differs: events and answers are values made for `match`; a call waits 5 seconds unless told
otherwise (OTP: for ever); callback modules are not swapped while running (`change_callback_module`).
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from difflib import get_close_matches
from types import CoroutineType
from typing import Any, ClassVar, NamedTuple, NoReturn

from planaria.otp.kernel.birth import announce
from planaria.otp.kernel.bounded import Bound
from planaria.otp.kernel.event import MessageDropped
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import Monitor, Process, Request
from planaria.otp.kernel.reason import CallError, Crash, Exit, Ignore, Killed, StartFailed, reason_of
from planaria.otp.kernel.runner import pause
from planaria.otp.servers.arguments import arguments_of, call_with
from planaria.otp.servers.event_queue import Entry, EventQueue
from planaria.otp.servers.events import EVENTS, Call, Cast, Enter, Event, Info
from planaria.otp.servers.gen_server import start_server
from planaria.otp.servers.handler import Deferred, handlers_of
from planaria.otp.servers.hibernate import release_memory
from planaria.otp.servers.remote import DEFAULT_TIMEOUT
from planaria.otp.servers.start_monitor import watch_started
from planaria.otp.servers.state import State, set_state, state_of
from planaria.otp.servers.steps import Steps, Work, run_steps
from planaria.otp.servers.system import SystemMessage, Terminate, obey
from planaria.otp.servers.timeouts import EVENT_KEY, STATE_KEY, Expired, SetTimeout, Timeouts
from planaria.otp.servers.transition import (
    BadReturn,
    End,
    Hibernate,
    Keep,
    Next,
    NextEvent,
    Postpone,
    Repeat,
    Reply,
    Transition,
)

ENDS = (Exception, CancelledError)
"""What ends a machine through `terminate`: everything but a kill and the end of the program."""


KEEP = Keep()
PATIENCE = 1000
"""Events one message may lead to before other processes have their turn."""


class MachineState(NamedTuple):
    """What `sys.get_state` gives for a state machine: the state, and the attributes by name."""

    state: Any
    data: State


class _LeftToState(Exception):
    """Raised by `by_state`: the handler of that name has no answer of its own."""


class StateMachine:
    """Subclass it, write `init` and the states; see the module.

    Class attributes:
        state_enter: each state is told by an `Enter` event that it was entered; default False.
        trap_exit: receive exit signals of linked processes as `Info`, and run `terminate` when the parent ends or
            asks to; default False.
        call_timeout: seconds its calls wait for an answer unless `within` says otherwise; default 5. Stands above
            the handlers in the class.
    """

    state_enter: ClassVar[bool] = False
    trap_exit: ClassVar[bool] = False
    call_timeout: ClassVar[float | None] = DEFAULT_TIMEOUT
    _handlers: ClassVar[dict[str, Callable[..., Any]]] = {}
    _states: ClassVar[set[str]] = set()  # names found to be states' methods
    _kernel_process: Process
    # Two underscores: subclasses are free in their own private names.
    __state: Any = None
    __events: EventQueue
    __timeouts: Timeouts | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._handlers = handlers_of(cls)
        cls._states = set()

    # --- callbacks ----------------------------------------------------------------------------------------------

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set the data up and answer `Next(first state, actions)`; called first, while the starter waits.

        `raise Stop(reason)` refuses the start, `raise Ignore()` declines it; anything else raised is a crash, and
        the starter gets `StartFailed` with the error itself as its reason (as OTP's: not wrapped in `Crash`).
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no init: it answers Next(the first state)")

    def handle_event(self, event: Event, state: Any) -> Any:
        """The callback of all states, for those who override it; else each state's method is called.

        Returns:
            A `Transition`; None if the event is left to the `@call` or `@cast` method of its name, whose answer is
            the same in all states. A call that nobody takes is refused, other events are reported (`MessageDropped`).
        """
        callback = self.__callback(state)
        if callback is None:
            raise self.__no_state(state)
        return callback(self, event)

    def terminate(self, reason: object) -> Any:
        """Let go of things; called on `End`, `stop`, a crash, and on the parent's exit if exits are trapped.

        Args:
            reason: why; after a crash the error itself (as OTP's gen_statem), where the exit reason is a `Crash`.
        Not called on a kill, on an untrapped signal, or when `init` failed. What it raises replaces the reason.
        """

    def get_state(self) -> Any:
        """The state and data as `sys.get_state` and upgrades see them: a `MachineState`."""
        return MachineState(self.__state, state_of(self))

    def set_state(self, state: Any) -> None:
        """Take over a `MachineState`: no enter call, nothing replayed."""
        self.__state = state[0]
        set_state(self, state[1])

    def code_change(self, old_version: object, extra: object) -> Any:
        """Make the data, left by the code of `old_version`, one for this code; called while suspended.

        May be async. Answers None, or `Next(state)` to change the state too. `raise Stop(reason)` refuses; whatever
        is raised, state and data are put back.
        """

    # --- what callbacks may say ------------------------------------------------------------------------------------

    @property
    def pid(self) -> Process:
        """This machine's process."""
        return self._kernel_process

    @property
    def state(self) -> Any:
        """The state it is in; only a transition changes it."""
        return self.__state

    def by_state(self) -> Deferred[Any]:
        """Return this from a `@call` or `@cast` method that has no answer of its own: the states decide."""
        raise _LeftToState

    # --- start -----------------------------------------------------------------------------------------------------

    @classmethod
    async def start(
        cls,
        *args: Any,
        name: str | None = None,
        timeout: float | None = None,
        mailbox: Bound | None = None,
        **kwargs: Any,
    ) -> Process:
        """Start a machine nobody is linked to; returns when its `init` is done. See `GenServer.start`."""
        return cls._started(
            await start_server(cls, args, kwargs, name=name, timeout=timeout, mailbox=mailbox, link=False)
        )

    @classmethod
    async def start_link(
        cls,
        *args: Any,
        name: str | None = None,
        timeout: float | None = None,
        mailbox: Bound | None = None,
        **kwargs: Any,
    ) -> Process:
        """Like `start`, linked to the running process, which becomes the parent."""
        return cls._started(
            await start_server(cls, args, kwargs, name=name, timeout=timeout, mailbox=mailbox, link=True)
        )

    @classmethod
    async def start_monitor(
        cls, *args: Any, name: str | None = None, timeout: float | None = None, **kwargs: Any
    ) -> tuple[Process, Monitor]:
        """Like `start`, watched by the running process from the first moment."""
        process = await cls.start(*args, name=name, timeout=timeout, **kwargs)
        return process, watch_started(process)

    @classmethod
    def _started(cls, process: Process | None) -> Process:
        if process is None:
            raise StartFailed(cls.__qualname__, "ignore")
        return process

    # --- the loop: one call per message -------------------------------------------------------------------------------

    def handle(self, envelope: Envelope) -> Work | None:
        """Handle one message and all events that follow from it; called by the scheduler."""
        kind, body = envelope[0], envelope[1]
        if kind == "system" and type(body) is SystemMessage:
            return obey(self, body)
        return run_steps(self.__receive(kind, body, envelope))

    def __receive(self, kind: str, body: Any, envelope: Envelope) -> Steps[None]:
        process = self._kernel_process
        event: Event | None = None
        if kind == "call":
            # Postponed, it is neither in hand nor in the mailbox: its caller must still hear of our end.
            if process.calls is None:
                process.calls = set()
            process.calls.add(body)
            args = yield from self.__arguments(body.handler, body.args, body.kwargs)
            event = Call(body.handler, args, body)
        elif kind == "cast":
            args = yield from self.__arguments(*body)
            event = Cast(body[0], args)
        elif kind == "info":
            event = Info(body)
        elif kind == "exit":
            if body.sender is process.parent:
                yield from self.__end(body.reason)
            event = Info(body)
        elif kind == "start":
            yield from self.__begin(body, envelope)
        elif type(body) is Terminate:
            body.taken = True
            yield from self.__end(body.reason)
        elif type(body) is Expired and self.__timeouts is not None:
            event = self.__timeouts.take(body)
        if event is not None:
            self.__events.put((event, envelope))
            yield from self.__work()

    def __arguments(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps[tuple[Any, ...]]:
        handler = self._handlers.get(name)
        if handler is None:
            return args
        try:
            return arguments_of(handler, args, kwargs)
        except TypeError as error:
            yield from self.__crash(error)
            raise

    def __work(self) -> Steps[None]:
        """Handle events until none is left; then timeouts of 0 seconds, one by one."""
        left = PATIENCE
        while True:
            if not left:  # a machine that inserts events for ever holds nobody up, and can be killed
                self._kernel_process.node.scheduler.budget -= PATIENCE
                yield pause()
                left = PATIENCE
            left -= 1
            entry = self.__events.take() or self.__zero_timeout()
            if entry is None:
                return
            event, self._kernel_process.current = entry
            transition = yield from self.__ask(event)
            if type(transition) is Keep and self.__timeouts is None:
                # Most events do no more than this; the long way costs as much as all the rest of a call.
                actions = transition.actions
                if not actions:
                    continue
                first = actions[0]
                if type(event) is Call and len(actions) == 1 and type(first) is Reply and first.to is None:
                    event.reply(first.value)
                    continue
            yield from self.__go(entry, transition)

    def __zero_timeout(self) -> Entry | None:
        envelope = self._kernel_process.current
        event = None if self.__timeouts is None else self.__timeouts.take_zero()
        return None if event is None or envelope is None else (event, envelope)

    # --- transitions ------------------------------------------------------------------------------------------------

    def __go(self, entry: Entry, transition: Transition, *, enter: bool = False) -> Steps[None]:
        """`__follow`; what the machine's own values raise on the way (an `__eq__`, a name that has no hash) ends it."""
        try:
            yield from self.__follow(entry, transition, enter=enter)
        except (Killed, Exit):  # the end was told already
            raise
        except ENDS as error:  # the process loop
            yield from self.__crash(error)

    def __follow(self, entry: Entry, transition: Transition, *, enter: bool = False) -> Steps[None]:
        """Carry a transition out, in gen_statem's order."""
        previous = self.__state
        inserted: list[Entry] = []
        timeouts: list[SetTimeout] = []
        postpone = False
        entering = False
        while True:
            if isinstance(transition, Next) and transition.state != self.__state:
                if entering:
                    mend = "an enter call cannot change the state; a timeout of 0 seconds can"
                    yield from self.__crash(self.__bad("enter", transition, mend))
                if self.__is_unknown(transition.state):
                    yield from self.__crash(self.__no_state(transition.state))
                self.__state = transition.state
                enter = True
            elif isinstance(transition, Repeat):
                enter = True
            for action in transition.actions:
                match action:
                    case Reply(value, to):
                        call = entry[0] if to is None else to
                        if isinstance(call, Call):
                            call.reply(value)
                        else:
                            mend = "no call is in hand: give Reply(..., to=a call that was kept)"
                            yield from self.__crash(self.__bad("state", action, mend))
                    case SetTimeout():
                        timeouts.append(action)
                    case Hibernate():
                        release_memory(self._kernel_process)
                    case Postpone() if not entering:
                        postpone = True
                    case NextEvent(event) if not entering and isinstance(event, EVENTS):
                        inserted.append((event, entry[1]))
                    case _:
                        where = "enter" if entering else "state"
                        mend = "it is no action"
                        if entering:
                            mend = "an enter call neither postpones nor inserts"
                        elif isinstance(action, NextEvent):
                            mend = "it is no event; Internal(...) makes one of anything"
                        yield from self.__crash(self.__bad(where, action, mend))
            if isinstance(transition, End):
                yield from self.__end(transition.reason)
            if not (enter and self.state_enter):
                break
            enter, entering = False, True
            transition = yield from self.__ask(Enter(previous), crashed_in=previous)
        changed = self.__state != previous
        self.__events.done(entry, inserted, postpone=postpone, changed=changed)
        self.__set_timeouts(timeouts, changed=changed)

    def __set_timeouts(self, wanted: list[SetTimeout], *, changed: bool) -> None:
        timeouts = self.__timeouts
        if timeouts is None:
            if not wanted:
                return
            timeouts = self.__timeouts = Timeouts(self._kernel_process)
        if timeouts.running:
            timeouts.cancel(EVENT_KEY)  # any event cancels it, this one has just been handled
            if changed:
                timeouts.cancel(STATE_KEY)
        timeouts.apply(wanted)

    def __is_unknown(self, state: Any) -> bool:
        return type(self).handle_event is StateMachine.handle_event and self.__callback(state) is None

    def __callback(self, state: Any) -> Callable[..., Any] | None:
        """The method that is the callback of a state."""
        if not isinstance(state, str):
            return None
        callback: Callable[..., Any] | None = getattr(type(self), state, None)
        if state not in self._states:
            if hasattr(StateMachine, state) or state in self._handlers or not callable(callback):
                return None
            self._states.add(state)
        return callback

    # --- callbacks under care -------------------------------------------------------------------------------------

    def __ask(self, event: Event, crashed_in: Any = None) -> Steps[Transition]:
        """What the state's callback answers to an event, or the handler of its name."""
        answer: Any = None
        try:
            answer = self.handle_event(event, self.__state)
            if type(answer) is CoroutineType:
                answer = yield answer
            if answer is None:
                answer = yield from self.__by_name(event)
        except Killed:
            raise
        except ENDS as error:  # the process loop: a crash runs `terminate` first
            if type(event) is Enter:
                self.__state = crashed_in  # as gen_statem: the state was not entered
            yield from self.__crash(error)
        if not isinstance(answer, Transition):
            mend = "return Next(...), Keep(...), Repeat(...), End(...) or None"
            yield from self.__crash(self.__bad("state", answer, mend))
        return answer  # type: ignore[no-any-return]

    def __by_name(self, event: Event) -> Steps[Transition]:
        """An event the state has left alone: the `@call` or `@cast` method of its name, the same in all states."""
        if type(event) is Enter:
            return KEEP
        if isinstance(event, Call | Cast):
            handler = self._handlers.get(event.name)
            if handler is not None:
                try:
                    answer = call_with(handler, self, event.args)
                    if type(answer) is CoroutineType:
                        answer = yield answer
                except _LeftToState:
                    pass
                else:
                    if isinstance(answer, Transition):
                        return answer
                    if isinstance(event, Call):
                        event.reply(answer)
                    return KEEP
            if isinstance(event, Call):
                text = (
                    f"{type(self).__qualname__} in state {self.__state!r} has no answer to {event.name}(...)"
                )
                event.fail(CallError(self.pid, "unhandled", text))
                return KEEP
        process = self._kernel_process
        if process.node.listeners:
            process.node.emit(MessageDropped(process, event))
        return KEEP

    def __bad(self, where: str, value: object, mend: str) -> BadReturn:
        return BadReturn(where, value, mend, f"{type(self).__qualname__} in state {self.__state!r}")

    def __no_state(self, state: object) -> Exception:
        cls = type(self)
        known = sorted(
            name
            for name in dir(cls)
            if not name.startswith("_") and not hasattr(StateMachine, name) and name not in cls._handlers
        )
        if isinstance(state, str) and hasattr(StateMachine, state):
            return ValueError(
                f"{cls.__qualname__} cannot have a state {state!r}: StateMachine uses that name"
            )
        if state in cls._handlers:
            return ValueError(f"{cls.__qualname__} cannot have a state {state!r}: that is its @call or @cast")
        near = get_close_matches(str(state), known, n=1)
        hint = f"write a method {state}(self, event)"
        if near:
            hint = f"did you mean {near[0]!r}?"
        elif not isinstance(state, str):
            hint = "without handle_event states are methods, named by a text"
        return ValueError(f"{cls.__qualname__} has no state {state!r}: {hint}")

    # --- beginning and end ----------------------------------------------------------------------------------------

    def __begin(self, request: Request, envelope: Envelope) -> Steps[None]:
        """`init`, the word to the starter, then the first state: its actions and its enter call."""
        process = self._kernel_process
        self.__events = EventQueue()
        try:
            first = self.init(*request.args, **request.kwargs)
            if type(first) is CoroutineType:
                first = yield first
        except Exception as error:  # noqa: BLE001  the starter is told, then the process ends
            self.__not_begun(request, error)
        if not isinstance(first, Next):
            bad = BadReturn("init", first, "return Next(first state, actions...)", type(self).__qualname__)
            self.__not_begun(request, Exit(bad))
        self.__state = first.state
        if self.__is_unknown(first.state):
            self.__not_begun(request, Exit(self.__no_state(first.state)))
        announce(process)
        request.reply(process)
        # As if an event before all others had led here: its actions count, it cannot be postponed.
        entry: Entry = (Info(None), envelope)
        actions = (action for action in first.actions if not isinstance(action, Postpone))
        yield from self.__go(entry, Keep(*actions), enter=True)
        yield from self.__work()

    def __not_begun(self, request: Request, error: Exception) -> NoReturn:
        process = self._kernel_process
        if process.name is not None:  # as OTP: the name is free before the starter hears of it
            process.node.names.pop(process.name, None)
            process.name = None
        if isinstance(error, Ignore):
            request.reply(None)
            raise Exit("normal") from None
        request.fail(StartFailed(process.label, error.reason if isinstance(error, Exit) else error))
        raise Exit(reason_of(error)) from error

    def __crash(self, error: BaseException) -> Steps[NoReturn]:
        if isinstance(error, Exit):
            yield from self.__end(error.reason)
        yield from self.__end(error, Crash(error))
        raise AssertionError

    def __end(self, reason: object, exit_reason: object = None) -> Steps[NoReturn]:
        """Terminate and leave with `reason`."""
        try:
            value = self.terminate(reason)
            if type(value) is CoroutineType:
                yield value
        except Killed:
            raise
        except ENDS as error:
            raise Exit(reason_of(error)) from error
        raise Exit(reason if exit_reason is None else exit_reason)

    def _kernel_code_changed(self, value: Any) -> None:
        if isinstance(value, Next):
            self.__state = value.state
        elif value is not None:
            raise BadReturn("code_change", value, "return None or Next(state)", type(self).__qualname__)

    def _kernel_resumed(self) -> None:
        """Nothing to do: a machine's timeouts are messages, which were kept."""
