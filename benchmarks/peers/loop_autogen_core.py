"""AutoGen Core beside our turn: an agent of its runtime with the loop inside.

`python -m benchmarks.peers.loop_autogen_core`
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

from autogen_core import AgentId, MessageContext, RoutedAgent, SingleThreadedAgentRuntime, message_handler

from benchmarks.peers import loops
from benchmarks.peers.loop_bare import forecast, model
from benchmarks.peers.serve import serve


@dataclass
class Said:
    """A person's message, or an answer."""

    text: str


class Weather(RoutedAgent):
    """An agent that keeps its conversation."""

    def __init__(self) -> None:
        super().__init__("weather")
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": loops.SYSTEM}]

    @message_handler
    async def said(self, message: Said, ctx: MessageContext) -> Said:
        """One message to its answer."""
        self.messages.append({"role": "user", "content": message.text})
        while True:
            answer = await model(self.messages)
            self.messages.append(answer)
            if not answer.get("tool_calls"):
                return Said(answer["content"])
            for call in answer["tool_calls"]:
                result = await forecast(**call["arguments"])
                self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})


@asynccontextmanager
async def sessions(n: int) -> AsyncIterator[list[loops.Turn]]:
    """Conversations."""
    runtime = SingleThreadedAgentRuntime()
    await Weather.register(runtime, "weather", Weather)
    runtime.start()

    async def turn(number: int) -> str:
        answer = await runtime.send_message(Said(loops.MESSAGE), AgentId("weather", str(number)))
        return str(answer.text)

    yield [partial(turn, number) for number in range(n)]
    await runtime.stop()


if __name__ == "__main__":
    serve(loops.rows(sessions), f"AutoGen Core {version('autogen-core')}")
