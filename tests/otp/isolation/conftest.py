"""A node on the machine's clock: time passes for OS processes whether tests want it or not.

One for each module, since its template takes a while to start; each test begins with workers nobody has used.
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from planaria.otp import Node, Pid, exit_signal
from planaria.otp.isolation.names import POOL
from planaria.otp.isolation.output import print_line
from planaria.otp.isolation.pool import worker_pool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_node() -> AsyncIterator[Node]:
    """A running node; every worker is gone when it has stopped."""
    async with Node("home") as node:
        worker_pool(node, warm=1)
        yield node


@pytest_asyncio.fixture(loop_scope="module")
async def home(module_node: Node) -> AsyncIterator[Node]:
    """The module's node; what a test leaves running is killed."""
    yield module_node
    for root in module_node.roots:
        if root.alive:
            await module_node.run(kill, root)
    module_node.roots.clear()
    for process in module_node.processes():
        if process.name != POOL:
            await module_node.run(kill, process)
    worker_pool(module_node, output=print_line)


async def kill(process: Pid) -> None:
    """End a process whatever it does."""
    exit_signal(process, "kill")
