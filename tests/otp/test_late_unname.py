"""A server that is killed while it starts lets go of its own name, never of its successor's."""

from planaria.otp import GenServer, Node, StartFailed, exit_signal, hang, sleep, spawn, whereis


class Slow(GenServer):
    async def init(self, wait: bool) -> None:
        if wait:
            try:
                await hang()
            finally:
                await sleep(0)


async def test_the_name_of_a_successor_stays():
    async with Node("test") as node:

        async def work() -> None:
            async def begin() -> None:
                try:
                    await Slow.start(True, name="slow")
                except StartFailed:
                    pass

            spawn(begin)
            while whereis("slow") is None:
                await sleep(0)
            first = whereis("slow")
            assert first is not None
            exit_signal(first, "kill")
            second = await Slow.start(False, name="slow")
            for _ in range(10):
                await sleep(0)
            assert whereis("slow") is second

        await node.run(work)
