"""LangGraph beside our turn: a graph of model and tool, no saver. `python -m benchmarks.peers.loop_langgraph`"""

import operator
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph

from benchmarks.peers import loops
from benchmarks.peers.serve import serve


class State(TypedDict):
    messages: Annotated[list[dict[str, Any]], operator.add]


async def model(state: State) -> dict[str, Any]:
    """Asks for the tool, then answers."""
    if state["messages"][-1]["role"] == "tool":
        return {"messages": [{"role": "assistant", "content": loops.ANSWER}]}
    call = {"id": "call_1", "name": loops.TOOL, "arguments": dict(loops.ARGUMENTS)}
    return {"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}]}


async def tool(state: State) -> dict[str, Any]:
    """Runs what was asked for."""
    (call,) = state["messages"][-1]["tool_calls"]
    assert call["arguments"] == loops.ARGUMENTS
    return {"messages": [{"role": "tool", "tool_call_id": call["id"], "content": loops.RESULT}]}


def after_model(state: State) -> str:
    """Where it goes on."""
    return "tool" if state["messages"][-1].get("tool_calls") else END


def graph() -> Any:
    """Model and tool in turns."""
    made = StateGraph(State)
    made.add_node("model", model)
    made.add_node("tool", tool)
    made.add_edge(START, "model")
    made.add_conditional_edges("model", after_model)
    made.add_edge("tool", "model")
    return made.compile()


GRAPH = graph()


class Session:
    """One conversation."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": loops.SYSTEM}]

    async def turn(self) -> str:
        """One message to its answer."""
        message = {"role": "user", "content": loops.MESSAGE}
        state = await GRAPH.ainvoke({"messages": [*self.messages, message]})
        self.messages = state["messages"]
        return str(self.messages[-1]["content"])


@asynccontextmanager
async def sessions(n: int) -> AsyncIterator[list[loops.Turn]]:
    """Conversations."""
    yield [Session().turn for _ in range(n)]


if __name__ == "__main__":
    serve(loops.rows(sessions), f"LangGraph {version('langgraph')}")
