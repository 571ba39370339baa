"""What was said, for the spans in which it was said; only where the settings let it leave.

Taken from the journal's events, masked as it is there, and kept for the spans that come a moment later: of the latest
2000 calls. Its form is that of OpenTelemetry's conventions for generative AI: JSON.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from planaria.cortex.event import Event
from planaria.cortex.telemetry.conventions import CONTENT_INPUT, CONTENT_OUTPUT, CONTENT_RESULT, TOOL_CALL
from planaria.cortex.telemetry.signal import SpanFailed, SpanStopped

LONGEST = 8000
"""Characters of one attribute."""
MOST = 2000


class Contents:
    """What was said of late, by call.

    Args:
        most: calls that are remembered.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._said: OrderedDict[str, dict[str, str]] = OrderedDict()

    def remember(self, event: Event) -> None:
        """Take in what an event of the journal says; most say nothing here."""
        payload = event.payload
        if event.state != "whole" or self._most == 0:
            return
        match event.kind:
            case "model.responded":
                key = f"model {payload.get('turn')}/{payload.get('step')}"
                name, text = CONTENT_OUTPUT, output_messages(payload)
            case "tool.started":
                key = f"tool {payload.get('call_id')}"
                name, text = CONTENT_INPUT, _json(payload.get("arguments") or {})
            case "tool.finished":
                key = f"tool {payload.get('call_id')}"
                name, text = CONTENT_RESULT, _json(payload.get("outcome") or payload.get("error"))
            case _:
                return
        self._said.setdefault(key, {})[name] = text
        if len(self._said) > self._most:
            self._said.popitem(last=False)

    def of(self, span: SpanStopped | SpanFailed) -> Mapping[str, str]:
        """The attributes that say what was said in a span."""
        about = span.attributes
        match span.name:
            case "tool.call":
                return self._said.get(f"tool {about.get(TOOL_CALL)}", {})
            case "model.call":
                return self._said.get(f"model {about.get('planaria.turn')}/{about.get('planaria.step')}", {})
            case _:
                return {}


NO_CONTENT = Contents(most=0)


def output_messages(payload: Mapping[str, Any]) -> str:
    """What a model said, as `gen_ai.output.messages` has it."""
    parts: list[dict[str, Any]] = []
    if text := str(payload.get("text") or ""):
        parts.append({"type": "text", "content": _cut(text)})
    for asked in payload.get("tool_calls") or ():
        about = {"id": asked.get("id"), "name": asked.get("name"), "arguments": asked.get("arguments")}
        parts.append({"type": "tool_call", **about})
    reason = str(payload.get("finish_reason") or "stop")
    return _json([{"role": "assistant", "parts": parts, "finish_reason": reason}])


def _json(value: object) -> str:
    """JSON; if that is too long, a JSON string with its beginning."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST else msgspec.json.encode(_cut(text)).decode()


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST // 2 else text[: LONGEST // 2] + " …"
