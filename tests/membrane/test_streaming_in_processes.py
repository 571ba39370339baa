"""Streaming where it happens: in tasks of a node, that may be killed at any moment."""

import asyncio

import pytest
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from planaria.membrane.provider import Message, ModelRequest, ModelResponse, TextDelta
from planaria.membrane.providers.anthropic import Anthropic
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.membrane.providers.pydantic_ai_bridge import PydanticAI
from planaria.otp import Node, exit_signal, receive, self_, send, spawn
from planaria.testing.model_server import Answer, ModelServer
from planaria.testing.models import After, Hang, ScriptedProvider

ASK = ModelRequest("m", (Message("user", "hi"),))


async def iterate(provider, to):
    async for piece in provider.stream(ASK):
        send(to, piece)


async def push(provider, to):
    await provider.push(ASK, lambda piece: send(to, piece))


def bridge(name, url):
    provider = OpenAIProvider(base_url=url, api_key="x")
    return PydanticAI(name, "openai", make=lambda model: OpenAIChatModel(model, provider=provider))


@pytest.mark.parametrize(
    ("kind", "speak"),
    [
        (OpenAICompatible, iterate),
        (OpenAICompatible, push),
        (Anthropic, iterate),
        (Anthropic, push),
        (bridge, iterate),
    ],
)
async def test_a_killed_process_lets_go_of_its_connection_at_once(kind, speak):
    hold_at = 4 if kind is Anthropic else 2
    async with ModelServer(Answer("a b c", hold_at=hold_at)) as server, Node() as node:

        async def main():
            speaker = spawn(speak, kind("fake", server.url), self_())
            assert isinstance(await receive((TextDelta,)), TextDelta)
            exit_signal(speaker, "kill")
            await server.left()

        await node.run(main)
        assert server.dropped == 1


async def test_pieces_are_pushed_in_the_name_of_the_process_that_waits():
    async with ModelServer(Answer("a b c", hold_at=2)) as server, Node() as node:
        names = []

        async def speak(provider, to):
            def sink(piece):
                names.append(self_())
                send(to, piece)

            answer = await provider.push(ASK, sink)
            send(to, answer)

        async def main():
            speaker = spawn(speak, OpenAICompatible("fake", server.url), self_())
            await receive((TextDelta,))
            server.release()
            assert (await receive((ModelResponse,))).text == "a b c"
            assert names == [speaker] * 3

        await node.run(main)


async def test_many_processes_stream_at_once():
    server = ModelServer()
    server.fallback = Answer("one two three", split=40)
    async with server, Node() as node:
        provider = OpenAICompatible("fake", server.url)

        async def speak(to):
            async for piece in provider.stream(ASK):
                if isinstance(piece, ModelResponse):
                    send(to, piece.text)

        async def main():
            for _ in range(100):
                spawn(speak, self_())
            return [await receive((str,)) for _ in range(100)]

        assert await node.run(main) == ["one two three"] * 100
        provider.close()


async def test_a_scripted_model_hangs_until_whoever_asks_is_killed_and_waits_by_the_nodes_clock(node):
    model = ScriptedProvider([Hang(("so",)), After(60.0, "late")])

    async def main():
        speaker = spawn(iterate, model, self_())
        assert await receive((TextDelta,)) == TextDelta("so")
        assert model.hanging == 1
        exit_signal(speaker, "kill")

    async def listen():
        spawn(iterate, model, self_())
        return await receive((TextDelta,))

    await node.run(main)
    await node.settle()
    assert model.hanging == 0
    late = asyncio.ensure_future(node.run(listen))
    await node.settle()
    assert not late.done()
    await node.advance(60.0)
    assert await late == TextDelta("late")
