"""The contract of an LLM service: one request in, a stream of pieces out, the whole answer last.

Implementations are in `providers/`; who uses a model imports this file alone. Providers retry nothing, count nothing
and journal nothing: routing, budgets and breakers wrap them from outside.
"""

from collections.abc import AsyncIterator
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

MALFORMED = "malformed_json"
"""Sole argument of a tool call whose arguments were no JSON object; its value is the text that came. No tool has a
parameter of this name, so the gate refuses the call and the model is told."""


class ToolCall(msgspec.Struct, frozen=True):
    """A model's wish to have a tool called. `name` is the tool's own, as in `ToolSpec`.

    Args:
        vendor: what the provider wants back with this call when the history is sent again; keep it, do not read it.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    vendor: dict[str, Any] | None = None


class Message(msgspec.Struct, frozen=True):
    """One message of the conversation. Role `tool` answers the call `tool_call_id` of an assistant's message."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool on offer: any name (providers translate it for the wire), a JSON schema of type `object`."""

    name: str
    description: str
    parameters: dict[str, Any]


class ModelRequest(msgspec.Struct, frozen=True):
    """One model call.

    Args:
        model: the provider's own name for it, without the provider.
        messages: oldest first, at least one.
        max_tokens: of the answer, thinking included; None leaves it to the provider.
        temperature: a wish; not sent to models that are known to refuse it.
        idempotency_key: the same for a call that is made again because nobody knows how the first one ended; sent as
            the header `Idempotency-Key`. A provider that honours it answers the same and charges once. Printable
            ASCII; empty sends none.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    idempotency_key: str = ""


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of the answer; never empty."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True):
    """A piece of the model's visible thinking; never empty, not part of the answer."""

    text: str


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one call. Zero everywhere means the provider did not say.

    Args:
        input_tokens: the whole prompt, cached parts included.
        output_tokens: the answer, thinking included.
        cached_tokens: part of the input that was read from the provider's cache.
        cache_write_tokens: part of the input that was written into it (Anthropic bills that apart).
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class ModelResponse(msgspec.Struct, frozen=True):
    """The whole answer.

    Args:
        text: equals all `TextDelta` joined.
        finish_reason: `stop`, `tool_calls`, `length`, `content_filter`, or the provider's own word.
        model: as the provider names what answered, else as asked.
        provider: name of the provider.
        reasoning: equals all `ReasoningDelta` joined.
    """

    text: str
    tool_calls: tuple[ToolCall, ...]
    usage: Usage
    finish_reason: str
    model: str
    provider: str
    reasoning: str = ""


class ModelInfo(msgspec.Struct, frozen=True):
    """A model a provider offers; sizes in tokens, None if it does not tell."""

    id: str
    context_tokens: int | None = None
    max_output_tokens: int | None = None


type Piece = TextDelta | ReasoningDelta | ModelResponse


@runtime_checkable
class Provider(Protocol):
    """An LLM service."""

    @property
    def name(self) -> str:
        """What people write before the slash: `anthropic`, `ollama`."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
        """Run one model call. Pieces as they come, then exactly one `ModelResponse`.

        Ending the iteration early (killing the task that iterates) closes the connection, which stops the spending
        with every provider that notices.
        Raises:
            ProviderError: a subclass from `errors.py`; pieces may have come before it.
        """
        ...

    async def models(self) -> list[ModelInfo]:
        """What the service offers now; asks the network.

        Raises:
            ProviderError: as in `stream`.
        """
        ...


async def complete(provider: Provider, request: ModelRequest) -> ModelResponse:
    """The whole answer of one model call, for who needs no pieces.

    Raises:
        ProviderError: as in `Provider.stream`.
    """
    answer: ModelResponse | None = None
    async for piece in provider.stream(request):
        if isinstance(piece, ModelResponse):
            answer = piece
    if answer is None:
        raise AssertionError(f"provider {provider.name!r} broke its contract: no ModelResponse at the end")
    return answer
