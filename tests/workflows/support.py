"""Tools and workflows that the tests of this floor share."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from planaria.cortex.event import Event
from planaria.cortex.event_type import EventType
from planaria.membrane.tool import Context, Done, Failed, Tool, tool
from planaria.workflows.definition import Step, Workflow, definition_hash, pack
from planaria.workflows.events import RunStarted


@tool(branches=("new", "unchanged"), name="feed.fetch")
async def fetch(context: Context, source: str, limit: int = 20) -> Done | Failed:
    """Read a feed.

    Args:
        source: where it is.
        limit: at most so many.
    """
    return Done({"items": []}, branch="unchanged")


@tool(name="notes.write")
async def write(
    context: Context,
    title: str,
    body: str = "",
    tags: list[str] | None = None,
    mode: Literal["new", "add"] = "new",
) -> Done | Failed:
    """Write a note.

    Args:
        title: its title.
        body: its text.
        tags: its tags.
        mode: what to do if it is there.
    """
    return Done()


@tool(name="room.say")
async def say(context: Context, text: str) -> Done | Failed:
    """Say something.

    Args:
        text: what to say.
    """
    return Done()


@tool(name="test.step", branches=("ok", "other"))
async def stepping(context: Context, step: str) -> Done | Failed:
    """A step of a test.

    Args:
        step: which one.
    """
    return Done()


TOOLS: tuple[Tool, ...] = (fetch, write, say)

DIGEST = """\
---
class: workflow
description: Keeps what is new.
schedule: "*/15 * * * *"
zone: Europe/Berlin
inputs: {limit: 5}
---
# Digest

## Why
Because news get lost.

## fetch
Read the feed.

```yaml
tool: feed.fetch
with:
  source: feeds/news.atom
  limit: "{{ trigger.limit }}"
on:
  new: keep
  unchanged: end
  failed: tell
```

## keep

```yaml
tool: notes.write
each: "{{ steps.fetch.value.items }}"
with:
  title: "{{ item.title }}"
  tags: ["inbox"]
retry: 2
on:
  "*": tell
```

## tell

```yaml
tool: room.say
with:
  text: "{{ steps.keep.value | default([]) | length }} new"
on:
  ok: end
  failed: fail
```
"""

DIGEST_PY = '''\
from planaria.workflows.python import WorkflowDefinition, end, fail, step


class Digest(WorkflowDefinition):
    """Keeps what is new.

    Because news get lost.
    """

    schedule = "*/15 * * * *"
    zone = "Europe/Berlin"
    inputs = {"limit": 5}

    fetch = step(
        "feed.fetch",
        source="feeds/news.atom",
        limit="{{ trigger.limit }}",
        on={"new": "keep", "unchanged": end, "failed": "tell"},
    )
    keep = step(
        "notes.write",
        each="{{ steps.fetch.value.items }}",
        title="{{ item.title }}",
        tags=["inbox"],
        retry=2,
        on={"*": "tell"},
    )
    tell = step(
        "room.say",
        text="{{ steps.keep.value | default([]) | length }} new",
        on={"ok": end, "failed": fail},
    )
'''


def graph(routes: Mapping[str, Mapping[str, str]], **steps: Mapping[str, Any]) -> Workflow:
    """A workflow from its routes; the first step is the start, each calls `test.step` unless said otherwise."""
    made = {
        name: Step(
            **{
                "id": name,
                "tool": "test.step",
                "arguments": {"step": name},
                "routes": dict(ways),
                **steps.get(name, {}),
            }
        )
        for name, ways in routes.items()
    }
    return Workflow("test", made, next(iter(made)))


def started(workflow: Workflow, run: str = "R1", at: float = 0.0, **arguments: Any) -> RunStarted:
    """The fact a run of this workflow begins with."""
    return RunStarted(
        at=at,
        run=run,
        workflow=workflow.name,
        hash=definition_hash(workflow),
        definition=pack(workflow),
        trigger="hand",
        arguments=arguments,
    )


def stored(fact: EventType, seq: int = 1, session: str = "run:R1") -> Event:
    """A fact as the journal gives it back."""
    new = fact.new()
    payload = msgspec.json.decode(msgspec.json.encode(new.payload))
    return Event(seq, f"id-{seq}", 0.0, "T", None, "n", "p", session, new.kind, payload, new.version)
