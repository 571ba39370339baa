"""The floor beside our turn: a loop, a list of messages and two function calls.

`python -m benchmarks.peers.loop_bare`
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers import loops
from benchmarks.peers.serve import serve


async def model(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Asks for the tool, then answers."""
    if messages[-1]["role"] == "tool":
        return {"role": "assistant", "content": loops.ANSWER}
    call = {"id": "call_1", "name": loops.TOOL, "arguments": dict(loops.ARGUMENTS)}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


async def forecast(place: str) -> str:
    """The tool."""
    assert place == loops.ARGUMENTS["place"]
    return loops.RESULT


class Session:
    """One conversation."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": loops.SYSTEM}]

    async def turn(self) -> str:
        """One message to its answer."""
        self.messages.append({"role": "user", "content": loops.MESSAGE})
        while True:
            said = await model(self.messages)
            self.messages.append(said)
            if not said.get("tool_calls"):
                return str(said["content"])
            for call in said["tool_calls"]:
                result = await forecast(**call["arguments"])
                self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})


@asynccontextmanager
async def sessions(n: int) -> AsyncIterator[list[loops.Turn]]:
    """Conversations."""
    yield [Session().turn for _ in range(n)]


if __name__ == "__main__":
    serve(loops.rows(sessions), "a bare loop")
