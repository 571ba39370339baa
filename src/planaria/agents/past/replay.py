"""A session as its journal tells it: every step with what was sent, decided and spent. Nothing outside is called.

A step is what people count, from 1: a message that is handled, or an answer of the model, with the tool calls it made.
A turn's events are read and folded by the same code that runs it, its prompts built by the same code and checked
against the digest that was written when they were sent.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from planaria.agents.past.ledger import LEDGER_KINDS, Ledger, TurnRow
from planaria.agents.past.replayed import (
    CallView,
    PromptView,
    ReplayView,
    Run,
    RunStep,
    StateView,
    StepDetail,
    StepView,
    Totals,
)
from planaria.agents.past.seed import SeedLost, fork_of, trace_of_turn
from planaria.agents.past.source import Source, stretch
from planaria.agents.past.state import plain, state_digest
from planaria.agents.prompt.request import canonical, digest_of, read_specs, rebuilt
from planaria.agents.turn.events import ModelFailed, ModelRequested, ModelResponded
from planaria.agents.turn.turn import (
    Act,
    Ask,
    Think,
    ToolResult,
    Turn,
    model_label,
    next_action,
    place_of,
    take,
)
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch, event_types
from planaria.cortex.query import Query
from planaria.membrane.events import ToolFinished
from planaria.membrane.provider import ModelRequest, Usage

PAGE = 2000
"""Events read at once."""
MANY_STEPS = 1_000_000


class NoSuchStep(LookupError):
    """The session has no step of this number; the text says how many it has."""


class Moment(msgspec.Struct, frozen=True):
    """One step of a turn: the events of it, and the states around it.

    Attributes:
        asked: the state when its model was asked, None for a message.
        after: the state when all its tools had answered, or as far as it came.
        responded: the event of the answer; None for a kept one, whose event is another session's.
    """

    asked: Turn | None
    after: Turn
    events: tuple[Event, ...]
    responded: Event | None = None
    kept: bool = False


def names_of(session: str) -> tuple[str, str]:
    """The agent and the room of a session's stream."""
    agent, _, room = session.removeprefix("session:").partition("@")
    return agent, room


async def ledger_of(source: Source, session: str, start: Ledger | None = None) -> Ledger:
    """The turns of a session.

    Args:
        start: as far as they are known, such as from a snapshot; it is changed.
    """
    ledger = start or Ledger()
    while True:
        query = Query(session=session, kinds=LEDGER_KINDS, after_seq=ledger.seq, limit=PAGE, contents=False)
        events = await source.read(query)
        for event in events:
            ledger.take(event)
        if len(events) < PAGE:
            return ledger


def moments(base: Turn, events: Sequence[Event]) -> list[Moment]:
    """A turn's events cut into its steps: the message, the answers it began with, and each answer."""
    found = [Moment(None, msgspec.structs.replace(base, steps=()), ())]
    for number in range(len(base.steps)):
        kept = msgspec.structs.replace(base, steps=base.steps[: number + 1])
        found.append(Moment(None, kept, (), kept=True))
    turn = base
    ahead: list[Event] = []  # what leads to the next answer
    asked: Turn | None = None
    for event in events:
        before, turn = turn, take(turn, event)
        if event.kind == ModelRequested.kind:
            asked = turn
            ahead.append(event)
        elif event.kind == ModelFailed.kind:
            ahead.append(event)
        elif len(turn.steps) > len(before.steps):
            found.append(Moment(asked, turn, (*ahead, event), event))
            ahead, asked = [], None
        else:
            last = found[-1]
            after = turn if not ahead else last.after
            found[-1] = msgspec.structs.replace(last, after=after, events=(*last.events, event))
    if ahead or turn != found[-1].after:
        last = found[-1]
        found[-1] = msgspec.structs.replace(last, after=turn, events=(*last.events, *ahead))
    return found


