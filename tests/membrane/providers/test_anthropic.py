"""The Messages dialect, and the official SDK as oracle."""

import json
from typing import Any

import anthropic
import pytest

from planaria.config.secret import Secret
from planaria.membrane.errors import (
    AuthenticationFailed,
    BadAnswer,
    ContextTooLong,
    ModelNotFound,
    OutOfCredit,
    Overloaded,
    RequestRefused,
)
from planaria.membrane.provider import Message, ModelRequest, ToolCall, ToolSpec, Usage, complete
from planaria.membrane.providers.anthropic import Anthropic
from planaria.membrane.providers.anthropic_request import DEFAULT_MAX_TOKENS, request_body
from planaria.membrane.wire.wire_names import WireNames
from planaria.testing.model_server import Answer, ModelServer

KEY = "sk-ant-a-very-secret-key"
TOOL = ToolSpec("web.fetch", "Fetch.", {"type": "object", "properties": {"url": {"type": "string"}}})
ASK = ModelRequest("m", (Message("user", "hi"),), (TOOL,))
MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.fixture
async def server():
    async with ModelServer() as server:
        yield server


@pytest.fixture
def provider(server):
    provider = Anthropic("anthropic", server.url, Secret(KEY), "ANTHROPIC_API_KEY", ("claude-haiku-5-5",))
    yield provider
    provider.close()


def body_of(*messages: Message, tools: tuple[ToolSpec, ...] = ()):
    asked = ModelRequest("m", messages, tools, cache=False)
    return request_body(asked, WireNames(tool.name for tool in tools))[0]


async def test_the_request_is_what_the_reference_says(server, provider):
    history = (
        Message("system", "Be brief."),
        Message("user", "fetch x"),
        Message("assistant", "Yes.", (ToolCall("toolu_1", "web.fetch", {"url": "x"}),)),
        Message("tool", "page", tool_call_id="toolu_1"),
        Message("user", "and?"),
    )
    await complete(provider, ModelRequest("m", history, (TOOL,), temperature=0.5))
    sent = server.requests[0]
    assert sent.path == "/v1/messages"
    assert sent.headers["x-api-key"] == KEY
    assert sent.headers["anthropic-version"] == "2026-10-21"
    assert sent.body == {
        "model": "m",
        "max_tokens": DEFAULT_MAX_TOKENS,
        "system": [{"type": "text", "text": "Be brief.", **MARK}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "fetch x", **MARK}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Yes."},
                    {"type": "tool_use", "id": "toolu_1", "name": "web_fetch", "input": {"url": "x"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "page"},
                    {"type": "text", "text": "and?", **MARK},
                ],
            },
        ],
        "tools": [{"name": "web_fetch", "description": "Fetch.", "input_schema": TOOL.parameters}],
        "stream": True,
    }


def test_a_call_without_tools_and_talk_is_not_marked_for_the_cache():
    once = ModelRequest("m", (Message("system", "s"), Message("user", "hi")))
    assert "cache_control" not in json.dumps(request_body(once, WireNames([]))[0])


def test_results_of_several_calls_are_one_message():
    turns = body_of(
        Message("user", "go"),
        Message("assistant", "", (ToolCall("a", "f", {}), ToolCall("b", "f", {}))),
        Message("tool", "1", tool_call_id="a"),
        Message("tool", "", tool_call_id="b"),
    )["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {"type": "tool_result", "tool_use_id": "b"},
    ]


def test_blank_text_is_left_out_since_the_api_refuses_it():
    turns = body_of(Message("user", "hi"), Message("assistant", " \n"), Message("user", "there"))["messages"]
    assert turns == [
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}]},
    ]


def test_a_system_message_in_the_middle_is_a_marked_note():
    turns = body_of(Message("user", "hi"), Message("system", "budget is low"))["messages"]
    assert turns[0]["content"][1]["text"] == "[system note] budget is low"


