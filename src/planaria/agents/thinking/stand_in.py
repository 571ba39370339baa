"""The tool that is called in place of one that a breaker holds back: `fallback: {web.fetch: notes.search}` of a record.

It gets the same arguments, under the same call id, and the model is told who answered (`turn.result_of`). What the
agent may not call, or what does not take these arguments, does not stand in: then the call has failed, with the reason.
"""

from planaria.agents.desk import Desk, find
from planaria.agents.turn.turn import ToolRun, Turn
from planaria.immune.breakers.table import breakers_of
from planaria.membrane.authority import Authority
from planaria.membrane.events import ToolStarted, tool_event_id
from planaria.membrane.gate.guarding import breaker_of
from planaria.membrane.gate.prepared import Prepared
from planaria.membrane.provider import ToolCall
from planaria.membrane.tool import Context, HeldBack
from planaria.otp import node_


def prepare(desk: Desk, call: ToolCall, context: Context, authority: Authority) -> Prepared:
    """Check a call a model asked for; see `Gate.prepare`."""
    other = stand_in(desk, call.name) if desk.definition.fallback else None
    if other is not None:
        prepared = desk.gate.prepare(other, call.arguments, context, authority)
        if prepared.refused is None or isinstance(prepared.refused, HeldBack):
            return prepared
    return desk.gate.prepare(call.name, call.arguments, context, authority)


async def named(desk: Desk, turn: Turn, run: ToolRun) -> str:
    """The tool of a call that is to be made: of one that was cut off the one it was begun with."""
    if not desk.definition.fallback:
        return run.call.name
    if run.cut_off:
        event = await find(tool_event_id(desk.session, run.place, ToolStarted.kind))
        return run.call.name if event is None else str(event.payload.get("tool", run.call.name))
    return prepare(desk, run.call, desk.context(turn, run.place), desk.authority_in(turn)).name


def stand_in(desk: Desk, name: str) -> str | None:
    """The tool that stands in for one of this name now; None while that may be called itself."""
    other = desk.definition.fallback.get(name)
    tool = None if other is None else desk.gate.find(name)
    if tool is None or breakers_of(node_()).state(breaker_of(tool)) != "open":
        return None
    return other
