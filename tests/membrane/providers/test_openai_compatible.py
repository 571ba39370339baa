"""The dialect's quirks, and the official SDK as oracle."""

import json

import msgspec
import openai
import pytest

from planaria.config.secret import Secret
from planaria.membrane.errors import (
    AuthenticationFailed,
    BadAnswer,
    ContextTooLong,
    ModelNotFound,
    Overloaded,
    RateLimited,
    RequestRefused,
)
from planaria.membrane.provider import (
    MALFORMED,
    Message,
    ModelRequest,
    ModelResponse,
    Patience,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
    complete,
)
from planaria.membrane.providers.openai_compatible import OpenAICompatible, Quirks
from planaria.membrane.providers.openai_request import request_body
from planaria.membrane.wire.wire_names import WireNames
from planaria.testing.model_server import Answer, ModelServer

KEY = "sk-a-very-secret-key"
TOOL = ToolSpec("web.fetch", "Fetch.", {"type": "object", "properties": {"url": {"type": "string"}}})
ASK = ModelRequest("m", (Message("user", "hi"),), (TOOL,))


@pytest.fixture
async def server():
    async with ModelServer() as server:
        yield server


@pytest.fixture
def provider(server):
    provider = OpenAICompatible("fake", server.url, Secret(KEY), "FAKE_API_KEY", ("fake-large", "fake-small"))
    yield provider
    provider.close()


def chunk(delta=None, finish=None, **more) -> str:
    return json.dumps(
        {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}
    )


async def answer_to(server, provider, *events) -> ModelResponse:
    server.answers.append(Answer("x", events=events))
    return await complete(provider, ASK)


async def test_the_request_is_what_the_reference_says(server, provider):
    history = (
        Message("system", "Be brief."),
        Message("user", "fetch x"),
        Message("assistant", "", (ToolCall("c1", "web.fetch", {"url": "x"}),)),
        Message("tool", "page", tool_call_id="c1"),
    )
    await complete(provider, ModelRequest("m", history, (TOOL,), max_tokens=9, temperature=0.5))
    sent = server.requests[0]
    assert sent.path == "/v1/chat/completions"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "fetch x"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "web_fetch", "arguments": '{"url":"x"}'},
                    }
                ],
            },
            {"role": "tool", "content": "page", "tool_call_id": "c1"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {
                "type": "function",
                "function": {"name": "web_fetch", "description": "Fetch.", "parameters": TOOL.parameters},
            }
        ],
        "max_tokens": 9,
        "temperature": 0.5,
    }


def test_quirks_change_the_request():
    quirks = Quirks("max_completion_tokens", False, True, True, "", {"thinking": {"type": "disabled"}})
    call = ToolCall("call_1_abc", "web.fetch", {}, {"google": {"thought_signature": "s"}})
    history = (Message("assistant", "", (call,)), Message("tool", "page", tool_call_id="call_1_abc"))
    body = request_body(ModelRequest("m", history, (), 9), WireNames([]), quirks)
    sent = body["messages"][0]["tool_calls"][0]
    assert body["max_completion_tokens"] == 9
    assert "stream_options" not in body
    assert body["thinking"] == {"type": "disabled"}
    assert sent["extra_content"] == call.vendor
    assert len(sent["id"]) == 9
    assert body["messages"][1]["tool_call_id"] == sent["id"]


@pytest.mark.parametrize(
    ("model", "tools", "sent"),
    [
        ("gpt-6-luna", (TOOL,), {"reasoning_effort": "none", "temperature": 0.5}),
        ("gpt-6-luna", (), {}),
        ("gpt-4.1", (TOOL,), {"temperature": 0.5}),
    ],
)
def test_a_model_that_takes_no_tools_while_thinking_is_asked_not_to(model, tools, sent):
    quirks = Quirks(unthinking_tools="gpt-6")
    body = request_body(ModelRequest(model, ASK.messages, tools, temperature=0.5), WireNames([]), quirks)
    assert {key: body[key] for key in ("reasoning_effort", "temperature") if key in body} == sent


async def test_no_key_sends_no_authorization(server):
    provider = OpenAICompatible("ollama", server.url)
    await complete(provider, ASK)
    assert "authorization" not in server.requests[0].headers
    provider.close()


# --- what servers really send ---------------------------------------------------------------


async def test_usage_may_be_missing(server, provider):
    server.answers.append(Answer("hi", usage=None))
    assert (await complete(provider, ASK)).usage == Usage()


