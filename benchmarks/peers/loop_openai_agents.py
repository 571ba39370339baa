"""The OpenAI Agents SDK beside our turn, its tracing off. `python -m benchmarks.peers.loop_openai_agents`"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_tracing_disabled
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from benchmarks.peers import loops
from benchmarks.peers.serve import serve

set_tracing_disabled(True)


class Scripted(Model):
    """Asks for the tool, then answers."""

    async def get_response(
        self, system_instructions: Any, input: Any, *args: Any, **more: Any
    ) -> ModelResponse:
        """One answer."""
        output: Any
        if isinstance(input, list) and input[-1].get("type") == "function_call_output":
            text = ResponseOutputText(type="output_text", text=loops.ANSWER, annotations=[])
            output = ResponseOutputMessage(
                id="message_1", type="message", role="assistant", status="completed", content=[text]
            )
        else:
            arguments = json.dumps(loops.ARGUMENTS)
            output = ResponseFunctionToolCall(
                type="function_call", call_id="call_1", name=loops.TOOL, arguments=arguments
            )
        return ModelResponse(output=[output], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **more: Any) -> Any:
        """Not used."""
        return loops.nothing()


@function_tool
async def forecast(place: str) -> str:
    """The weather."""
    assert place == loops.ARGUMENTS["place"]
    return loops.RESULT


AGENT = Agent(name="weather", instructions=loops.SYSTEM, tools=[forecast], model=Scripted())


class Session:
    """One conversation."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    async def turn(self) -> str:
        """One message to its answer."""
        result = await Runner.run(AGENT, [*self.items, {"role": "user", "content": loops.MESSAGE}])
        self.items = result.to_input_list()
        return str(result.final_output)


@asynccontextmanager
async def sessions(n: int) -> AsyncIterator[list[loops.Turn]]:
    """Conversations."""
    yield [Session().turn for _ in range(n)]


if __name__ == "__main__":
    serve(loops.rows(sessions), f"OpenAI Agents SDK {version('openai-agents')}")
