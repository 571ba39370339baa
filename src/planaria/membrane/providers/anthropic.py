"""Anthropic Messages, streamed.

Source: Anthropic's API reference, "Streaming Messages", "Preserved thinking" and "Structured outputs" (version
2026-10-21). Newer models think unasked; their thinking goes back unchanged with the tool calls it led to, unless
something before it has changed, which the API would refuse. Where marks for the provider's cache stand:
`anthropic_request.py`.
Does badly: server tools are not used; temperature is not sent, since this version refuses it.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from planaria.membrane.provider import ModelInfo, ModelRequest
from planaria.membrane.providers.anthropic_answer import MessageReading
from planaria.membrane.providers.anthropic_request import request_body
from planaria.membrane.providers.http_provider import HttpProvider
from planaria.membrane.providers.reading import Reading
from planaria.membrane.wire.wire_names import WireNames

VERSION = "2026-10-21"
MAX_MODEL_PAGES = 20


class _ModelEntry(msgspec.Struct):
    id: str
    max_input_tokens: int | None = None
    max_tokens: int | None = None


class _ModelPage(msgspec.Struct):
    data: list[_ModelEntry]
    has_more: bool = False
    last_id: str | None = None


class Anthropic(HttpProvider):
    """Anthropic, or a server that speaks its Messages API."""

    def headers(self) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream, application/json",
            "anthropic-version": VERSION,
        }
        if self.vendor.key:
            headers["x-api-key"] = self.vendor.key.reveal()
        return headers

    def begin(self, request: ModelRequest) -> tuple[str, bytes, Reading]:
        names = WireNames(tool.name for tool in request.tools)
        body, prefix = request_body(request, names)
        reading = MessageReading(self.vendor, request.model, names, prefix)
        return "/messages", msgspec.json.encode(body), reading

    async def models(self) -> list[ModelInfo]:
        found: list[ModelInfo] = []
        path = "/models?limit=1000"
        for _ in range(MAX_MODEL_PAGES):
            page = await self.get_json(path, _ModelPage)
            found.extend(ModelInfo(entry.id, entry.max_input_tokens, entry.max_tokens) for entry in page.data)
            if not page.has_more or not page.last_id:
                break
            path = f"/models?limit=1000&after_id={quote(page.last_id, safe='')}"
        return found
