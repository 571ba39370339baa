"""Using the journal in a task that can do nothing without it: while it is away, wait.

    events = await patiently(lambda: Journal.append("journal", events))

For tasks only: a server that waits answers nobody.
"""

from collections.abc import Awaitable, Callable

from planaria.cortex.errors import JournalUnavailable
from planaria.otp import CallError, sleep

PATIENCE = 0.5
"""Seconds between two tries while the journal is away."""


async def patiently[R](ask: Callable[[], Awaitable[R]]) -> R:
    """What the journal answers; it is asked again while its process is away, or its store fails.

    An append that got no answer may be on disk all the same; its repetition is then refused as a duplicate, so give its
    events ids.

    Raises:
        JournalUnavailable: asking again would not help.
        EventRefused: as `Journal.append`.
    """
    while True:
        try:
            return await ask()
        except JournalUnavailable as error:
            if not error.retry:
                raise
        except CallError:
            pass
        await sleep(PATIENCE)
