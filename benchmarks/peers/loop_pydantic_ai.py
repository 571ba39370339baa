"""Pydantic AI beside our turn. `python -m benchmarks.peers.loop_pydantic_ai`"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from benchmarks.peers import loops
from benchmarks.peers.serve import serve


async def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Asks for the tool, then answers."""
    if any(isinstance(part, ToolReturnPart) for part in messages[-1].parts):
        return ModelResponse(parts=[TextPart(loops.ANSWER)])
    return ModelResponse(parts=[ToolCallPart(loops.TOOL, dict(loops.ARGUMENTS), "call_1")])


agent = Agent(FunctionModel(model), system_prompt=loops.SYSTEM)


@agent.tool_plain
async def forecast(place: str) -> str:
    """The weather."""
    assert place == loops.ARGUMENTS["place"]
    return loops.RESULT


class Session:
    """One conversation."""

    def __init__(self) -> None:
        self.history: list[ModelMessage] = []

    async def turn(self) -> str:
        """One message to its answer."""
        result = await agent.run(loops.MESSAGE, message_history=self.history)
        self.history = result.all_messages()
        return result.output


@asynccontextmanager
async def sessions(n: int) -> AsyncIterator[list[loops.Turn]]:
    """Conversations."""
    yield [Session().turn for _ in range(n)]


if __name__ == "__main__":
    serve(loops.rows(sessions), f"Pydantic AI {version('pydantic-ai-slim')}")
