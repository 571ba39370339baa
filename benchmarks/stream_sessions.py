"""Whole sessions that stream: a node with so many agents in rooms, each asked once, each answer shown as it is written.

`python -m benchmarks.stream_sessions sessions PORT STREAMS MODEL WORDS`, as `benchmarks.stream_readers`. Everything a
garden has is on: rooms, router, permits, breakers, ledger, guards, masking of secrets, journal in
SQLite. What is counted is the time the answers stream, and a word is read when a piece of text with it reaches who
looks on in its room (`ReplyDelta`). Sessions send some words on together, so the delay is that of a piece's last word.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks.stream_measure import Words, note, told
from planaria.config.providers import LimitSettings, ProviderSettings
from planaria.config.settings import ModelSettings, Settings, WebSettings
from planaria.node import tree
from planaria.otp import Node, receive, subscribe
from planaria.rooms.message import ReplyDelta
from planaria.rooms.room import Room

AGENT = "---\nclass: agent\nhost: true\nrooms: [r{n}]\ntools: []\n---\nYou speak.\n"


class Audience:
    """Who looks on in all rooms: counts words once every answer has begun, until the first one ends."""

    def __init__(self, streams: int) -> None:
        self.silent = streams
        self.all_begun = asyncio.Event()
        self.one_ended = asyncio.Event()
        self.words = 0
        self.took: list[Words] = [[] for _ in range(streams)]

    async def look(self, n: int, wanted: int) -> None:
        """Read along in one room."""
        subscribe(f"room:r{n}")
        left = wanted
        while left > 0:
            heard = await receive()
            if not isinstance(heard, ReplyDelta):
                continue
            words = heard.text.split()
            if left == wanted:
                self.silent -= 1
                if not self.silent:
                    self.all_begun.set()
            left -= len(words)
            if self.all_begun.is_set() and words:
                self.words += len(words)
                note(self.took[n], words[-1])
        self.one_ended.set()


async def measured(port: int, streams: int, model: str, wanted: int) -> dict[str, Any]:
    """Ask all, and read along."""
    with tempfile.TemporaryDirectory(prefix="streams-") as folder:
        garden = Path(folder)
        (garden / "agents").mkdir()
        limits = LimitSettings(concurrency=streams, queue=streams)
        provider = ProviderSettings(base_url=f"http://127.0.0.1:{port}/v1", models=(model,), limits=limits)
        models = ModelSettings(default=f"bench/{model}", providers={"bench": provider})
        settings = Settings(web=WebSettings(port=0), models=models)
        for n in range(streams):
            (garden / "agents" / f"scout{n}.md").write_text(AGENT.format(n=n))
        async with Node("bench") as node:
            await node.start(tree(settings, garden, {}, lambda: None))
            await node.run(ready, streams)
            audience = Audience(streams)
            readers = [asyncio.ensure_future(node.run(audience.look, n, wanted)) for n in range(streams)]
            for n in range(streams):
                await node.run(Room.post, f"room:r{n}", "ada", "hi", f"m{n}")
            await audience.all_begun.wait()
            began, cpu = perf_counter(), process_time()
            await audience.one_ended.wait()
            cpu, seconds = process_time() - cpu, perf_counter() - began
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
    figures = told(audience.took, cpu, seconds)
    return {**figures, "us_per_chunk": round(cpu / audience.words * 1e6, 1)}


async def ready(sessions: int) -> None:
    """Back when every agent sits in its room."""
    while True:
        try:
            if all([await Room.members(f"room:r{n}") for n in range(sessions)]):
                return
        except Exception:  # noqa: BLE001 - not open yet
            pass
        await asyncio.sleep(0.05)


def main() -> None:
    if sys.argv[1] == "-":
        print(json.dumps(["sessions"]))
        return
    _, port, streams, model, words = sys.argv[1:6]
    print(json.dumps(asyncio.run(measured(int(port), int(streams), model, int(words)))))


if __name__ == "__main__":
    main()
