"""Following a table of the live store in one line, over its restarts; for processes that are plain functions."""

from collections.abc import AsyncIterator, Callable

from planaria.cortex.live.store import Live
from planaria.cortex.live.table import ALL, Select
from planaria.cortex.live.watcher import RowsChanged
from planaria.otp import CallError, Down, NoProcess, Server, demonitor, monitor, receive, sleep
from planaria.otp.kernel.process import Monitor

AGAIN = 1.0
"""Seconds until a live store that was away is asked again."""


async def follow(table: str, select: Select = ALL, live: Server = "live") -> AsyncIterator[RowsChanged]:
    """The rows a query asks for (`whole`), then every change; for processes that are plain functions.

    Goes on when the live store is restarted, with a `whole` again. Raises `LiveError` for a bad query.
    """
    while True:
        seen = monitor(live)
        try:
            watching = await Live.subscribe(live, table, select)
        except CallError:
            demonitor(seen, flush=True)
            await sleep(AGAIN)
            continue
        yield RowsChanged(watching.ref, watching.rows, whole=True)
        try:
            while True:
                message = await receive(_concerns(watching.ref, seen))
                if isinstance(message, Down):
                    break
                yield message
                Live.ready(live, watching.ref)
        finally:
            demonitor(seen, flush=True)
            try:
                Live.unsubscribe(live, watching.ref)
            except NoProcess:
                pass
        await sleep(AGAIN)


def _concerns(ref: int, seen: Monitor) -> Callable[[object], bool]:
    def concerns(message: object) -> bool:
        match message:
            case RowsChanged(ref=number):
                return number == ref
            case Down(ref=monitor_):
                return monitor_ is seen
            case _:
                return False

    return concerns
