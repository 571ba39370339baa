"""Let it crash: a server divides by zero, and its supervisor puts a new one in its place."""

import asyncio

from planaria.otp import GenServer, Node, Pid, ServerExited, Supervisor, call, child, supervisor


class Divider(GenServer):
    @call
    def divide(self, a: int, b: int) -> float:
        return a / b


async def work(root: Pid) -> None:
    print(await Divider.divide("divider", 6, 3))
    try:
        await Divider.divide("divider", 1, 0)
    except ServerExited as error:
        print("crashed:", error.why)
    for known in await Supervisor.which_children(root):
        print(known.id, "restarted", known.restarts, "time")
    print(await Divider.divide("divider", 8, 2))  # another process under the same name


async def main() -> None:
    async with Node() as node:
        root = await node.start(supervisor(child(Divider, name="divider"), max_restarts=3, within=5.0))
        await node.run(work, root)


if __name__ == "__main__":
    asyncio.run(main())