def test_ids_of_other_vendors_are_made_to_fit():
    turns = body_of(
        Message("user", "go"),
        Message("assistant", "", (ToolCall("a.b:c", "f", {}),)),
        Message("tool", "1", (), "a.b:c"),
    )["messages"]
    assert turns[1]["content"][0]["id"] == turns[2]["content"][0]["tool_use_id"] == "a_b_c"


def test_nothing_but_system_messages_is_refused():
    with pytest.raises(RequestRefused, match="at least one message"):
        body_of(Message("system", "s"))


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
    ],
)
async def test_stop_reasons_are_translated(server, provider, stop, reason):
    server.answers.append(Answer("hi", finish=stop))
    assert (await complete(provider, ASK)).finish_reason == reason


async def test_the_prompt_counts_whole_with_its_cached_parts_beside(server, provider):
    server.answers.append(Answer("hi", usage=Usage(100, 7, 60, 30)))
    assert (await complete(provider, ASK)).usage == Usage(100, 7, 60, 30)


async def test_a_tool_call_may_come_whole(server, provider):
    events = (
        '{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"web_fetch","input":{"url":"x"}}}',
        '{"type":"content_block_stop","index":0}',
        '{"type":"message_stop"}',
    )
    server.answers.append(Answer("x", events=events))
    answer = await complete(provider, ASK)
    assert answer.tool_calls == (ToolCall("t", "web.fetch", {"url": "x"}),)
    assert answer.finish_reason == "tool_calls"


async def test_a_server_that_does_not_stream_is_told(server, provider):
    server.answers.append(Answer(body={"type": "message"}))
    with pytest.raises(BadAnswer, match="instead of a stream"):
        await complete(provider, ASK)


@pytest.mark.parametrize(
    ("status", "kind", "message", "error", "words"),
    [
        (401, "authentication_error", f"invalid x-api-key {KEY}", AuthenticationFailed, "ANTHROPIC_API_KEY"),
        (403, "permission_error", "not yours", AuthenticationFailed, "ANTHROPIC_API_KEY"),
        (404, "not_found_error", "model: claude-haiku-5-6", ModelNotFound, "anthropic/claude-haiku-5-5"),
        (404, "not_found_error", "Not found", RequestRefused, "base_url"),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 9 tokens > 8 maximum",
            ContextTooLong,
            "too long",
        ),
        (400, "invalid_request_error", "Your credit balance is too low", OutOfCredit, "credit"),
        (400, "invalid_request_error", "messages: roles must alternate", RequestRefused, "alternate"),
        (529, "overloaded_error", "Overloaded", Overloaded, "again in 2 s"),
        (500, "api_error", "Internal server error", Overloaded, "500"),
    ],
)
async def test_an_error_says_what_to_do_and_never_the_key(
    server, provider, status, kind, message, error, words
):
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"}
    server.answers.append(Answer(status=status, body=body, headers={"retry-after": "2"}))
    with pytest.raises(error, match=words) as caught:
        await complete(provider, ModelRequest("claude-haiku-5-6", (Message("user", "hi"),)))
    assert KEY not in str(caught.value)


async def test_pages_of_models_are_followed(server, provider):
    assert [model.id for model in await provider.models()] == ["fake-large", "fake-small"]


# --- thinking goes back ---------------------------------------------------------------------


THOUGHT = (
    '{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}',
    '{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}',
    '{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}',
    '{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"Look."}}',
    '{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"a","name":"web_fetch","input":{}}}',
    '{"type":"content_block_start","index":3,"content_block":{"type":"redacted_thinking","data":"eHg="}}',
    '{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"b","name":"web_fetch","input":{}}}',
    '{"type":"message_stop"}',
)


