"""Tools about the agent's own session: reading again what its prompt shows no longer."""

from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.journal import Journal
from planaria.membrane.events import ToolFinished, tool_event_id
from planaria.membrane.gate.outcome import outcome_of, spoken
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.membrane.web.outside import outside

MOST = 16_000
"""Characters read at once."""


@tool(idempotent=True, branches=("ok",))
async def result(context: Context, ref: str, offset: int = 0, length: int = 6000) -> Done | Failed:
    """Read the result of one of your earlier tool calls again, where it was cut or a note stands for it.

    Args:
        ref: its name, as the note or the cut says it: `<turn>/<step>/<number>`.
        offset: the character to begin at.
        length: characters to read, at most 16000.
    """
    if offset < 0 or not 0 < length <= MOST:
        return Failed(f"offset is 0 or more, length from 1 to {MOST}")
    name = ref.strip().strip("[]")
    try:
        event = await Journal.find("journal", tool_event_id(context.session, name, ToolFinished.kind))
    except JournalUnavailable as error:
        return Failed(str(error), retry=error.retry)
    if event is None:
        return Failed(f"this session has no result {name!r}; names stand in brackets in your notes")
    text = spoken(outcome_of(event))
    piece = text[offset : offset + length]
    left = max(len(text) - offset - length, 0)
    more = f"\n[{left} more characters; go on with offset {offset + length}]" if left else ""
    value = {"ref": name, "characters": len(text), "offset": offset, "left": left}
    return Done(value, text=outside(piece or "(nothing there)", f"result {name}") + more)
