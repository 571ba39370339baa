"""The contract of an LLM service: one request in, a stream of pieces out, the whole answer last.

Implementations are in `providers/`; who uses a model imports this file alone. Providers retry nothing, count nothing
and journal nothing: routing, budgets and breakers wrap them from outside.
"""

from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
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


class ImagePart(msgspec.Struct, frozen=True, tag="image"):
    """An image beside a message's text: its bytes, or an https URL the provider fetches itself.

    Args:
        media_type: `image/png`, `image/jpeg`, `image/gif` or `image/webp`; not needed with a URL.
    """

    media_type: str = ""
    data: bytes = b""
    url: str = ""


class FilePart(msgspec.Struct, frozen=True, tag="file"):
    """A file beside a message's text: its bytes, or an https URL the provider fetches itself.

    Args:
        name: as the model is told it.
        media_type: `application/pdf`, or a text type; what else is taken depends on the model.
    """

    name: str
    media_type: str = "application/pdf"
    data: bytes = b""
    url: str = ""


type Part = ImagePart | FilePart


class Message(msgspec.Struct, frozen=True):
    """One message of the conversation. Role `tool` answers the call `tool_call_id` of an assistant's message.

    Args:
        parts: images and files of a user's message or of a tool's result; they stand before the text.
        reasoning: an assistant's visible thinking, for providers that want it back.
        vendor: `ModelResponse.vendor` of the answer this message was; keep it, do not read it. It counts only where
            no tool call has one of its own.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    parts: tuple[ImagePart | FilePart, ...] = ()
    reasoning: str = ""
    vendor: dict[str, Any] | None = None


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool on offer: any name (providers translate it for the wire), a JSON schema of type `object`."""

    name: str
    description: str
    parameters: dict[str, Any]


type Effort = Literal["low", "medium", "high"]


class Patience(msgspec.Struct, frozen=True):
    """Seconds one call may keep silent; None takes the provider's own limit (see `wire/http_stream.py`).

    Args:
        connect: until there is a connection.
        first_byte: from the request until the answer begins.
        between_bytes: between two pieces of the answer; a server's signs of life count as pieces.
        between_words: in which there are signs of life alone.
    """

    connect: float | None = None
    first_byte: float | None = None
    between_bytes: float | None = None
    between_words: float | None = None


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
        response_schema: JSON schema (type `object`) the answer's text has to fit. Sent in the way the dialect has for
            it; whether it was kept is for the caller to check, with `structured.py`.
        reasoning_effort: how much to think, where the model can be told; None leaves it to the provider.
        tool_choice: `auto`, `none`, `required` (any of them), or a tool's own name; None is the provider's `auto`.
        cache: whether the prompt is marked for the provider's cache where that needs marks (Anthropic).
        stop: texts at which the answer ends; they are no part of it.
        patience: how long silence is borne. No part of what is asked: two requests that differ only here are the same.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    idempotency_key: str = ""
    response_schema: dict[str, Any] | None = None
    reasoning_effort: Effort | None = None
    tool_choice: str | None = None
    cache: bool = True
    stop: tuple[str, ...] = ()
    patience: Patience | None = None


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of the answer; never empty."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of the model's visible thinking; never empty, not part of the answer."""

    text: str


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one call. Zero everywhere means the provider did not say.

    Args:
        input_tokens: the whole prompt, cached parts included.
        output_tokens: the answer, thinking included.
        cached_tokens: part of the input that was read from the provider's cache.
        cache_write_tokens: part of the input that was written into it (Anthropic bills that apart).
        reasoning_tokens: part of the output that was thinking, where the provider tells.
        told_micro_usd: what the provider says the call cost, in micro-USD rounded up; None if it does not say.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    told_micro_usd: int | None = None


class ModelResponse(msgspec.Struct, frozen=True):
    """The whole answer.

    Args:
        text: equals all `TextDelta` joined.
        finish_reason: `stop`, `tool_calls`, `length`, `content_filter`, or the provider's own word.
        model: as the provider names what answered, else as asked.
        provider: name of the provider.
        reasoning: equals all `ReasoningDelta` joined.
        vendor: what the provider wants back with this message (`Message.vendor`), if it called no tool; else that
            stands in the `vendor` of its first call.
        id: the provider's name for this answer, for its support; empty if it told none.
    """

    text: str
    tool_calls: tuple[ToolCall, ...]
    usage: Usage
    finish_reason: str
    model: str
    provider: str
    reasoning: str = ""
    vendor: dict[str, Any] | None = None
    id: str = ""


class ModelInfo(msgspec.Struct, frozen=True):
    """A model a provider offers; sizes in tokens, None if it does not tell."""

    id: str
    context_tokens: int | None = None
    max_output_tokens: int | None = None


type Delta = TextDelta | ReasoningDelta
type Piece = Delta | ModelResponse
type Sink = Callable[[Delta], object]
"""Takes the pieces of an answer."""


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


@runtime_checkable
class Pushing(Protocol):
    """A provider that can also hand its pieces on right where they arrive: no task is woken for each of them.

    For many streams at once; see `push`, which takes any provider.
    """

    async def push(self, request: ModelRequest, sink: Sink) -> ModelResponse:
        """Run one model call; `sink` is given every piece, the whole answer is returned.

        Args:
            sink: called in the name of the process that waits here, mostly from the event loop while that process
                waits: it must be quick. What it raises ends the call and is raised here.
        Raises:
            ProviderError: as in `Provider.stream`; pieces may have gone to the sink before it.
        """
        ...


class Embeddings(msgspec.Struct, frozen=True):
    """Texts as vectors.

    Args:
        vectors: one for each text, in their order; float32 (`array("f")`), all of one length.
        model: as the provider names what answered, else as asked.
    """

    vectors: tuple[array[float], ...]
    usage: Usage
    model: str
    provider: str


@runtime_checkable
class Embedder(Protocol):
    """A service that turns texts into vectors."""

    @property
    def name(self) -> str:
        """As `Provider.name`."""
        ...

    async def embed(self, model: str, texts: Sequence[str], dimensions: int | None = None) -> Embeddings:
        """Vectors for these texts, in one call.

        Args:
            model: the provider's own name for it.
            texts: at least one, none empty.
            dimensions: of a vector, for models that can shorten theirs; None takes the model's own.
        Raises:
            ProviderError: as in `Provider.stream`.
            ValueError: no text, or an empty one.
        """
        ...


async def push(provider: Provider, request: ModelRequest, sink: Sink) -> ModelResponse:
    """The whole answer of one model call; `sink` is given its pieces as they come.

    Raises:
        ProviderError: as in `Provider.stream`.
    """
    if _pushes(type(provider)):
        pushing: Any = provider
        whole: ModelResponse = await pushing.push(request, sink)
        return whole
    answer: ModelResponse | None = None
    async for piece in provider.stream(request):
        if isinstance(piece, ModelResponse):
            answer = piece
        else:
            sink(piece)
    if answer is None:
        raise AssertionError(f"provider {provider.name!r} broke its contract: no ModelResponse at the end")
    return answer


@cache
def _pushes(kind: type) -> bool:
    """Whether a class of providers hands its pieces on itself. Looked up once: it takes as long as an event."""
    return issubclass(kind, Pushing)


async def complete(provider: Provider, request: ModelRequest) -> ModelResponse:
    """The whole answer of one model call, for who needs no pieces.

    Raises:
        ProviderError: as in `Provider.stream`.
    """
    return await push(provider, request, _drop)


def _drop(piece: Delta) -> None:
    """Take no notice."""
