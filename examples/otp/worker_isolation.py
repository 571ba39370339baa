"""A server in an OS process of its own: it eats memory, loops for ever, is killed, and the node does not mind.

The class is an ordinary server. Where it runs is said by the child: `isolation="worker"`.
"""

import asyncio
import os

from planaria.otp import (
    GenServer,
    Limits,
    Node,
    ServerExited,
    call,
    child,
    reason_text,
    run_in_worker,
    sleep,
    supervisor,
)


class Parser(GenServer):
    """Reads what strangers wrote."""

    def init(self) -> None:
        self.read = 0

    @call
    def parse(self, text: str) -> int:
        self.read += 1
        if text == "bomb":
            kept = []
            while True:
                kept.append(bytearray(10_000_000))
        if text == "endless":
            while True:
                pass
        if text == "exit":
            os._exit(3)
        return len(text.split())

    @call
    def home(self) -> int:
        return os.getpid()


def primes(below: int) -> int:
    """Work for a processor of its own."""
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, below))


async def main() -> None:
    async with Node("garden") as node:
        limits = Limits(memory="256 MB", cpu=2, files=64)
        await node.start(supervisor(child(Parser, name="parser", isolation="worker", limits=limits)))

        async def visit() -> None:
            print("words:", await Parser.parse("parser", "moss likes shade"))
            print("in the node's own OS process:", await Parser.home("parser") == os.getpid())
            for text in ("bomb", "endless", "exit"):
                try:
                    await Parser.parse.within(20)("parser", text)
                except ServerExited as gone:
                    print(f"{text}: {reason_text(gone.why)}")
                while node.whereis("parser") is None:
                    await sleep(0.01)  # its supervisor starts another
            print("words:", await Parser.parse("parser", "and is back"))
            print("primes:", await run_in_worker(primes, 1000))

        await node.run(visit)


if __name__ == "__main__":
    asyncio.run(main())
