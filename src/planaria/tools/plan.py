"""Tools for an agent's plan: a checklist below `notes/plans/`, shown in its prompt, edited by people, too.

Which plan is meant follows from who calls, so nobody writes another's; by other tools plans can be written only under
a scope that names their folder.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from planaria.agents.kinship import is_child
from planaria.agents.prompt.plan import (
    LONGEST_ITEM,
    MOST_ITEMS,
    changed,
    is_of,
    items_of,
    plan_path,
    plan_text,
    renewed,
)
from planaria.membrane.capability import Touch
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.records.errors import Problem
from planaria.records.library import Library
from planaria.records.record import Record
from planaria.records.scan import CHANGED

type What = Literal["open", "doing", "done", "dropped"]
MOST_TRIES = 20
"""Times a plan is read and written before it is given up that others write it, too."""
PLANS = "notes/plans/plan.md"
"""Stands for the caller's own plan where it is judged whether it may touch plans."""


def _read(_: object) -> tuple[Touch, ...]:
    return (Touch("records.read", PLANS),)


def _written(_: object) -> tuple[Touch, ...]:
    return (Touch("plans.write", "own"),)


@tool(needs={"plans.write"}, touches=_written, branches=("ok",), idempotent=True, name="plan.set")
async def set_plan(context: Context, items: list[str], goal: str = "") -> Done | Failed:
    """Write your plan for this room anew: what is to be done, in order. It stays in view until you change it.

    Args:
        items: at most 100, each a line; those your plan has already keep their status.
        goal: what it is for, in a sentence; none keeps the one it has.
    """
    if isinstance(owner := owner_of(context), Failed):
        return owner
    texts = [" ".join(item.split()) for item in items]
    texts = [text for text in texts if text]
    if not texts or len(texts) > MOST_ITEMS or any(len(text) > LONGEST_ITEM for text in texts):
        return Failed(f"a plan has 1 to {MOST_ITEMS} items of at most {LONGEST_ITEM} characters")
    front = {"class": "plan", "agent": owner.agent, "room": owner.room}

    def made(before: Record | None) -> str:
        items = items_of(before.body) if before is not None else []
        known: dict[str, What] = {item.text: item.status for item in items}
        wanted: list[tuple[str, What]] = [(text, known.get(text, "open")) for text in texts]
        return renewed("" if before is None else before.body, wanted)

    return await _edit(owner, front | ({"goal": goal} if goal else {}), made)


@tool(needs={"plans.write"}, touches=_written, branches=("ok", "missing"), idempotent=True)
async def update(context: Context, item: int, status: What = "done", text: str = "") -> Done | Failed:
    """Change one item of your plan.

    Args:
        item: its number, from 1.
        status: `open`, `doing`, `done` or `dropped`.
        text: new words for it; none keeps those it has.
    """
    if isinstance(owner := owner_of(context), Failed):
        return owner
    if len(text) > LONGEST_ITEM:
        return Failed(f"an item has at most {LONGEST_ITEM} characters")

    def made(before: Record | None) -> str | Done | Failed:
        if before is None:
            return Done(branch="missing", text="There is no plan yet; plan.set makes one.")
        body = changed(before.body, item, status, text or None)
        if body is None:
            return Failed(f"the plan has the items 1 to {len(items_of(before.body))}, not {item}")
        return body

    return await _edit(owner, {}, made)


@tool(needs={"records.read"}, touches=_read, branches=("ok", "missing"), idempotent=True)
async def get(context: Context) -> Done | Failed:
    """Read your plan as it is now; people may have edited it."""
    if isinstance(owner := owner_of(context), Failed):
        return owner
    found = await Library.read("library", owner.path)
    if not isinstance(found, Record):
        return Done(branch="missing", text="There is no plan yet; plan.set makes one.")
    if not owner.owns(found):
        return Failed(_of_another(owner.path, found))
    return _done(owner.path, found)


class Owner(msgspec.Struct, frozen=True):
    """Whose plan it is, and where it lies."""

    agent: str
    room: str
    path: str

    def owns(self, plan: Record) -> bool:
        """Whether a plan that lies there is this one's: `a-b` in `c` and `a` in `b-c` meet in one file."""
        return is_of(plan, self.agent, self.room)


def owner_of(context: Context) -> Owner | Failed:
    """Whose plan a call means. It follows from who calls, so nobody else's can be named."""
    if not context.caller.startswith("agent:"):
        return Failed("a plan is an agent's; people edit it below notes/plans/")
    name = context.session.removeprefix("session:")
    agent, _, room = name.partition("@")
    if is_child(context.session):
        room = room.replace("/", "-")
    return Owner(agent, room, plan_path(agent, room))


def _of_another(path: str, plan: Record) -> str:
    whose = f"{plan.front.get('agent')} in {plan.front.get('room')}"
    return (
        f"{path} is the plan of {whose}; rename an agent or a room, so that each plan has a file of its own"
    )


async def _edit(
    owner: Owner, front: Mapping[str, object], made: Callable[[Record | None], str | Done | Failed]
) -> Done | Failed:
    """Write what is made of the plan as it is; again if somebody else, or another call, has written."""
    for _ in range(MOST_TRIES):
        found = await Library.read("library", owner.path)
        before = found if isinstance(found, Record) else None
        if before is not None and not owner.owns(before):
            return Failed(_of_another(owner.path, before))
        body = made(before)
        if not isinstance(body, str):
            return body
        instead_of = None if before is None else before.body
        written = await Library.write(
            "library", owner.path, dict(front), body, merge=True, instead_of=instead_of
        )
        if not isinstance(written, Problem):
            return _done(owner.path, written.record)
        if written.problem != CHANGED:
            return Failed(str(written))
    return Failed("the plan is being written by others again and again; try later", retry=True)


def _done(place: str, record: Record) -> Done:
    items = items_of(record.body)
    value = {"path": place, "goal": record.front.get("goal"), "items": msgspec.to_builtins(items)}
    return Done(value, text=plan_text(record))
