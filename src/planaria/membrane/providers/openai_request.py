"""A model request as OpenAI's chat completions want it. Pure.

Images and files stand before the text of their message. What a tool's result shows beside its text follows in a user's
message, since a tool's may only be text there. Text files are sent as text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from planaria.membrane.errors import RequestRefused
from planaria.membrane.provider import FilePart, ImagePart, Message, ModelRequest, Part, ToolCall
from planaria.membrane.structured import instruction
from planaria.membrane.wire.wire_names import WireNames


class Quirks(msgspec.Struct, frozen=True):
    """Where a service leaves the common path.

    Args:
        max_tokens_key: OpenAI's own newer models refuse `max_tokens`.
        ask_usage: whether `stream_options` may be sent; Mistral refuses it and tells usage unasked.
        nine_character_ids: Mistral takes tool call ids of exactly nine letters and digits.
        call_extras: Gemini wants the `extra_content` of its tool calls (signatures of its thinking) back.
        unthinking_tools: models (a regular expression) that take tools here only with `reasoning_effort` "none",
            and a temperature only then; OpenAI keeps both together for its Responses API.
        extra: fields added to every request.
        schema: how an answer's JSON schema is told: in a field of its own; as "some JSON", with the schema in the
            prompt (DeepSeek); or in the prompt alone.
        reasoning_back: the field an assistant's thinking goes back in with the tool calls it led to: DeepSeek's
            `reasoning_content`, OpenRouter's `reasoning_details`; empty sends none back.
        thinking_switch: whether thinking is switched by a field `thinking` (DeepSeek): on when an effort is asked
            for, off otherwise.
        file_urls: whether a file may be named by its URL (OpenRouter); others want its bytes.
    """

    max_tokens_key: str = "max_tokens"
    ask_usage: bool = True
    nine_character_ids: bool = False
    call_extras: bool = False
    unthinking_tools: str = ""
    extra: dict[str, Any] = {}
    schema: Literal["json_schema", "json_object", "prompt"] = "json_schema"
    reasoning_back: Literal["", "reasoning_content", "reasoning_details"] = ""
    thinking_switch: bool = False
    file_urls: bool = False


NO_QUIRKS = Quirks()
MINE = "openai"
"""Key of what we keep in a `vendor` for ourselves; all else there is a server's `extra_content`."""
CHOICES = ("auto", "none", "required")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


def request_body(request: ModelRequest, names: WireNames, quirks: Quirks = NO_QUIRKS) -> dict[str, Any]:
    """The JSON of one call.

    Raises:
        RequestRefused: a file that cannot be sent here, or a choice of a tool that is not offered.
    """
    body: dict[str, Any] = {
        "model": request.model,
        "messages": _messages(request, names, quirks),
        "stream": True,
        **quirks.extra,
    }
    if quirks.ask_usage:
        body["stream_options"] = {"include_usage": True}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": names.there(tool.name),
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ]
    if (choice := chosen_tool(request)) is not None:
        function = {"type": "function", "function": {"name": names.there(choice)}}
        body["tool_choice"] = choice if choice in CHOICES else function
    if request.max_tokens is not None:
        body[quirks.max_tokens_key] = request.max_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    if request.response_schema is not None and quirks.schema != "prompt":
        body["response_format"] = _format(request.response_schema, quirks)
    _thinking(body, request, quirks)
    return body


def chosen_tool(request: ModelRequest) -> str | None:
    """The word for which tool to call, or a tool's name; None without a wish, or without tools.

    Raises:
        RequestRefused: it names a tool that is not offered.
    """
    choice = request.tool_choice
    if choice is None or not request.tools:
        return None
    if choice not in CHOICES and all(tool.name != choice for tool in request.tools):
        offered = ", ".join(tool.name for tool in request.tools)
        raise RequestRefused(
            f"tool_choice {choice!r} is no tool on offer: {offered}, or {', '.join(CHOICES)}"
        )
    return choice


def _thinking(body: dict[str, Any], request: ModelRequest, quirks: Quirks) -> None:
    """Effort and temperature."""
    unthinking = bool(quirks.unthinking_tools and re.match(quirks.unthinking_tools, request.model))
    if unthinking and request.tools:
        body["reasoning_effort"] = "none"
    elif request.reasoning_effort is not None:
        body["reasoning_effort"] = request.reasoning_effort
    if quirks.thinking_switch:
        body["thinking"] = {"type": "disabled" if request.reasoning_effort is None else "enabled"}
    if request.temperature is not None and (request.tools or not unthinking):
        body["temperature"] = request.temperature


def _format(schema: Mapping[str, Any], quirks: Quirks) -> dict[str, Any]:
    if quirks.schema == "json_object":
        return {"type": "json_object"}
    name = _NOT_IN_NAMES.sub("_", str(schema.get("title") or "answer"))[:64]
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": dict(schema), "strict": is_strict(schema)},
    }


