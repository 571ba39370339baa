"""What every provider promises, run over each of them."""

import inspect
from collections.abc import Callable
from contextlib import aclosing

import msgspec
import pytest

from planaria.membrane.errors import Overloaded, ProviderError, StreamCut
from planaria.membrane.provider import (
    Message,
    ModelRequest,
    ModelResponse,
    Provider,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
    complete,
)
from planaria.membrane.providers.anthropic import Anthropic
from planaria.membrane.providers.offline import OfflineProvider
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.testing.model_server import Answer, ModelServer
from planaria.testing.models import Call, Calls, Fail, Say, ScriptedProvider

FETCH = ToolSpec(
    "web.fetch",
    "Fetch a page.",
    {
        "type": "object",
        "properties": {"url": {"type": "string"}, "limit": {"type": "integer"}},
        "required": ["url"],
    },
)
ASK = ModelRequest(
    "some-model", (Message("system", "Be brief."), Message("user", "run web.fetch url=x")), (FETCH,)
)

# One piece "a" in either dialect.
ONE_PIECE = (
    '{"choices":[{"delta":{"content":"a"}}],'
    '"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}'
)

OVER_HTTP: dict[str, Callable[..., OpenAICompatible | Anthropic]] = {
    "openai_compatible": OpenAICompatible,
    "anthropic": Anthropic,
}


@pytest.fixture
async def server():
    async with ModelServer() as server:
        yield server


@pytest.fixture(params=[*OVER_HTTP, "scripted", "offline"])
def provider(request, server):
    if request.param == "scripted":
        yield ScriptedProvider([Call("web.fetch", {"url": "x"}, text="Running web.fetch.")])
    elif request.param == "offline":
        yield OfflineProvider()
    else:
        call = ToolCall("t1", "web_fetch", {"url": "x"})
        server.answers.append(Answer("Running web.fetch.", tool_calls=(call,)))
        made = OVER_HTTP[request.param](request.param, server.url)
        yield made
        made.close()


@pytest.fixture(params=[*OVER_HTTP])
def over_http(request, server):
    provider = OVER_HTTP[request.param]("fake", server.url)
    yield provider
    provider.close()


async def test_it_fits_the_protocol(provider):
    assert isinstance(provider, Provider)
    assert provider.name
    stream = provider.stream(ASK)
    assert inspect.isasyncgen(stream)
    await stream.aclose()


async def test_the_whole_answer_comes_last_and_once_and_equals_its_pieces(provider):
    pieces = [piece async for piece in provider.stream(ASK)]
    answers = [piece for piece in pieces if isinstance(piece, ModelResponse)]
    assert answers == [pieces[-1]]
    texts = [piece.text for piece in pieces if isinstance(piece, TextDelta)]
    assert "".join(texts) == answers[0].text == "Running web.fetch."
    assert all(texts)


async def test_tool_calls_carry_our_names_and_parsed_arguments(provider):
    answer = await complete(provider, ASK)
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("web.fetch", {"url": "x"})]
    assert answer.tool_calls[0].id
    assert answer.finish_reason == "tool_calls"


async def test_the_answer_names_its_provider_and_model(provider):
    answer = await complete(provider, ASK)
    assert answer.provider == provider.name
    assert answer.model == ("offline" if provider.name == "offline" else "some-model")


async def test_models_are_listed(provider):
    assert all(model.id for model in await provider.models())


async def test_every_provider_of_the_folder_is_tested_here():
    folder = {"openai_compatible", "anthropic", "offline", "pydantic_ai_bridge"}
    parts = {"openai_request", "openai_answer", "anthropic_request", "anthropic_answer", "reading", "bridge"}
    found = {file.stem for file in _provider_files()}
    assert found - {"__init__", "http_provider", "vendors"} - parts == folder


def _provider_files():
    from pathlib import Path

    import planaria.membrane.providers as package

    return Path(package.__path__[0]).glob("*.py")


# --- over HTTP --------------------------------------------------------------------------


@pytest.mark.parametrize("split", [None, 1, 3, 1000])
@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
async def test_an_answer_means_the_same_however_it_travels(server, over_http, split, framing):
    calls = (ToolCall("a", "web_fetch", {"url": "ü\n\"'"}), ToolCall("b", "web_fetch", {}))
    server.answers.append(
        Answer(
            "Grüße, 🪱!\n\ndata: x",
            reasoning="hm",
            tool_calls=calls,
            usage=Usage(90, 7, 40),
            split=split,
            framing=framing,
        )
    )
    pieces = [piece async for piece in over_http.stream(ASK)]
    answer = pieces[-1]
    assert isinstance(answer, ModelResponse)
    assert answer.text == "Grüße, 🪱!\n\ndata: x"
    assert answer.reasoning == "hm"
    assert ReasoningDelta("hm") in pieces
    assert answer.usage == Usage(90, 7, 40)
    assert [(c.id, c.name, c.arguments) for c in answer.tool_calls] == [
        ("a", "web.fetch", {"url": "ü\n\"'"}),
        ("b", "web.fetch", {}),
    ]


async def test_pieces_come_while_the_answer_is_still_being_made(server, over_http):
    server.answers.append(Answer("one two three", hold_at=5))
    async with aclosing(over_http.stream(ASK)) as stream:
        first = await anext(stream)
        assert first == TextDelta("one")
        server.release()
        assert [piece async for piece in stream][-1].text == "one two three"