async def prompt_of(source: Source, session: str, asked: Turn) -> tuple[ModelRequest | None, list[str]]:
    """The request that was sent, rebuilt, and what stands in the way of that or is not as it was.

    Args:
        asked: the state of the turn when the model was asked.
    """
    said = asked.asked
    if said is None or not said.digest:
        return None, ["an older program wrote this: what was sent is not in the journal"]
    if said.system is None or said.tools is None or said.talk is None:
        return None, ["what the first request of this turn had is gone"]
    _, room = names_of(session)
    shown, problems = await stretch(source, room, said.talk)
    try:
        request = rebuilt(session, said, asked, shown)
    except msgspec.DecodeError as error:
        return None, [f"the tools that were offered cannot be read: {error}"]
    if digest_of(canonical(request)) != said.digest and not problems:
        problems.append(
            "what is rebuilt is not what was sent: its digest is another. "
            "Was the journal changed, or does this program build prompts in another way?"
        )
    return request, problems


async def replay(
    source: Source, session: str, *, to: int | None = None, limit: int = 100, ledger: Ledger | None = None
) -> ReplayView:
    """Replay a session up to a step; the latest `limit` steps of it are told.

    Args:
        to: the last step; None for all there are.
        ledger: the turns as far as they are known.
    Raises:
        NoSuchStep: it has no such step, or is not there at all.
    """
    ledger = await ledger_of(source, session, ledger)
    total = ledger.steps
    if not ledger.rows:
        raise NoSuchStep(f"there is no session {session!r}, or nothing has happened in it")
    last = total if to is None else to
    if not 1 <= last <= total:
        raise NoSuchStep(f"{session} has the steps 1 to {total}, not {last}")
    steps, state = await steps_of(source, session, ledger, max(1, last - limit + 1), last)
    agent, room = names_of(session)
    return ReplayView(
        session=session,
        agent=agent,
        room=room,
        steps=tuple(run.step for run in steps),
        total=total,
        totals=_totals(ledger, last, steps),
        state=state,
        fork=await fork_of(source, session),
    )


async def steps_of(
    source: Source, session: str, ledger: Ledger, first: int, last: int
) -> tuple[list[RunStep], StateView | None]:
    """The steps from `first` to `last` with their prompts, and the state after the last."""
    steps: list[RunStep] = []
    state: StateView | None = None
    before = 0
    for row in ledger.rows:
        if before >= last:
            break
        if before + row.steps >= first:
            found, state = await _turn_steps(source, session, row, before, last)
            steps += [run for run in found if run.step.number >= first]
        before += row.steps
    return steps, state


async def step_of(source: Source, session: str, number: int, *, ledger: Ledger | None = None) -> StepDetail:
    """One step, with the exact prompt it was sent and the state after it.

    Raises:
        NoSuchStep: it has none of this number.
        SeedLost: what it was about is not in the journal any more.
    """
    ledger = await ledger_of(source, session, ledger)
    found = ledger.find(number)
    if found is None:
        raise NoSuchStep(f"{session} has the steps 1 to {ledger.steps}, not {number}")
    position, before = found
    row = ledger.rows[position]
    base, events = await trace_of_turn(source, session, row.turn)
    known = moments(base, events)
    if number - before > len(known):
        raise SeedLost(f"step {number} of {session} cannot be read any more")
    moment = known[number - before - 1]
    view, prompt = await _view(source, session, number, moment, base)
    return StepDetail(session, view, prompt, state_view(moment.after))


def state_view(turn: Turn) -> StateView:
    """A turn as a state for people."""
    if turn.finished:
        return StateView(turn.id, "rest", state_digest(turn), plain(turn))
    action = next_action(turn, MANY_STEPS)
    words = ((Think, "think"), (Act, "act"), (Ask, "ask"))
    word = next((word for kind, word in words if isinstance(action, kind)), "say")
    return StateView(turn.id, word, state_digest(turn), plain(turn))


