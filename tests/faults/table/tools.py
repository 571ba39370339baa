"""Tools that fail, hang, flood, or are killed under a call."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from planaria.membrane.provider import ToolCall
from planaria.otp.isolation.proxy import worker_of
from planaria.testing.model_answer import Answer
from tests.faults.table.case import Case
from tests.faults.table.world import COOLDOWN, Setting, World

GROUP = "Tools"
OWN = '''import asyncio
from planaria.membrane.tool import Context, Done, Failed, tool


@tool()
async def flaky(context: Context, what: str = "") -> Done | Failed:
    """Light the lamp.

    Args:
        what: which lamp.
    """
    if not (context.garden / "notes" / "mended.md").exists():
        raise RuntimeError("the lamp is broken")
    return Done(f"{what} is lit")


@tool()
async def hang(context: Context) -> Done | Failed:
    """Never answer."""
    await asyncio.sleep(3600)
    return Done("late")


@tool()
async def spin(context: Context) -> Done | Failed:
    """Compute for ever."""
    while True:
        pass


@tool()
async def flood(context: Context) -> Done | Failed:
    """Answer with thirty megabytes."""
    return Done("y" * 30_000_000)


@tool(idempotent=True)
async def look(context: Context, what: str = "") -> Done | Failed:
    """Look something up.

    Args:
        what: a word.
    """
    return Done("nothing was found")


@tool(idempotent=True)
async def read(context: Context, what: str = "") -> Done | Failed:
    """Read something long.

    Args:
        what: a word.
    """
    return Done(" ".join(f"{what}{n}" for n in range(2000)))
'''
OWN_TOOLS = {"tools/lamp.py": OWN}
DEMO = Path(__file__).parents[2] / "membrane" / "mcp" / "demo_server.py"
MARK = "86397"
"""Seconds a command would sleep, by which it is found among the processes."""


def calling(name: str, number: int = 1, **arguments: Any) -> Answer:
    """A model's wish to call a tool."""
    return Answer(tool_calls=(ToolCall(f"call-{name}-{number}", name, arguments),))


async def offered(world: World, name: str) -> None:
    """Wait until the agent is offered a tool that is loaded from outside."""
    for _ in range(1000):
        if name in await world.page("/grants/scout"):
            return
        await asyncio.sleep(0.02)
    raise TimeoutError(f"{name} is not offered")


async def _breaker(world: World) -> str:
    """It fails until its breaker opens; after the cool-down one call tries, and it works."""
    await offered(world, "lamp.flaky")
    world.first.answers.extend(calling("lamp.flaky", n, what=f"lamp {n}") for n in range(4))
    world.first.answers.append(Answer("the lamp does not work"))
    await world.ask("light the lamps")
    page = await world.page("/limits")
    shown = "open" if "tool:lamp.flaky" in page and "lamp is broken" in page else "not shown"
    (world.garden / "notes" / "mended.md").write_text("It works again.\n")
    await asyncio.sleep(COOLDOWN)
    first, whole = world.trace, (world.begun, world.over)
    world.first.answers.append(calling("lamp.flaky", 9, what="lamp 9"))
    world.first.answers.append(Answer("lamp 9 is lit"))
    await world.ask("and now?")
    await world.until_event("breaker.closed")
    world.trace, (world.begun, world.over) = first, whole
    return f"breaker on the page Limits: {shown}; closed by the first call after its cool-down"


async def _hangs(world: World) -> None:
    await offered(world, "lamp.hang")
    world.first.answers.extend([calling("lamp.hang"), Answer("it does not answer")])
    await world.ask()


async def _spins(world: World) -> str:
    await offered(world, "lamp.spin")
    world.first.answers.extend([calling("lamp.spin"), Answer("it does not answer"), Answer("well")])
    await world.ask()
    first, whole = world.trace, (world.begun, world.over)
    await world.ask("still there?")
    world.trace, (world.begun, world.over) = first, whole
    return ""


async def _command_hangs(world: World) -> None:
    world.first.answers.append(calling("shell.run", command=["sleep", MARK], seconds=1.0))
    world.first.answers.append(Answer("the command took too long"))
    await world.ask()


async def _floods(world: World) -> None:
    await offered(world, "lamp.flood")
    world.first.answers.extend([calling("lamp.flood"), Answer("that was too much")])
    await world.ask()


async def _command_floods(world: World) -> None:
    world.first.answers.append(calling("shell.run", command=["yes"], seconds=1.0))
    world.first.answers.append(Answer("that was too much"))
    await world.ask()


