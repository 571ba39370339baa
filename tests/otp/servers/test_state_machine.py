"""State machines as their users write them: states, events, timeouts, the start and the end."""

from collections.abc import Mapping
from typing import Any

import pytest

from planaria.otp import (
    BadReturn,
    Call,
    CallError,
    Cast,
    Crash,
    Deferred,
    End,
    Enter,
    Event,
    EventTimeout,
    Ignore,
    Info,
    Internal,
    Keep,
    MessageDropped,
    Next,
    NextEvent,
    NoProcess,
    Pid,
    Postpone,
    Repeat,
    Reply,
    ServerExited,
    StartFailed,
    StateMachine,
    StateTimeout,
    Stop,
    Timeout,
    Transition,
    call,
    cast,
    child,
    exit_signal,
    send,
    spawn,
    spawn_link,
    stop,
    supervisor,
    sys,
)
from planaria.otp.kernel.ambient import wait_down
from planaria.testing.node import TestNode
from tests.otp.support import Boom, idle


class Door(StateMachine):
    """A door with a code; open for ten seconds at a time."""

    def init(self, code: str) -> Next:
        self.code = code
        self.pushed = 0
        return Next(self.locked)

    @call
    def unlock(self, code: str, *, quietly: bool = False) -> Deferred[bool]:
        return self.by_state()

    @call
    def where(self) -> str:
        return str(self.state)

    @call
    async def pushes(self) -> int:
        return self.pushed

    @cast
    def push(self) -> None:
        self.pushed += 1

    def locked(self, event: Event) -> Transition | None:
        match event:
            case Call("unlock", (code, _)) if code == self.code:
                return Next(self.open, StateTimeout().after(10.0), reply=True)
            case Call("unlock"):
                return Keep(reply=False)
        return None

    async def open(self, event: Event) -> Transition | None:
        match event:
            case StateTimeout():
                return Next(self.locked)
            case Call("unlock"):
                return Keep(postpone=True)
        return None


async def test_a_state_answers_in_its_own_way(node: TestNode) -> None:
    async def work() -> list[object]:
        door = await Door.start("1234")
        answers: list[object] = [await Door.unlock(door, "0000"), await Door.where(door)]
        answers += [await Door.unlock(door, "1234", quietly=True), await Door.where(door)]
        return answers

    assert await node.run(work) == [False, "locked", True, "open"]


async def test_a_state_timeout_leads_back(node: TestNode) -> None:
    async def begin() -> Pid:
        door = await Door.start("1234")
        await Door.unlock(door, "1234")
        return door

    door = await node.run(begin)
    await node.advance(9.9)
    assert await Door.where(door) == "open"
    await node.advance(0.2)
    assert await Door.where(door) == "locked"


async def test_a_postponed_call_is_answered_after_the_change(node: TestNode) -> None:
    async def begin() -> Pid:
        door = await Door.start("1234")
        await Door.unlock(door, "1234")
        return door

    async def ask(door: Pid) -> None:
        answers.append(await Door.unlock.within(None)(door, "0000"))

    answers: list[bool] = []
    door = await node.run(begin)
    node.spawn(ask, door)
    await node.settle()
    assert answers == []
    await node.advance(10.0)
    assert answers == [False]


async def test_what_a_state_leaves_is_answered_the_same_in_all_states(node: TestNode) -> None:
    async def work() -> list[int]:
        door = await Door.start("1234")
        Door.push(door)
        counts = [await Door.pushes(door)]
        await Door.unlock(door, "1234")
        Door.push(door)
        return [*counts, await Door.pushes(door)]

    assert await node.run(work) == [1, 2]


async def test_a_machine_that_ends_fails_those_whose_calls_it_has_postponed(node: TestNode) -> None:
    async def work() -> object:
        door = await Door.start("1234")
        await Door.unlock(door, "1234")

        async def end() -> None:
            await stop(door, "enough")

        spawn_link(end)
        try:
            await Door.unlock(door, "0000")
        except ServerExited as error:
            return error.why
        raise AssertionError

    assert await node.run(work) == "enough"


class Unhandled(StateMachine):
    def init(self) -> Next:
        return Next("only")

    @call
    def ask(self) -> Deferred[int]:
        return self.by_state()

    @cast
    def tell(self) -> Deferred[int]:
        return self.by_state()

    def only(self, event: Event) -> Transition | None:
        return None


