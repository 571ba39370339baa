"""Calls that were started and not finished: the node was killed meanwhile, and nobody knows whether they took effect.

What becomes of one is the tool's `on_unknown`:

- `retry`: it is made again under the same call id, by which the tool keys its effect;
- `fail`: its caller is told that nobody knows;
- `ask`: a person is asked, and says that it did take effect (and what came of it), to do it again, or to give it up.
  The call waits for the answer as long as it takes, also over further restarts.

Each repeat is noted before it is made. A call that is cut off again and again is given up in the end, as it may be
what ends the node; a tool that only waits is not suspected.
"""

import msgspec

from planaria.cortex.durable.question import Closed
from planaria.cortex.durable.questions import Questions
from planaria.cortex.errors import EventRefused
from planaria.cortex.journal import Journal
from planaria.membrane.events import ToolRepeated
from planaria.membrane.gate.outcome import shortened
from planaria.membrane.gate.prepared import Prepared
from planaria.membrane.tool import Done, Failed, Outcome
from planaria.otp import Server

MOST_REPEATS = 5
"""Times a call may be cut off and made again without a person being asked."""
UNKNOWN = (
    "the node stopped while this tool ran, so nobody knows whether it took effect. "
    "It was not run again; look before you repeat it."
)
IT_DID, AGAIN, GIVE_UP = "it did", "do it again", "give up"
OPTIONS = (IT_DID, AGAIN, GIVE_UP)
SHOWN = 1500
"""Characters of the arguments in a question."""


async def settle(prepared: Prepared, journal: Server, questions: Server) -> Outcome | None:
    """What a call of unknown outcome comes to; None: it is to be run again, which is in the journal.

    Raises:
        JournalUnavailable, CallError: the journal cannot be used.
    """
    tool = prepared.tool
    assert tool is not None
    match tool.on_unknown:
        case "fail":
            return Failed(UNKNOWN)
        case "retry":
            return await _repeat(prepared, journal, "retry", None if tool.waits else MOST_REPEATS)
        case "ask":
            return await _ask(prepared, journal, questions)


async def _repeat(prepared: Prepared, journal: Server, why: str, most: int | None) -> Failed | None:
    """Note that the call is made again; `Failed` if that was often enough."""
    number = await _repeats(prepared, journal) + 1
    if most is not None and number > most:
        return Failed(f"this tool was cut off {number} times while it ran, so it was not run again")
    again = ToolRepeated(prepared.context.call_id, prepared.name, number, why)
    try:
        await Journal.append(journal, [prepared.event(again, number)])
    except EventRefused as error:
        if error.duplicate_of is None:
            raise
    return None


async def _repeats(prepared: Prepared, journal: Server) -> int:
    """How often the call was made again so far."""
    number = 0
    while await Journal.find(journal, prepared.event_id(ToolRepeated.kind, number + 1)):
        number += 1
    return number


async def _ask(prepared: Prepared, journal: Server, questions: Server) -> Outcome | None:
    """Let a person say what became of the call."""
    context = prepared.context
    number = await _repeats(prepared, journal)
    question = await Questions.ask(
        _words(prepared),
        key=prepared.event_id("tool.question", number + 1),
        by=context.caller,
        options=OPTIONS,
        room=context.room or "",
        trace_id=context.trace_id,
        cause_id=prepared.id,
        subject=context.subject,
    )
    closed = await Questions.wait(questions, question)
    if closed is None or closed.how != "answered":
        return Failed(UNKNOWN)
    if closed.option == AGAIN:
        return await _repeat(prepared, journal, f"person:{closed.by}", None)
    return _decided(prepared, closed)


def _decided(prepared: Prepared, closed: Closed) -> Outcome:
    by = closed.by or "somebody"
    remark = f": {closed.text}" if closed.text else ""
    if closed.option == IT_DID:
        assert prepared.tool is not None
        text = f"The node stopped while this tool ran; {by} says that it took effect{remark}"
        return Done(closed.text or None, prepared.tool.branches[0], text)
    return Failed(f"the node stopped while this tool ran, and {by} gave it up{remark}")


def _words(prepared: Prepared) -> str:
    shown = shortened(msgspec.json.encode(prepared.shown).decode(), SHOWN)
    return (
        f"The node stopped while {prepared.context.caller} ran {prepared.name} with {shown}. "
        f"Did it take effect? Say `{IT_DID}` (and what came of it), `{AGAIN}` or `{GIVE_UP}`."
    )
