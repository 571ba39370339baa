"""A stored run as a regression test: would the present code decide as it did then?

    replay("tests/runs/greeting.jsonl")                       # decisions and prompts, from the run alone
    replay("tests/runs/greeting.jsonl", agent=definition, tools=load_tools(planaria.tools), garden=files)

The model's answers and the tools' results are those of the run; nothing outside is called. Made anew by the present
code are: what a turn does next, the prompt of each model call, whether a tool call is taken, what is said in the end.
Given the agent, its system text and the tools it is offered as well. A difference raises `Differs` with both sides.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from planaria.agents.definition import AgentDefinition
from planaria.agents.past.replay import ledger_of, names_of
from planaria.agents.past.seed import trace_of_turn
from planaria.agents.past.source import Source, StoredSource
from planaria.agents.past.stored import at_once, read_run, sessions_of
from planaria.agents.prompt.prompt import Told, assemble, choose, former_system_text, parts_of, system_text
from planaria.agents.prompt.request import canonical, digest_of, read_specs, rebuilt, specs_text, talk_of
from planaria.agents.turn.events import ModelRequested, ModelResponded, TurnFinished
from planaria.agents.turn.turn import UNREADABLE, Act, Action, Ask, Say, Think, Turn, next_action, take
from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.membrane.events import ToolFinished, ToolStarted
from planaria.membrane.gate.gate import Gate
from planaria.membrane.parameters import ArgumentError
from planaria.membrane.tool import Tool
from planaria.rooms.message import RoomMessage, room_name
from planaria.rooms.transcript import KINDS as ROOM_KINDS
from planaria.rooms.transcript import Transcript

KEPT = ("amendments", "plan", "handoff")
"""Parts of a system text that come from what happened, not from agent and garden."""
DEFAULT_STEPS = 12
"""Model calls of one turn, for a run whose agent is not given."""


class Differs(AssertionError):
    """The present code would decide otherwise than the run did; the text says where, and shows both.

    Attributes:
        turn: the turn in which it would.
        what: `prompt`, `system`, `tools`, `talk`, `action`, `call`, `answer`.
    """

    def __init__(self, turn: str, what: str, text: str) -> None:
        self.turn = turn
        self.what = what
        super().__init__(text)


class Checked(msgspec.Struct, frozen=True):
    """What was found to be as it was."""

    turns: int = 0
    prompts: int = 0
    calls: int = 0


def replay(
    stored: Path | str | Iterable[Event],
    *,
    session: str = "",
    agent: AgentDefinition | None = None,
    tools: Iterable[Tool] | None = None,
    garden: Mapping[str, str] | None = None,
    max_steps: int | None = None,
) -> Checked:
    """Check a stored run against the present code.

    Args:
        stored: a file as `planaria journal export` writes it, or events: those of the session and of its room.
        session: which one, if there are several.
        agent: given, system text and tools on offer are made anew from it and compared.
        tools: given, each call is checked against them; with `agent`, what is offered, too.
        garden: texts of the garden's own files by part of the prompt (`soul`, `contract`), for the system text.
        max_steps: by default the agent's, else 12.
    Returns:
        How much was checked.
    Raises:
        Differs: the first difference.
        Unfit: the file is no export.
        ValueError: nothing to check, or it is not clear what.
    """
    events = read_run(Path(stored)) if isinstance(stored, str | Path) else list(stored)
    found = [session] if session else sessions_of(events)
    if len(found) != 1:
        raise ValueError(f"name one session of these: {', '.join(found) or 'there is none'}")
    steps = max_steps or (agent.max_steps if agent else DEFAULT_STEPS)
    run = _Run(
        StoredSource(events), found[0], agent, Gate(tools) if tools is not None else None, garden or {}, steps
    )
    return at_once(run.check())


class _Run:
    """One run being checked."""

    def __init__(
        self,
        source: StoredSource,
        session: str,
        agent: AgentDefinition | None,
        gate: Gate | None,
        garden: Mapping[str, str],
        max_steps: int,
    ) -> None:
        self.source: Source = source
        self.events = source.events
        self.session = session
        self.agent = agent
        self.gate = gate
        self.garden = garden
        self.max_steps = max_steps
        self.name, self.room = names_of(session)
        self.prompts = self.calls = 0

    async def check(self) -> Checked:
        ledger = await ledger_of(self.source, self.session)
        if not ledger.rows:
            raise ValueError(f"nothing has happened in {self.session}")
        for row in ledger.rows:
            base, events = await trace_of_turn(self.source, self.session, row.turn)
            await self._turn(base, events)
        return Checked(len(ledger.rows), self.prompts, self.calls)

    async def _turn(self, base: Turn, events: Sequence[Event]) -> None:
        turn = base
        for event in events:
            before, turn = turn, take(turn, event)
            if turn.gone:
                what = turn.last_error if turn.gone == UNREADABLE else f"event {event.id} was {event.state}"
                raise ValueError(f"turn {turn.id} cannot be checked: {what}")
            match event.kind:
                case ModelRequested.kind:
                    self._expect(before, event, isinstance(self._next(before), Think), "asked the model")
                    await self._prompt(before, turn, ModelRequested.of(event))
                case ModelResponded.kind:
                    self._parsed(turn)
                case ToolStarted.kind:
                    self._call(before, event)
                case ToolFinished.kind:
                    self._refused(before, event)
                case TurnFinished.kind:
                    await self._end(before, TurnFinished.of(event))
                case _:
                    pass

    def _next(self, turn: Turn) -> Action:
        return next_action(turn, self.max_steps)

    def _expect(self, turn: Turn, event: Event, as_then: bool, then: str) -> None:
        if not as_then:
            raise Differs(
                turn.id,
                "action",
                f"turn {turn.id}, after {len(turn.steps)} answers: it {then} then (event {event.seq}), "
                f"and would now {_words(self._next(turn))}",
            )

    def _parsed(self, turn: Turn) -> None:
        if not turn.steps:
            raise Differs(turn.id, "answer", f"turn {turn.id}: the model's answer is no longer taken in")

    # --- prompts ------------------------------------------------------------------------------------------------

    async def _prompt(self, before: Turn, turn: Turn, said: ModelRequested) -> None:
        asked = turn.asked
        if asked is None or not asked.digest or asked.talk is None:
            return  # written by an older program: what was sent is not known
        where = f"turn {turn.id}, model call {said.step + 1}"
        room = self._room_at(asked.talk.last)
        hidden = {turn.message.id, *asked.talk.left_out}
        shown = choose(list(room.messages.values()), hidden) if asked.talk.last else []
        now = talk_of(shown, [message for message in room.messages.values() if message.id in hidden])
        if (now.first, now.last) != (asked.talk.first, asked.talk.last):
            raise Differs(
                turn.id,
                "talk",
                f"{where}: it was shown the events {asked.talk.first} to {asked.talk.last} of {room_name(self.room)}, "
                f"and would now be shown {now.first} to {now.last}",
            )
        if self.agent is not None:
            self._offer(where, turn, asked, room, shown)
        request = rebuilt(self.session, asked, before, shown)
        if digest_of(canonical(request)) != asked.digest:
            messages = "\n".join(f"  {m.role}: {m.content}" for m in request.messages)
            raise Differs(
                turn.id,
                "prompt",
                f"{where}: another prompt than the one sent ({asked.messages} messages, digest {asked.digest}).\n"
                f"Built now ({len(request.messages)} messages):\n{messages}",
            )
        self.prompts += 1

    def _offer(
        self, where: str, turn: Turn, asked: ModelRequested, room: Transcript, shown: Sequence[RoomMessage]
    ) -> None:
        assert self.agent is not None
        others = [name for name in room.members if name != self.name]
        then, now = self._systems(self.agent, turn, asked, others)
        _same(turn.id, "system", f"{where}: another system text", then, now)
        if self.gate is not None:
            offered = [tool.spec for tool in self.gate.offered(self.agent.authority())]
            before = "\n".join(_pretty(spec) for spec in read_specs(asked.tools or "[]"))
            present = "\n".join(_pretty(spec) for spec in read_specs(specs_text(offered)))
            _same(turn.id, "tools", f"{where}: other tools on offer", before, present)

    def _systems(
        self, agent: AgentDefinition, turn: Turn, asked: ModelRequested, others: Sequence[str]
    ) -> tuple[str, str]:
        """The system text as it was, and as it would be now; without the parts that nothing here makes anew."""
        author, system = turn.message.author, asked.system or ""
        if asked.composition == 1:
            return system, former_system_text(agent, self.room, author, others, self.garden.values())
        parts = parts_of(system, asked.parts or ())
        earlier = any(part.name == "talk" and part.cut for part in asked.parts or ())
        now = assemble(Told(agent, self.room, author, tuple(others), self.garden, earlier=earlier))
        kept = [part for part in parts if part.name not in KEPT]
        return system_text(kept), system_text(now)

    def _room_at(self, seq: int) -> Transcript:
        room = Transcript(self.room)
        session = room_name(self.room)
        for event in self.events:
            if event.session == session and event.kind in ROOM_KINDS and event.seq <= seq:
                room.take(event)
        return room

    # --- calls and answers ---------------------------------------------------------------------------------------

    def _call(self, before: Turn, event: Event) -> None:
        action = self._next(before)
        place = str(event.payload.get("call_id"))
        wanted = {run.place: run for run in action.runs} if isinstance(action, Act) else {}
        began = any(place in step.begun for step in before.steps)
        self._expect(before, event, place in wanted or began, f"called {event.payload.get('tool')}")
        if self.gate is not None and place in wanted:
            run = wanted[place]
            problem = self._problem(run.call.name, run.call.arguments)
            if problem:
                raise Differs(
                    before.id, "call", f"call {place} was made then, and would now be refused: {problem}"
                )
            self.calls += 1

    def _refused(self, before: Turn, event: Event) -> None:
        place = str(event.payload.get("call_id"))
        if self.gate is None or any(place in step.begun for step in before.steps):
            return
        action = self._next(before)
        for run in action.runs if isinstance(action, Act) else ():
            if run.place == place and not self._problem(run.call.name, run.call.arguments):
                then = ToolFinished.of(event).error
                raise Differs(
                    before.id, "call", f"call {place} was refused then ({then}), and would now be made"
                )

    def _problem(self, name: str, arguments: dict[str, object]) -> str:
        assert self.gate is not None
        tool = self.gate.find(name)
        if tool is None:
            return f"there is no tool {name!r}"
        if self.agent is not None and tool not in self.gate.offered(self.agent.authority()):
            return f"{name!r} is not granted to {self.agent.name}"
        try:
            tool.arguments.bind(arguments)
        except ArgumentError as error:
            return str(error)
        return ""

    async def _end(self, before: Turn, finished: TurnFinished) -> None:
        action = self._next(before)
        if not isinstance(action, Say):
            if finished.outcome == "answered":
                raise Differs(
                    before.id, "action", f"turn {before.id} ended then, and would now {_words(action)}"
                )
            return  # given up for a reason outside: a crash, a state that could not be trusted
        if action.outcome != finished.outcome:
            raise Differs(
                before.id, "answer", f"turn {before.id} was {finished.outcome} then, and now {action.outcome}"
            )
        query = Query(session=room_name(self.room), trace_id=before.message.trace_id)
        for event in await self.source.read(query):
            mine = event.payload.get("author") == self.name and event.cause_id == before.message.id
            if mine and event.payload.get("attempt", 1) == before.attempt and event.state == "whole":
                text = f"turn {before.id}: another answer"
                _same(before.id, "answer", text, str(event.payload["text"]), action.text)


def _words(action: Action) -> str:
    match action:
        case Think(step=step):
            return f"ask the model for answer {step + 1}"
        case Act(runs=runs):
            return f"call {', '.join(run.call.name for run in runs)}"
        case Say(text=text, outcome=outcome):
            return f"say {text!r} ({outcome})"
        case Ask():
            return "ask a person"


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2).decode()


def _same(turn: str, what: str, text: str, then: str, now: str) -> None:
    if then == now:
        return
    lines = difflib.unified_diff(then.splitlines(), now.splitlines(), "then", "now", lineterm="", n=2)
    raise Differs(turn, what, "\n".join([text, *lines]))