async def test_a_call_nobody_takes_is_refused_and_the_machine_goes_on(node: TestNode) -> None:
    async def work() -> tuple[object, str, bool]:
        machine = await Unhandled.start()
        try:
            await Unhandled.ask(machine)
        except CallError as error:
            return error.why, str(error), machine.alive
        raise AssertionError

    assert await node.run(work) == ("unhandled", "Unhandled in state 'only' has no answer to ask(...)", True)


async def test_other_events_nobody_takes_are_reported(node: TestNode) -> None:
    dropped: list[object] = []
    node.subscribe_events(lambda e: dropped.append(e.message) if isinstance(e, MessageDropped) else None)

    async def work() -> None:
        machine = await Unhandled.start()
        Unhandled.tell(machine)
        send(machine, "hello")

    await node.run(work)
    await node.settle()
    assert dropped == [Cast("tell"), Info("hello")]


class Scripted(StateMachine):
    """One callback for all states; does what its script says and notes what it saw."""

    state_enter = True

    def init(self, script: Mapping[Any, Any], seen: list[object], first: Next | None = None) -> Next:
        self.script = script
        self.seen = seen
        return first or Next("a")

    def handle_event(self, event: Event, state: object) -> Any:
        self.seen.append((state, event))
        step = self.script.get(event, self.script.get((state, event), Keep()))
        return step() if callable(step) else step

    def terminate(self, reason: object) -> None:
        self.seen.append(("terminate", reason, self.state))

    @cast
    def do(self, what: object) -> None: ...

    @call
    def ask(self, what: object) -> Deferred[Any]:
        return self.by_state()


def do(what: object) -> Cast:
    return Cast("do", (what,))


async def saw(node: TestNode, script: Mapping[Any, Any], *casts: object, **start: Any) -> list[Any]:
    """What a scripted machine sees when it is cast these."""
    seen: list[Any] = []

    async def work() -> None:
        machine = await Scripted.start(script, seen, **start)
        for each in casts:
            Scripted.do(machine, each)

    await node.run(work)
    await node.settle()
    return seen


async def test_enter_inserted_replayed_zero_timeouts_then_the_mailbox(node: TestNode) -> None:
    script = {
        ("a", do("early")): Keep(postpone=True),
        do("go"): Next("b", NextEvent(Internal(1)), NextEvent(Internal(2)), StateTimeout("zero").after(0)),
    }
    assert await saw(node, script, "early", "go", "late") == [
        ("a", Enter("a")),
        ("a", do("early")),
        ("a", do("go")),
        ("b", Enter("a")),
        ("b", Internal(1)),
        ("b", Internal(2)),
        ("b", do("early")),
        ("b", StateTimeout("zero")),
        ("b", do("late")),
    ]


async def test_postponed_events_are_replayed_before_inserted_ones_that_still_wait(node: TestNode) -> None:
    script = {
        ("a", do("p1")): Keep(postpone=True),
        ("a", do("p2")): Keep(postpone=True),
        do("go"): Keep(NextEvent(Internal(1)), NextEvent(Internal(2))),
        Internal(1): Next("b"),
    }
    seen = await saw(node, script, "p1", "p2", "go")
    after = [event for _, event in seen[seen.index(("a", Internal(1))) :]]
    assert after == [Internal(1), Enter("a"), do("p1"), do("p2"), Internal(2)]


async def test_the_same_state_again_is_no_change_and_repeat_makes_the_enter_call_only(node: TestNode) -> None:
    script = {do("p"): Keep(postpone=True), do("same"): Next("a"), do("again"): Repeat()}
    assert await saw(node, script, "p", "same", "again") == [
        ("a", Enter("a")),
        ("a", do("p")),
        ("a", do("same")),
        ("a", do("again")),
        ("a", Enter("a")),
    ]


async def test_an_event_timeout_of_zero_is_cancelled_by_an_inserted_event(node: TestNode) -> None:
    script = {do("go"): Keep(EventTimeout().after(0), Timeout("t").after(0), NextEvent(Internal("i")))}
    seen = await saw(node, script, "go")
    assert [event for _, event in seen[2:]] == [Internal("i"), Timeout("t")]


