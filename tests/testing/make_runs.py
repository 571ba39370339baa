"""Writes the stored runs of this folder: `python -m tests.testing.make_runs`.

Only for new ones: a run that is kept says what was decided when it was made.
"""

import asyncio
import tempfile
from pathlib import Path

import msgspec

from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.upkeep import portable
from planaria.membrane.errors import Overloaded
from planaria.testing.models import Call, Fail, ScriptedProvider
from planaria.testing.node import running_node
from tests.agents.support import TrapStore, World
from tests.testing.test_replay import RUN, today


async def main() -> None:
    provider = ScriptedProvider(
        [
            Call("weather.today", {"city": "Kyoto"}, text="Let me look."),
            "Rain, in Kyoto.",
            Fail(Overloaded("busy")),
            Call("weather.tomorrow"),
            Call("weather.today", {"city": "Oslo"}),
            "I cannot see tomorrow; today it rains in Oslo.",
            "You are welcome.",
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        garden = Path(folder)
        (garden / "agents").mkdir()
        text = "---\nclass: agent\ntools: [weather.*]\n---\nYou tell the weather. Be brief.\n"
        (garden / "agents" / "scout.md").write_text(text)
        (garden / "SOUL.md").write_text("We are kind.\n")
        async with running_node("weather", seed=1) as node:
            world = World(node, garden, provider, TrapStore(), tools=(today,))
            await world.start()
            for number, said in enumerate(("How is Kyoto?", "And Oslo tomorrow?", "Thank you!"), start=1):
                await world.post(said)
                await world.until_answered(number)
            events = await world.run(Journal.read, "journal", Query())
            RUN.parent.mkdir(exist_ok=True)
            wanted = ("session:", "room:")
            kept = [event for event in events if event.session.startswith(wanted)]
            with RUN.open("wb") as file:
                file.write(portable.heading("weather", 0.0))
                file.writelines(msgspec.json.encode(event) + b"\n" for event in kept)
                file.write(portable.ending(len(kept)))


if __name__ == "__main__":
    asyncio.run(main())
