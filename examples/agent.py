"""A whole node in one program: a garden, an agent, a question. The agent is killed before it can answer, and answers.

Uses the offline model, so it needs no key and no network.
"""

import asyncio
import tempfile
from pathlib import Path

from planaria.config.settings import Settings, WebSettings
from planaria.node import tree
from planaria.otp import Node, exit_signal, receive, subscribe, whereis
from planaria.rooms.message import RoomMessage
from planaria.rooms.room import Room

FILES = {
    "planaria.toml": "",
    "notes/moss.md": "# Moss\n\nMoss has no roots; it drinks with its leaves.\n",
    "agents/scout.md": """---
class: agent
model: offline
tools: [notes.search]
rooms: [garden]
---
You answer from the notes.
""",
}


async def ask() -> None:
    subscribe("room:garden")
    accepted = await Room.post("room:garden", "ada", "What do the notes say about moss?")
    scout = whereis("session:scout@garden")
    assert scout is not None
    exit_signal(scout, "kill")  # the message was accepted, so it is on disk; this hurts nobody
    while True:
        said: RoomMessage = await receive(RoomMessage)
        print(f"{said.author}: {said.text}")
        if said.cause_id == accepted.id:
            print(
                "answered by the process that took its place:", whereis("session:scout@garden") is not scout
            )
            return


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        garden = Path(folder)
        for name, text in FILES.items():
            (garden / name).parent.mkdir(exist_ok=True)
            (garden / name).write_text(text)
        settings = Settings(web=WebSettings(port=0))  # 0: any free port
        async with Node("garden") as node:
            await node.start(tree(settings, garden, environ={}, stop=lambda: None))
            await node.run(ask)


if __name__ == "__main__":
    asyncio.run(main())