def is_strict(schema: Any) -> bool:
    """Whether a schema keeps to what OpenAI can enforce: closed objects, all of whose fields are required."""
    match schema:
        case list():
            return all(is_strict(inner) for inner in schema)
        case {"type": "object", **rest} | {"properties": _, **rest}:
            properties = schema.get("properties", {})
            closed = schema.get("additionalProperties") is False
            named = isinstance(properties, dict) and set(properties) == set(schema.get("required", ()))
            inner = [value for key, value in rest.items() if key != "properties"]
            return closed and named and is_strict([*properties.values(), *inner])
        case dict():
            return all(is_strict(inner) for inner in schema.values())
        case _:
            return True


def _messages(request: ModelRequest, names: WireNames, quirks: Quirks) -> list[dict[str, Any]]:
    wired: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []  # what results of tools show, until their run is over
    for message in request.messages:
        if message.role != "tool" and shown:
            wired.append({"role": "user", "content": shown})
            shown = []
        entry: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.role == "tool":
            entry["tool_call_id"] = _wire_id(message.tool_call_id or "", quirks)
            if message.parts:
                shown.append(_text(f"[shown by the result of call {entry['tool_call_id']}]"))
                shown += _parts(message.parts, quirks)
        elif message.parts:
            text = [_text(message.content)] if message.content else []
            entry["content"] = [*_parts(message.parts, quirks), *text]
        if message.tool_calls:
            entry["tool_calls"] = [_wire_call(call, names, quirks) for call in message.tool_calls]
        if message.role == "assistant" and quirks.reasoning_back:
            entry |= _thought(message, request.model, quirks.reasoning_back)
        wired.append(entry)
    if shown:
        wired.append({"role": "user", "content": shown})
    if request.response_schema is not None and quirks.schema != "json_schema":
        wired.append({"role": "system", "content": instruction(request.response_schema)})
    return wired


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _parts(parts: Iterable[Part], quirks: Quirks) -> list[dict[str, Any]]:
    return [_part(part, quirks) for part in parts]


def _part(part: Part, quirks: Quirks) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {"type": "image_url", "image_url": {"url": part.url or data_url(part)}}
    if part.url:
        if not quirks.file_urls:
            raise RequestRefused(
                f"the file {part.name!r} is a URL, which this service does not fetch: send its bytes"
            )
        return {"type": "file", "file": {"filename": part.name, "file_data": part.url}}
    if (text := text_of(part)) is not None:
        return _text(f"<file name={part.name!r}>\n{text}\n</file>")
    return {"type": "file", "file": {"filename": part.name, "file_data": data_url(part)}}


def text_of(part: FilePart) -> str | None:
    """The text of a text file; None for any other.

    Raises:
        RequestRefused: it is said to be text, and is not UTF-8.
    """
    kind = part.media_type.partition(";")[0].strip().lower()
    if not kind.startswith("text/") and kind not in (
        "application/json",
        "application/xml",
        "application/yaml",
    ):
        return None
    try:
        return part.data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestRefused(
            f"the file {part.name!r} is no UTF-8 text: {error.reason} at byte {error.start}"
        ) from error


def data_url(part: Part) -> str:
    """The bytes of a part as a URL.

    Raises:
        RequestRefused: there are none, or nobody said of what type they are.
    """
    if not part.data or not part.media_type:
        what = part.name if isinstance(part, FilePart) else "an image"
        raise RequestRefused(f"{what} has neither a url nor data with its media_type")
    return f"data:{part.media_type};base64,{base64.b64encode(part.data).decode()}"


def _wire_id(call_id: str, quirks: Quirks) -> str:
    if not quirks.nine_character_ids or (len(call_id) == 9 and call_id.isascii() and call_id.isalnum()):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]


def _wire_call(call: ToolCall, names: WireNames, quirks: Quirks) -> dict[str, Any]:
    arguments = msgspec.json.encode(call.arguments).decode()
    function = {"name": names.there(call.name), "arguments": arguments}
    wired: dict[str, Any] = {"id": _wire_id(call.id, quirks), "type": "function", "function": function}
    if quirks.call_extras and call.vendor:
        # What another dialect keeps there is not for this server.
        extra = {key: value for key, value in call.vendor.items() if key not in (MINE, "anthropic")}
        if extra:
            wired["extra_content"] = extra
    return wired


def _thought(message: Message, model: str, field: str) -> dict[str, Any]:
    """The thinking that goes back with an assistant's message."""
    vendor = (message.tool_calls[0].vendor if message.tool_calls else None) or message.vendor or {}
    kept = vendor.get(MINE)
    if isinstance(kept, dict) and kept.get("model") == model and kept.get(field):
        return {field: kept[field]}
    if field == "reasoning_content" and message.reasoning and message.tool_calls:
        return {field: message.reasoning}
    return {}
