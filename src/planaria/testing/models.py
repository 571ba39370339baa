"""A model that says what the test wrote down.

    provider = ScriptedProvider([Say("Hello"), Call("notes.search", {"query": "moss"}), Fail(Overloaded("busy"))])

Each request takes the next line; `requests` holds what was asked. No network, no clock, no chance.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from planaria.membrane.errors import ProviderError
from planaria.membrane.ids import short_hash
from planaria.membrane.provider import (
    ModelInfo,
    ModelRequest,
    ModelResponse,
    Piece,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    Usage,
)
from planaria.membrane.providers.offline import word_pieces
from planaria.otp import sleep


class Say(msgspec.Struct, frozen=True):
    """Answer with a text, streamed in `pieces` (default: word by word)."""

    text: str
    pieces: tuple[str, ...] = ()
    reasoning: str = ""
    usage: Usage = Usage(10, 5)
    finish_reason: str = "stop"


class Call(msgspec.Struct, frozen=True):
    """Ask for one tool call, with words before it if wanted. The id is made from name and arguments."""

    name: str
    arguments: dict[str, Any] = {}
    text: str = ""
    id: str = ""
    usage: Usage = Usage(10, 5)


class Calls(msgspec.Struct, frozen=True):
    """Ask for several tool calls at once."""

    calls: tuple[Call, ...]
    text: str = ""
    usage: Usage = Usage(10, 5)


class Fail(msgspec.Struct, frozen=True):
    """Raise this error; after `pieces`, if there are any."""

    error: ProviderError
    pieces: tuple[str, ...] = ()


class Hang(msgspec.Struct, frozen=True):
    """Say `pieces`, then nothing more, until whoever asks gives up or is killed; `hanging` counts those."""

    pieces: tuple[str, ...] = ()


class After(msgspec.Struct, frozen=True):
    """Play `line` after so many seconds, of the node's clock: virtual ones in a virtual node."""

    seconds: float
    line: "Plain"


type Plain = Say | Call | Calls | Fail | Hang | str
type Line = Plain | After | Callable[[ModelRequest], Plain]


class ScriptExhausted(AssertionError):
    """The model was asked more often than the test has lines."""


class ScriptedProvider:
    """A `Provider` that plays a script. A string is `Say`; a function sees the request and answers with a line.

    Attributes:
        requests: what was asked, in order.
        hanging: requests that are in a `Hang` now.
    """

    def __init__(
        self, script: Sequence[Line] = (), name: str = "scripted", models: Sequence[str] = ("scripted",)
    ) -> None:
        self.name = name
        self.requests: list[ModelRequest] = []
        self.hanging = 0
        self._script = list(script)
        self._models = tuple(models)

    def add(self, *lines: Line) -> None:
        """Add lines at the end of the script."""
        self._script.extend(lines)

    @property
    def left(self) -> int:
        """Lines nobody asked for yet."""
        return len(self._script)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
        """Play the next line.

        Raises:
            ScriptExhausted: there is none.
        """
        self.requests.append(request)
        if not self._script:
            raise ScriptExhausted(f"{self.name} was asked {len(self.requests)} times, its script is shorter")
        line = self._script.pop(0)
        if isinstance(line, After):
            await sleep(line.seconds)
            line = line.line
        if callable(line):
            line = line(request)
        if isinstance(line, str):
            line = Say(line)
        if isinstance(line, Fail | Hang):
            for piece in line.pieces:
                yield TextDelta(piece)
            if isinstance(line, Fail):
                raise line.error
            await self._hang()
            return
        reasoning = line.reasoning if isinstance(line, Say) else ""
        if reasoning:
            yield ReasoningDelta(reasoning)
        for piece in (line.pieces if isinstance(line, Say) else ()) or word_pieces(line.text):
            yield TextDelta(piece)
        calls = (line,) if isinstance(line, Call) else line.calls if isinstance(line, Calls) else ()
        yield ModelResponse(
            text=line.text or ("".join(line.pieces) if isinstance(line, Say) else ""),
            tool_calls=tuple(
                _tool_call(call, len(self.requests), position) for position, call in enumerate(calls)
            ),
            usage=line.usage,
            finish_reason="tool_calls" if calls else line.finish_reason if isinstance(line, Say) else "stop",
            model=request.model,
            provider=self.name,
            reasoning=reasoning,
        )

    async def _hang(self) -> None:
        self.hanging += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.hanging -= 1

    async def models(self) -> list[ModelInfo]:
        """The names it was given."""
        return [ModelInfo(model) for model in self._models]


def _tool_call(call: Call, turn: int, position: int) -> ToolCall:
    made = short_hash(call.name, msgspec.json.encode(call.arguments, order="sorted").decode())
    return ToolCall(call.id or f"call_{turn}_{position}_{made}", call.name, dict(call.arguments))
