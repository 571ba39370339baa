"""Who still runs the version before last: they are waited for, then killed.

Source: Erlang's `code:soft_purge` and `code:purge`: a module has two versions at most.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from planaria.otp.kernel.ambient import sleep
from planaria.otp.kernel.event import OldCodeKilled
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import Process
from planaria.otp.kernel.signals import signal
from planaria.otp.kernel.versions import superseded
from planaria.otp.servers.wrapper import server_of
from planaria.otp.upgrade.version import Version, classes_of

TICK = 0.05
"""Seconds between two looks."""


def still_on(node: Node, versions: Collection[Version]) -> dict[Process, Version]:
    """The processes that run one of these versions: by their server's class, or in the middle of a coroutine."""
    frames = {id(version.module.__dict__): version for version in versions}
    classes = _classes(versions)
    found: dict[Process, Version] = {}
    for process in node.table.values():
        version = _by_class(process, classes) or _by_frame(process, frames)
        if version is not None:
            found[process] = version
    return found


def serves(process: Process, versions: Collection[Version]) -> bool:
    """Whether the server inside is of one of these versions, and of none in force."""
    return _by_class(process, _classes(versions)) is not None


def _classes(versions: Collection[Version]) -> dict[type, Version]:
    return {
        cls: version
        for version in versions
        for cls in classes_of(version.module).values()
        if cls in superseded  # a class that did not change is one of the version in force too
    }


def _by_class(process: Process, classes: dict[type, Version]) -> Version | None:
    for base in type(server_of(process)).__mro__:
        if base in classes:
            return classes[base]
    return None


def _by_frame(process: Process, frames: dict[int, Version]) -> Version | None:
    awaitable: Any = process.coro
    for _ in range(100):
        if awaitable is None:
            return None
        frame = (
            getattr(awaitable, "cr_frame", None)
            or getattr(awaitable, "gi_frame", None)
            or getattr(awaitable, "ag_frame", None)
        )
        version = None if frame is None else frames.get(id(frame.f_globals))
        if version is not None:
            return version
        awaitable = (
            getattr(awaitable, "cr_await", None)
            or getattr(awaitable, "gi_yieldfrom", None)
            or getattr(awaitable, "ag_await", None)
        )
    return None


async def purge(
    node: Node, versions: Collection[Version], grace: float, spare: Collection[Process]
) -> list[Process]:
    """Wait until nobody runs these versions; kill those who still do after `grace` seconds. Who was killed."""
    if not versions:
        return []
    until = node.clock.now() + grace
    while True:
        found = {
            process: version for process, version in still_on(node, versions).items() if process not in spare
        }
        left = until - node.clock.now()
        if not found or left <= 0:
            break
        await sleep(min(TICK, left))
    for process, version in found.items():
        if node.listeners:
            node.emit(OldCodeKilled(process, process.name, process.label, version.name, version.number))
        signal(process, None, "kill")
    return list(found)