async def test_the_last_word_on_a_timeout_counts_and_an_update_of_none_is_over_at_once(
    node: TestNode,
) -> None:
    script = {
        do("go"): Keep(
            Timeout("x", 1).after(5),
            Timeout("x", 2).after(1),
            Timeout("y", 3).update(),
            Timeout("z").after(1),
        ),
        Timeout("y", 3): Keep(Timeout("x", "new").update(), Timeout("z").cancel()),
    }
    seen = await saw(node, script, "go")
    assert seen[-1] == ("a", Timeout("y", 3))
    await node.advance(0.9)
    assert seen[-1] == ("a", Timeout("y", 3))
    await node.advance(10)
    assert seen[-1] == ("a", Timeout("x", "new"))


async def test_a_timeout_at_a_moment_and_a_none_that_cancels(node: TestNode) -> None:
    script = {
        do("go"): lambda: Keep(Timeout("x").at(node.clock.now() + 3), Timeout("y").after(1)),
        do("no"): Keep(Timeout("y").after(None)),
    }
    seen = await saw(node, script, "go", "no")
    await node.advance(2.9)
    assert seen[-1] == ("a", do("no"))
    await node.advance(0.2)
    assert seen[-1] == ("a", Timeout("x"))


@pytest.mark.parametrize("what", ["cancel", "anew"])
async def test_a_timeout_in_the_mailbox_is_no_event_once_it_is_cancelled_or_started_anew(
    node: TestNode, what: str
) -> None:
    seen: list[Any] = []
    script = {
        do("go"): Keep(Timeout("x").after(1)),
        do("cancel"): Keep(Timeout("x").cancel()),
        do("anew"): Keep(Timeout("x", "new").after(5)),
    }
    machine = await node.run(Scripted.start, script, seen)
    Scripted.do(machine, "go")
    await sys.suspend(machine)
    Scripted.do(machine, what)
    await node.advance(2)  # the timer's message lies behind now
    await sys.resume(machine)
    assert seen[-1] == ("a", do(what))
    await node.advance(6)
    assert seen[-1] == (("a", do("cancel")) if what == "cancel" else ("a", Timeout("x", "new")))


async def test_a_negative_timeout_is_told_where_it_is_made() -> None:
    with pytest.raises(ValueError, match="cannot be over in -1 seconds"):
        StateTimeout().after(-1)


async def test_the_timers_of_a_killed_machine_are_gone(node: TestNode) -> None:
    async def work() -> None:
        machine = await Scripted.start({do("go"): Keep(Timeout("x").after(1000))}, [])
        Scripted.do(machine, "go")
        exit_signal(machine, "go on")
        exit_signal(machine, "kill")

    before = len([entry for entry in node.timers.heap if entry[2].action is not None])
    await node.run(work)
    await node.settle()
    assert len([entry for entry in node.timers.heap if entry[2].action is not None]) == before


async def test_end_sends_its_replies_first_then_terminates(node: TestNode) -> None:
    seen: list[object] = []

    async def work() -> object:
        machine = await Scripted.start({Call("ask", ("end",)): End("done", reply="bye")}, seen)
        answer = await Scripted.ask(machine, "end")
        return answer, await wait_down(machine)

    assert await node.run(work) == ("bye", "done")
    assert seen[-1] == ("terminate", "done", "a")


async def test_a_kept_call_is_answered_from_another_event(node: TestNode) -> None:
    kept: list[Call] = []

    class Later(StateMachine):
        def init(self) -> Next:
            return Next("a")

        @call
        def ask(self) -> Deferred[int]:
            return self.by_state()

        @cast
        def answer(self, value: int) -> None: ...

        def a(self, event: Event) -> Transition | None:
            match event:
                case Call("ask"):
                    kept.append(event)
                    return Keep()
                case Cast("answer", (value,)):
                    return Keep(Reply(value, to=kept.pop()))
            return None

    async def work() -> int:
        machine = await Later.start()

        async def answer() -> None:
            Later.answer(machine, 42)

        spawn_link(answer)
        return await Later.ask(machine)

    assert await node.run(work) == 42


async def test_a_crash_gives_terminate_the_error_and_the_others_a_crash(node: TestNode) -> None:
    seen: list[object] = []

    def boom() -> None:
        raise Boom

    async def work() -> object:
        machine = await Scripted.start({Call("ask", (1,)): boom}, seen)
        try:
            await Scripted.ask(machine, 1)
        except ServerExited as error:
            return error.why
        raise AssertionError

    why = await node.run(work)
    assert isinstance(why, Crash)
    assert isinstance(why.error, Boom)
    assert seen[-1] == ("terminate", why.error, "a")


