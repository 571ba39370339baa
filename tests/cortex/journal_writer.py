"""A program that appends without end and says on its output what was acknowledged: to be killed at any moment.

    python -m tests.cortex.journal_writer JOURNAL APPENDERS EVENTS

Each line names one acknowledged append, `<first seq> <name>`; the append has EVENTS events called `<name> <n>`.
"""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from planaria.cortex.event import NewEvent, new_id
from planaria.cortex.journal import Journal
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.otp import Node, child


async def appender(events: int) -> None:
    while True:
        name = new_id()
        batch = [
            NewEvent("crash.test", {"text": f"{name} {n}", "of": events}, session="s") for n in range(events)
        ]
        written = await Journal.append("journal", batch)
        # One system call a line: a kill cannot split it.
        os.write(1, f"{written[0].seq} {name}\n".encode())


async def main() -> None:
    path, appenders, events = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    async with Node("writer") as node:
        await node.start(child(Journal, partial(SqliteStore, path), name="journal"))
        os.write(1, b"ready\n")
        await asyncio.gather(*(node.run(appender, events) for _ in range(appenders)))


if __name__ == "__main__":
    asyncio.run(main())
