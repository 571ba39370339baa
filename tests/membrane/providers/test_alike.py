"""What the official SDKs read from a stream we read alike: many streams, over a real socket, cut anywhere."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planaria.membrane.errors import ProviderError
from planaria.membrane.provider import complete
from planaria.membrane.providers.anthropic import Anthropic
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.testing.model_server import Answer, ModelServer
from planaria.testing.streams import recorded
from tests.membrane.providers.oracles import ASK, Read, anthropic_reads, fed, openai_reads, ours

MAKE: dict[str, Any] = {"openai": OpenAICompatible, "anthropic": Anthropic}
THEIRS: dict[str, Any] = {"openai": openai_reads, "anthropic": anthropic_reads}
STREAMS = recorded()
BEYOND = {"gemini-tool", "groq-usage", "openrouter-details", "azure-filters"}
"""Those that say more than OpenAI's own package knows of; `expected.json` alone tells what is to be read."""


async def compare(
    dialect: str, body: bytes, split: int | None, framing: Any = "chunked"
) -> tuple[Read, Read]:
    """Theirs and ours, of one stream over one server."""
    async with ModelServer() as server:
        server.fallback = Answer(stream=body, split=split, framing=framing)
        provider = MAKE[dialect]("fake", server.url)
        mine, pushed = await ours(provider, "stream"), await ours(provider, "push")
        assert mine == pushed
        theirs = await THEIRS[dialect](server.url)
        provider.close()
    return theirs, mine


# --- the streams that ship with us ------------------------------------------------------------


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
async def test_a_stream_that_ships_is_read_as_it_is_said_to_be(stream):
    async with ModelServer(Answer(stream=stream.body)) as server:
        provider = MAKE[stream.dialect]("fake", server.url)
        told = stream.expected
        if "error" in told:
            with pytest.raises(ProviderError) as caught:
                await complete(provider, ASK)
            assert caught.value.kind == told["error"]
            return
        answer = await complete(provider, ASK)
        provider.close()
    u = answer.usage
    usage = [u.input_tokens, u.output_tokens, u.cached_tokens, u.cache_write_tokens, u.reasoning_tokens]
    assert (answer.text, answer.reasoning) == (told["text"], told.get("reasoning", ""))
    assert [[c.id, c.name, c.arguments] for c in answer.tool_calls] == told.get("tool_calls", [])
    assert answer.finish_reason == told["finish_reason"]
    assert [*usage, *([] if u.told_micro_usd is None else [u.told_micro_usd])] == told["usage"]


@pytest.mark.parametrize(
    "stream", [s for s in STREAMS if s.name not in BEYOND], ids=lambda stream: stream.name
)
async def test_a_stream_that_ships_is_read_as_the_official_package_reads_it(stream):
    theirs, mine = await compare(stream.dialect, stream.body, None)
    assert mine == theirs


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_it_does_not_matter_where_a_stream_is_cut_into_pieces(stream):
    provider = MAKE[stream.dialect]("fake", "http://127.0.0.1:1/v1")
    body = stream.body
    whole = fed(provider, [body])
    for at in range(1, len(body)):
        assert fed(provider, [body[:at], body[at:]]) == whole, body[:at][-40:]
    assert fed(provider, [body[at : at + 1] for at in range(len(body))]) == whole


# --- streams nobody wrote down ------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = st.lists(TEXT, max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(TEXT, JSON, max_size=3)
COUNT = st.integers(0, 5000)


