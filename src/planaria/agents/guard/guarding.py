"""Between a session and its guard: what the guard is shown, and what is written before the session's process ends.

A guard's finding becomes a `Tripped`. The policy of the agent's record chooses what the next process does otherwise;
finding and choice are in the journal before this one ends with that as its reason.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from planaria.agents.desk import Desk, Known, append_after, find
from planaria.agents.guard.handoff import hand_off, mechanical
from planaria.agents.thinking.brief import after
from planaria.agents.thinking.work import Behind, Noted
from planaria.agents.turn.course import END, FRESH, GO_ON, OPTIONS
from planaria.agents.turn.estimate import Estimate
from planaria.agents.turn.guard_events import RestartChosen, SessionTripped, TurnGuided
from planaria.agents.turn.turn import Ask, Turn, place_of
from planaria.cortex.durable.questions import Questions
from planaria.cortex.event import NewEvent
from planaria.cortex.patience import patiently
from planaria.immune.guards.loops import CallSeen, Finding, StepSeen, fan_out
from planaria.immune.guards.restart import Cause, Choice, Mode, Past, choose
from planaria.membrane.gate.gate import Gate
from planaria.otp import wall_time

LOOK_FROM = 3
"""Steps of a turn from which on the guard is shown them."""
PATIENCE = 86_400.0
"""Seconds a person may take to say how a session goes on."""
CHILDREN = frozenset({"agents.ask", "agents.spawn"})
"""Tools that start sub-agents."""


class Tripped(msgspec.Struct, frozen=True):
    """A session is to be ended over its turn; see `SessionTripped`.

    Attributes:
        exclude: the model that answered last, for those that reroute.
        estimate: of the model call that is cut off with it.
    """

    cause: Cause
    words: str
    evidence: dict[str, Any] = msgspec.field(default_factory=dict)
    exclude: str = ""
    estimate: Estimate | None = None


class Chosen(msgspec.Struct, frozen=True):
    """Finding and choice are in the journal: the session's process may end."""

    cause: Cause
    mode: Mode

    @property
    def reason(self) -> str:
        """The exit reason's detail."""
        return f"{self.cause} ({self.mode})"


def guard_name(session: str) -> str:
    """Registered name of a session's guard."""
    return f"guard:{session.removeprefix('session:')}"


def tripped(finding: Finding, turn: Turn, asking: str = "") -> Tripped:
    """A guard's finding about a turn.

    Args:
        asking: the model that is asked just now, which the turn does not know of before it has answered.
    """
    evidence = {"kind": finding.kind, **finding.evidence}
    return Tripped(finding.cause, finding.words, evidence, asking or model_of(turn))


def model_of(turn: Turn) -> str:
    """The model a turn asked last, `provider/model`."""
    return "" if turn.asked is None else f"{turn.asked.provider}/{turn.asked.model}"


def steps_seen(gate: Gate, turn: Turn, first: int) -> tuple[StepSeen, ...]:
    """Steps of a turn as its guard sees them, from `first` on."""
    seen: list[StepSeen] = []
    for number in range(first, len(turn.steps)):
        step = turn.steps[number]
        calls: list[CallSeen] = []
        for n, call in enumerate(step.response.tool_calls):
            result, tool = step.results.get(place_of(turn, number, n)), gate.find(call.name)
            waits = tool is not None and (tool.waits or tool.polling)
            acts = tool is not None and not tool.idempotent
            text, failed = ("", False) if result is None else (result.text, result.failed)
            calls.append(CallSeen(call.name, call.arguments, text, failed, waits, acts))
        seen.append(StepSeen(step.response.text, tuple(calls)))
    return tuple(seen)


def too_much(desk: Desk, turn: Turn) -> Tripped | None:
    """Whether the calls a turn is about to make are too many."""
    guards = desk.definition.guards
    step = turn.steps[-1]
    calls = len(step.response.tool_calls)
    earlier = sum(len(each.response.tool_calls) for each in turn.steps[turn.course.watched :])
    children = depth = 0
    if any(call.name in CHILDREN for call in step.response.tool_calls):
        every = turn.steps[turn.course.watched :]
        children = sum(call.name in CHILDREN for each in every for call in each.response.tool_calls)
        depth = desk.session.count("/") + 1
    found = fan_out(guards, calls, earlier, children, depth)
    return None if found is None else tripped(found, turn)


