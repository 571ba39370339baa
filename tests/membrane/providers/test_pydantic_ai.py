"""The bridge to Pydantic AI: its own test models, and its OpenAI service on a real socket."""

import inspect
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai import messages as theirs
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.providers.openai import OpenAIProvider

from planaria.config.secret import Secret
from planaria.membrane.errors import (
    AuthenticationFailed,
    ContextTooLong,
    ModelNotFound,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestRefused,
    StreamCut,
)
from planaria.membrane.provider import (
    MALFORMED,
    FilePart,
    ImagePart,
    Message,
    ModelRequest,
    ModelResponse,
    Patience,
    Provider,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolSpec,
    complete,
)
from planaria.membrane.providers.pydantic_ai_bridge import PydanticAI, settings_of
from planaria.membrane.wire.wire_names import WireNames
from planaria.testing.fault_server import FaultServer
from planaria.testing.model_server import Answer, ModelServer

FETCH = ToolSpec("web.fetch", "Fetch.", {"type": "object", "properties": {"url": {"type": "string"}}})
ASK = ModelRequest("m", (Message("system", "Be brief."), Message("user", "hi")), (FETCH,))
seen: list[tuple[list[theirs.ModelMessage], AgentInfo]] = []


async def speak(messages: list[theirs.ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    """Thinks, speaks, and calls two tools at once; afterwards it repeats what came back."""
    seen.append((messages, info))
    last = messages[-1].parts[-1]
    if isinstance(last, theirs.ToolReturnPart):
        yield f"got {last.content}"
        return
    yield {0: DeltaThinkingPart(content="hm", signature="c2ln")}
    yield {1: DeltaToolCall(name="web_fetch", json_args='{"url": ', tool_call_id="a")}
    yield {1: DeltaToolCall(json_args='"x"}')}
    yield {2: DeltaToolCall(name="web_fetch", json_args="{broken", tool_call_id="b")}


@pytest.fixture
def bridge():
    seen.clear()
    return PydanticAI(
        "fake", "test", known_models=("m",), make=lambda name: FunctionModel(stream_function=speak)
    )


async def test_it_is_a_provider(bridge):
    assert isinstance(bridge, Provider)
    stream = bridge.stream(ASK)
    assert inspect.isasyncgen(stream)
    await stream.aclose()
    assert [model.id for model in await bridge.models()] == ["m"]


async def test_pieces_come_first_and_the_whole_answer_last(bridge):
    pieces = [piece async for piece in bridge.stream(ASK)]
    answer = pieces[-1]
    assert isinstance(answer, ModelResponse)
    assert pieces[:-1] == [ReasoningDelta("hm")]
    assert answer.reasoning == "hm"
    calls = [(call.id, call.name, call.arguments) for call in answer.tool_calls]
    assert calls == [("a", "web.fetch", {"url": "x"}), ("b", "web.fetch", {MALFORMED: "{broken"})]
    assert (answer.finish_reason, answer.provider) == ("tool_calls", "fake")


async def test_what_is_asked_arrives_in_its_words(bridge):
    history = (
        *ASK.messages,
        Message("assistant", "Yes.", (ToolCall("a", "web.fetch", {"url": "x"}),)),
        Message("tool", "page", tool_call_id="a", parts=(ImagePart("image/png", b"P"),)),
        Message(
            "user",
            "and?",
            parts=(FilePart("n.txt", "text/plain", b"note"), ImagePart(url="https://e.org/a.png")),
        ),
    )
    await complete(
        bridge, ModelRequest("m", history, (FETCH,), 9, 0.5, stop=("END",), reasoning_effort="low")
    )
    messages, info = seen[0]
    kinds = [[type(part).__name__ for part in message.parts] for message in messages]
    assert kinds == [
        ["SystemPromptPart", "UserPromptPart"],
        ["TextPart", "ToolCallPart"],
        ["ToolReturnPart", "UserPromptPart", "UserPromptPart"],
    ]
    content = messages[-1].parts[-1].content  # type: ignore[union-attr]
    assert isinstance(content, list)
    assert content[0] == "<file name='n.txt'>\nnote\n</file>"
    assert content[2] == "and?"
    assert [tool.name for tool in info.function_tools] == ["web_fetch"]
    told = info.model_settings or {}
    assert told.get("max_tokens") == 9
    assert told.get("stop_sequences") == ["END"]


def test_effort_choice_and_patience_have_their_words():
    asked = ModelRequest(
        "m",
        ASK.messages,
        (FETCH,),
        reasoning_effort="low",
        tool_choice="web.fetch",
        idempotency_key="k",
        patience=Patience(first_byte=5.0, between_bytes=2.0),
    )
    assert settings_of(asked, WireNames(["web.fetch"])) == {
        "max_retries": 0,
        "thinking": "low",
        "tool_choice": ["web_fetch"],
        "extra_headers": {"idempotency-key": "k"},
        "first_event_timeout": 5.0,
        "timeout": 2.0,
    }


async def test_signed_thinking_goes_back_as_it_came(bridge):
    answer = await complete(bridge, ASK)
    said = Message("assistant", answer.text, answer.tool_calls)
    results = (Message("tool", "1", tool_call_id="a"), Message("tool", "2", tool_call_id="b"))
    again = await complete(bridge, ModelRequest("m", (*ASK.messages, said, *results), (FETCH,)))
    assert again.text == "got 2"
    returned = seen[-1][0][1].parts
    assert isinstance(returned[0], theirs.ThinkingPart)
    assert (returned[0].content, returned[0].signature) == ("hm", "c2ln")
    other = PydanticAI("fake", "test", make=lambda name: FunctionModel(stream_function=speak))
    await complete(other, ModelRequest("another", (*ASK.messages, said, *results), (FETCH,)))
    assert not any(isinstance(part, theirs.ThinkingPart) for part in seen[-1][0][1].parts)


async def test_a_test_model_of_its_own_answers():
    bridge = PydanticAI("fake", "test", make=lambda name: TestModel(custom_output_text="Hello there"))
    pieces = [piece async for piece in bridge.stream(ModelRequest("m", (Message("user", "hi"),)))]
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)) == "Hello there"
    assert isinstance(pieces[-1], ModelResponse)
    assert pieces[-1].text == "Hello there"
    assert pieces[-1].usage.output_tokens > 0