async def test_a_stream_left_early_frees_the_connection(server, over_http):
    server.answers.append(Answer("one two three", hold_at=5))
    async with aclosing(over_http.stream(ASK)) as stream:
        await anext(stream)
    await server.left()


@pytest.mark.parametrize("cut_after", [0, 10, 200, 500])
async def test_a_stream_cut_in_the_middle_is_no_answer(server, over_http, cut_after):
    server.answers.append(Answer("one two three four five six seven", cut_after=cut_after))
    with pytest.raises(StreamCut) as caught:
        await complete(over_http, ASK)
    assert caught.value.retry


async def test_a_stream_that_just_stops_is_no_answer(server, over_http):
    server.answers.append(Answer("x", events=(ONE_PIECE,)))
    with pytest.raises(StreamCut, match="in the middle"):
        await complete(over_http, ASK)


@pytest.mark.parametrize("event", ["not json", '{"choices": 7, "delta": 7}', "[]", '"x"', "\ud7ff{"])
async def test_an_event_that_cannot_be_read_is_told(server, over_http, event):
    server.answers.append(Answer("x", events=(event,)))
    with pytest.raises(ProviderError, match="fake"):
        await complete(over_http, ASK)


async def test_a_finished_answer_keeps_its_connection_for_the_next(server, over_http):
    for _ in range(3):
        await complete(over_http, ASK)
    assert server.connections == 1
    assert len(server.requests) == 3


async def test_blank_and_unknown_events_are_passed_over(server, over_http):
    server.answers.append(Answer("x", events=("", '{"type":"brand_new","future":1}', "")))
    with pytest.raises(StreamCut):
        await complete(over_http, ASK)


async def test_an_empty_answer_is_an_answer(server, over_http):
    server.answers.append(Answer(""))
    answer = await complete(over_http, ASK)
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ("", (), "stop")


async def test_an_error_in_the_middle_of_a_stream_is_raised_after_its_pieces(server, over_http):
    error = '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    server.answers.append(Answer("x", events=(ONE_PIECE, ("error", error))))
    pieces = []

    async def read():
        async for piece in over_http.stream(ASK):
            pieces.append(piece)

    with pytest.raises(Overloaded, match="Overloaded") as caught:
        await read()
    assert pieces == [TextDelta("a")]
    assert caught.value.retry


# --- the scripted one -------------------------------------------------------------------


async def test_a_script_is_played_line_by_line():
    provider = ScriptedProvider(
        [
            "hello world",
            Say("x y", pieces=("x", " y"), reasoning="hm"),
            Calls((Call("a"), Call("b", {"n": 1}))),
            Fail(Overloaded("busy"), pieces=("be",)),
            lambda request: Say(request.messages[-1].content),
        ]
    )
    assert (await complete(provider, ASK)).text == "hello world"
    assert (await complete(provider, ASK)).reasoning == "hm"
    assert [call.name for call in (await complete(provider, ASK)).tool_calls] == ["a", "b"]
    with pytest.raises(Overloaded):
        await complete(provider, ASK)
    assert (await complete(provider, ASK)).text == "run web.fetch url=x"
    assert provider.left == 0
    assert len(provider.requests) == 5
    with pytest.raises(AssertionError, match="script is shorter"):
        await complete(provider, ASK)


@pytest.mark.parametrize("make", OVER_HTTP.values(), ids=OVER_HTTP)
async def test_a_call_made_again_under_its_key_is_answered_the_same_and_charged_once(server, make) -> None:
    server.answers.extend([Answer("first", usage=Usage(7, 3)), Answer("second", usage=Usage(20, 10))])
    provider = make("fake", server.url)
    keyed = msgspec.structs.replace(ASK, idempotency_key="turn/0/1")
    said = [(await complete(provider, request)).text for request in (keyed, keyed, ASK)]
    assert said == ["first", "first", "second"]
    assert (server.calls, server.keys, server.charged) == (3, {"turn/0/1": 2}, Usage(27, 13))
    assert "idempotency-key" not in server.requests[-1].headers


@pytest.mark.parametrize("make", OVER_HTTP.values(), ids=OVER_HTTP)
async def test_an_answer_cut_off_on_the_wire_comes_whole_under_its_key(server, make) -> None:
    server.answers.append(Answer("a long answer", usage=Usage(7, 3), cut_after=200))
    provider = make("fake", server.url)
    keyed = msgspec.structs.replace(ASK, idempotency_key="turn/0/1")
    with pytest.raises(StreamCut):
        await complete(provider, keyed)
    assert (await complete(provider, keyed)).text == "a long answer"
    assert server.charged == Usage(7, 3)


@pytest.mark.parametrize("make", OVER_HTTP.values(), ids=OVER_HTTP)
async def test_a_refusal_is_neither_charged_nor_kept_for_its_key(server, make) -> None:
    server.answers.append(Answer(status=529, body={"error": {"message": "busy"}}))
    provider = make("fake", server.url)
    keyed = msgspec.structs.replace(ASK, idempotency_key="turn/0/1")
    with pytest.raises(ProviderError):
        await complete(provider, keyed)
    assert server.charged == Usage()
    assert (await complete(provider, keyed)).text == "ok"
