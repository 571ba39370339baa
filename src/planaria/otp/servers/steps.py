"""Work that may have to wait, written once for plain and async callbacks: a generator of what it waits for.

A server whose callbacks are plain functions pays for no coroutine; one whose callbacks are async gets one from the
first wait on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Generator
from typing import Any

type Work = Coroutine[Any, Any, None]
type Steps[R] = Generator[Awaitable[Any], Any, R]
"""Yields the awaitables it must wait for and is sent their values; without any it ends at once."""


def run_steps(steps: Steps[None]) -> Work | None:
    """Do the steps; if they must wait for something, the rest in the coroutine that is returned."""
    try:
        waited_for = next(steps)
    except StopIteration:
        return None
    return _go_on(steps, waited_for)


async def _go_on(steps: Steps[None], waited_for: Awaitable[Any]) -> None:
    while True:
        try:
            value = await waited_for
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001  raised where the steps wait for it
            try:
                waited_for = steps.throw(error)
            except StopIteration:
                return
        else:
            try:
                waited_for = steps.send(value)
            except StopIteration:
                return
