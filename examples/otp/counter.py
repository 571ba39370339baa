"""A server: state behind a mailbox. A method marked `@call` is the handler inside and, through the class, the client.

Run it: `.venv/bin/python examples/otp/counter.py`
"""

import asyncio

from planaria.otp import GenServer, Node, call, cast


class Counter(GenServer):
    def init(self, start: int = 0) -> None:
        self.count = start

    @call
    def add(self, by: int = 1) -> int:
        self.count += by
        return self.count

    @cast
    def reset(self) -> None:
        self.count = 0


async def work() -> None:
    """Runs as a process, so it may start processes of its own and use their names."""
    pid = await Counter.start_link(10, name="counter")
    print(
        await Counter.add(pid, by=5)
    )  # 15: a call waits for its answer; type checkers know that it is an int
    print(await Counter.add("counter"))  # 16: a registered name is as good as a pid
    Counter.reset("counter")  # a cast returns at once
    print(await Counter.add.within(0.5)("counter"))  # 1: messages of one sender keep their order


async def main() -> None:
    async with Node() as node:
        await node.run(work)


if __name__ == "__main__":
    asyncio.run(main())
