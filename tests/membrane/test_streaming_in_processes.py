"""Streaming where it happens: in tasks of a node, that may be killed at any moment."""

from planaria.membrane.provider import Message, ModelRequest, ModelResponse, TextDelta
from planaria.membrane.providers.anthropic import Anthropic
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.otp import Node, exit_signal, receive, self_, send, spawn
from planaria.testing.model_server import Answer, ModelServer

ASK = ModelRequest("m", (Message("user", "hi"),))


async def test_a_killed_process_lets_go_of_its_connection_at_once():
    async with ModelServer(Answer("a b c", hold_at=2), Answer("a b c", hold_at=4)) as server, Node() as node:

        async def speak(provider, to):
            async for piece in provider.stream(ASK):
                send(to, piece)

        async def main():
            for kind in (OpenAICompatible, Anthropic):
                provider = kind("fake", server.url)
                speaker = spawn(speak, provider, self_())
                assert isinstance(await receive((TextDelta,)), TextDelta)
                exit_signal(speaker, "kill")
                await server.left()

        await node.run(main)
        assert server.dropped == 2


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
