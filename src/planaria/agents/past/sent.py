"""The prompt of one model call, part by part: exactly what was sent, why each part is there, and what was cut.

Rebuilt from the journal by the code that composed it, and checked against the digest it was sent with.
"""

from collections.abc import Sequence

import msgspec

from planaria.agents.past.ledger import Ledger
from planaria.agents.past.replay import NoSuchStep, names_of, prompt_of
from planaria.agents.past.seed import trace_of_turn
from planaria.agents.past.source import Source, stretch
from planaria.agents.prompt.prompt import CHARACTERS, WHY, parts_of, shortened_places
from planaria.agents.prompt.request import canonical, digest_of, read_specs, turn_room
from planaria.agents.turn.events import ModelRequested, ModelResponded, PartSize, Talk
from planaria.agents.turn.turn import Turn, take
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch
from planaria.membrane.provider import Message


class SentPart(msgspec.Struct, frozen=True):
    """One part of a prompt.

    Attributes:
        text: as it was sent; of `talk` and `turn` the messages are in `messages`.
        tokens: estimated.
        budget: tokens it may have; 0 for no limit.
        cut: what was left out, in words; empty for nothing.
    """

    name: str
    why: str
    characters: int
    tokens: int
    budget: int = 0
    cut: str = ""
    text: str = ""
    messages: tuple[Message, ...] = ()


class SentPrompt(msgspec.Struct, frozen=True):
    """What one model call was sent.

    Attributes:
        call: which model call of the turn, from 1; `calls` there are. `attempt`: which try of it.
        parts: in the order they were sent in; the tools on offer come last.
        tokens: input tokens as the provider counted them; None if it did not answer, or did not say.
        characters_per_token: what the estimates are made with: of this prompt, if its tokens are known, else 4.
        exact: whether the digest of what is shown is the one written when it was sent.
        problems: why something cannot be shown, or is not as it was.
    """

    session: str
    turn: str
    call: int
    calls: int
    attempt: int
    at: float
    provider: str
    model: str
    composition: int
    parts: tuple[SentPart, ...]
    characters: int
    tokens: int | None
    characters_per_token: float
    tools: tuple[str, ...]
    max_tokens: int | None
    temperature: float | None
    tool_choice: str | None
    schema: bool
    digest: str
    exact: bool
    problems: tuple[str, ...] = ()


async def sent(
    source: Source, session: str, ledger: Ledger, *, turn: str = "", step: int | None = None
) -> SentPrompt:
    """The prompt of one model call.

    Args:
        turn: which turn; the latest by default. The beginning of its id is enough.
        step: with `turn`, which model call of it, from 1; else the number of the step in the session, as a replay
            counts. By default the latest call.
    Raises:
        NoSuchStep: there is none such.
        SeedLost: what the turn was about is not in the journal any more.
    """
    name, call = _which(session, ledger, turn, step)
    base, events = await trace_of_turn(source, session, name)
    asked = _asked(base, events)
    if not asked:
        raise NoSuchStep(
            f"no model was asked in the turn {name} of {session}, or the journal has no more of it"
        )
    wanted = max(asked) if call is None else len(base.steps) + call - 1
    if wanted not in asked:
        raise NoSuchStep(f"the turn {name} of {session} has {len(asked)} model calls, not {call}")
    event, state = asked[wanted]
    used = _tokens(events, wanted)
    return await _sent(source, session, state, event, (wanted - min(asked) + 1, len(asked)), used)


def _which(session: str, ledger: Ledger, turn: str, step: int | None) -> tuple[str, int | None]:
    """The turn, and which model call of it."""
    if not ledger.rows:
        raise NoSuchStep(f"there is no session {session!r}, or nothing has happened in it")
    if turn:
        found = [row.turn for row in ledger.rows if row.turn == turn or row.turn.startswith(turn)]
        if turn in found:
            found = [turn]
        if len(found) != 1:
            raise NoSuchStep(f"{session} has {len(found) or 'no'} turn{'s' if found else ''} named {turn!r}")
        return found[0], step
    if step is None:
        return ledger.rows[-1].turn, None
    place = ledger.find(step)
    if place is None:
        raise NoSuchStep(f"{session} has the steps 1 to {ledger.steps}, not {step}")
    position, before = place
    row = ledger.rows[position]
    number = step - before - 1
    if number <= row.kept:
        what = "a message" if number == 0 else "kept from the session it branched off"
        raise NoSuchStep(f"step {step} of {session} is {what}: no model was asked; take a later one")
    return row.turn, number - row.kept