async def trip(desk: Desk, turn: Turn, found: Tripped, results: Sequence[NewEvent]) -> Chosen | Behind:
    """Write down what was seen and what follows from it, in one append.

    Args:
        results: how calls of the turn ended, not written yet.
    """
    state = after(desk, turn, results)
    course, number = state.course, len(state.course.trips) + 1
    history = [Past(each.cause, each.mode, each.at) for each in course.trips]
    choice = choose(desk.definition.restart, found.cause, history, wall_time())
    if choice.mode == "reroute" and not found.exclude:
        choice = msgspec.structs.replace(choice, mode="give_up", why=f"{choice.why}; no model to turn from")
    seen = SessionTripped(
        *(turn.id, number, found.cause, found.words, len(state.steps), found.evidence, found.estimate)
    )
    events = [desk.event(turn, seen, turn.id, str(number))]
    if choice.mode == "fresh":
        note = await hand_off(desk, state, number, found.words, deliberate=found.cause == "context")
        events.append(desk.event(turn, note, turn.id, str(number)))
    events.append(desk.event(turn, chosen(desk, state, found, choice, number), turn.id, str(number)))
    started = () if turn.begun else (desk.started(turn, len(turn.steps)),)
    try:
        await append_after(started, [*results, *events])
    except Known:
        return Behind()
    return Chosen(found.cause, choice.mode)


def chosen(desk: Desk, turn: Turn, found: Tripped, choice: Choice, number: int) -> RestartChosen:
    """The choice as it is written. Pure."""
    event = RestartChosen(turn.id, number, found.cause, choice.mode, len(turn.steps), choice.why)
    match choice.mode:
        case "amend":
            return msgspec.structs.replace(event, amendment=choice.say or amendment(found))
        case "reroute":
            return msgspec.structs.replace(event, exclude=found.exclude)
        case "fresh":
            return msgspec.structs.replace(event, since=len(turn.steps))
        case "ask":
            return msgspec.structs.replace(event, question=question(desk.agent, turn, found))
        case "give_up":
            return msgspec.structs.replace(
                event, notice=f"{found.words} {choice.why[0].upper()}{choice.why[1:]}."
            )
        case _:
            return event


def amendment(found: Tripped) -> str:
    """The instruction that is added where the policy has none of its own."""
    match found.cause:
        case "fan_out":
            advice = "Do less at once: choose the few that matter most, and say what you leave out."
        case "stall":
            advice = "Try a different way, or answer with what you have and say what is missing."
        case _:
            advice = (
                "Do not do the same again: use what you know already, try a different way, "
                "or answer with what you have and say what is missing."
            )
    return f"While you worked on this message you were interrupted. {found.words} {advice}"


def question(agent: str, turn: Turn, found: Tripped) -> str:
    """What a person is asked."""
    asked = " ".join(turn.message.text.split())[:300]
    return (
        f"{agent} was interrupted over the message {asked!r}. {found.words} How is it to go on? "
        f"`{GO_ON}` (with advice, if you have some), `{FRESH}` or `{END}`."
    )


async def ask_person(desk: Desk, turn: Turn, ask: Ask) -> Noted:
    """Wait until a person has said how the turn goes on, as long as it takes, also over restarts."""
    key = desk.event(turn, TurnGuided(turn.id, ask.number), turn.id, str(ask.number)).id
    asked = await patiently(
        lambda: Questions.ask(
            ask.question,
            key=key,
            by=f"agent:{desk.agent}",
            options=OPTIONS,
            room=desk.room,
            expires=turn.course.trips[-1].at + PATIENCE,
            trace_id=turn.message.trace_id,
            cause_id=turn.id,
            subject=turn.message.subject,
        )
    )
    closed = await Questions.wait("questions", asked)
    guided = TurnGuided(turn.id, ask.number)
    if closed is not None and closed.how == "answered":
        note = mechanical(turn) if closed.option == FRESH else ""
        guided = TurnGuided(turn.id, ask.number, closed.option, closed.text, closed.by, note)
    event = desk.event(turn, guided, turn.id, str(ask.number))
    try:
        return Noted(tuple(await append_after((), [event])))
    except Known as known:
        written = await find(known.id)
        return Noted(() if written is None else (written,))
