"""What both dialects make of the richer parts of a request: images, files, schemas, effort, choice, stops, thinking."""

import base64
import json
from typing import Any

import msgspec
import pytest

from planaria.membrane.errors import BadAnswer, RequestRefused
from planaria.membrane.provider import (
    Embedder,
    FilePart,
    ImagePart,
    Message,
    ModelRequest,
    Part,
    Provider,
    Pushing,
    ToolCall,
    ToolSpec,
    complete,
)
from planaria.membrane.providers import anthropic_request, openai_request
from planaria.membrane.providers.anthropic import Anthropic
from planaria.membrane.providers.openai_compatible import OpenAICompatible, Quirks
from planaria.membrane.providers.openai_request import is_strict
from planaria.membrane.structured import instruction
from planaria.membrane.wire.wire_names import WireNames
from planaria.testing.embedder import HashEmbedder, vector_of
from planaria.testing.model_server import Answer, ModelServer
from planaria.testing.streams import recorded

PNG = ImagePart("image/png", b"\x89PNG")
PNG64 = base64.b64encode(PNG.data).decode()
PDF = FilePart("report.pdf", "application/pdf", b"%PDF")
PDF64 = base64.b64encode(PDF.data).decode()
NOTE = FilePart("note.txt", "text/plain; charset=utf-8", "Grüße".encode())
FAR = ImagePart(url="https://example.org/a.png")
SCHEMA = {
    "title": "City of x",
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FETCH = ToolSpec("web.fetch", "Fetch.", {"type": "object"})
TIME = ToolSpec("time.now", "Now.", {"type": "object"})
HI = (Message("user", "hi"),)


def chat(request: ModelRequest, quirks: Quirks = openai_request.NO_QUIRKS) -> dict[str, Any]:
    return openai_request.request_body(request, WireNames(tool.name for tool in request.tools), quirks)


def messages(request: ModelRequest) -> dict[str, Any]:
    return anthropic_request.request_body(request, WireNames(tool.name for tool in request.tools))[0]


@pytest.fixture
async def server():
    async with ModelServer() as server:
        yield server


# --- images and files -----------------------------------------------------------------------------


def test_images_and_files_go_to_chat_completions_before_the_text():
    asked = ModelRequest("m", (Message("user", "What is this?", parts=(PNG, FAR, PDF, NOTE)),))
    assert chat(asked)["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG64}"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {
            "type": "file",
            "file": {"filename": "report.pdf", "file_data": f"data:application/pdf;base64,{PDF64}"},
        },
        {"type": "text", "text": "<file name='note.txt'>\nGrüße\n</file>"},
        {"type": "text", "text": "What is this?"},
    ]


def test_images_and_files_go_to_messages_before_the_text():
    asked = ModelRequest("m", (Message("user", "What is this?", parts=(PNG, FAR, PDF, NOTE)),))
    assert messages(asked)["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG64}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF64},
            "title": "report.pdf",
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"},
            "title": "note.txt",
        },
        {"type": "text", "text": "What is this?"},
    ]


def test_what_tools_show_comes_behind_all_results_of_their_run():
    calls = (ToolCall("a", "shot", {}), ToolCall("b", "shot", {}))
    history = (
        *HI,
        Message("assistant", "", calls),
        Message("tool", "one", tool_call_id="a", parts=(PNG,)),
        Message("tool", "two", tool_call_id="b"),
        Message("user", "and?"),
    )
    roles = [(entry["role"], entry["content"]) for entry in chat(ModelRequest("m", history))["messages"][2:]]
    shown = [
        {"type": "text", "text": "[shown by the result of call a]"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG64}"}},
    ]
    assert roles == [("tool", "one"), ("tool", "two"), ("user", shown), ("user", "and?")]
    result = messages(ModelRequest("m", history, cache=False))["messages"][2]["content"][0]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG64}}
    assert result["content"] == [image, {"type": "text", "text": "one"}]


