"""What the official SDKs read from a stream, and what we read, in one form."""

import json
from typing import Any

import anthropic
import msgspec
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from planaria.membrane.errors import ProviderError
from planaria.membrane.provider import Message, ModelRequest, ModelResponse, ReasoningDelta, TextDelta
from planaria.membrane.providers.anthropic import Anthropic
from planaria.membrane.providers.anthropic_answer import FINISH_REASONS
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.membrane.wire.sse import EventParser

ASK = ModelRequest("m", (Message("user", "hi"),))


class Read(msgspec.Struct):
    """One answer, or as much of it as came before it failed."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str, Any]] = []
    usage: tuple[int, ...] = (0, 0, 0, 0, 0)
    finish_reason: str = ""
    model: str = ""
    failed: bool = False


def of(answer: ModelResponse) -> Read:
    """Our answer."""
    u = answer.usage
    return Read(
        answer.text,
        answer.reasoning,
        [(call.id, call.name, call.arguments) for call in answer.tool_calls],
        (u.input_tokens, u.output_tokens, u.cached_tokens, u.cache_write_tokens, u.reasoning_tokens),
        answer.finish_reason,
        answer.model,
    )


async def ours(provider: Any, way: str) -> Read:
    """What our provider reads, in either way."""
    pieces: list[Any] = []
    try:
        if way == "push":
            answer = await provider.push(ASK, pieces.append)
        else:
            async for piece in provider.stream(ASK):
                pieces.append(piece)
            answer = pieces.pop()
    except ProviderError:
        return _failed(pieces)
    assert answer.text == "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))
    assert answer.reasoning == "".join(piece.text for piece in pieces if isinstance(piece, ReasoningDelta))
    return of(answer)


def fed(provider: OpenAICompatible | Anthropic, parts: list[bytes]) -> Read:
    """What our provider reads when the body comes in these parts; no socket."""
    _, _, reading = provider.begin(ASK)
    parser = EventParser()
    pieces: list[Any] = []
    try:
        for events in [*map(parser.feed, parts), parser.finish()]:
            for event in events:
                pieces += reading.take(event)
        return of(reading.response())
    except ProviderError:
        return _failed(pieces)


def _failed(pieces: list[Any]) -> Read:
    text = "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))
    thought = "".join(piece.text for piece in pieces if isinstance(piece, ReasoningDelta))
    return Read(text, thought, failed=True)


async def openai_reads(url: str) -> Read:
    """What the `openai` package reads."""
    read = Read()
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    usage = None
    async with openai.AsyncOpenAI(api_key="x", base_url=url, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        try:
            async for chunk in stream:
                usage = chunk.usage or usage
                read.model = read.model or chunk.model
                if chunk.choices:
                    state.handle_chunk(chunk)
                    delta = chunk.choices[0].delta
                    read.text += delta.content or ""
                    # Other vendors' fields, which the package keeps without knowing them.
                    extra = delta.model_extra or {}
                    read.reasoning += extra.get("reasoning_content") or extra.get("reasoning") or ""
                    read.finish_reason = chunk.choices[0].finish_reason or read.finish_reason
        except openai.APIError:
            return Read(read.text, read.reasoning, failed=True)
    message = state.current_completion_snapshot.choices[0].message
    assert (message.content or "") == read.text
    for call in message.tool_calls or ():
        assert call.type == "function"
        read.calls.append((call.id, call.function.name, json.loads(call.function.arguments or "{}")))
    if usage is not None:
        cached = usage.prompt_tokens_details
        thought = usage.completion_tokens_details
        read.usage = (
            usage.prompt_tokens,
            usage.completion_tokens,
            (cached and cached.cached_tokens) or 0,
            (cached and cached.cache_write_tokens) or 0,
            (thought and thought.reasoning_tokens) or 0,
        )
    return read


async def anthropic_reads(url: str) -> Read:
    """What the `anthropic` package reads."""
    ask: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    read = Read()
    async with anthropic.AsyncAnthropic(
        api_key="x", base_url=url.removesuffix("/v1"), max_retries=0
    ) as client:
        try:
            async with client.messages.stream(**ask) as stream:
                async for event in stream:
                    if event.type == "text":
                        read.text += event.text
                    elif event.type == "thinking":
                        read.reasoning += event.thinking
                whole = await stream.get_final_message()
        except anthropic.APIError:
            return Read(read.text, read.reasoning, failed=True)
    for block in whole.content:
        if block.type == "tool_use":
            read.calls.append((block.id, block.name, block.input))
    u = whole.usage
    cached, written = u.cache_read_input_tokens or 0, u.cache_creation_input_tokens or 0
    thought = u.output_tokens_details.thinking_tokens if u.output_tokens_details else 0
    read.usage = (u.input_tokens + cached + written, u.output_tokens, cached, written, thought)
    stop = whole.stop_reason or "end_turn"
    read.finish_reason = FINISH_REASONS.get(stop, stop)
    read.model = whole.model
    return read
