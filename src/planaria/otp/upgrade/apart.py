"""Work that must come to its end whatever becomes of who asked for it: in a process of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from planaria.otp.kernel.ambient import wait_down
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import running
from planaria.otp.kernel.reason import NotAProcess, StartFailed, TaskFailed
from planaria.otp.kernel.signals import watch


def node_here(node: Node | None) -> Node:
    """The node given, else that of the running process.

    Raises:
        NotAProcess: none is given, and no process runs.
    """
    if node is not None:
        return node
    if running.process is None:
        raise NotAProcess("outside a process say which node: upgrade.load(name, node=node)")
    return running.process.node


async def in_process_of_its_own[R](
    node: Node, label: str, work: Callable[[], Awaitable[R]], ended: Callable[[], None]
) -> R:
    """Do `work` as a new process of `node` and wait for what it returns or raises.

    Args:
        ended: called when the process has ended, also if it never ran.
    Raises:
        TaskFailed: the process was killed.
        StartFailed: the node has stopped.
    """
    values: list[R] = []
    errors: list[Exception] = []

    async def body() -> None:
        try:
            values.append(await work())
        except Exception as error:  # noqa: BLE001  raised where it was asked for
            errors.append(error)

    try:
        process = node.spawn(body)
    except StartFailed:
        ended()
        raise
    watch(process, lambda _: ended())
    process.label = label
    if running.process is None:
        reason = await node.wait_exit(process)
    else:
        reason = await wait_down(process)
    if errors:
        raise errors[0]
    if not values:
        raise TaskFailed(reason)
    return values[0]