async def _mcp(world: World) -> str:
    """The server's program is killed while it works for us."""
    await offered(world, "mcp.demo.wait")
    file = world.garden / "how"
    world.first.answers.append(calling("mcp.demo.wait", file=str(file)))
    world.first.answers.append(Answer("the server went away"))
    accepted = await world.post()
    await world.until(lambda: file.exists() and file.read_text() == "waiting", "the call")
    world.begin()
    os.kill(_server(world), signal.SIGKILL)
    await world.answer(accepted)
    await offered(world, "mcp.demo.wait")
    return "the server was started again"


def _server(world: World) -> int:
    worker = worker_of(world.node["mcp_connection:demo"])
    assert worker is not None
    return next(pid for pid, parent in _parents().items() if parent == worker.os_pid)


def _parents() -> dict[int, int]:
    """The parent of every OS process."""
    found: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended in between
    return found


def _command() -> int:
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", MARK.encode()]:
            return int(place.name)
    return 0


def _killing(what: str) -> Any:
    async def play(world: World) -> str:
        world.first.answers.append(calling("shell.run", command=["sleep", MARK]))
        world.first.answers.append(Answer("the command was killed"))
        accepted = await world.post()
        victim = command = await world.until(_command, "the command")
        if what == "sandbox":
            parents = _parents()
            while parents[victim] != os.getpid():
                victim = parents[victim]
        world.begin()
        os.kill(victim, signal.SIGKILL)
        await world.answer(accepted)
        left = 0 if not Path(f"/proc/{command}").exists() else command
        return f"the command runs on as {left}" if left else "nothing runs on"

    return play


SHELL = Setting(front=("tools: [shell.*]", 'grants: {shell.run: ["sleep *", "yes"]}'))
LAMP = Setting(front=("tools: [lamp.*]", "guards: {stall_seconds: 2}"), files=OWN_TOOLS)

CASES = (
    Case(
        GROUP,
        "a tool that fails again and again",
        _breaker,
        "the lamp does not work",
        ("breaker.opened", "breaker.half_opened", "breaker.closed"),
        ("/traces/{trace}", "the lamp is broken"),
        useful=4,
        setting=Setting(front=("tools: [lamp.*]",), files=OWN_TOOLS),
    ),
    Case(
        GROUP,
        "a tool that never answers",
        _hangs,
        "it does not answer",
        ("session.tripped", "restart.chosen"),
        ("/traces/{trace}", "Nothing came of it"),
        useful=2,
        waits=2.0,
        setting=LAMP,
    ),
    Case(
        GROUP,
        "a tool that computes for ever",
        _spins,
        "it does not answer",
        ("session.tripped", "restart.chosen"),
        ("/traces/{trace}", "Nothing came of it"),
        useful=3,
        waits=2.0,
        setting=LAMP,
    ),
    Case(
        GROUP,
        "a command that hangs",
        _command_hangs,
        "the command took too long",
        (),
        ("/traces/{trace}", "shell.run"),
        useful=2,
        waits=1.0,
        setting=SHELL,
    ),
    Case(
        GROUP,
        "a tool that answers thirty megabytes",
        _floods,
        "that was too much",
        (),
        ("/traces/{trace}", "lamp.flood"),
        useful=2,
        setting=LAMP,
    ),
    Case(
        GROUP,
        "a command that floods",
        _command_floods,
        "that was too much",
        (),
        ("/traces/{trace}", "shell.run"),
        useful=2,
        waits=1.0,
        setting=SHELL,
    ),
    Case(
        GROUP,
        "the program of an MCP server killed under a call",
        _mcp,
        "the server went away",
        (),
        ("/traces/{trace}", "mcp.demo.wait"),
        useful=2,
        setting=Setting(
            front=("tools: [mcp.*]", 'grants: {mcp.call: ["demo/*"]}'), mcp=(sys.executable, str(DEMO))
        ),
    ),
    Case(
        GROUP,
        "a command killed in its sandbox",
        _killing("command"),
        "the command was killed",
        (),
        ("/traces/{trace}", "shell.run"),
        useful=2,
        setting=SHELL,
    ),
    Case(
        GROUP,
        "the sandbox killed under a command",
        _killing("sandbox"),
        "the command was killed",
        (),
        ("/traces/{trace}", "shell.run"),
        useful=2,
        setting=SHELL,
    ),
)