@pytest.mark.parametrize(
    ("part", "make", "words"),
    [
        (FilePart("a.zip", "application/zip", b"PK"), messages, "application/zip"),
        (FilePart("a.pdf", url="https://example.org/a.pdf"), chat, "send its bytes"),
        (FilePart("a.txt", "text/plain", b"\xff"), chat, "UTF-8"),
        (ImagePart(), messages, "neither"),
        (ImagePart(data=b"x"), chat, "media_type"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_words(part: Part, make, words):
    with pytest.raises(RequestRefused, match=words):
        make(ModelRequest("m", (Message("user", "x", parts=(part,)),)))


# --- schema, effort, choice, stop -------------------------------------------------------------------


def test_a_schema_is_sent_in_the_way_of_the_dialect():
    asked = ModelRequest("m", HI, response_schema=SCHEMA)
    assert chat(asked)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "City_of_x", "schema": SCHEMA, "strict": True},
    }
    assert messages(asked)["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    loose = chat(asked, Quirks(schema="json_object"))
    assert loose["response_format"] == {"type": "json_object"}
    assert loose["messages"][-1] == {"role": "system", "content": instruction(SCHEMA)}
    told = chat(asked, Quirks(schema="prompt"))
    assert "response_format" not in told
    assert told["messages"] == loose["messages"]


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (SCHEMA, True),
        ({**SCHEMA, "additionalProperties": True}, False),
        ({**SCHEMA, "required": []}, False),
        ({"type": "array", "items": SCHEMA}, True),
        ({**SCHEMA, "properties": {"city": {"type": "object"}}}, False),
        ({"anyOf": [SCHEMA, {"type": "object", "properties": {}}]}, False),
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
    ],
)
def test_only_closed_schemas_are_enforced_by_openai(schema, strict):
    assert is_strict(schema) is strict


def test_effort_stop_and_choice():
    asked = ModelRequest(
        "m", HI, (FETCH, TIME), reasoning_effort="low", tool_choice="web.fetch", stop=("END", "\n\n")
    )
    body = chat(asked)
    assert body["reasoning_effort"] == "low"
    assert body["stop"] == ["END", "\n\n"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "web_fetch"}}
    body = messages(asked)
    assert body["output_config"] == {"effort": "low"}
    assert body["stop_sequences"] == ["END", "\n\n"]
    assert body["tool_choice"] == {"type": "tool", "name": "web_fetch"}
    for word, theirs in (("auto", "auto"), ("none", "none"), ("required", "any")):
        worded = msgspec.structs.replace(asked, tool_choice=word)
        assert chat(worded)["tool_choice"] == word
        assert messages(worded)["tool_choice"] == {"type": theirs}
    for make in (chat, messages):
        assert "tool_choice" not in make(msgspec.structs.replace(asked, tools=(), tool_choice="auto"))
        with pytest.raises(RequestRefused, match="is no tool on offer"):
            make(msgspec.structs.replace(asked, tool_choice="shell.run"))


def test_thinking_is_switched_where_that_takes_a_field():
    quirks = Quirks(thinking_switch=True)
    assert chat(ModelRequest("m", HI), quirks)["thinking"] == {"type": "disabled"}
    assert chat(ModelRequest("m", HI, reasoning_effort="high"), quirks)["thinking"] == {"type": "enabled"}


# --- marks for the cache ----------------------------------------------------------------------------


def marked(body: dict[str, Any]) -> list[str]:
    """Where marks stand: `system`, `tools`, or the number of the turn."""
    found = [name for name in ("tools", "system") for block in body.get(name, ()) if "cache_control" in block]
    for number, turn in enumerate(body["messages"]):
        found += [str(number) for block in turn["content"] if "cache_control" in block]
    return found


def test_marks_stand_where_the_prompt_stays_the_same():
    system = Message("system", "s")
    talk = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    assert marked(messages(ModelRequest("m", (system, *talk), (FETCH,)))) == ["system", "0", "2"]
    assert marked(messages(ModelRequest("m", talk, (FETCH, TIME)))) == ["tools", "0", "2"]
    assert marked(messages(ModelRequest("m", (system, *talk)))) == ["system", "0", "2"]
    assert marked(messages(ModelRequest("m", (system, talk[0])))) == []
    assert marked(messages(ModelRequest("m", (system, *talk), (FETCH,), cache=False))) == []
    longer = (system, *talk, Message("assistant", "d"), Message("user", "e"))
    assert marked(messages(ModelRequest("m", longer, (FETCH,)))) == ["system", "2", "4"]
    # A mark of one request stands where the next one has the very same bytes before it.
    first = json.dumps(messages(ModelRequest("m", (system, *talk), (FETCH,)))["messages"][:2])
    second = json.dumps(messages(ModelRequest("m", longer, (FETCH,), cache=False))["messages"][:2])
    assert first.replace(', "cache_control": {"type": "ephemeral"}', "") == second


# --- thinking goes back ------------------------------------------------------------------------------


async def next_body(server: ModelServer, provider: Any, name: str) -> dict[str, Any]:
    """What is sent after the recorded answer, its calls answered."""
    stream = next(stream for stream in recorded() if stream.name == name)
    server.answers.append(Answer(stream=stream.body))
    answer = await complete(provider, ModelRequest("m", HI))
    said = Message(
        "assistant", answer.text, answer.tool_calls, reasoning=answer.reasoning, vendor=answer.vendor
    )
    results = [Message("tool", "r", tool_call_id=call.id) for call in answer.tool_calls]
    await complete(
        provider, ModelRequest("m", (*HI, said, *(results or [Message("user", "go on")])), cache=False)
    )
    provider.close()
    sent = server.requests[-1].body["messages"]
    return next(message for message in sent if message["role"] == "assistant")


