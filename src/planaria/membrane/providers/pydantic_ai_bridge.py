"""Every service Pydantic AI speaks to, as a provider of ours: Google, Bedrock, Azure, Cohere, and what comes to it.

    provider = PydanticAI("bedrock", "bedrock")              # its models are asked as `bedrock:NAME`
    provider = PydanticAI("azure", "azure", key=Secret(...), base_url="https://...")

Needs the extra `pydantic-ai`, and whatever that needs for the service. Nobody imports this module unless such a
provider is configured. Retries of Pydantic AI's own are off, since ours wrap every provider alike.
Does badly: a chunk costs some ten times what our own dialects take for it; prompts are marked for a cache only where
Pydantic AI does so; the models of a service are those that were named.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import msgspec
from pydantic_ai import messages as theirs
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelOverloadedError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    UserError,
)
from pydantic_ai.models import Model, ModelRequestParameters, infer_model
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.providers import infer_provider_class
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from planaria.config.secret import Secret
from planaria.membrane.errors import (
    AuthenticationFailed,
    BadAnswer,
    ContextTooLong,
    ModelNotFound,
    OutOfCredit,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestRefused,
    TimedOut,
    Unreachable,
)
from planaria.membrane.ids import short_hash
from planaria.membrane.provider import (
    MALFORMED,
    FilePart,
    ImagePart,
    Message,
    ModelInfo,
    ModelRequest,
    ModelResponse,
    Piece,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    Usage,
)
from planaria.membrane.providers.openai_request import chosen_tool, text_of
from planaria.membrane.wire.wire_names import WireNames

MINE = "pydantic_ai"
"""Key of what is kept in a `vendor`: the whole message as Pydantic AI had it."""
FINISH_REASONS: dict[str | None, str] = {"tool_call": "tool_calls", None: "stop"}
MAX_QUOTED = 400

# The nearest category first: several are subclasses of others.
ERRORS: tuple[tuple[type[Exception], type[ProviderError]], ...] = (
    (ModelTimeoutError, TimedOut),
    (ModelConnectionError, Unreachable),
    (ModelQuotaExceededError, OutOfCredit),
    (ModelRateLimitError, RateLimited),
    (ModelOverloadedError, Overloaded),
    (ModelUnavailableError, Overloaded),
    (ModelServerError, Overloaded),
    (ModelContextWindowExceededError, ContextTooLong),
    (ModelAuthenticationError, AuthenticationFailed),
    (ModelNotFoundError, ModelNotFound),
    (UserError, RequestRefused),
)

_objects: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


class PydanticAI:
    """A `Provider` for one of Pydantic AI's services.

    Args:
        name: what people write before the slash.
        service: what Pydantic AI calls it, before its colon: `google`, `bedrock`, `azure`, `cohere`.
        key: given to its provider as `api_key`; None leaves it to the variables Pydantic AI knows.
        base_url: given to its provider, for services that take one.
        known_models: names of its models.
        make: makes the model of a name; for tests and services that need more than a key.
    """

    def __init__(
        self,
        name: str,
        service: str,
        key: Secret | None = None,
        base_url: str = "",
        known_models: tuple[str, ...] = (),
        make: Callable[[str], Model] | None = None,
    ) -> None:
        self.name = name
        self.service = service
        self._key = key
        self._base_url = base_url
        self._known = known_models
        self._make = make or self._inferred
        self._models: dict[str, Model] = {}

    def __repr__(self) -> str:
        return f"<PydanticAI {self.name} ({self.service})>"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
        """See `Provider.stream`."""
        names = WireNames(tool.name for tool in request.tools)
        asked = messages_of(request, names)
        model = self._model(request.model)
        try:
            # Entered for this call alone: so its connections end with it, also when whoever asks is killed.
            async with (
                model,
                model_request_stream(
                    model,
                    asked,
                    model_settings=settings_of(request, names),
                    model_request_parameters=parameters_of(request, names),
                    instrument=False,
                ) as stream,
            ):
                async for event in stream:
                    piece = _piece(event)
                    if piece is not None:
                        yield piece
                answer = stream.get()
        except (AgentRunError, UserError) as error:
            raise self._translated(error, request.model) from error
        yield response_of(answer, self.name, request.model, names)

    async def models(self) -> list[ModelInfo]:
        """The names it was given; Pydantic AI has no list."""
        return [ModelInfo(model) for model in self._known]

    def prepare(self, model: str) -> None:
        """Make what a model needs, which may import much; may be called from another thread.

        Raises:
            RequestRefused: it cannot be made.
        """
        self._model(model)

    def close(self) -> None:
        """Forget the models; the provider can still be used."""
        self._models.clear()

    def _model(self, name: str) -> Model:
        known = self._models.get(name)
        if known is None:
            try:
                known = self._models[name] = self._make(name)
            except (UserError, ValueError, ImportError) as error:
                raise RequestRefused(f"{self.name}: {self._clean(str(error))}") from error
        return known

    def _inferred(self, name: str) -> Model:
        given: dict[str, Any] = {}
        if self._key is not None:
            given["api_key"] = self._key.reveal()
        if self._base_url:
            given["base_url"] = self._base_url
        if not given:
            return infer_model(f"{self.service}:{name}")
        return infer_model(f"{self.service}:{name}", lambda service: infer_provider_class(service)(**given))

    def _translated(self, error: Exception, model: str) -> ProviderError:
        """The one place where Pydantic AI's errors become ours."""
        words = self._clean(str(error))
        wait = error.retry_after if isinstance(error, ModelAPIError) else None
        for category, kind in ERRORS:
            if isinstance(error, category):
                return kind(f"{self.name}/{model}: {words}", retry_after=wait)
        if isinstance(error, ModelHTTPError):
            kind = Overloaded if error.status_code >= 500 else RequestRefused
            return kind(f"{self.name}/{model} ({error.status_code}): {words}", retry_after=wait)
        return BadAnswer(f"{self.name}/{model}: {words}")

    def _clean(self, words: str) -> str:
        words = " ".join(words.split())
        if self._key:
            words = self._key.scrub(words)
        return words if len(words) <= MAX_QUOTED else words[:MAX_QUOTED] + "..."


