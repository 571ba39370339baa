"""The beginning of a process: its place in the node, its name, its first link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planaria.otp.kernel.event import ProcessStarted
from planaria.otp.kernel.process import Process, new_process
from planaria.otp.kernel.reason import AlreadyStarted, StartFailed
from planaria.otp.kernel.signals import link

if TYPE_CHECKING:
    from planaria.otp.kernel.node import Node


def create(
    node: Node,
    label: str,
    name: str | None = None,
    linked_to: Process | None = None,
    parent: Process | None = None,
) -> Process:
    """A new process without work yet; the caller gives it a body or a coroutine.

    Raises:
        StartFailed: with `AlreadyStarted`, if a process has the name.
    """
    if node.closed:
        raise StartFailed(label, "the node has stopped")
    if name is not None:
        holder = node.names.get(name)
        if holder is not None:
            raise StartFailed(label, AlreadyStarted(holder))
    process = new_process(node, label)
    if name is not None:
        node.names[name] = process
        process.name = name
    node.table[process.id] = process
    process.parent = parent
    if linked_to is not None:
        link(process, linked_to)
    return process


def announce(process: Process) -> None:
    """Emit `process.started`."""
    node = process.node
    if node.listeners:
        node.emit(ProcessStarted(process, process.name, process.label))
