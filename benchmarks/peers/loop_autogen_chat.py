"""AutoGen AgentChat beside our turn. `python -m benchmarks.peers.loop_autogen_chat`"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResultMessage,
    ModelInfo,
    RequestUsage,
)

from benchmarks.peers import loops
from benchmarks.peers.serve import serve

NONE = RequestUsage(prompt_tokens=0, completion_tokens=0)


class Scripted(ChatCompletionClient):
    """Asks for the tool, then answers."""

    async def create(self, messages: Any, **more: Any) -> CreateResult:
        """One answer."""
        if isinstance(messages[-1], FunctionExecutionResultMessage):
            return CreateResult(finish_reason="stop", content=loops.ANSWER, usage=NONE, cached=False)
        call = FunctionCall(id="call_1", name=loops.TOOL, arguments=json.dumps(loops.ARGUMENTS))
        return CreateResult(finish_reason="function_calls", content=[call], usage=NONE, cached=False)

    def create_stream(self, *args: Any, **more: Any) -> Any:
        """Not used."""
        return loops.nothing()

    async def close(self) -> None:
        """Nothing to close."""

    def actual_usage(self) -> RequestUsage:
        """None."""
        return NONE

    def total_usage(self) -> RequestUsage:
        """None."""
        return NONE

    def count_tokens(self, messages: Any, **more: Any) -> int:
        """Not counted."""
        return 0

    def remaining_tokens(self, messages: Any, **more: Any) -> int:
        """Enough."""
        return 100_000

    @property
    def capabilities(self) -> Any:
        """As `model_info`."""
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        """What it can do."""
        return ModelInfo(
            vision=False, function_calling=True, json_output=False, family="unknown", structured_output=False
        )


async def forecast(place: str) -> str:
    """The weather."""
    assert place == loops.ARGUMENTS["place"]
    return loops.RESULT


class Session:
    """One conversation."""

    def __init__(self) -> None:
        self.agent = AssistantAgent(
            "weather", Scripted(), tools=[forecast], system_message=loops.SYSTEM, reflect_on_tool_use=True
        )

    async def turn(self) -> str:
        """One message to its answer."""
        result = await self.agent.run(task=loops.MESSAGE)
        return str(result.messages[-1].content)


@asynccontextmanager
async def sessions(n: int) -> AsyncIterator[list[loops.Turn]]:
    """Conversations."""
    yield [Session().turn for _ in range(n)]


if __name__ == "__main__":
    serve(loops.rows(sessions), f"AutoGen AgentChat {version('autogen-agentchat')}")