async def _turn_steps(
    source: Source, session: str, row: TurnRow, before: int, last: int
) -> tuple[list[RunStep], StateView | None]:
    """The steps of one turn up to a step, and the state after that."""
    numbers = range(before + 1, min(before + row.steps, last) + 1)
    try:
        base, events = await trace_of_turn(source, session, row.turn)
        found = moments(base, events)
    except SeedLost as error:
        return [RunStep(_lost(row, number, before, str(error))) for number in numbers], None
    steps = [
        RunStep(*await _view(source, session, number, found[number - before - 1], base))
        if number - before <= len(found)
        else RunStep(_lost(row, number, before, "it cannot be read any more"))
        for number in numbers
    ]
    return steps, state_view(found[min(last - before, len(found)) - 1].after)


def _lost(row: TurnRow, number: int, before: int, problem: str) -> StepView:
    kind: Literal["message", "answer"] = "message" if number == before + 1 else "answer"
    return StepView(number, kind, row.turn, row.at, row.first_seq, problems=(problem,))


async def _view(
    source: Source, session: str, number: int, moment: Moment, base: Turn
) -> tuple[StepView, PromptView | None]:
    """One step for people, and its prompt."""
    turn = moment.after
    gone, failures = _unread(moment.events), tuple(_failures(moment.events))
    wasted = _wasted(moment.events)
    if not moment.kept and moment.responded is None:
        message = base.message
        return StepView(
            number,
            "message",
            base.id,
            at=message.at,
            seq=message.seq,
            author=message.author,
            text=message.text,
            input_tokens=wasted.input_tokens,
            output_tokens=wasted.output_tokens,
            cost_micro=wasted.told_micro_usd or None,
            failures=failures,
            attempt=base.attempt,
            outcome=turn.finished,
            problems=gone,
        ), None
    step = turn.steps[-1]
    said = step.response
    prompt: PromptView | None = None
    cost: int | None = 0 if moment.kept else None
    duration, at, seq = 0.0, base.message.at, 0
    if moment.responded is not None:
        answer = ModelResponded.of(moment.responded)
        cost, duration = answer.cost_micro, answer.duration_ms
        if wasted.told_micro_usd:
            cost = (cost or 0) + wasted.told_micro_usd
        at, seq = moment.responded.at, moment.responded.seq
        prompt = await _prompt_view(source, session, moment.asked) if moment.asked is not None else None
    return StepView(
        number,
        "answer",
        base.id,
        at=at,
        seq=seq,
        author=names_of(session)[0],
        text=said.text,
        reasoning=said.reasoning,
        decided="calls" if said.tool_calls else "says",
        calls=_calls(turn, moment.events),
        model=model_label(said),
        input_tokens=0 if moment.kept else said.usage.input_tokens + wasted.input_tokens,
        output_tokens=0 if moment.kept else said.usage.output_tokens + wasted.output_tokens,
        cost_micro=cost,
        duration_ms=duration,
        failures=failures,
        kept=moment.kept,
        attempt=base.attempt,
        outcome=turn.finished,
        prompt="" if moment.kept else _how(prompt),
        digest=prompt.digest if prompt is not None else "",
        problems=(*gone, *(prompt.problems if prompt is not None else ())),
    ), prompt


def _unread(events: Sequence[Event]) -> tuple[str, ...]:
    """Which events of a turn cannot be read, and why."""
    types = event_types()
    found: list[str] = []
    for event in events:
        try:
            types[event.kind].of(event)
        except EventMismatch as error:
            found.append(str(error))
    return tuple(found)


def _failures(events: Sequence[Event]) -> Iterator[str]:
    for event in events:
        if event.kind == ModelFailed.kind:
            try:
                failed = ModelFailed.of(event)
                who = f"{failed.provider}/{failed.model}: " if failed.provider else ""
                yield who + failed.error
            except EventMismatch:
                continue  # told as what cannot be read