# --- what is asked --------------------------------------------------------------------------------


def messages_of(request: ModelRequest, names: WireNames) -> list[theirs.ModelMessage]:
    """Our messages as theirs. Pure."""
    called = {call.id: call.name for message in request.messages for call in message.tool_calls}
    found: list[theirs.ModelMessage] = []
    asking: list[theirs.ModelRequestPart] = []
    for message in request.messages:
        if message.role == "assistant":
            if asking:
                found.append(theirs.ModelRequest(parts=asking))
                asking = []
            found.append(_said(message, request.model, names))
        elif message.role == "system":
            asking.append(theirs.SystemPromptPart(message.content))
        elif message.role == "tool":
            name = names.there(called.get(message.tool_call_id or "", "unknown"))
            asking.append(theirs.ToolReturnPart(name, message.content, message.tool_call_id or ""))
            if message.parts:
                asking.append(theirs.UserPromptPart(_content(message.parts, "")))
        else:
            content = _content(message.parts, message.content) if message.parts else message.content
            asking.append(theirs.UserPromptPart(content))
    if asking:
        found.append(theirs.ModelRequest(parts=asking))
    return found


def _content(parts: Iterable[ImagePart | FilePart], text: str) -> list[theirs.UserContent]:
    content: list[theirs.UserContent] = []
    for part in parts:
        if part.url:
            content.append(
                theirs.ImageUrl(part.url) if isinstance(part, ImagePart) else theirs.DocumentUrl(part.url)
            )
        elif isinstance(part, FilePart) and (written := text_of(part)) is not None:
            content.append(f"<file name={part.name!r}>\n{written}\n</file>")
        else:
            content.append(theirs.BinaryContent(part.data, media_type=part.media_type))
    return [*content, text] if text else content


def _said(message: Message, model: str, names: WireNames) -> theirs.ModelResponse:
    """An assistant's message: as Pydantic AI had it, if the same model said it, else anew."""
    vendor = (message.tool_calls[0].vendor if message.tool_calls else None) or message.vendor or {}
    kept = vendor.get(MINE)
    if isinstance(kept, dict) and kept.get("model") == model and isinstance(kept.get("message"), dict):
        (restored,) = theirs.ModelMessagesTypeAdapter.validate_python([kept["message"]])
        if isinstance(restored, theirs.ModelResponse):
            return restored
    parts: list[theirs.ModelResponsePart] = []
    if message.content:
        parts.append(theirs.TextPart(message.content))
    parts += [
        theirs.ToolCallPart(names.there(call.name), dict(call.arguments), call.id)
        for call in message.tool_calls
    ]
    return theirs.ModelResponse(parts=parts)


