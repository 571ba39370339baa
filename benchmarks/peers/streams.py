"""How agent frameworks read a streamed answer: the readers of `bench_stream` that need the peers' environment.

`python -m benchmarks.peers.streams CASE PORT STREAMS MODEL WORDS`, as `benchmarks.stream_readers`. Each framework
streams the text of one answer in the way its manual begins with.
"""

# ruff: noqa: PLC0415  one is measured at a time, and loads no other

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.stream_measure import Reader, Way, Words, main, note

KEY = "x"


def at(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1"


@asynccontextmanager
async def openai_agents(port: int) -> AsyncIterator[Reader]:
    from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    client = AsyncOpenAI(api_key=KEY, base_url=at(port), max_retries=0)

    async def read(model: str, words: Words) -> None:
        agent = Agent(name="a", model=OpenAIChatCompletionsModel(model=model, openai_client=client))
        async for event in Runner.run_streamed(agent, "hi").stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                if event.data.delta:
                    note(words, event.data.delta)

    yield read
    await client.close()


@asynccontextmanager
async def pydantic_ai(port: int) -> AsyncIterator[Reader]:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=at(port), api_key=KEY)

    async def read(model: str, words: Words) -> None:
        agent: Any = Agent(OpenAIChatModel(model, provider=provider))
        async with agent.run_stream("hi") as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                for word in text.split():
                    note(words, word)

    yield read


@asynccontextmanager
async def langgraph(port: int) -> AsyncIterator[Reader]:
    from langchain_openai import ChatOpenAI
    from langgraph.graph import END, START, MessagesState, StateGraph

    async def read(model: str, words: Words) -> None:
        chat = ChatOpenAI(model=model, base_url=at(port), api_key=KEY, max_retries=0)

        async def answer(state: Any) -> Any:
            return {"messages": [await chat.ainvoke(state["messages"])]}

        graph: Any = StateGraph(MessagesState)
        graph.add_node("answer", answer)
        graph.add_edge(START, "answer")
        graph.add_edge("answer", END)
        asked = {"messages": [("user", "hi")]}
        async for message, _ in graph.compile().astream(asked, stream_mode="messages"):
            if message.content:
                note(words, message.content)

    yield read


@asynccontextmanager
async def agno(port: int) -> AsyncIterator[Reader]:
    from agno.agent import Agent
    from agno.models.openai.like import OpenAILike

    async def read(model: str, words: Words) -> None:
        agent = Agent(model=OpenAILike(id=model, base_url=at(port), api_key=KEY), telemetry=False)
        async for event in agent.arun("hi", stream=True):
            content = getattr(event, "content", None)
            if type(event).__name__ == "RunContentEvent" and content:
                note(words, content)

    yield read


WAYS: dict[str, Way] = {
    "openai-agents": openai_agents,
    "pydantic-ai": pydantic_ai,
    "langgraph": langgraph,
    "agno": agno,
}

if __name__ == "__main__":
    main(WAYS)
