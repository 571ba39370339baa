"""A node for tests: virtual time, a schedule made from a seed, and a stop at the end."""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from planaria.otp.kernel.debug_messages import DebugMessages
from planaria.otp.kernel.node import Node
from planaria.testing.clock import VirtualClock


class TestNode(Node):
    """A `Node` whose clock is virtual. `node.clock.advance(5)` lets time pass, `node.settle()` waits for quiet."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    def __init__(
        self,
        name: str = "test",
        *,
        clock: VirtualClock | None = None,
        seed: int | None = None,
        debug_messages: DebugMessages | None = None,
    ) -> None:
        self.virtual_clock = VirtualClock() if clock is None else clock
        super().__init__(name, clock=self.virtual_clock, seed=seed, debug_messages=debug_messages)

    async def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        await self.virtual_clock.advance(seconds)


def seed_for(what: str) -> int:
    """The seed of a test: `PLANARIA_SEED` if set, else a fixed function of its name."""
    given = os.environ.get("PLANARIA_SEED")
    return int(given) if given else zlib.crc32(what.encode())


@asynccontextmanager
async def running_node(
    name: str = "test",
    *,
    clock: VirtualClock | None = None,
    seed: int | None = None,
    debug_messages: DebugMessages | None = None,
) -> AsyncGenerator[TestNode]:
    """A started node with virtual time, stopped at the end; its shutdown waits for nobody's virtual time."""
    node = TestNode(name, clock=clock, seed=seed, debug_messages=debug_messages)
    async with node:
        node.virtual_clock.nodes.append(node)
        try:
            yield node
        finally:
            # Children that take their time are killed: virtual time does not pass by itself.
            await node.stop(timeout=1.0)
            node.virtual_clock.nodes.remove(node)