async def after_thinking(
    server, provider, *before: Message, model: str = "m", tools: tuple[ToolSpec, ...] = (TOOL,)
):
    """Two calls of a tool loop; the second's assistant turn as it was sent."""
    server.answers.append(Answer("x", events=THOUGHT))
    answer = await complete(provider, ASK)
    said = Message("assistant", answer.text, answer.tool_calls)
    results = Message("tool", "1", (), "a"), Message("tool", "2", (), "b")
    await complete(provider, ModelRequest(model, (*(before or ASK.messages), said, *results), tools))
    return next(t["content"] for t in server.requests[1].body["messages"] if t["role"] == "assistant")


async def test_thinking_goes_back_unchanged_and_in_its_place(server, provider):
    assert await after_thinking(server, provider) == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "Look."},
        {"type": "tool_use", "id": "a", "name": "web_fetch", "input": {}},
        {"type": "redacted_thinking", "data": "eHg="},
        {"type": "tool_use", "id": "b", "name": "web_fetch", "input": {}},
    ]


async def test_thinking_stays_away_when_what_came_before_has_changed(server, provider):
    for request in (
        {"before": (Message("user", "something else"),)},
        {"before": (Message("system", "new"), *ASK.messages)},
        {"tools": ()},
        {"model": "another"},
    ):
        before = request.pop("before", ())
        server.requests.clear()
        sent = await after_thinking(server, provider, *before, **request)
        assert [block["type"] for block in sent] == ["text", "tool_use", "tool_use"]


def test_old_models_get_a_bound_they_take():
    names = WireNames([])
    old = ModelRequest("claude-3-haiku-20240307", ASK.messages)
    assert request_body(old, names)[0]["max_tokens"] == 4096


# --- the oracle -----------------------------------------------------------------------------

ORACLE = [
    Answer("Hello brave world", usage=Usage(20, 5, 8, 4)),
    Answer("", tool_calls=(ToolCall("a", "web_fetch", {"url": "x", "n": [1, {"y": None}]}),)),
    Answer(
        "Both",
        reasoning="let me see",
        tool_calls=(ToolCall("a", "web_fetch", {}), ToolCall("b", "web_fetch", {"q": "ü🪱\n"})),
    ),
    Answer("cut", finish="max_tokens"),
    Answer("Ünïcode 🪱 end", pieces=("Ün", "ïcode 🪱 ", "end")),
]


@pytest.mark.parametrize("split", [None, 5])
@pytest.mark.parametrize("number", range(len(ORACLE)))
async def test_the_official_sdk_reads_the_same(server, provider, number, split):
    answer = ORACLE[number]
    answer.split = split
    server.answers.extend([answer, answer])
    ours = await complete(provider, ASK)
    base = server.url.removesuffix("/v1")
    ask: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    async with (
        anthropic.AsyncAnthropic(api_key="x", base_url=base, max_retries=0) as client,
        client.messages.stream(**ask) as stream,
    ):
        theirs = await stream.get_final_message()
    texts = [block.text for block in theirs.content if block.type == "text"]
    thoughts = [block.thinking for block in theirs.content if block.type == "thinking"]
    calls = [(b.id, b.name.replace("web_", "web."), b.input) for b in theirs.content if b.type == "tool_use"]
    assert (ours.text, ours.reasoning, ours.model) == ("".join(texts), "".join(thoughts), theirs.model)
    assert [(call.id, call.name, call.arguments) for call in ours.tool_calls] == calls
    usage = theirs.usage
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    assert ours.usage == Usage(usage.input_tokens + read + written, usage.output_tokens, read, written)


async def test_the_server_is_asked_alike_by_the_official_sdk(server, provider):
    await complete(provider, ASK)
    base = server.url.removesuffix("/v1")
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=base, max_retries=0) as client:
        await client.messages.create(**request_body(ASK, WireNames([TOOL.name]))[0])
    ours, theirs = server.requests
    assert ours.body == theirs.body
    assert ours.path == theirs.path
    assert ours.headers["anthropic-version"] == theirs.headers["anthropic-version"]