def cut_up(draw: Any, text: str) -> list[str]:
    """A text in pieces, empty ones among them."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


@st.composite
def chat_streams(draw: Any) -> bytes:
    """Chat completions, as odd as the reference allows."""
    about = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": draw(st.sampled_from(["m", "m-2"])),
    }
    events: list[dict[str, Any]] = []

    def say(delta: dict[str, Any], finish: str | None = None, **more: Any) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        events.append({**about, "choices": [choice], **more})

    say({"role": "assistant", "content": draw(st.sampled_from(["", None]))})
    field = draw(st.sampled_from(["reasoning_content", "reasoning"]))
    for word in draw(WORDS):
        say({field: word, "content": None})
    for word in draw(WORDS):
        say({"content": word})
    calls = draw(st.lists(ARGUMENTS, max_size=3))
    pieces: list[list[dict[str, Any]]] = []
    for index, arguments in enumerate(calls):
        raw = json.dumps(arguments, ensure_ascii=draw(st.booleans()))
        first = {"index": index, "id": f"call_{index}", "type": "function"}
        parts = cut_up(draw, raw)
        head = {**first, "function": {"name": f"tool_{index}", "arguments": parts[0]}}
        pieces.append([head, *({"index": index, "function": {"arguments": part}} for part in parts[1:])])
    if draw(st.booleans()):  # parallel calls whose fragments alternate
        longest = max(map(len, pieces), default=0)
        order = [row[at] for at in range(longest) for row in pieces if at < len(row)]
        order.sort(key=lambda piece: 0 if "id" in piece else 1)  # each begins before any goes on
    else:
        order = [piece for row in pieces for piece in row]
    for piece in order:
        say({"tool_calls": [piece]})
    fails = draw(st.integers(0, 9)) == 0
    if not fails:
        say({}, draw(st.sampled_from(["stop", "length"])) if not calls else "tool_calls")
        if draw(st.booleans()):
            prompt, output = draw(COUNT), draw(COUNT)
            usage: dict[str, Any] = {
                "prompt_tokens": prompt,
                "completion_tokens": output,
                "total_tokens": prompt + output,
            }
            if draw(st.booleans()):
                usage["prompt_tokens_details"] = {"cached_tokens": draw(st.integers(0, prompt))}
                usage["completion_tokens_details"] = {"reasoning_tokens": draw(st.integers(0, output))}
            events.append({**about, "choices": [], "usage": usage})
    else:
        events.append({"error": {"message": "broken", "type": "server_error"}})
    end = draw(st.sampled_from(["\n", "\r\n"]))
    lines = []
    for event in events:
        if draw(st.integers(0, 6)) == 0:
            lines.append(f": still here{end}{end}")
        blank = draw(st.sampled_from(["data: ", "data:"]))
        lines.append(blank + json.dumps(event, ensure_ascii=draw(st.booleans())) + end + end)
    return "".join([*lines, "" if fails else f"data: [DONE]{end}{end}"]).encode()


@st.composite
def message_streams(draw: Any) -> bytes:
    """Messages, with thinking between calls."""
    counted = {"input_tokens": draw(COUNT), "output_tokens": draw(st.integers(0, 9))}
    if draw(st.booleans()):
        counted |= {"cache_read_input_tokens": draw(COUNT), "cache_creation_input_tokens": draw(COUNT)}
    message: dict[str, Any] = {
        "id": "msg",
        "type": "message",
        "role": "assistant",
        "model": "m-2",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": counted,
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    kinds = draw(st.lists(st.sampled_from(["text", "thinking", "tool_use", "redacted_thinking"]), max_size=5))
    for index, kind in enumerate(kinds):
        block: dict[str, Any] = {"type": kind}
        deltas: list[dict[str, Any]] = []
        if kind == "text":
            block["text"] = ""
            deltas = [{"type": "text_delta", "text": word} for word in draw(WORDS)]
        elif kind == "thinking":
            block |= {"thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": word} for word in draw(WORDS)]
            deltas.append({"type": "signature_delta", "signature": "c2ln"})
        elif kind == "tool_use":
            block |= {"id": f"toolu_{index}", "name": f"tool_{index}", "input": {}}
            raw = json.dumps(draw(ARGUMENTS), ensure_ascii=draw(st.booleans()))
            parts = ["", *cut_up(draw, raw)] if draw(st.booleans()) else []
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
        else:
            block["data"] = "ZGF0YQ=="
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
        if draw(st.integers(0, 4)) == 0:
            events.append({"type": "ping"})
    if draw(st.integers(0, 9)) == 0:
        events.append({"type": "error", "error": {"type": "api_error", "message": "broken"}})
    else:
        output = draw(COUNT)
        usage: dict[str, Any] = {"output_tokens": output}
        if draw(st.booleans()):
            usage["output_tokens_details"] = {"thinking_tokens": draw(st.integers(0, output))}
        stop = (
            "tool_use"
            if "tool_use" in kinds
            else draw(st.sampled_from(["end_turn", "max_tokens", "refusal"]))
        )
        events.append(
            {
                "type": "message_delta",
                "delta": {"stop_reason": stop, "stop_sequence": None},
                "usage": usage,
            }
        )
        events.append({"type": "message_stop"})
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return "".join(
        f"event: {event['type']}{end}data: {json.dumps(event, ensure_ascii=draw(st.booleans()))}{end}{end}"
        for event in events
    ).encode()


MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SPLIT = st.none() | st.integers(1, 40)
FRAMING = st.sampled_from(["chunked", "length", "close"])


@MANY
@given(body=chat_streams(), split=SPLIT, framing=FRAMING)
def test_a_chat_stream_is_read_as_the_official_package_reads_it(body, split, framing):
    theirs, mine = asyncio.run(compare("openai", body, split, framing))
    assert mine == theirs


@MANY
@given(body=message_streams(), split=SPLIT, framing=FRAMING)
def test_a_message_stream_is_read_as_the_official_package_reads_it(body, split, framing):
    theirs, mine = asyncio.run(compare("anthropic", body, split, framing))
    assert mine == theirs


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=chat_streams() | message_streams(), data=st.data())
def test_it_does_not_matter_where_any_stream_is_cut(body, data):
    dialect = "anthropic" if body.startswith(b"event:") else "openai"
    provider = MAKE[dialect]("fake", "http://127.0.0.1:1/v1")
    places = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    parts = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]
    assert fed(provider, parts) == fed(provider, [body])
