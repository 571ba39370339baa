"""A node is a value: here two of them in one program. A pid works from anywhere; names and topics are a node's own.

Both share one event loop. Nodes on different machines do not exist yet.
"""

import asyncio

from planaria.otp import (
    Down,
    GenServer,
    Node,
    Pid,
    broadcast,
    call,
    cast,
    child,
    monitor,
    node_,
    reason_text,
    receive,
    subscribe,
    supervisor,
    whereis,
)


class Station(GenServer):
    """Measures the weather and tells it on a topic."""

    @call
    def measure(self, degrees: float) -> int:
        """How many heard of it."""
        return broadcast("weather", degrees)

    @cast
    def freeze(self) -> None:
        raise RuntimeError("too cold")


async def listen(station: Pid) -> None:
    """Runs in the south; the station stands in the north."""
    print("here:", node_().name, "- the station:", station.node.name)
    print("by its name, from here:", whereis("station"))
    subscribe("weather")  # the topic of this node
    print("told to listeners in the north:", await Station.measure(station, -3.5))
    print("told to listeners in the south:", broadcast("weather", -3.5), "->", await receive(float))
    watch = monitor(station)
    Station.freeze(station)
    down = await receive(Down)
    print("its end is seen from here:", down.ref is watch, reason_text(down.reason))


async def main() -> None:
    async with Node("north") as north, Node("south") as south:
        await north.start(supervisor(child(Station, name="station")))
        await south.run(listen, north["station"])


if __name__ == "__main__":
    asyncio.run(main())
