"""smolagents beside our turn: its tool-calling agent, which ends with a tool call.

`python -m benchmarks.peers.loop_smolagents`
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from smolagents import LogLevel, Model, ToolCallingAgent, tool
from smolagents.models import ChatMessage, ChatMessageToolCall, ChatMessageToolCallFunction, MessageRole

from benchmarks.peers import loops
from benchmarks.peers.serve import serve


class Scripted(Model):
    """Asks for the tool, then for the tool that answers."""

    def generate(self, messages: list[ChatMessage], *args: Any, **more: Any) -> ChatMessage:
        """One answer."""
        name, arguments = loops.TOOL, dict(loops.ARGUMENTS)
        if messages[-1].role == MessageRole.TOOL_RESPONSE:
            name, arguments = "final_answer", {"answer": loops.ANSWER}
        call = ChatMessageToolCall(ChatMessageToolCallFunction(arguments, name), "call_1", "function")
        return ChatMessage(MessageRole.ASSISTANT, "", [call])


@tool
def forecast(place: str) -> str:
    """The weather.

    Args:
        place: where.
    """
    assert place == loops.ARGUMENTS["place"]
    return loops.RESULT


class Session:
    """One conversation."""

    def __init__(self) -> None:
        self.agent = ToolCallingAgent(
            [forecast], Scripted(), verbosity_level=LogLevel.OFF, max_tool_threads=1
        )
        self.reset = True

    async def turn(self) -> str:
        """One message to its answer. It has no async run."""
        said = self.agent.run(loops.MESSAGE, reset=self.reset)
        self.reset = False
        return str(said)


@asynccontextmanager
async def sessions(n: int) -> AsyncIterator[list[loops.Turn]]:
    """Conversations."""
    yield [Session().turn for _ in range(n)]


if __name__ == "__main__":
    serve(loops.rows(sessions), f"smolagents {version('smolagents')}")
