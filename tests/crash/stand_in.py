"""A very small node that the harness is tried on: a journal, one room, an agent that echoes.

    python -m tests.crash.stand_in [--early | --twice | --forgetful | --anew]

Whole, it keeps every promise. Each option breaks one: `--early` acknowledges before the commit, `--twice` may answer a
message again after a restart, `--forgetful` takes up nothing after a restart, `--anew` ignores the client's id.
"""

import asyncio
import hashlib
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from planaria.cortex.errors import EventRefused
from planaria.cortex.event import Event, NewEvent, new_id
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.nerve.protocol import Reply, Request, place_socket
from planaria.otp import Node, Pid, child

SESSION = "room:garden"
ROOM = Query(session=SESSION, kinds=("room.message",))


def name_of(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:26]


class StandIn:
    def __init__(self, journal: Pid, broken: str) -> None:
        self.journal = journal
        self.broken = broken
        self.listeners: list[tuple[int | str, asyncio.StreamWriter]] = []
        self.order = asyncio.Lock()
        self.questions: asyncio.Queue[str] = asyncio.Queue()

    async def say(
        self, author: str, kind: str, text: str, id: str, cause_id: str | None = None
    ) -> tuple[str, int]:
        payload = {"author": author, "author_kind": kind, "text": text}
        event = NewEvent("room.message", payload, session=SESSION, id=id, cause_id=cause_id)
        try:
            (written,) = await Journal.append(self.journal, [event])
        except EventRefused as refusal:
            if refusal.duplicate_of is None:
                raise
            events = await Journal.read(self.journal, ROOM)
            return id, next(event.seq for event in events if event.id == id)
        for request, writer in self.listeners:
            send(writer, Reply(id=request, event=view(written)))
        if kind == "person":
            self.questions.put_nowait(id)
        return id, written.seq

    async def say_in_order(self, author: str, kind: str, text: str, id: str) -> tuple[str, int]:
        async with self.order:
            return await self.say(author, kind, text, id)

    async def post(self, params: dict[str, Any]) -> dict[str, Any]:
        own = new_id() if self.broken == "--anew" else name_of("post", params["client_id"])
        saying = self.say_in_order(params["author"], "person", params["text"], own)
        if self.broken == "--early":
            self.late = asyncio.create_task(saying)
            return {"id": own, "seq": 0}
        _, seq = await saying
        return {"id": own, "seq": seq}

    async def take_up(self) -> None:
        events = await Journal.read(self.journal, ROOM)
        answered = {event.cause_id for event in events}
        for event in events:
            again = self.broken == "--twice" and event.seq % 3 == 0
            if event.payload["author_kind"] == "person" and (event.id not in answered or again):
                self.questions.put_nowait(event.id)

    async def answer_all(self) -> None:
        while True:
            cause = await self.questions.get()
            own = new_id() if self.broken == "--twice" else name_of("reply", cause)
            await self.say("echo", "agent", f"heard {cause}", own, cause)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            request = msgspec.json.decode(line, type=Request)
            if request.method == "room.post":
                send(writer, Reply(id=request.id, result=await self.post(request.params)))
            else:
                self.listeners.append((request.id, writer))
                for event in await Journal.read(self.journal, ROOM):
                    send(writer, Reply(id=request.id, event=view(event)))


def view(event: Event) -> dict[str, Any]:
    value = {**event.payload, "id": event.id, "seq": event.seq, "cause_id": event.cause_id}
    return {"type": "message", "value": value}


def send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    writer.write(msgspec.json.encode(reply) + b"\n")


async def main() -> None:
    folder = Path(".planaria")
    async with Node("garden") as node:
        store = partial(SqliteStore, folder / "journal.db")
        journal = await node.start(child(Journal, store, name="journal"))
        room = StandIn(journal, sys.argv[1] if len(sys.argv) > 1 else "")
        if room.broken != "--forgetful":
            await room.take_up()
        socket = place_socket(folder)
        socket.unlink(missing_ok=True)
        await asyncio.start_unix_server(room.serve, socket)
        print("dashboard  none", flush=True)
        await room.answer_all()


if __name__ == "__main__":
    asyncio.run(main())