async def test_signed_thinking_goes_back_with_its_calls(server):
    sent = await next_body(server, Anthropic("fake", server.url), "anthropic-thinking-tools")
    assert [block["type"] for block in sent["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert sent["content"][0]["signature"] == "EqQBCgIYAhIM"
    assert sent["content"][0]["thinking"] == "I should look twice."


async def test_thinking_that_called_no_tool_goes_back_with_its_message(server):
    sent = await next_body(server, Anthropic("fake", server.url), "anthropic-redacted")
    assert [block["type"] for block in sent["content"]] == ["redacted_thinking", "text"]


async def test_reasoning_details_go_back_to_who_wants_them(server):
    quirks = Quirks(reasoning_back="reasoning_details")
    sent = await next_body(server, OpenAICompatible("fake", server.url, quirks=quirks), "openrouter-details")
    told = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    assert sent["reasoning_details"] == [{**told, "text": "Let me see", "signature": "EqkB"}]


async def test_reasoning_details_go_to_nobody_else(server):
    sent = await next_body(server, OpenAICompatible("fake", server.url), "openrouter-details")
    assert set(sent) == {"role", "content"}


def test_reasoning_content_goes_back_with_the_calls_it_led_to():
    kept = {"openai": {"model": "m", "reasoning_content": "hm"}}
    said = Message("assistant", "", (ToolCall("a", "f", {}, kept),))
    request = ModelRequest("m", (*HI, said, Message("tool", "r", tool_call_id="a")))
    back = Quirks(reasoning_back="reasoning_content")
    assert chat(request, back)["messages"][1]["reasoning_content"] == "hm"
    assert "reasoning_content" not in chat(request)["messages"][1]
    assert "reasoning_content" not in chat(msgspec.structs.replace(request, model="n"), back)["messages"][1]


def test_what_one_vendor_keeps_is_not_sent_to_another():
    mixed = {"anthropic": {"blocks": []}, "openai": {"model": "m"}, "google": {"s": 1}}
    said = Message("assistant", "", (ToolCall("a", "f", {}, mixed),))
    sent = chat(ModelRequest("m", (*HI, said)), Quirks(call_extras=True))["messages"][1]["tool_calls"][0]
    assert sent["extra_content"] == {"google": {"s": 1}}


# --- embeddings ---------------------------------------------------------------------------------------


async def test_texts_become_vectors_as_the_server_has_them(server):
    provider = OpenAICompatible("fake", server.url)
    assert isinstance(provider, Embedder)
    assert isinstance(provider, Provider)
    assert isinstance(provider, Pushing)
    told = await provider.embed("small", ["moss grows", "stones"], 16)
    assert server.requests[-1].body["input"] == ["moss grows", "stones"]
    assert told.vectors == (vector_of("moss grows", 16), vector_of("stones", 16))
    assert (told.usage.input_tokens, told.model, told.provider) == (3, "small", "fake")
    for texts in ([], ["a", ""]):
        with pytest.raises(ValueError, match="at least one text"):
            await provider.embed("small", texts)
    provider.close()


def vectors(*rows: Any) -> dict[str, Any]:
    return {"data": [{"embedding": row, "index": n} for n, row in rows]}


async def test_vectors_in_any_order_or_form_are_put_in_order(server):
    provider = OpenAICompatible("fake", server.url)
    server.embeddings = vectors((1, [3.0, 4.0]), (0, [1.0, 2.0]))
    assert [v.tolist() for v in (await provider.embed("m", ["a", "b"])).vectors] == [[1.0, 2.0], [3.0, 4.0]]
    for broken in (
        vectors((0, [1.0])),
        vectors((0, [1.0]), (0, [2.0])),
        vectors((0, [1.0]), (1, [1.0, 2.0])),
        vectors((0, "!!"), (1, "!!")),
        vectors((0, "AAA="), (1, "AAA=")),
        vectors((0, []), (1, [])),
        {"data": 7},
    ):
        server.embeddings = broken
        with pytest.raises(BadAnswer, match="fake"):
            await provider.embed("m", ["a", "b"])
    provider.close()


async def test_the_embedder_without_a_model_finds_like_words_near():
    embedder = HashEmbedder()
    assert isinstance(embedder, Embedder)
    moss, mossy, tax = (await embedder.embed("h", ["moss on stones", "Mossy stones", "income tax"])).vectors

    def near(a: Any, b: Any) -> float:
        return float(sum(x * y for x, y in zip(a, b, strict=True)))

    assert near(moss, moss) == pytest.approx(1.0, abs=1e-6)
    assert near(moss, mossy) > near(moss, tax)
