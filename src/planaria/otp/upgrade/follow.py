"""Plain functions that live long and go on with new code when there is some.

```python
async def loop(count: int = 0) -> object:
    message = await receive()
    return again(loop, count + 1)        # Erlang's ?MODULE:loop(Count + 1)

spawn(follow, loop, 0)
```
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from planaria.otp.kernel.versions import latest


class Again:
    """Returned by a function that `follow` runs: go on with this one."""

    __slots__ = ("args", "fn")

    def __init__(self, fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        self.fn = fn
        self.args = args


def again(fn: Callable[..., Awaitable[object]], *args: Any) -> Again:
    """Go on with the newest version of `fn`, in the same process; nothing of the present call stays behind."""
    return Again(fn, args)


async def follow(fn: Callable[..., Awaitable[object]], *args: Any) -> object:
    """Run the newest version of `fn`, and what it says to go `again` with, until it returns something else."""
    while True:
        outcome = await latest(fn)(*args)
        if not isinstance(outcome, Again):
            return outcome
        fn, args = outcome.fn, outcome.args