async def test_a_crash_in_an_enter_call_means_the_state_was_not_entered(node: TestNode) -> None:
    def boom() -> None:
        raise Boom

    seen = await saw(node, {do("go"): Next("b"), ("b", Enter("a")): boom}, "go")
    assert seen[-1][2] == "a"


@pytest.mark.parametrize(
    ("script", "where"),
    [
        ({do("go"): "nonsense"}, "state"),
        ({do("go"): Keep(5)}, "state"),  # type: ignore[arg-type]
        ({do("go"): Next("b"), ("b", Enter("a")): Next("c")}, "enter"),
        ({do("go"): Next("b"), ("b", Enter("a")): Keep(Postpone())}, "enter"),
        ({do("go"): Next("b"), ("b", Enter("a")): Keep(NextEvent(Internal()))}, "enter"),
        ({do("go"): Keep(reply=1)}, "state"),
        ({do("go"): Keep("no action")}, "state"),  # type: ignore[arg-type]
    ],
)
async def test_answers_that_mean_nothing_end_the_machine(
    node: TestNode, script: Mapping[Any, Any], where: str
) -> None:
    _, reason, _ = (await saw(node, script, "go"))[-1]
    assert isinstance(reason, BadReturn)
    assert reason.where == where


class Variants(StateMachine):
    """Begins as it is told."""

    def init(self, how: str) -> Any:
        match how:
            case "decline":
                raise Ignore
            case "refuse":
                raise Stop("no")
            case "crash":
                raise Boom
            case "nonsense":
                return Keep()
            case "nowhere":
                return Next("lokced")
        return Next("locked", Postpone(), NextEvent(Internal("first")))

    def locked(self, event: Event) -> Transition | None:
        return None


@pytest.mark.parametrize(
    ("how", "reason"), [("decline", "ignore"), ("refuse", "no"), ("crash", Boom), ("nonsense", BadReturn)]
)
async def test_starts_that_fail_say_why(node: TestNode, how: str, reason: Any) -> None:
    async def work() -> object:
        try:
            await Variants.start(how, name="v")
        except StartFailed as error:
            return error.reason
        raise AssertionError

    found = await node.run(work)
    assert found == reason if isinstance(reason, str) else isinstance(found, reason)
    assert node.whereis("v") is None


async def test_a_state_without_a_method_is_told_with_the_one_that_was_meant(node: TestNode) -> None:
    reasons: list[object] = []

    class Wrong(Variants):
        def terminate(self, reason: object) -> None:
            reasons.append(reason)

        def locked(self, event: Event) -> Transition | None:
            return Next(event.message) if isinstance(event, Info) else None

    async def work(state: str) -> None:
        machine = await Wrong.start("well")
        send(machine, state)
        await wait_down(machine)

    await node.run(work, "lokced")
    await node.run(work, "stat")
    await node.run(work, "init")
    assert [str(reason) for reason in reasons] == [
        f"{Wrong.__qualname__} has no state 'lokced': did you mean 'locked'?",
        f"{Wrong.__qualname__} has no state 'stat': write a method stat(self, event)",
        f"{Wrong.__qualname__} cannot have a state 'init': StateMachine uses that name",
    ]


async def test_a_machine_is_a_child_like_any_other(node: TestNode) -> None:
    await node.start(supervisor(child(Door, "1234", name="door"), name="house"))
    first = node["door"]
    await node.run(wait_for_restart, first)
    assert node["door"] is not first
    assert await Door.where(node["door"]) == "locked"


async def wait_for_restart(door: Pid) -> None:
    exit_signal(door, "kill")
    await wait_down(door)


async def test_a_machine_that_traps_ends_through_terminate_with_its_parent(node: TestNode) -> None:
    seen: list[object] = []

    class Trapping(Scripted):
        trap_exit = True

    async def parent() -> None:
        machine = await Trapping.start_link({}, seen)
        stranger = spawn_link(idle)
        exit_signal(machine, "from the parent")
        exit_signal(stranger, "normal")
        await wait_down(machine)

    node.spawn(parent)
    await node.settle()
    assert seen[-1] == ("terminate", "from the parent", "a")


async def test_calls_to_the_dead_fail_at_once(node: TestNode) -> None:
    async def work() -> None:
        door = await Door.start("1")
        await stop(door)
        with pytest.raises(NoProcess):
            await Door.where(door)

    await node.run(work)


