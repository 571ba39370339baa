"""Answers that have to fit a schema: checked, in rooms and of children; and how a child ends.

A child's last words are in one append with the end of its turn.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from planaria.agents.desk import Desk, note
from planaria.agents.kinship import ChildFinished, finished_id
from planaria.agents.turn.steering import TurnChecked
from planaria.agents.turn.turn import MAX_REPAIRS, Say, Turn
from planaria.cortex.event import NewEvent
from planaria.membrane.provider import ModelResponse
from planaria.membrane.structured import BadSchema, Fit, Unfit, instruction, read, repair


def checked(desk: Desk, turn: Turn, response: ModelResponse) -> list[NewEvent]:
    """What is noted of an answer that was to fit a schema, and does not; nothing if it does, or need not."""
    schema = desk.schema
    if schema is None or response.tool_calls:
        return []
    found = _read(response.text, schema)
    if not isinstance(found, Unfit):
        return []
    step = len(turn.steps) + 1
    return [desk.event(turn, TurnChecked(turn.id, step, repair(found, schema)), f"{turn.id}/{step}")]


def formed(desk: Desk, words: Say) -> Say:
    """An answer as it is said in a room: its JSON alone; of one that does not fit, that it does not. Pure."""
    if desk.schema is None:
        return words
    if words.outcome != "answered":
        # What the model was told of its faults ends with what it was to do about them.
        return Say(words.text.replace(instruction(desk.schema), "").rstrip(), words.model, words.outcome)
    found = _read(words.text, desk.schema)
    if isinstance(found, Fit):
        return Say(msgspec.json.encode(found.value).decode(), words.model)
    faults = "; ".join(found.faults)
    return Say(f"I could not answer in the form that was asked for: {faults}", None, "failed")


def _read(text: str, schema: dict[str, Any]) -> Fit | Unfit:
    """What an answer is worth. A schema that turns out to be none is one that nothing fits."""
    try:
        return read(text, schema)
    except BadSchema as error:
        return Unfit((str(error),), text)


def finished(desk: Desk, turn: Turn, words: Say) -> ChildFinished:
    """What a child came to. Pure."""
    assert desk.child is not None
    outcome, value = words.outcome, None
    if desk.child.schema is not None and outcome == "answered":
        found = _read(words.text, desk.child.schema)
        if isinstance(found, Fit):
            value = found.value
        else:
            outcome = "invalid"
    if outcome == "failed" and turn.repairs >= MAX_REPAIRS:
        outcome = "invalid"
    spent = turn.spent
    return ChildFinished(
        desk.session, outcome, words.text, value, spent.steps, spent.tokens, spent.cost_micro
    )


async def finish(desk: Desk, turn: Turn, words: Say, first: Sequence[NewEvent] = ()) -> None:
    """Write how a child ended, and the end of its turn. The first end counts, whoever wrote it.

    Args:
        first: what is to be written before.
    """
    result = desk.event(turn, finished(desk, turn, words))
    # Its id goes by the child alone: it ends once, whoever writes that.
    named = msgspec.structs.replace(result, id=finished_id(desk.session))
    started = () if turn.begun else (desk.started(turn, len(turn.steps)),)
    await note([*first, *started, named, desk.finished(turn, words.outcome)])