async def test_usage_comes_in_an_event_without_choices(server, provider):
    usage = {"prompt_tokens": 8, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    events = chunk({"content": "a"}, "stop"), json.dumps({"choices": [], "usage": usage}), "[DONE]"
    assert (await answer_to(server, provider, *events)).usage == Usage(8, 2, 4)


@pytest.mark.parametrize(
    ("event", "usage"),
    [
        (
            {"usage": {"prompt_tokens": 8, "completion_tokens": 2, "prompt_cache_hit_tokens": 5}},
            Usage(8, 2, 5),
        ),
        ({"x_groq": {"usage": {"prompt_tokens": 8, "completion_tokens": 2}}}, Usage(8, 2)),
        ({"usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 110}}, Usage(8, 102)),
        (
            {"usage": {"prompt_tokens": None, "completion_tokens": None, "prompt_tokens_details": None}},
            Usage(),
        ),
        ({"usage": {"prompt_tokens": 8, "prompt_tokens_details": {"cached_tokens": 99}}}, Usage(8, 0, 8)),
    ],
)
async def test_usage_is_read_in_every_vendors_words(server, provider, event, usage):
    events = chunk({"content": "a"}, "stop", **event), "[DONE]"
    assert (await answer_to(server, provider, *events)).usage == usage


async def test_content_may_be_null_empty_or_in_parts(server, provider):
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "b"},
        {"type": "new"},
    ]
    events = (
        chunk({"role": "assistant", "content": None}),
        chunk(None),
        chunk({"content": ""}),
        chunk({"content": "a"}),
        chunk({"content": parts}),
        chunk({}, "stop"),
        "[DONE]",
    )
    server.answers.append(Answer("x", events=events))
    pieces = [piece async for piece in provider.stream(ASK)]
    assert pieces[:-1] == [TextDelta("a"), ReasoningDelta("hm"), TextDelta("b")]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_thinking_has_two_names(server, provider, field):
    answer = await answer_to(
        server, provider, chunk({field: "hm"}), chunk({"content": "a"}, "stop"), "[DONE]"
    )
    assert (answer.reasoning, answer.text) == ("hm", "a")


@pytest.mark.parametrize("index", [{}, {"index": None}, {"index": 0}])
async def test_whole_tool_calls_without_a_useful_index(server, provider, index):
    calls = [
        {
            **index,
            "id": name,
            "type": "function",
            "function": {"name": "web_fetch", "arguments": '{"url":"x"}'},
        }
        for name in ("a", "b")
    ]
    answer = await answer_to(server, provider, chunk({"tool_calls": calls}), chunk({}, "stop"), "[DONE]")
    assert [(c.id, c.name, c.arguments) for c in answer.tool_calls] == [
        ("a", "web.fetch", {"url": "x"}),
        ("b", "web.fetch", {"url": "x"}),
    ]
    assert answer.finish_reason == "tool_calls"


async def test_gemini_gets_its_signatures_back(server, provider):
    call = {
        "index": 0,
        "id": "a",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"s": 1}},
    }
    answer = await answer_to(server, provider, chunk({"tool_calls": [call]}), chunk({}, "stop"), "[DONE]")
    assert answer.tool_calls[0].vendor == {"google": {"s": 1}}


async def test_arguments_that_were_cut_off_are_marked(server, provider):
    call = {"index": 0, "id": "a", "function": {"name": "web_fetch", "arguments": '{"url": "htt'}}
    answer = await answer_to(server, provider, chunk({"tool_calls": [call]}), chunk({}, "length"), "[DONE]")
    assert answer.tool_calls[0].arguments == {MALFORMED: '{"url": "htt'}
    assert answer.finish_reason == "length"


async def test_a_refusal_is_text_and_tells_so(server, provider):
    answer = await answer_to(server, provider, chunk({"refusal": "no"}), chunk({}, "stop"), "[DONE]")
    assert (answer.text, answer.finish_reason) == ("no", "content_filter")


async def test_only_the_first_choice_counts(server, provider):
    other = json.dumps({"choices": [{"index": 1, "delta": {"content": "b"}}]})
    assert (
        await answer_to(server, provider, chunk({"content": "a"}), other, chunk({}, "stop"), "[DONE]")
    ).text == "a"


async def test_a_finish_reason_without_done_is_an_end(server, provider):
    assert (await answer_to(server, provider, chunk({"content": "a"}, "stop"))).text == "a"


async def test_done_without_a_finish_reason_is_an_end(server, provider):
    assert (await answer_to(server, provider, chunk({"content": "a"}), "[DONE]")).finish_reason == "stop"


async def test_what_follows_done_is_not_read(server, provider):
    assert (
        await answer_to(server, provider, chunk({"content": "a"}, "stop"), "[DONE]", "garbage")
    ).text == "a"


async def test_an_answer_that_is_not_streamed_is_read_whole(server, provider):
    call = {"id": "t", "type": "function", "function": {"name": "web_fetch", "arguments": "{}"}}
    message = {"role": "assistant", "content": "hi", "tool_calls": [call]}
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    body = {
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": usage,
    }
    server.answers.append(Answer(body=body))
    answer = await complete(provider, ASK)
    assert (answer.text, answer.usage) == ("hi", Usage(3, 2))
    assert answer.tool_calls == (ToolCall("t", "web.fetch", {}),)