# --- over a real socket -------------------------------------------------------------------------


def over(server: ModelServer) -> PydanticAI:
    def make(name: str) -> OpenAIChatModel:
        return OpenAIChatModel(
            name, provider=OpenAIProvider(base_url=server.url, api_key="sk-very-secret-key")
        )

    return PydanticAI("fake", "openai", Secret("sk-very-secret-key"), known_models=("m",), make=make)


async def test_a_service_of_its_own_is_read_as_our_dialect_reads_it():
    call = ToolCall("a", "web_fetch", {"url": "x"})
    async with ModelServer(Answer("Both", tool_calls=(call,))) as server:
        answer = await complete(over(server), ASK)
        sent = server.requests[0].body
    assert (answer.text, answer.finish_reason) == ("Both", "tool_calls")
    assert [(c.id, c.name, c.arguments) for c in answer.tool_calls] == [("a", "web.fetch", {"url": "x"})]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 5)
    assert sent["tools"][0]["function"]["name"] == "web_fetch"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rate_limited", RateLimited),
        ("overloaded", Overloaded),
        ("server_error", Overloaded),
        ("no_key", AuthenticationFailed),
        ("no_model", ModelNotFound),
        ("too_long", (ContextTooLong, RequestRefused)),
        ("error_in_stream", Overloaded),
        ("cut_mid_token", (StreamCut, ProviderError)),
    ],
)
async def test_its_errors_become_ours_and_nothing_is_tried_twice(fault, error):
    async with FaultServer() as server:
        server.inject(fault)
        with pytest.raises(error) as caught:
            await complete(over(server), ASK)
        assert len(server.requests) == 1
    assert isinstance(caught.value, ProviderError)
    assert "fake/m" in str(caught.value)
    if fault == "rate_limited":
        assert caught.value.retry_after == 7


async def test_a_service_it_does_not_know_is_refused_in_words():
    with pytest.raises(RequestRefused, match="fake"):
        await complete(PydanticAI("fake", "no-such-service"), ASK)


def test_nobody_else_loads_it():
    code = "import sys, planaria.node, planaria.membrane.models.models; print('pydantic_ai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
