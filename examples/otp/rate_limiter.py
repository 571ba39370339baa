"""A pipeline of stages: requests come as fast as they are asked for, a limiter lets ten a second through.

Demand travels from right to left, events from left to right, so the source is asked for no more than may pass:

    Requests  ->  RateLimiter (10 a second, 5 at once)  ->  two Workers

Here time is virtual, so that two seconds pass at once; in a `Node` they take two seconds.
"""

import asyncio

from planaria.otp import (
    Consumer,
    Node,
    Producer,
    RateLimiter,
    Subscription,
    call,
    child,
    supervisor,
)
from planaria.testing.node import running_node


class Requests(Producer):
    """Numbers them; a real one would read a queue, a file or a socket."""

    def init(self) -> None:
        self.made = 0

    def handle_demand(self, demand: int) -> list[str]:
        first = self.made + 1
        self.made += demand
        return [f"request {number}" for number in range(first, self.made + 1)]

    @call
    def how_many(self) -> int:
        return self.made


class Worker(Consumer):
    """Handles requests, at most two under way."""

    def init(self) -> None:
        self.done: list[str] = []
        self.subscribe_to("limiter", max_demand=2, min_demand=1)

    def handle_events(self, events: list[str], source: Subscription) -> None:
        self.done += events

    @call
    def handled(self) -> int:
        return len(self.done)


async def main() -> None:
    async with running_node("mill") as node:
        await node.start(
            supervisor(
                child(Requests, name="requests"),
                child(RateLimiter, "requests", 10, 1.0, 5, name="limiter"),
                child(Worker, name="left"),
                child(Worker, name="right"),
                strategy="rest_for_one",
            )
        )
        await node.settle()
        print("at once:", await handled(node))
        await node.advance(1.0)
        print("after a second:", await handled(node))
        await node.advance(1.0)
        print("after two:", await handled(node))
        print("made in advance:", await Requests.how_many(node["requests"]) - await handled(node))


async def handled(node: Node) -> int:
    """How many requests both workers have handled."""
    return sum([await Worker.handled(node[name]) for name in ("left", "right")])


if __name__ == "__main__":
    asyncio.run(main())