@pytest.mark.parametrize("body", [{"hello": "world"}, "<html>welcome</html>"])
async def test_a_server_that_is_something_else_is_told(server, provider, body):
    server.answers.append(Answer(body=body))
    with pytest.raises(BadAnswer):
        await complete(provider, ASK)


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (
            401,
            {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}},
            AuthenticationFailed,
            "FAKE_API_KEY",
        ),
        (
            404,
            {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}},
            ModelNotFound,
            "fake-",
        ),
        (429, {"error": {"message": "Rate limit reached"}}, RateLimited, "again in 7 s"),
        (
            400,
            {
                "error": {
                    "message": "maximum context length is 8192 tokens",
                    "code": "context_length_exceeded",
                }
            },
            ContextTooLong,
            "'m'",
        ),
        (503, "<html>upstream</html>", Overloaded, "overloaded"),
        (400, {"detail": [{"msg": "bad"}]}, RequestRefused, "bad"),
        (302, {}, RequestRefused, "redirects"),
    ],
)
async def test_an_error_says_what_to_do_and_never_the_key(server, provider, status, body, error, words):
    server.answers.append(
        Answer(status=status, body=body, headers={"retry-after": "7", "location": "https://x/?k=1"})
    )
    with pytest.raises(error, match=words) as caught:
        await complete(provider, ASK)
    assert KEY not in str(caught.value) + repr(caught.value)
    assert caught.value.retry == (status in (429, 503))


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"error": {"message": "Provider returned error", "code": 502}}, Overloaded),
        ({"error": {"message": "slow down", "code": 429}}, RateLimited),
        ({"error": "out of memory"}, Overloaded),
        ({"object": "error", "message": "prompt is too long", "code": 400}, ContextTooLong),
        ({"error": {"message": "x", "type": "invalid_request_error"}}, RequestRefused),
    ],
)
async def test_an_error_object_inside_a_stream_is_an_error(server, provider, event, error):
    with pytest.raises(error):
        await answer_to(server, provider, chunk({"content": "a"}), json.dumps(event))


async def test_an_error_event_of_plain_words_is_an_error(server, provider):
    with pytest.raises(Overloaded, match="cuda"):
        await answer_to(server, provider, ("error", "cuda exploded"))


# --- the oracle -----------------------------------------------------------------------------

ORACLE = [
    Answer("Hello brave world", usage=Usage(20, 5, 8)),
    Answer("", tool_calls=(ToolCall("a", "web_fetch", {"url": "x", "n": [1, {"y": None}]}),)),
    Answer(
        "Both",
        tool_calls=(ToolCall("a", "web_fetch", {}), ToolCall("b", "web_fetch", {"q": "ü🪱\n"})),
        usage=None,
    ),
    Answer("cut", finish="length"),
    Answer("Ünïcode 🪱 \u2028 end", pieces=("Ün", "ïcode 🪱 ", "\u2028", " end")),
]


@pytest.mark.parametrize("split", [None, 5])
@pytest.mark.parametrize("number", range(len(ORACLE)))
async def test_the_official_sdk_reads_the_same(server, provider, number, split):
    answer = ORACLE[number]
    answer.split = split
    server.answers.extend([answer, answer])
    ours = await complete(provider, ASK)
    async with openai.AsyncOpenAI(api_key="x", base_url=server.url, max_retries=0) as client:
        text, finish, usage, model = "", None, None, None
        calls: dict[int, list[str]] = {}
        stream = await client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async for event in stream:
            usage = event.usage or usage
            model = event.model
            for choice in event.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
                for call in choice.delta.tool_calls or ():
                    known = calls.setdefault(call.index, ["", "", ""])
                    known[0] += call.id or ""
                    known[1] += (call.function and call.function.name) or ""
                    known[2] += (call.function and call.function.arguments) or ""
    assert (ours.text, ours.finish_reason, ours.model) == (text, finish, model)
    theirs = [(known, name.replace("web_", "web."), json.loads(raw)) for known, name, raw in calls.values()]
    assert [(call.id, call.name, call.arguments) for call in ours.tool_calls] == theirs
    if usage is None:
        assert ours.usage == Usage()
    else:
        cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
        assert ours.usage == Usage(usage.prompt_tokens, usage.completion_tokens, cached or 0)


async def test_the_server_is_asked_alike_by_the_official_sdk(server, provider):
    await complete(provider, ASK)
    async with openai.AsyncOpenAI(api_key=KEY, base_url=server.url, max_retries=0) as client:
        await client.chat.completions.create(**request_body(ASK, WireNames([TOOL.name])))
    ours, theirs = server.requests
    assert ours.body == theirs.body
    assert ours.path == theirs.path
    assert ours.headers["authorization"] == theirs.headers["authorization"]


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
async def test_pushed_pieces_end_where_http_says_so(server, provider, framing):
    events = chunk({"content": "a"}), chunk({"content": "b"}, "stop")
    server.answers.append(Answer("x", events=events, framing=framing, hold_at=1))
    pieces: list[object] = []
    patient = msgspec.structs.replace(ASK, patience=Patience(between_bytes=5.0))

    def sink(piece: object) -> None:
        pieces.append(piece)
        server.release()

    assert (await provider.push(patient, sink)).text == "ab"
    assert pieces == [TextDelta("a"), TextDelta("b")]
