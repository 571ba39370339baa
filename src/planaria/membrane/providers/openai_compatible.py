"""Chat completions, streamed: OpenAI, OpenRouter, Groq, DeepSeek, Mistral, xAI, Gemini, Ollama, LM Studio, vLLM.

Source: OpenAI's API reference, "Chat completions" and "Embeddings"; where the servers above leave it, `Quirks` and
`openai_answer.py` say how. Prompts are cached by the services themselves; what was read from a cache is in the usage.
Does badly: audio, logprobs and more than one choice are not asked for.
"""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from collections.abc import Sequence

import msgspec

from planaria.config.secret import Secret
from planaria.membrane.errors import BadAnswer
from planaria.membrane.provider import Embeddings, ModelInfo, ModelRequest, Usage
from planaria.membrane.providers.http_provider import HttpProvider
from planaria.membrane.providers.openai_answer import ChatReading, micro_usd
from planaria.membrane.providers.openai_request import NO_QUIRKS, Quirks, request_body
from planaria.membrane.providers.reading import Reading
from planaria.membrane.wire.http_stream import DEFAULT_LIMITS, Limits
from planaria.membrane.wire.wire_names import WireNames

__all__ = ["NO_QUIRKS", "OpenAICompatible", "Quirks"]


class _ModelEntry(msgspec.Struct):
    id: str
    context_length: int | None = None  # OpenRouter
    max_model_len: int | None = None  # vLLM
    context_window: int | None = None  # Groq
    max_context_length: int | None = None  # LM Studio, Mistral


class _ModelList(msgspec.Struct):
    data: list[_ModelEntry] | None = None


class _Vector(msgspec.Struct):
    embedding: str | list[float]
    index: int = -1


class _EmbeddingUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    cost: float | None = None


class _Vectors(msgspec.Struct):
    data: list[_Vector]
    model: str | None = None
    usage: _EmbeddingUsage | None = None


class OpenAICompatible(HttpProvider):
    """A service that speaks OpenAI's chat completions. Arguments as `HttpProvider`, and where it differs."""

    def __init__(
        self,
        name: str,
        base_url: str,
        key: Secret | None = None,
        key_variable: str | None = None,
        known_models: tuple[str, ...] = (),
        local: bool = False,
        allow_http: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        quirks: Quirks = NO_QUIRKS,
    ) -> None:
        super().__init__(name, base_url, key, key_variable, known_models, local, allow_http, limits)
        self.quirks = quirks

    def headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json", "accept": "text/event-stream, application/json"}
        if self.vendor.key:
            headers["authorization"] = f"Bearer {self.vendor.key.reveal()}"
        return headers

    def begin(self, request: ModelRequest) -> tuple[str, bytes, Reading]:
        names = WireNames(tool.name for tool in request.tools)
        body = msgspec.json.encode(request_body(request, names, self.quirks))
        return "/chat/completions", body, ChatReading(self.vendor, request.model, names)

    async def models(self) -> list[ModelInfo]:
        entries = (await self.get_json("/models", _ModelList)).data or []
        return [
            ModelInfo(e.id, e.context_length or e.max_model_len or e.context_window or e.max_context_length)
            for e in entries
        ]

    async def embed(self, model: str, texts: Sequence[str], dimensions: int | None = None) -> Embeddings:
        """See `Embedder.embed`."""
        if not texts or not all(texts):
            raise ValueError("embed needs at least one text, and none that is empty")
        asked: dict[str, object] = {"model": model, "input": list(texts), "encoding_format": "base64"}
        if dimensions is not None:
            asked["dimensions"] = dimensions
        told = await self.post_json("/embeddings", asked, _Vectors, model)
        vectors = self._vectors(told.data, len(texts))
        usage = told.usage or _EmbeddingUsage()
        counted = Usage(usage.prompt_tokens or 0, told_micro_usd=micro_usd(usage.cost))
        return Embeddings(vectors, counted, told.model or model, self.name)

    def _vectors(self, told: list[_Vector], wanted: int) -> tuple[array[float], ...]:
        """The vectors in the order of their texts; servers that know no base64 send lists."""
        places = [vector.index for vector in told]
        if sorted(places) == list(range(wanted)):
            told = sorted(told, key=lambda vector: vector.index)
        elif len(told) != wanted or any(place >= 0 for place in places):
            raise BadAnswer(
                f"{self.name} answered {len(told)} vectors for {wanted} texts, or not in their order"
            )
        vectors = tuple(self._vector(vector.embedding) for vector in told)
        if len({len(vector) for vector in vectors}) != 1 or not len(vectors[0]):
            raise BadAnswer(f"{self.name} answered vectors of different lengths, or empty ones")
        return vectors

    def _vector(self, told: str | list[float]) -> array[float]:
        vector: array[float] = array("f")
        try:
            if isinstance(told, list):
                vector.extend(told)
            else:
                vector.frombytes(base64.b64decode(told, validate=True))
                if sys.byteorder == "big":
                    vector.byteswap()
        except (binascii.Error, ValueError, OverflowError) as error:
            raise BadAnswer(f"{self.name} answered a vector that cannot be read: {error}") from error
        return vector
