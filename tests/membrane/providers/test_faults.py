"""Every fault of `planaria.testing.faults`, on a real socket, in both dialects and both ways to read."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from planaria.membrane.errors import BadAnswer, Overloaded, ProviderError, RateLimited, StreamCut, TimedOut
from planaria.membrane.provider import MALFORMED, Message, ModelRequest, Patience, TextDelta, Usage, complete
from planaria.membrane.providers.anthropic import Anthropic
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.membrane.wire.http_stream import Limits
from planaria.testing.fault_server import FaultServer, UnknownFault
from planaria.testing.faults import FAULTS, RETRY_AFTER, TEXT
from planaria.testing.model_answer import Answer

SMALL = Limits(body=10_000_000)
DIALECTS: dict[str, Any] = {"openai": OpenAICompatible, "anthropic": Anthropic}
WAYS = ("stream", "push")


@pytest.fixture
async def server():
    async with FaultServer() as server:
        yield server


@pytest.fixture(params=DIALECTS)
def provider(request, server):
    provider = DIALECTS[request.param]("fake", server.url, limits=SMALL)
    yield provider
    provider.close()


def ask(model: str, **more: Any) -> ModelRequest:
    return ModelRequest(model, (Message("user", "hi"),), **more)


async def read(provider: Any, request: ModelRequest, way: str, pieces: list[Any]) -> Any:
    """The answer; its pieces are in `pieces` even if it fails."""
    if way == "push":
        return await provider.push(request, pieces.append)
    async for piece in provider.stream(request):
        pieces.append(piece)
    return pieces.pop()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_becomes_the_error_it_is_said_to_become(server, provider, way, fault):
    patience = Patience(first_byte=0.05, between_bytes=0.05) if FAULTS[fault].held else None
    becomes = FAULTS[fault].becomes
    request = ask(fault, patience=patience)
    if becomes is None:
        await read(provider, request, way, [])
    else:
        with pytest.raises(becomes) as caught:
            await read(provider, request, way, [])
        assert type(caught.value) is becomes
        assert "fake" in str(caught.value) or server.url.removesuffix("/v1") in str(caught.value)
    assert server.shown == [fault]
    # Whatever happened, the next call is not hurt by it.
    assert (await complete(provider, ask("works"))).text == TEXT


@pytest.mark.parametrize("way", WAYS)
async def test_what_came_before_the_fault_was_handed_on(provider, way):
    for fault, error in (
        ("error_in_stream", Overloaded),
        ("cut_mid_token", StreamCut),
        ("endless", BadAnswer),
    ):
        pieces: list[Any] = []
        with pytest.raises(error):
            await read(provider, ask(fault), way, pieces)
        assert pieces and all(isinstance(piece, TextDelta) for piece in pieces)


async def test_the_wait_a_provider_asks_for_is_kept(provider):
    with pytest.raises(RateLimited) as caught:
        await complete(provider, ask("rate_limited"))
    assert caught.value.retry_after == RETRY_AFTER


async def test_a_fault_may_pass_after_some_times(server, provider):
    for _ in range(2):
        with pytest.raises(Overloaded):
            await complete(provider, ask("overloaded*2"))
    assert (await complete(provider, ask("overloaded*2"))).text == TEXT
    server.inject("server_error")
    with pytest.raises(Overloaded):
        await complete(provider, ask("works"))
    with pytest.raises(UnknownFault, match="rate_limited"):
        server.inject("rate_limit")


async def test_arguments_that_break_off_are_marked_not_guessed(provider):
    answer = await complete(provider, ask("bad_arguments"))
    assert answer.tool_calls[0].arguments == {MALFORMED: '{"q'}
    assert answer.finish_reason == "length"


async def test_patience_of_one_request_does_not_hurt_the_next(server, provider):
    server.answers.append(Answer(TEXT, hold_at=5))
    with pytest.raises(ProviderError, match=r"fell silent for 0\.05 s"):
        await complete(provider, ask("works", patience=Patience(between_bytes=0.05)))
    server.answers.append(Answer(TEXT, wait=0.1))
    assert (await complete(provider, ask("works"))).text == TEXT


async def test_what_was_charged_before_a_fault_is_told(server):
    provider = Anthropic("fake", server.url)
    server.answers.append(Answer(TEXT, usage=Usage(90, 7, 40, 10), fail_at=4))
    with pytest.raises(Overloaded) as caught:
        await complete(provider, ask("works"))
    assert caught.value.usage == Usage(90, 1, 40, 10)
    provider.close()


async def test_a_sink_that_raises_ends_the_call(server, provider):
    class Enough(Exception):
        pass

    def sink(piece: object) -> None:
        raise Enough

    server.answers.append(Answer("a word or two or three", hold_at=6))
    with pytest.raises(Enough):
        await provider.push(ask("works"), sink)
    await server.left()


def test_the_page_has_every_fault():
    page = (Path(__file__).parents[3] / "docs" / "providers.md").read_text(encoding="utf-8")
    for name, fault in FAULTS.items():
        becomes = fault.becomes.__name__ if fault.becomes else "an answer"
        assert f"| `{name}` | {fault.what} | {becomes} |" in page


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sign", [b": still here\n\n", b'event: ping\ndata: {"type": "ping"}\n\n'])
async def test_signs_of_life_without_a_word_end_too(way: str, sign: bytes):
    """A proxy keeps a dead answer alive for ever."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while not writer.is_closing():
            writer.write(sign)
            await asyncio.sleep(0.005)

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    provider = Anthropic("fake", f"http://127.0.0.1:{port}", limits=Limits(body=100_000))
    with pytest.raises(TimedOut, match=r"fake gave signs of life for 0\.05 s and not a word"):
        await read(provider, ask("m", patience=Patience(between_words=0.05)), way, [])
    provider.close()
    listening.close()


@pytest.mark.parametrize(
    ("fault", "kind", "written"),
    [
        ("hang", "openai", len("one two three four")),
        ("hang", "anthropic", len("one two")),  # which tells the prompt first
        ("bad_json", "openai", 0),
        ("huge_event", "openai", 0),
        ("slow_first_byte", "openai", None),
        ("server_error", "openai", None),
    ],
)
async def test_it_is_known_how_much_had_come_of_an_answer_that_nobody_has_billed(
    fault: str, kind: str, written: int | None
):
    async with FaultServer() as server:
        provider = OpenAICompatible("fake", server.url) if kind == "openai" else Anthropic("fake", server.url)
        with pytest.raises(ProviderError) as raised:
            await complete(provider, ask(fault, patience=Patience(first_byte=0.05, between_bytes=0.05)))
        assert raised.value.written == written
        assert (raised.value.usage is None) == (kind == "openai")
        provider.close()