def _wasted(events: Sequence[Event]) -> Usage:
    """What failed attempts took, as far as their providers told; money in `told_micro_usd`."""
    tokens_in = tokens_out = cost = 0
    for event in events:
        if event.kind == ModelFailed.kind and event.state == "whole":
            usage = event.payload.get("usage") or {}
            tokens_in += usage.get("input_tokens", 0)
            tokens_out += usage.get("output_tokens", 0)
            cost += event.payload.get("cost_micro") or 0
    return Usage(tokens_in, tokens_out, told_micro_usd=cost)


def _how(prompt: PromptView | None) -> Literal["exact", "changed", "unknown"]:
    if prompt is None or not prompt.messages:
        return "unknown"
    return "exact" if prompt.exact else "changed"


def _calls(turn: Turn, events: Sequence[Event]) -> tuple[CallView, ...]:
    spent: dict[str, float] = {}
    for event in events:
        if event.kind == ToolFinished.kind and event.state == "whole":
            spent[str(event.payload.get("call_id"))] = float(event.payload.get("duration_ms") or 0.0)
    number = len(turn.steps) - 1
    step = turn.steps[-1]
    views: list[CallView] = []
    for n, call in enumerate(step.response.tool_calls):
        place = place_of(turn, number, n)
        result: ToolResult | None = step.results.get(place)
        views.append(
            CallView(
                place,
                call.name,
                call.arguments,
                None if result is None else result.text,
                result is not None and result.failed,
                spent.get(place, 0.0),
            )
        )
    return tuple(views)


async def _prompt_view(source: Source, session: str, asked: Turn) -> PromptView:
    said = asked.asked
    if said is None:
        gone = f"what was sent was {asked.gone}" if asked.gone else "what was sent is not in the journal"
        return PromptView("", "", (), (), None, None, "", False, (gone,))
    request, problems = await prompt_of(source, session, asked)
    return PromptView(
        provider=said.provider,
        model=said.model,
        messages=request.messages if request is not None else (),
        tools=tuple(spec.name for spec in read_specs(said.tools or "[]")) if request is not None else (),
        max_tokens=said.max_tokens,
        temperature=said.temperature,
        digest=said.digest,
        exact=request is not None and digest_of(canonical(request)) == said.digest,
        problems=tuple(problems),
    )


def _totals(ledger: Ledger, last: int, steps: Sequence[RunStep]) -> Totals:
    """What the steps up to `last` came to.

    Args:
        steps: those of the turn that `last` is in, and maybe others.
    """
    rows: list[TurnRow] = []
    before = 0
    for row in ledger.rows:
        if before >= last:
            break
        rows.append(row)
        before += row.steps
    whole = rows if before == last else rows[:-1]
    part = [run.step for run in steps if before != last and run.step.turn == rows[-1].turn]
    answers = [step for step in part if step.kind == "answer" and not step.kept]
    return Totals(
        turns=len(rows),
        steps=last,
        failures=sum(row.failures for row in whole) + sum(len(step.failures) for step in part),
        input_tokens=sum(row.input_tokens for row in whole) + sum(step.input_tokens for step in part),
        output_tokens=sum(row.output_tokens for row in whole) + sum(step.output_tokens for step in part),
        cost_micro=sum(row.cost_micro for row in whole) + sum(step.cost_micro or 0 for step in part),
        unpriced=sum(row.unpriced for row in whole) + sum(step.cost_micro is None for step in answers),
    )


async def run_of(source: Source, session: str, ledger: Ledger, first: int = 1, limit: int = 1000) -> Run:
    """The steps of a session from `first` on, at most `limit`, with their prompts.

    Raises:
        NoSuchStep: nothing has happened in it.
    """
    if not ledger.rows:
        raise NoSuchStep(f"there is no session {session!r}, or nothing has happened in it")
    last = min(ledger.steps, first + limit - 1)
    steps, _ = await steps_of(source, session, ledger, first, last)
    return Run(
        session, ledger.steps, _totals(ledger, last, steps), tuple(steps), await fork_of(source, session)
    )
