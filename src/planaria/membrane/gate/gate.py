"""The gate: the one way a tool is called, whoever calls, and the one place that knows what a call came to.

Registered → offered → arguments valid → within scope → breaker → budget → approval → `tool.started` → run →
`tool.finished`. A value, not a process: it runs in the
task that calls, so it ends with it. A call goes by its session and call id: one that has finished is never run again,
whoever asks gets its outcome; of one that was started and not finished nobody knows whether it took effect, and the
tool's `on_unknown` says what becomes of it (`unknown.py`). A first call reads nothing: the journal takes
`tool.started` once, and only when it refuses the second is anything looked up.

    outcome = await gate.call(name, arguments, context, authority)

or, to write the beginning or the end of a call in one append with events of the caller's own:

    prepared = gate.prepare(name, arguments, context, authority)
    await Journal.append("journal", [responded, *prepared.events])
    ended = await gate.execute(prepared)
    await Journal.append("journal", [*ended.events, requested])

The sandbox is the tool's: what runs programs runs them there, within the authority in its context.
Emits in `context.session`: `tool.started`, `tool.repeated`, `tool.finished`. A call refused before it ran emits only
the last.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from planaria.config.breakers import FailureClass
from planaria.cortex.errors import EventRefused
from planaria.cortex.event import NewEvent, new_id
from planaria.cortex.journal import Journal
from planaria.cortex.patience import patiently
from planaria.cortex.redact import Redactor
from planaria.cortex.telemetry.conventions import caller_key
from planaria.cortex.telemetry.signal import Value
from planaria.cortex.telemetry.span import span
from planaria.membrane.authority import Authority, Refusal
from planaria.membrane.events import ApprovalDecided, Missing, ToolFinished, ToolStarted
from planaria.membrane.gate.approval import Hold, ask, asked, hold
from planaria.membrane.gate.check import Passed, check, place_of, still
from planaria.membrane.gate.guarding import closed_now, let_through
from planaria.membrane.gate.loading import load_tools
from planaria.membrane.gate.outcome import as_text, bounded, json_size, outcome_of, shortened, spoken
from planaria.membrane.gate.prepared import Ended, Prepared, call_event
from planaria.membrane.gate.registry import Registry, ToolConflict, nearest_tool
from planaria.membrane.gate.remembered import approved_of
from planaria.membrane.gate.unknown import settle
from planaria.membrane.tool import (
    Context,
    Denied,
    Done,
    Failed,
    HeldBack,
    MissingService,
    Outcome,
    Tool,
    ToolCrashed,
)
from planaria.otp import CallError, Exit, Pid, Server, broadcast, now, self_, wait_down

__all__ = ["Ended", "Gate", "Prepared", "ToolConflict", "granted", "load_tools", "spoken"]

TOPIC = "tools"
ARGUMENT_LIMIT = 2_000  # characters of one argument that are journaled


class ToolsChanged(msgspec.Struct, frozen=True):
    """Other tools are there now, from this source."""

    source: str


class Gate:
    """The tools of a node.

    Args:
        tools: each name once.
        journal: who is told of each call.
        questions: who asks people about calls whose outcome nobody knows.
        lacking: tools that nobody is offered, as the node lacks something, with what to write (`Tool.lacking`).
    Raises:
        ToolConflict: if a name comes twice.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        journal: Server = "journal",
        questions: Server = "questions",
        lacking: Mapping[str, str] | None = None,
    ) -> None:
        missing = lacking or {}
        self._registry = Registry(
            replace(each, lacking=missing[each.name]) if each.name in missing else each for each in tools
        )
        self._journal = journal
        self._questions = questions
        self._redactor = Redactor()
        self._under_way: dict[str, Pid] = {}  # by `Prepared.key`
        self._waiting: set[str] = set()  # of them, those that wait for people or a moment

    def tools(self) -> list[Tool]:
        """All tools, by name."""
        return [self._registry.tools[name] for name in self._registry.names()]

    def find(self, name: str) -> Tool | None:
        """The tool of this name."""
        return self._registry.tools.get(name)

    def put(self, source: str, tools: Sequence[Tool]) -> None:
        """Offer the tools of a file, or another source that comes and goes, in place of those it had before.

        Tells `ToolsChanged` on the topic `tools`.

        Raises:
            ToolConflict: another source has a tool of that name; nothing has changed.
        """
        self._registry.put(source, tools)
        broadcast(TOPIC, ToolsChanged(source))

    def offered(self, authority: Authority | Sequence[str]) -> list[Tool]:
        """The tools that are on offer: named, and their capabilities granted for something."""
        return self._registry.offered(self._registry.authority(authority))

    def refusal(self, tool: Tool, authority: Authority) -> Refusal | None:
        """Why a tool is not on offer; None: it is."""
        return self._registry.clearance(tool, authority).refusal

    def unknown(self, names: Sequence[str]) -> dict[str, str | None]:
        """Words of `tools:` that match no tool, each with the nearest name: a typo in a record."""
        known = self._registry.names()
        idle = (word for word in names if not any(granted(name, (word,)) for name in known))
        return {word: nearest_tool(word, known) for word in idle}

    def is_waiting(self, session: str, call_id: str) -> bool:
        """Whether a call under way waits for people or for a moment, so that a limit of time says nothing about it."""
        return f"{session}/{call_id}" in self._waiting

    # --- calling -------------------------------------------------------------------------------------------------

    async def call(
        self,
        name: str,
        arguments: dict[str, Any],
        context: Context,
        authority: Authority | Sequence[str],
        *,
        begun: bool = False,
    ) -> Outcome:
        """Call a tool, or get the outcome of the call that has this id already.

        Args:
            name: as in `Tool.name`.
            arguments: as a model or a workflow gave them.
            context: who calls; its `call_id` is made up if empty.
            authority: what the caller may do; a bare sequence of names stands for these tools with the safe
                capabilities. Checked here again, though it was not offered more.
            begun: the caller knows that this call was started before, and by whom it was is over; spares a write.
        Returns:
            The tool's answer, bounded. Every refusal and every exception inside the tool is a `Failed`.
        Raises:
            JournalUnavailable, CallError: the journal cannot write, or is not there. A call whose start cannot be
                noted is not made, so the calling task ends with this. Its end is noted as soon as the journal is back.
        """
        prepared = self.prepare(name, arguments, context, authority)
        while (other := self._under_way.get(prepared.key)) is not None and other is not self_():
            await wait_down(other)
            if self._under_way.get(prepared.key) is other:
                del self._under_way[prepared.key]
        with self._alone(prepared):
            if begun and prepared.refused is None:
                return await self._again(prepared)
            try:
                await self._append(prepared.events)
            except EventRefused as error:
                if error.duplicate_of == prepared.id:
                    return await self._again(prepared)
                problem = Failed(f"this call of {name} cannot be written down: {error.reason}")
                return await self._close(prepared, Ended(problem, (self._finished(prepared, problem, 0.0),)))
            return await self.run(prepared)

    def prepare(
        self, name: str, arguments: dict[str, Any], context: Context, authority: Authority | Sequence[str]
    ) -> Prepared:
        """Check a call; see `call` for the arguments. Its events are to be appended before it is run."""
        name = as_text(name)
        if not context.call_id:
            context = context.with_call(new_id())
        authority = self._registry.authority(authority)
        checked = check(self._registry, name, arguments, authority, context)
        if isinstance(checked, Failed):
            return self._refused(name, arguments, context, checked)
        if (closed := closed_now(checked.tool)) is not None:
            return self._refused(name, arguments, context, closed)
        if checked.tool.needs and context.authority is not authority:
            context = replace(context, authority=authority)
        if checked.held:
            return self._held(checked, arguments, context)
        return self._ready(checked, arguments, context)

    def _refused(self, name: str, arguments: dict[str, Any], context: Context, refused: Failed) -> Prepared:
        shown = self._shown(arguments) if isinstance(json_size(arguments), int) else {}
        finished = _finished_type(context, name, refused, 0.0, arguments=shown, caller=context.caller)
        return Prepared(name, context, (call_event(context, finished),), refused=refused)

    def _ready(
        self, checked: Passed, arguments: dict[str, Any], context: Context, *more: NewEvent
    ) -> Prepared:
        shown = self._shown(arguments)
        name = checked.tool.name
        started = ToolStarted(context.call_id, name, shown, context.caller)
        events = (call_event(context, started), *more)
        return Prepared(name, context, events, checked.tool, checked.bound, shown)

    def _held(self, checked: Passed, arguments: dict[str, Any], context: Context) -> Prepared:
        """A call that a person must approve, unless one has done so for all of its kind."""
        name = checked.tool.name
        held = hold(name, checked.bound, checked.held, place_of(context))
        if isinstance(held, Denied):
            return self._refused(name, arguments, context, held)
        known = approved_of(self_().node).find(
            context.caller, name, context.session, held.touched, held.digest, held.proof
        )
        authority = context.authority
        if known is not None and not known.session and authority is not None:
            # What was approved for an agent for good was not approved for whoever has it work for him.
            known = known if all(map(authority.is_own, checked.held)) else None
        if known is not None:
            decided = ApprovalDecided(
                *(context.call_id, name, "remembered", known.by, known.via, known.id, held.digest)
            )
            return self._ready(checked, arguments, context, call_event(context, decided))
        ready = self._ready(checked, arguments, context)
        waits = call_event(context, asked(name, context, held))
        return msgspec.structs.replace(ready, events=(waits,), begins=ready.events, hold=held)

    async def run(self, prepared: Prepared) -> Outcome:
        """Run a call whose events are in the journal, and write down how it ended."""
        with self._alone(prepared):
            ended = await self.execute(prepared)
            return await self._close(prepared, ended) if prepared.refused is None else ended.outcome

    async def execute(self, prepared: Prepared) -> Ended:
        """Run a call whose events are in the journal; the end is for the caller to write down.

        A call that a person must approve waits here for them, and begins when they have said so.
        """
        if prepared.refused is not None or prepared.tool is None:
            assert prepared.refused is not None
            return Ended(prepared.refused, ())
        with self._alone(prepared):
            if prepared.hold is None:
                return await self._run(prepared, prepared.tool)
            with self._patient(prepared):
                decision = await ask(prepared.name, prepared.context, prepared.hold, self._questions)
            if decision.refusal is not None:
                end = self._finished(prepared, decision.refusal, 0.0)
                return Ended(decision.refusal, (*decision.events, end))
            if (changed := self._changed(prepared, prepared.tool, prepared.hold)) is not None:
                end = self._finished(prepared, changed, 0.0)
                return Ended(changed, (*decision.events, end))
            begins = [*prepared.begins, *decision.events]
            began = await patiently(lambda: Journal.append(self._journal, begins))
            ended = await self._run(prepared, prepared.tool)
            return msgspec.structs.replace(ended, began=tuple(began))

    def _changed(self, prepared: Prepared, tool: Tool, held: Hold) -> Failed | None:
        """Why a call that was approved is not the one that was shown any more."""
        context = prepared.context
        passed = still(self._registry, tool, prepared.bound, context)
        if isinstance(passed, Failed):
            return passed
        if context.authority is None:
            return None
        again = hold(tool.name, passed.bound, passed.held, place_of(context)) if passed.held else held
        if isinstance(again, Denied) or again.touched != held.touched:
            return Failed(f"what {tool.name} touches changed while a person was asked; call it again")
        return None

    async def _run(self, prepared: Prepared, tool: Tool) -> Ended:
        """Run a call that has begun."""
        context = prepared.context
        guarded = let_through(tool, context)
        if isinstance(guarded, HeldBack):
            return Ended(guarded, (self._finished(prepared, guarded, 0.0),))
        about: dict[str, Value] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": prepared.name,
            "gen_ai.tool.call.id": context.call_id,
            "planaria.caller": context.caller,
        }
        begun = now()
        under, trace_id = caller_key(context.session, context.cause_id, context.effect_id), context.trace_id
        waits = self._patient(prepared) if tool.waits else nullcontext()
        told = False
        try:
            with waits, span("tool.call", about, trace_id=trace_id, under=under) as spent:
                answer, failure = await _answer(tool, context, prepared.bound)
                outcome = bounded(tool, answer)
                spent.set("planaria.branch", outcome.branch)
            told = True
            guarded.ended(outcome, failure)
        finally:
            if not told:
                guarded.gone()
        remembered = outcome.events if isinstance(outcome, Done) else ()
        return Ended(outcome, (*remembered, self._finished(prepared, outcome, now() - begun)))

    @contextmanager
    def _alone(self, prepared: Prepared) -> Generator[None]:
        """While this lasts another caller with the same id waits for this process."""
        key = prepared.key
        outermost = key not in self._under_way
        self._under_way[key] = self_()
        try:
            yield
        finally:
            if outermost:
                self._under_way.pop(key, None)

    @contextmanager
    def _patient(self, prepared: Prepared) -> Generator[None]:
        """While this lasts the call counts as waiting."""
        self._waiting.add(prepared.key)
        try:
            yield
        finally:
            self._waiting.discard(prepared.key)

    async def _close(self, prepared: Prepared, ended: Ended) -> Outcome:
        """Write down how a call ended; the first end counts, whoever wrote it.

        Waits while the journal is away: the outcome is known here and nowhere else.
        """
        try:
            await patiently(lambda: self._append(ended.events))
        except EventRefused as error:
            end = prepared.event_id(ToolFinished.kind)
            if error.duplicate_of == end:
                return await self._known(prepared) or ended.outcome
            problem = Failed(f"{prepared.name} answered what cannot be written down: {error.reason}")
            if ended.outcome == problem:
                raise
            return await self._close(prepared, Ended(problem, (self._finished(prepared, problem, 0.0),)))
        return ended.outcome

    async def _again(self, prepared: Prepared) -> Outcome:
        """A call that is in the journal already: its outcome, or what is done about one nobody knows."""
        if (known := await self._known(prepared)) is not None:
            return known
        if prepared.tool is None:  # refused now, started by an earlier program that offered the tool
            assert prepared.refused is not None
            return prepared.refused
        if prepared.hold is not None and not await self._has_begun(prepared):
            return await self.run(prepared)  # it waits for a person, still
        with self._patient(prepared):
            settled = await settle(prepared, self._journal, self._questions)
        if settled is None:
            # Who had to approve it has done so: it has begun.
            return await self.run(msgspec.structs.replace(prepared, hold=None))
        return await self._close(prepared, Ended(settled, (self._finished(prepared, settled, 0.0),)))

    async def _known(self, prepared: Prepared) -> Outcome | None:
        """The outcome of a call that has finished."""
        end = prepared.event_id(ToolFinished.kind)
        event = await Journal.find(self._journal, end)
        return None if event is None else outcome_of(event)

    async def _has_begun(self, prepared: Prepared) -> bool:
        return await Journal.find(self._journal, prepared.event_id(ToolStarted.kind)) is not None

    async def _append(self, events: Sequence[NewEvent]) -> None:
        await Journal.append(self._journal, events)

    # --- checks and notes ----------------------------------------------------------------------------------------

    def _finished(self, prepared: Prepared, outcome: Outcome, seconds: float) -> NewEvent:
        return call_event(prepared.context, _finished_type(prepared.context, prepared.name, outcome, seconds))

    def _shown(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments for the journal, which masks their secrets: long ones cut, masked before that."""
        plain = msgspec.to_builtins(arguments)
        return {name: self._cut(value) for name, value in plain.items()}

    def _cut(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if len(value) <= ARGUMENT_LIMIT else self._shortened(value)
        if isinstance(value, int | float | None):
            return value
        encoded = msgspec.json.encode(value)
        return value if len(encoded) <= ARGUMENT_LIMIT else self._shortened(encoded.decode())

    def _shortened(self, text: str) -> str:
        # The piece of a secret that a cut leaves would be known by nobody.
        return shortened(self._redactor.text(text), ARGUMENT_LIMIT)


def _finished_type(
    context: Context, name: str, outcome: Outcome, seconds: float, **refused: Any
) -> ToolFinished:
    spent = round(seconds * 1000, 3)
    if isinstance(outcome, Done):
        said = {"value": outcome.value, "text": outcome.text}
        return ToolFinished(context.call_id, name, outcome.branch, spent, outcome=said, **refused)
    if isinstance(outcome, Denied):
        refused["denied"] = Missing(outcome.capability, outcome.scope, outcome.grant)
    elif isinstance(outcome, HeldBack):
        refused["held_back"] = outcome.by
    return ToolFinished(
        context.call_id, name, outcome.branch, spent, error=outcome.error, retry=outcome.retry, **refused
    )


def granted(name: str, words: Sequence[str]) -> bool:
    """Whether one of the words of `tools:` names this tool: its name, `family.*`, or `*`."""
    return any(fnmatchcase(name, word) for word in words)


async def _answer(
    tool: Tool, context: Context, arguments: dict[str, Any]
) -> tuple[Outcome, FailureClass | None]:
    """What a tool says, and of what class its failure is, if it did not say so itself."""
    try:
        return await tool.function(context, **arguments), None
    except MissingService as error:
        return Failed(f"{tool.name} cannot work here: {error}"), "failed"
    except CallError as error:
        return Failed(f"{tool.name} got no answer: {error}", retry=True), "unreachable"
    except ToolCrashed as error:
        return Failed(str(error)), "crash"
    except Exit:
        raise
    except Exception as error:  # noqa: BLE001 - by contract: what a tool raises is news for its caller
        return Failed(f"{tool.name} raised {type(error).__name__}: {error}"), "crash"
