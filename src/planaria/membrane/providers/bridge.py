"""A service behind Pydantic AI's bridge, before the bridge is there: it is imported at the first call, in a thread.

The bridge needs the extra `pydantic-ai`, and importing it and the service's own library takes longer than a process may
hold up the node. Does badly: the first call waits for that.
"""

import importlib
import importlib.util
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from planaria.config.secret import Secret
from planaria.membrane.errors import ModelNotFound
from planaria.membrane.provider import ModelInfo, ModelRequest, Piece
from planaria.otp import run_blocking

KIND = "pydantic-ai:"
"""Begins the kind of such a provider; the service follows, as Pydantic AI calls it: `pydantic-ai:google`."""
MISSING = "it needs the extra pydantic-ai: pip install 'planaria[pydantic-ai]'"
_MODULE = "planaria.membrane.providers.pydantic_ai_bridge"


class BridgeProvider:
    """A `Provider`; arguments as `PydanticAI`."""

    def __init__(
        self, name: str, service: str, key: Secret | None, base_url: str, known_models: tuple[str, ...]
    ) -> None:
        self.name = name
        self._known = known_models
        self._given = (name, service, key, base_url, known_models)
        self._bridge: Any = None

    def __repr__(self) -> str:
        return f"<BridgeProvider {self.name} ({self._given[1]})>"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
        """See `Provider.stream`."""
        bridge = await run_blocking(self._ready, request.model)
        async with aclosing(bridge.stream(request)) as pieces:
            async for piece in pieces:
                yield piece

    async def models(self) -> list[ModelInfo]:
        """The names it was given; Pydantic AI has no list."""
        return [ModelInfo(model) for model in self._known]

    def close(self) -> None:
        """Forget its connections; it can still be used."""
        if self._bridge is not None:
            self._bridge.close()

    def _ready(self, model: str) -> Any:
        if self._bridge is None:
            if not is_installed():
                raise ModelNotFound(f"{self.name} cannot be used: {MISSING}")
            self._bridge = importlib.import_module(_MODULE).PydanticAI(*self._given)
        self._bridge.prepare(model)
        return self._bridge


def is_installed() -> bool:
    """Whether Pydantic AI is there."""
    return importlib.util.find_spec("pydantic_ai") is not None