def test_transitions_are_values() -> None:
    assert Next("open", reply=True) == Next("open", Reply(True))
    assert Next("open") != Next("shut")
    assert Keep() != Repeat()
    assert repr(Next("open", StateTimeout("x").after(2), postpone=True)) == (
        "Next('open', SetTimeout(event=StateTimeout(content='x'), seconds=2, when=None, update=False), Postpone())"
    )


class Odd:
    """A state or a name that cannot be compared."""

    __hash__ = None  # type: ignore[assignment]

    def __ne__(self, other: object) -> bool:
        raise Boom


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda: Next(Odd()), Boom),
        (lambda: Keep(Timeout(["no", "hash"]).after(1.0)), TypeError),  # type: ignore[arg-type]
        (lambda: Keep(StateTimeout().at("soon")), TypeError),  # type: ignore[arg-type]
        (lambda: Keep(NextEvent("no event")), BadReturn),  # type: ignore[arg-type]
    ],
    ids=["a state that cannot be compared", "a name without hash", "a time that is none", "no event"],
)
async def test_what_an_answer_raises_while_it_is_carried_out_runs_terminate(
    node: TestNode, answer: Any, error: type[Exception]
) -> None:
    seen: list[object] = []

    class Careful(StateMachine):
        def init(self) -> Next:
            return Next(1)

        @cast
        def go(self) -> None: ...

        def handle_event(self, event: Event, state: object) -> Transition:
            found: Transition = answer()
            return found

        def terminate(self, reason: object) -> None:
            seen.append(reason)

    async def work() -> object:
        machine = await Careful.start()
        Careful.go(machine)
        return await wait_down(machine)

    reason = await node.run(work)
    assert isinstance(reason, Crash) and type(reason.error) is error
    assert seen == [reason.error]


async def test_a_bad_answer_names_the_machine_its_state_and_the_mend(node: TestNode) -> None:
    class Wrong(StateMachine):
        def init(self) -> Next:
            return Next("calm")

        @cast
        def go(self) -> None: ...

        def calm(self, event: Event) -> Any:
            return "excited"

    async def work() -> object:
        machine = await Wrong.start()
        Wrong.go(machine)
        return await wait_down(machine)

    reason = await node.run(work)
    assert str(reason) == (
        f"BadReturn: the state callback of {Wrong.__qualname__} in state 'calm' answered 'excited': "
        "return Next(...), Keep(...), Repeat(...), End(...) or None"
    )


async def test_a_machine_whose_first_state_is_unknown_does_not_start(node: TestNode) -> None:
    class Wrong(StateMachine):
        def init(self, first: object) -> Next:
            return Next(first)

        def calm(self, event: Event) -> None: ...

    with pytest.raises(StartFailed, match=r"ValueError: .*Wrong has no state 'clam': did you mean 'calm'?"):
        await node.run(Wrong.start, "clam")
    with pytest.raises(StartFailed, match="Wrong has no state 3: without handle_event states are methods"):
        await node.run(Wrong.start, 3)


async def test_a_call_cannot_be_a_state(node: TestNode) -> None:
    class Wrong(StateMachine):
        def init(self) -> Next:
            return Next("calm")

        @call
        def open(self) -> int:
            return 1

        def calm(self, event: Event) -> Transition:
            return Next(self.open)

    async def work() -> object:
        machine = await Wrong.start()
        send(machine, "go")
        return await wait_down(machine)

    assert "Wrong cannot have a state 'open': that is its @call or @cast" in str(await node.run(work))


async def test_arguments_that_do_not_fit_are_told_with_the_name_of_the_handler(node: TestNode) -> None:
    async def work() -> None:
        door = await Door.start("1")
        with pytest.raises(ServerExited, match=r"Door\.unlock\(\): missing a required argument: 'code'"):
            await Door.unlock(door)  # type: ignore[call-arg]

    await node.run(work)


async def test_a_machine_that_inserts_events_for_ever_holds_nobody_up(node: TestNode) -> None:
    class Mill(StateMachine):
        def init(self) -> Next:
            return Next("grind")

        @cast
        def go(self) -> None: ...

        def grind(self, event: Event) -> Transition:
            return Keep(NextEvent(Internal()))

    async def work() -> object:
        mill = await Mill.start()
        Mill.go(mill)
        spawn(exit_signal, mill, "kill")
        return await wait_down(mill)

    assert await node.run(work) == "killed"
