"""How long from a stop until all is quiet: is the connection to the model closed, the command of a tool dead?

A whole node with its journal in SQLite and a model behind a real socket, in the same OS process. Rows: `stream`: the
model answers 200 words a second without end; `tool`: the tool `shell.run` has a command in its sandbox. `quiet_ms` is
from the stop until the model's server sees the client leave, or the command is gone; `written_ms` until the journal has
it and who stopped is answered. Median and worst. The stop is `planaria.agents.stop.stop`, which every surface calls.
Aim: quiet under 100 ms.
`python -m benchmarks.bench_stop [--scale 0.1]`; prints JSON lines, with or without `--json`.
"""

import argparse
import asyncio
import json
import logging
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from planaria.agents.guard.halting import Target
from planaria.agents.stop import stop
from planaria.config.providers import ProviderSettings
from planaria.config.settings import ModelSettings, Settings, WebSettings
from planaria.membrane.provider import ToolCall
from planaria.node import tree
from planaria.otp import Node
from planaria.rooms.room import Room
from planaria.testing.model_server import Answer, ModelServer

AGENT = """---
class: agent
host: true
tools: [shell.*]
grants: {shell.run: ["sleep *"]}
---
You wait.
"""
MARK = "86399"
"""Seconds the command would sleep, by which it is found among the processes."""
LONG = Answer(" ".join(f"word{n}" for n in range(4000)), pace=0.005)
RUN = Answer(tool_calls=(ToolCall("call-1", "shell.run", {"command": f"sleep {MARK}"}),))


def commands() -> list[Path]:
    """The commands that sleep for us."""
    found: list[Path] = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        if words[:2] == [b"sleep", MARK.encode()]:
            found.append(place)
    return found


async def until(happened: Callable[[], bool], within: float = 10.0) -> None:
    """Look every quarter of a millisecond."""
    end = time.perf_counter() + within
    while not happened():
        if time.perf_counter() > end:
            raise TimeoutError(
                "what is waited for did not happen; is the sandbox there? `planaria doctor` says"
            )
        await asyncio.sleep(0.00025)


async def once(node: Node, server: ModelServer, row: str, number: int) -> tuple[float, float]:
    """One stop; milliseconds to quiet, and to the answer."""
    server.answers.append(LONG if row == "stream" else RUN)
    left, called = server.dropped, server.calls
    await node.run(Room.post, "room:garden", "ada", "go", f"{row}{number}")
    if row == "stream":
        await until(lambda: server.calls > called)
        await asyncio.sleep(0.1)
    else:
        await until(lambda: bool(commands()))

    def quiet() -> bool:
        return server.dropped > left if row == "stream" else not commands()

    begun = time.perf_counter()

    async def stopping() -> float:
        await stop(Target("room", "garden"), by="bench")
        return (time.perf_counter() - begun) * 1000

    written = asyncio.ensure_future(node.run(stopping))
    await until(quiet)
    spent = (time.perf_counter() - begun) * 1000
    return spent, await written


async def measure(times: int) -> list[dict[str, Any]]:
    """Both rows."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="stop-") as folder:
        garden = Path(folder)
        (garden / "agents").mkdir()
        (garden / "agents" / "waiter.md").write_text(AGENT)
        async with ModelServer(models=("slow",)) as server, Node("bench") as node:
            provider = ProviderSettings(base_url=f"{server.url}/v1", models=("slow",))
            models = ModelSettings(default="bench/slow", providers={"bench": provider})
            await node.start(tree(Settings(web=WebSettings(port=0), models=models), garden, {}, lambda: None))
            await asyncio.sleep(0.5)
            for row in ("stream", "tool"):
                found = [await once(node, server, row, number) for number in range(times)]
                rows.append(
                    {
                        "row": row,
                        "stops": times,
                        "quiet_ms": figures([quiet for quiet, _ in found]),
                        "written_ms": figures([written for _, written in found]),
                        "met": max(quiet for quiet, _ in found) < 100.0,
                    }
                )
    return rows


def figures(values: list[float]) -> dict[str, float]:
    """Median and worst."""
    return {"p50": round(statistics.median(values), 2), "worst": round(max(values), 2)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual number of stops")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    for row in asyncio.run(measure(max(2, round(30 * arguments.scale)))):
        print(json.dumps({"bench": "stop", **row, **machine}), flush=True)


if __name__ == "__main__":
    main()
