"""The kernel's rows on AutoGen's core: agents in a `SingleThreadedAgentRuntime`."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from time import perf_counter

from autogen_core import (
    AgentId,
    DefaultTopicId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TypeSubscription,
    message_handler,
)

from benchmarks.peers.serve import Row, resident_bytes, serve, within

AGENTS = 200


@dataclass
class Add:
    by: int


@dataclass
class Total:
    count: int


@dataclass
class Ping:
    pass


class Counter(RoutedAgent):
    def __init__(self) -> None:
        super().__init__("counter")
        self.count = 0

    @message_handler
    async def add(self, message: Add, ctx: MessageContext) -> Total:
        self.count += message.by
        return Total(self.count)


class Pong(RoutedAgent):
    def __init__(self, answered: Callable[[], None]) -> None:
        super().__init__("pong")
        self.answered = answered

    @message_handler
    async def ping(self, message: Ping, ctx: MessageContext) -> None:
        self.answered()


async def in_runtime(work: Callable[[SingleThreadedAgentRuntime], Awaitable[float]]) -> float:
    """Run a measurement in a runtime of its own."""
    runtime = SingleThreadedAgentRuntime()
    await Counter.register(runtime, "counter", Counter)
    runtime.start()
    try:
        return await work(runtime)
    finally:
        await runtime.stop()


async def call(n: int) -> float:
    async def work(runtime: SingleThreadedAgentRuntime) -> float:
        to = AgentId("counter", "one")
        start = perf_counter()
        for _ in range(n):
            await runtime.send_message(Add(1), to)
        return (perf_counter() - start) * 1e9 / n

    return await in_runtime(work)


async def cast(n: int) -> float:
    """Published to a topic with one subscriber, as nothing else is sent one way."""

    async def work(runtime: SingleThreadedAgentRuntime) -> float:
        await runtime.add_subscription(TypeSubscription("one", "counter"))
        topic = DefaultTopicId("one")
        start = perf_counter()
        for _ in range(n):
            await runtime.publish_message(Add(1), topic)
        await runtime.stop_when_idle()
        elapsed = perf_counter() - start
        runtime.start()
        return elapsed * 1e9 / n

    return await in_runtime(work)


async def broadcast(n: int) -> float:
    """Published once, to a topic with many agents of one class under names of their own."""
    count, factor = within(AGENTS, n)

    async def work(runtime: SingleThreadedAgentRuntime) -> float:
        done = asyncio.get_running_loop().create_future()
        missing = count

        def answered() -> None:
            nonlocal missing
            missing -= 1
            if not missing:
                done.set_result(None)

        for index in range(count):
            await Pong.register(runtime, f"pong{index}", lambda: Pong(answered))
            await runtime.add_subscription(TypeSubscription("all", f"pong{index}"))
            await runtime.try_get_underlying_agent_instance(AgentId(f"pong{index}", "default"), Pong)
        start = perf_counter()
        await runtime.publish_message(Ping(), DefaultTopicId("all"))
        await done
        return (perf_counter() - start) * 1e3 * factor

    return await in_runtime(work)


async def fan_out(n: int) -> float:
    count, factor = within(AGENTS, n)

    async def work(runtime: SingleThreadedAgentRuntime) -> float:
        agents = [AgentId("counter", str(index)) for index in range(count)]
        for agent in agents:
            await runtime.send_message(Add(0), agent)
        start = perf_counter()
        await asyncio.gather(*(runtime.send_message(Add(1), agent) for _ in range(10) for agent in agents))
        for agent in agents:
            await runtime.send_message(Add(0), agent)
        return (perf_counter() - start) * factor

    return await in_runtime(work)


async def idle_bytes(n: int) -> float:
    count, _ = within(10_000, n)

    async def work(runtime: SingleThreadedAgentRuntime) -> float:
        for index in range(100):
            await runtime.send_message(Add(0), AgentId("counter", f"warm{index}"))
        gc.collect()
        before = resident_bytes()
        for index in range(count):
            await runtime.send_message(Add(0), AgentId("counter", str(index)))
        gc.collect()
        return (resident_bytes() - before) / count

    return await in_runtime(work)


ROWS: dict[str, Row] = {
    "call_async": call,
    "cast": cast,
    "broadcast": broadcast,
    "fan_out": fan_out,
    "idle_bytes": idle_bytes,
}
ABSENT = {
    "call": "every handler is async: see call_async",
    "spawn_exit": "agents are made by their first message and stay",
    "start_stop": "agents are made by their first message and stay",
    "restart": "no supervision",
}

if __name__ == "__main__":
    logging.disable()
    serve(ROWS, f"autogen-core {version('autogen-core')}", ABSENT)
