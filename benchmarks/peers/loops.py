"""The same work for every subject of the turn's benchmark: message, model call, tool call, model call, answer.

The model is scripted and answers at once; nothing is written to disk unless the subject says so. What is measured is
the loop itself. Standard library only: peers run it in environments of their own.

Rows: `cpu`: microseconds of processor time a turn, one session at a time, n turns, ten of each session; `many`: turns
in a second of processor time, 1,000 sessions at once, n turns each; `idle`: bytes of the resident set a session that
has had ten messages, n sessions; `history`: processor time a turn after n turns of one session, divided by that of its
first ten.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from benchmarks.peers.serve import Row, resident_bytes

MANY = 1_000
"""Sessions at once in the row `many`."""
MESSAGES = 10
"""Messages a session has had in the rows `cpu` and `idle`."""
MESSAGE = "could you look up what the weather will be in Lisbon tomorrow, and tell me in one line?"
SYSTEM = "You tell the weather."
TOOL = "forecast"
ARGUMENTS = {"place": "Lisbon"}
RESULT = "Lisbon, tomorrow: sunny, 24 degrees at noon, light wind, no rain expected."
ANSWER = "Tomorrow in Lisbon: sunny, around 24 degrees, and no rain."

type Turn = Callable[[], Awaitable[object]]
"""One turn of one session; answers what was said."""
type Open = Callable[[int], AbstractAsyncContextManager[list[Turn]]]
"""So many sessions, open while the block lasts."""


async def one(turn: Turn, count: int) -> None:
    """So many turns of a session, one after the other."""
    for _ in range(count):
        said = await turn()
        assert said == ANSWER, said


def rows(sessions: Open) -> dict[str, Row]:
    """What a subject is asked."""

    async def cpu(n: int) -> float:
        async with sessions(1 + n // MESSAGES) as (first, *turns):
            await one(first, MESSAGES)
            began = time.process_time()
            for turn in turns:
                await one(turn, MESSAGES)
            return (time.process_time() - began) / (len(turns) * MESSAGES) * 1e6

    async def many(n: int) -> float:
        async with sessions(MANY) as turns:
            await asyncio.gather(*(one(turn, 1) for turn in turns))
            began = time.process_time()
            await asyncio.gather(*(one(turn, n) for turn in turns))
            return MANY * n / (time.process_time() - began)

    async def idle(n: int) -> float:
        async with sessions(1) as (turn,):
            await one(turn, MESSAGES)
        gc.collect()
        before = resident_bytes()
        async with sessions(n) as turns:
            for turn in turns:
                await one(turn, MESSAGES)
            gc.collect()
            return (resident_bytes() - before) / n

    async def history(n: int) -> float:
        async with sessions(1) as (turn,):
            await one(turn, 2)
            began = time.process_time()
            await one(turn, 10)
            first = time.process_time() - began
            await one(turn, max(0, n - 22))
            began = time.process_time()
            await one(turn, 10)
            return (time.process_time() - began) / first

    return {"cpu": cpu, "many": many, "idle": idle, "history": history}


async def nothing() -> AsyncIterator[None]:
    """Yields nothing: for streams that end at once."""
    empty: tuple[None, ...] = ()
    for each in empty:
        yield each