def parameters_of(request: ModelRequest, names: WireNames) -> ModelRequestParameters:
    """Tools and schema. Pure."""
    tools = [
        ToolDefinition(
            name=names.there(tool.name),
            parameters_json_schema=tool.parameters,
            description=tool.description or None,
        )
        for tool in request.tools
    ]
    if request.response_schema is None:
        return ModelRequestParameters(function_tools=tools)
    schema = dict(request.response_schema)
    wanted = OutputObjectDefinition(schema, name=str(schema.get("title") or "answer"))
    return ModelRequestParameters(function_tools=tools, output_mode="native", output_object=wanted)


def settings_of(request: ModelRequest, names: WireNames) -> ModelSettings:
    """What else is asked. Pure."""
    told = ModelSettings(max_retries=0)
    if request.max_tokens is not None:
        told["max_tokens"] = request.max_tokens
    if request.temperature is not None:
        told["temperature"] = request.temperature
    if request.stop:
        told["stop_sequences"] = list(request.stop)
    if request.reasoning_effort is not None:
        told["thinking"] = request.reasoning_effort
    match chosen_tool(request):
        case None:
            pass
        case "auto" | "none" | "required" as word:
            told["tool_choice"] = word
        case name:
            told["tool_choice"] = [names.there(name)]
    if request.idempotency_key:
        told["extra_headers"] = {"idempotency-key": request.idempotency_key}
    if request.patience is not None:
        if request.patience.first_byte is not None:
            told["first_event_timeout"] = request.patience.first_byte
        if request.patience.between_bytes is not None:
            told["timeout"] = request.patience.between_bytes
    return told


# --- what comes back --------------------------------------------------------------------------------


def _piece(event: object) -> TextDelta | ReasoningDelta | None:
    match event:
        case theirs.PartStartEvent(part=theirs.TextPart(content=text)) if text:
            return TextDelta(text)
        case theirs.PartDeltaEvent(delta=theirs.TextPartDelta(content_delta=text)) if text:
            return TextDelta(text)
        case theirs.PartStartEvent(part=theirs.ThinkingPart(content=text)) if text:
            return ReasoningDelta(text)
        case theirs.PartDeltaEvent(delta=theirs.ThinkingPartDelta(content_delta=text)) if text:
            return ReasoningDelta(text)
        case _:
            return None


def response_of(answer: theirs.ModelResponse, provider: str, asked: str, names: WireNames) -> ModelResponse:
    """Their answer as ours. Pure."""
    text = "".join(part.content for part in answer.parts if isinstance(part, theirs.TextPart))
    thoughts = [part for part in answer.parts if isinstance(part, theirs.ThinkingPart)]
    made = [part for part in answer.parts if isinstance(part, theirs.ToolCallPart)]
    calls = [_call(part, position, names) for position, part in enumerate(made)]
    # Only what has signatures or ids of the service's own must go back as it was.
    vendor = _kept(answer, asked) if any(map(_signed, answer.parts)) else None
    if calls and vendor is not None:
        calls[0] = msgspec.structs.replace(calls[0], vendor=vendor)
    reason = FINISH_REASONS.get(answer.finish_reason, answer.finish_reason or "stop")
    return ModelResponse(
        text,
        tuple(calls),
        _usage(answer),
        "tool_calls" if calls and reason == "stop" else reason,
        answer.model_name or asked,
        provider,
        "".join(thought.content for thought in thoughts),
        None if calls else vendor,
        answer.provider_response_id or "",
    )


def _call(part: theirs.ToolCallPart, position: int, names: WireNames) -> ToolCall:
    name = names.back(part.tool_name)
    arguments: dict[str, Any]
    if isinstance(part.args, Mapping):
        arguments = dict(part.args)
    else:
        try:
            arguments = _objects.decode(part.args) if part.args else {}
        except (msgspec.DecodeError, UnicodeError):
            arguments = {MALFORMED: part.args}
    call_id = part.tool_call_id or f"call_{position}_{short_hash(name, repr(arguments))}"
    return ToolCall(call_id, name, arguments)


def _signed(part: object) -> bool:
    return bool(
        getattr(part, "signature", None)
        or getattr(part, "provider_details", None)
        or getattr(part, "id", None)
    )


def _kept(answer: theirs.ModelResponse, asked: str) -> dict[str, Any]:
    (message,) = theirs.ModelMessagesTypeAdapter.dump_python([answer], mode="json")
    return {MINE: {"model": asked, "message": message}}


def _usage(answer: theirs.ModelResponse) -> Usage:
    told = answer.usage
    prompt, output = told.input_tokens, told.output_tokens
    thought = told.details.get("reasoning_tokens", 0) or told.details.get("thoughts_tokens", 0)
    return Usage(
        prompt,
        output,
        min(told.cache_read_tokens, prompt),
        min(told.cache_write_tokens, prompt),
        min(thought, output),
    )
