"""What the killed node works with: a garden with agents, a workflow and tools whose effects outlive the node."""

import os
from pathlib import Path

from planaria.membrane.tool import Context, Done, Failed, Tool, tool

EFFECTS = "effects.log"
"""One line an effect, in the garden: the tool's name and the call's id. What is in it has happened."""

AGENT = """\
---
class: agent
model: far/fake-large
host: {host}
tools: [deed.*, time.later, people.ask]
---
You do what you are asked.
"""
MOTHER = """\
---
class: agent
model: far/fake-large
arrivals: steer
tools: [deed.again, agents.*]
grants: {agents.spawn: [new]}
---
You have others do it.
"""
WORKFLOW = """\
---
class: workflow
description: Two deeds, one after the other, once and then every New Year.
schedule: "0 0 1 1 *"
first_run: now
---
# Chores

## first

```yaml
tool: deed.once
with: {what: first}
on: {ok: second, failed: second}
```

## second

```yaml
tool: deed.reluctant
with: {what: second}
retry: 2
backoff: 0.01
on: {ok: end, failed: fail}
```
"""


def _note(context: Context, name: str) -> None:
    """The effect: a line that is on disk when this returns, as a letter sent or money moved would be."""
    with open(context.garden / EFFECTS, "ab") as file:
        file.write(f"{name} {context.call_id}\n".encode())
        file.flush()
        os.fsync(file.fileno())


@tool(name="deed.once")
async def once(context: Context, what: str = "") -> Done | Failed:
    """Do something that must not be done twice.

    Args:
        what: a word.
    """
    _note(context, "once")
    return Done(f"did {what} once")


@tool(name="deed.again", idempotent=True)
async def again(context: Context, what: str = "") -> Done | Failed:
    """Do something that may be done twice.

    Args:
        what: a word.
    """
    _note(context, "again")
    return Done(f"did {what} again")


@tool(name="deed.asked", on_unknown="ask")
async def asked(context: Context, what: str = "") -> Done | Failed:
    """Do something of which a person says whether it is done again.

    Args:
        what: a word.
    """
    _note(context, "asked")
    return Done(f"did {what} as asked")


@tool(name="deed.reluctant", idempotent=True)
async def reluctant(context: Context, what: str = "") -> Done | Failed:
    """Do something, but not at the first attempt.

    Args:
        what: a word.
    """
    if context.call_id.endswith("/1"):
        return Failed("not yet", retry=True)
    _note(context, "reluctant")
    return Done(f"did {what} after all")


TOOLS: list[Tool] = [once, again, asked, reluctant]


def plant(garden: Path, port: int, model_url: str, database: str | None) -> None:
    """Write the garden's files."""
    agents = {f"agents/{name}.md": AGENT for name in ("helper", "fragile")}
    agents = {name: text.format(host="false") for name, text in agents.items()}
    agents["agents/doer.md"] = AGENT.format(host="true")
    agents["agents/mother.md"] = MOTHER
    for name, text in {**agents, "workflows/chores.md": WORKFLOW}.items():
        file = garden / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    journal = f'[journal]\ndatabase = "{database}"\n' if database else ""
    (garden / "planaria.toml").write_text(
        f'[web]\nport = {port}\n{journal}[models]\ndefault = "far/fake-large"\n'
        f'[models.providers.far]\nkind = "openai"\nbase_url = "{model_url}"\nmodels = ["fake-large"]\n'
    )


def effects(garden: Path) -> list[tuple[str, str]]:
    """What has happened: tools and call ids, in order."""
    file = garden / EFFECTS
    lines = file.read_text().splitlines() if file.exists() else []
    return [(name, call_id) for name, _, call_id in (line.partition(" ") for line in lines)]
