"""An agent's plan in a room: a record with a checklist, which the agent, its prompt and people share. Pure.

    notes/plans/scout-garden.md
    ---
    class: plan
    agent: scout
    room: garden
    goal: know the moss of the north wall
    ---
    - [x] look at the wall
    - [ ] (doing) ask ada about the light
    - [ ] write it down

People may edit it as a note. Lines that are no items stay where they are.
"""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from planaria.records.record import Record

type Status = Literal["open", "doing", "done", "dropped"]
STATUSES: tuple[Status, ...] = ("open", "doing", "done", "dropped")
MOST_ITEMS = 100
LONGEST_ITEM = 500
"""Characters of an item."""
_ITEM = re.compile(r"\s*[-*] \[([ xX-])\] (?:\((doing)\) )?(.*\S)\s*\Z")
_MARKS = {"open": "[ ] ", "doing": "[ ] (doing) ", "done": "[x] ", "dropped": "[-] "}


class Item(msgspec.Struct, frozen=True):
    """One thing to do; `number` counts from 1."""

    number: int
    text: str
    status: Status = "open"


def plan_path(agent: str, room: str) -> str:
    """Where an agent's plan in a room is, relative to the garden."""
    return f"notes/plans/{agent}-{room}.md" if room else f"notes/plans/{agent}.md"


def is_of(plan: Record, agent: str, room: str) -> bool:
    """Whether a plan is this agent's in this room, as far as it says whose it is."""
    said = plan.front.get("agent"), plan.front.get("room")
    return said[0] in (None, agent) and said[1] in (None, "", room)


def items_of(body: str) -> list[Item]:
    """The items of a checklist, in order."""
    found: list[Item] = []
    for line in body.split("\n"):
        match = _ITEM.match(line)
        if match:
            mark, doing, text = match.groups()
            status: Status = (
                "done" if mark in "xX" else "dropped" if mark == "-" else "doing" if doing else "open"
            )
            found.append(Item(len(found) + 1, text, status))
    return found


def body_of(items: Sequence[tuple[str, Status]]) -> str:
    """A checklist."""
    return "".join(f"{_line(text, status)}\n" for text, status in items)


def changed(body: str, number: int, status: Status | None = None, text: str | None = None) -> str | None:
    """The checklist with one item changed; None if it has no item of this number."""
    lines = body.split("\n")
    count = 0
    for place, line in enumerate(lines):
        match = _ITEM.match(line)
        if not match:
            continue
        count += 1
        if count == number:
            mark, doing, said = match.groups()
            old: Status = (
                "done" if mark in "xX" else "dropped" if mark == "-" else "doing" if doing else "open"
            )
            lines[place] = _line(text or said, status or old)
            return "\n".join(lines)
    return None


def renewed(body: str, items: Sequence[tuple[str, Status]]) -> str:
    """The checklist with these items instead of those it has; what else is written there stays."""
    lines = body.strip("\n").split("\n")
    first = next((n for n, line in enumerate(lines) if _ITEM.match(line)), len(lines))
    above = "\n".join(lines[:first]).strip("\n")
    below = "\n".join(line for line in lines[first:] if not _ITEM.match(line)).strip("\n")
    parts = (above, body_of(items).rstrip("\n"), below)
    return "\n\n".join(part for part in parts if part) + "\n"


def plan_text(record: Record | None, agent: str | None = None, room: str = "") -> str:
    """A plan as its prompt shows it: the goal, the checklist with numbers; empty if there is none.

    Args:
        agent, room: whose prompt it is; another's plan is not shown. None: whose it is does not matter.
    """
    if record is None or (agent is not None and not is_of(record, agent, room)):
        return ""
    goal = str(record.front.get("goal") or "").strip()
    count = 0
    lines: list[str] = []
    for line in record.body.strip().split("\n"):
        if _ITEM.match(line):
            count += 1
            lines.append(f"{count}. {line.strip().removeprefix('- ').removeprefix('* ')}")
        else:
            lines.append(line)
    return "\n".join([*([f"Goal: {goal}"] if goal else []), *lines]).strip()


def _line(text: str, status: Status) -> str:
    return f"- {_MARKS[status]}{' '.join(text.split())}"