def _asked(base: Turn, events: Sequence[Event]) -> dict[int, tuple[Event, Turn]]:
    """The last request of each model call of a turn, and the state it was made from."""
    found: dict[int, tuple[Event, Turn]] = {}
    turn = base
    for event in events:
        turn = take(turn, event)
        if event.kind == ModelRequested.kind and turn.asked is not None:
            found[turn.asked.step] = (event, turn)
    return found


def _tokens(events: Sequence[Event], step: int) -> int | None:
    for event in events:
        if event.kind == ModelResponded.kind:
            try:
                said = ModelResponded.of(event)
            except EventMismatch:
                continue
            if said.step == step and said.usage.input_tokens:
                return said.usage.input_tokens
    return None


async def _sent(
    source: Source, session: str, state: Turn, event: Event, place: tuple[int, int], used: int | None
) -> SentPrompt:
    asked = state.asked
    assert asked is not None
    request, problems = await prompt_of(source, session, state)
    messages = request.messages if request is not None else ()
    talk, _ = await stretch(source, names_of(session)[1], asked.talk or Talk())
    tools = asked.tools or "[]"
    characters = len(tools) + sum(map(_length, messages))
    ratio = characters / used if used else CHARACTERS
    call, calls = place
    return SentPrompt(
        session=session,
        turn=state.id,
        call=call,
        calls=calls,
        attempt=asked.attempt,
        at=event.at,
        provider=asked.provider,
        model=asked.model,
        composition=asked.composition,
        parts=tuple(_parts(state, asked, messages, len(talk), tools, ratio)),
        characters=characters,
        tokens=used,
        characters_per_token=round(ratio, 2),
        tools=tuple(spec.name for spec in read_specs(tools)) if request is not None else (),
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        tool_choice=asked.tool_choice,
        schema=asked.response_schema is not None,
        digest=asked.digest,
        exact=request is not None and digest_of(canonical(request)) == asked.digest,
        problems=tuple(problems),
    )


def _parts(
    turn: Turn, asked: ModelRequested, messages: Sequence[Message], shown: int, tools: str, ratio: float
) -> list[SentPart]:
    """The parts, in order.

    Args:
        shown: how many messages of the talk are among the messages, right behind the system message.
    """

    def part(name: str, why: str, characters: int, size: PartSize | None, **more: object) -> SentPart:
        budget = size.budget if size is not None else 0
        return msgspec.structs.replace(
            SentPart(name, why, characters, round(characters / ratio), budget), **more
        )

    sizes = {size.name: size for size in asked.parts or ()}
    found: list[SentPart] = []
    if asked.parts is None:
        system = asked.system or ""
        found.append(part("system", "written before prompts had parts", len(system), None, text=system))
    for each in parts_of(asked.system or "", asked.parts or ()):
        cut = f"{each.cut} characters do not fit" if each.cut else ""
        found.append(
            part(each.name, WHY[each.name], len(each.text), sizes[each.name], cut=cut, text=each.text)
        )
    if not messages:
        return found
    talk, rest = messages[1 : shown + 1], messages[shown + 1 :]
    earlier = "talk" in sizes and sizes["talk"].cut
    if talk or earlier:
        cut = "earlier messages are not shown" if earlier else ""
        size = sizes.get("talk")
        found.append(part("talk", WHY["talk"], sum(map(_length, talk)), size, cut=cut, messages=tuple(talk)))
    short = shortened_places(turn, room) if (room := turn_room(asked.parts)) is not None else ()
    cut = f"{len(short)} results of tools are shortened" if short else ""
    size = sizes.get("turn")
    found.append(part("turn", WHY["turn"], sum(map(_length, rest)), size, cut=cut, messages=tuple(rest)))
    if tools != "[]":
        found.append(part("tools", "the tools on offer, as JSON schemas", len(tools), None, text=tools))
    return found


def _length(message: Message) -> int:
    return len(message.content) + sum(len(msgspec.json.encode(call.arguments)) for call in message.tool_calls)
