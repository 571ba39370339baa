"""A model request as Anthropic's Messages want it. Pure.

Marks for the provider's cache stand where the prompt stays the same from call to call: behind tools and system prompt,
behind the user's turn before the last (an answer with many calls may lie between), and at the end. A call that is made
once, with neither tools nor talk before it, gets none, since writing costs a quarter more.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import msgspec

from planaria.membrane.errors import RequestRefused
from planaria.membrane.provider import FilePart, ImagePart, Message, ModelRequest, Part
from planaria.membrane.providers.openai_request import chosen_tool, text_of
from planaria.membrane.wire.wire_names import WireNames

DEFAULT_MAX_TOKENS = 32_000
"""The API wants a bound, thinking counts into it; this one fits every model since Claude 4."""
OLD_MAX_TOKENS = 4096
"""The bound that fits the models before."""
MARK = {"cache_control": {"type": "ephemeral"}}
CHOICES = {"auto": "auto", "none": "none", "required": "any"}

_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


def request_body(request: ModelRequest, names: WireNames) -> tuple[dict[str, Any], str]:
    """The JSON of one call, and a digest of all that the answer's thinking is bound to.

    Raises:
        RequestRefused: nothing but system messages, a file that cannot be sent, or a choice of a tool not on offer.
    """
    leading = 0
    while leading < len(request.messages) and request.messages[leading].role == "system":
        leading += 1
    system = "\n\n".join(message.content for message in request.messages[:leading] if message.content)
    tools: list[dict[str, Any]] = [
        {"name": names.there(tool.name), "description": tool.description, "input_schema": tool.parameters}
        for tool in request.tools
    ]
    digest = hashlib.sha256(msgspec.json.encode([system, tools]))
    turns: list[dict[str, Any]] = []
    for message in request.messages[leading:]:
        blocks = _blocks(message, names, request.model, digest.hexdigest()[:16])
        role = "assistant" if message.role == "assistant" else "user"
        digest.update(msgspec.json.encode([role, blocks]))
        # Neighbours of one role are one turn, as results of several calls must be.
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise RequestRefused("a request needs at least one message that is not a system message")
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens or _bound(request.model),
        "messages": turns,
        "stream": True,
    }
    if system:
        body["system"] = [{"type": "text", "text": system}]
    if tools:
        body["tools"] = tools
    if (choice := chosen_tool(request)) is not None:
        kind = CHOICES.get(choice)
        body["tool_choice"] = {"type": kind} if kind else {"type": "tool", "name": names.there(choice)}
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if output := _output(request):
        body["output_config"] = output
    if request.cache and (tools or len(turns) > 1):
        _mark(body, turns)
    return body, digest.hexdigest()[:16]


def _output(request: ModelRequest) -> dict[str, Any]:
    output: dict[str, Any] = {}
    if request.reasoning_effort is not None:
        output["effort"] = request.reasoning_effort
    if request.response_schema is not None:
        output["format"] = {"type": "json_schema", "schema": request.response_schema}
    return output


def _mark(body: dict[str, Any], turns: list[dict[str, Any]]) -> None:
    """Mark the end of what stays: at most four marks are allowed, three are used."""
    fixed = body.get("system") or body.get("tools")
    if fixed:
        fixed[-1] = fixed[-1] | MARK
    ends = [turn["content"] for turn in turns if turn["role"] == "user"][-2:]
    if turns[-1]["role"] != "user":
        ends = ends[-1:]
    for content in ends:
        content[-1] = content[-1] | MARK


def _bound(model: str) -> int:
    return OLD_MAX_TOKENS if model.startswith("claude-3-") else DEFAULT_MAX_TOKENS


def _blocks(message: Message, names: WireNames, model: str, prefix: str) -> list[dict[str, Any]]:
    """One message's content."""
    shown = [_part(part) for part in message.parts]
    if message.role == "tool":
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": _wire_id(message.tool_call_id or "")}
        if shown:
            result["content"] = [*shown, *_text(message.content)]
        elif message.content:
            result["content"] = message.content
        return [result]
    # A system message in the middle has no place of its own here; it is sent as a marked note.
    note = message.role == "system" and message.content.strip()
    texts = [*shown, *_text(f"[system note] {message.content}" if note else message.content)]
    calls = [
        {"type": "tool_use", "id": _wire_id(call.id), "name": names.there(call.name), "input": call.arguments}
        for call in message.tool_calls
    ]
    thought = _thinking(message, model, prefix)
    if thought.count("call") != len(calls):
        return [*texts, *calls]
    said, called = iter(texts), iter(calls)
    blocks: list[dict[str, Any]] = []
    for block in thought:
        # All text stands where the first of it stood.
        following = next(said, None) if block == "text" else next(called) if block == "call" else dict(block)
        if following is not None:
            blocks.append(following)
    return [*blocks, *said]


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text.strip() else []  # The API refuses blank text.


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {"type": "image", "source": _source(part, "an image")}
    if not part.url and (text := text_of(part)) is not None:
        source: dict[str, Any] = {"type": "text", "media_type": "text/plain", "data": text}
    elif part.media_type == "application/pdf":
        source = _source(part, part.name)
    else:
        raise RequestRefused(
            f"the file {part.name!r} is {part.media_type}: only application/pdf and text are taken here"
        )
    return {"type": "document", "source": source, "title": part.name}


def _source(part: ImagePart | FilePart, what: str) -> dict[str, Any]:
    if part.url:
        return {"type": "url", "url": part.url}
    if not part.data or not part.media_type:
        raise RequestRefused(f"{what} has neither a url nor data with its media_type")
    data = base64.b64encode(part.data).decode()
    return {"type": "base64", "media_type": part.media_type, "data": data}


def _thinking(message: Message, model: str, prefix: str) -> list[Any]:
    """The order of blocks a message came in, if its thinking may still go back; empty otherwise."""
    vendor = (message.tool_calls[0].vendor if message.tool_calls else None) or message.vendor or {}
    kept = vendor.get("anthropic")
    if not isinstance(kept, dict) or kept.get("model") != model or kept.get("prefix") != prefix:
        return []
    blocks = kept.get("blocks")
    return blocks if isinstance(blocks, list) else []


def _wire_id(call_id: str) -> str:
    return _NOT_IN_IDS.sub("_", call_id) or "_"
