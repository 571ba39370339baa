"""Agno beside our turn, its telemetry off, history kept by the caller. `python -m benchmarks.peers.loop_agno`"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from agno.agent import Agent
from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse

from benchmarks.peers import loops
from benchmarks.peers.serve import serve


@dataclass
class Scripted(Model):
    """Asks for the tool, then answers."""

    id: str = "scripted"

    def invoke(self, *args: Any, **more: Any) -> ModelResponse:
        """One answer."""
        messages = more.get("messages") or args[0]
        if messages[-1].role == "tool":
            return ModelResponse(role="assistant", content=loops.ANSWER)
        function = {"name": loops.TOOL, "arguments": json.dumps(loops.ARGUMENTS)}
        return ModelResponse(
            role="assistant", tool_calls=[{"id": "call_1", "type": "function", "function": function}]
        )

    async def ainvoke(self, *args: Any, **more: Any) -> ModelResponse:
        """One answer."""
        return self.invoke(*args, **more)

    def invoke_stream(self, *args: Any, **more: Any) -> Any:
        """Not used."""
        raise NotImplementedError

    def ainvoke_stream(self, *args: Any, **more: Any) -> Any:
        """Not used."""
        return loops.nothing()

    def _parse_provider_response(self, response: Any, **more: Any) -> ModelResponse:
        assert isinstance(response, ModelResponse)
        return response

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        assert isinstance(response, ModelResponse)
        return response


async def forecast(place: str) -> str:
    """The weather."""
    assert place == loops.ARGUMENTS["place"]
    return loops.RESULT


class Session:
    """One conversation."""

    def __init__(self) -> None:
        self.agent = Agent(model=Scripted(), tools=[forecast], system_message=loops.SYSTEM, telemetry=False)
        self.messages: list[Message] = []

    async def turn(self) -> str:
        """One message to its answer."""
        self.messages.append(Message(role="user", content=loops.MESSAGE))
        result = await self.agent.arun(self.messages)
        self.messages = [message for message in result.messages or () if message.role != "system"]
        return str(result.content)


@asynccontextmanager
async def sessions(n: int) -> AsyncIterator[list[loops.Turn]]:
    """Conversations."""
    yield [Session().turn for _ in range(n)]


if __name__ == "__main__":
    serve(loops.rows(sessions), f"Agno {version('agno')}")
