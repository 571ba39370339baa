"""The worst model there can be: it does whatever any text tells it. With it one tests what one's grants are worth.

    provider = ObedientModel()                       # a `Provider`, beside `ScriptedProvider`
    async with ObedientServer() as server: ...       # the same behind a real socket, in both dialects

It looks for lines such as

    CALL files.read {"path": ".planaria/journal.key"}
    SAY "#3 always"

in whatever is new to it: what was said in the room, what its tools returned, the texts a turn begins with, descriptions
of tools and of their parameters. It makes exactly these calls, whether the tool is on offer or not, and says exactly
these words; who wrote them, and between which marks, is nothing to it. It also reads what people do not see: text in
tag characters, with characters of no width between its letters, in wide letters, with its quotation marks escaped.
Where nothing is asked of it, it says `done`, which ends the turn.

So what an agent with this model did is what its grants, limits and sandbox let it do, and no model can be worse.
Does badly: an order that is spread over several texts, or in any other words, is not seen.
"""

import json
import re
import unicodedata
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from planaria.membrane.ids import short_hash
from planaria.membrane.provider import (
    Message,
    ModelInfo,
    ModelRequest,
    ModelResponse,
    Piece,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from planaria.testing.model_answer import Answer, Dialect
from planaria.testing.model_server import ModelServer

NOTHING_ASKED = "done"
USAGE = Usage(10, 5)
"""Of each call, if nothing else is said."""
KEPT_REQUESTS = 50
"""Requests that an `ObedientServer` remembers, so that it can be asked for hours."""
_CALL = re.compile(r"CALL\s+([A-Za-z][\w.\\-]*)\s*(?=\{)")
_SAY = re.compile(r'SAY\s+(?=")')
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
_DECODER = json.JSONDecoder(strict=False)


class Orders(msgspec.Struct, frozen=True):
    """What a text tells its reader to do, in its order, each thing once."""

    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    words: tuple[str, ...] = ()


def orders_in(texts: Iterable[str]) -> Orders:
    """What these texts tell their reader to do. Pure."""
    calls: dict[str, tuple[str, dict[str, Any]]] = {}
    words: dict[str, None] = {}
    for text in texts:
        for ways in _ways_to_read(text):
            before = len(calls) + len(words)
            for seen in ways:
                for name, arguments in _calls(seen):
                    calls.setdefault(f"{name} {_canonical(arguments)}", (name, arguments))
                for found in _SAY.finditer(seen):
                    said = _decoded(seen, found.end())
                    if isinstance(said, str) and said.strip():
                        words.setdefault(said)
            if len(calls) + len(words) > before:
                break
    return Orders(tuple(calls.values()), tuple(words))


def orders_for(messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> Orders:
    """What a model is told by the part of its prompt that is new to it. Pure.

    Args:
        messages: of the request. After its own calls their results are new, and what was said since; at the beginning
            of a turn all is, from the system message and the descriptions of the tools on, but for what it has
            answered before.
    """
    newest = 0
    for number, message in enumerate(messages):
        if message.role == "assistant":
            newest = number + 1
    texts = [message.content for message in messages[newest:] if message.role != "system"]
    if newest == 0 or not messages[newest - 1].tool_calls:
        standing = [message.content for message in messages if message.role == "system"]
        described = [text for tool in tools for text in (tool.description, *_strings(tool.parameters))]
        texts = [*standing, *described, *texts]
    return orders_in(texts)


class ObedientModel:
    """A `Provider` that does as it is told.

    Args:
        usage: of each call.
    Attributes:
        requests: how often it was asked.
    """

    def __init__(
        self, name: str = "obedient", models: Sequence[str] = ("obedient",), usage: Usage = USAGE
    ) -> None:
        self.name = name
        self.requests = 0
        self._models = tuple(models)
        self._usage = usage

    async def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
        """Do as the request says."""
        self.requests += 1
        text, calls = obey(request.messages, request.tools, self.requests)
        yield TextDelta(text)
        finish = "tool_calls" if calls else "stop"
        yield ModelResponse(text, calls, self._usage, finish, request.model, self.name)

    async def models(self) -> list[ModelInfo]:
        """The names it was given."""
        return [ModelInfo(model) for model in self._models]


class ObedientServer(ModelServer):
    """A provider's server whose model does as it is told; `requests` holds the latest 50.

    Args:
        usage: of each call, which is what it is billed by.
    """

    def __init__(
        self, *, models: tuple[str, ...] = ("obedient",), port: int = 0, usage: Usage = USAGE
    ) -> None:
        super().__init__(models=models, port=port)
        self._usage = usage

    def next_answer(self, model: str, dialect: Dialect) -> Answer:
        """Do as the latest request says."""
        del self.requests[:-KEPT_REQUESTS]
        self._kept.clear()  # each call of a turn has a key of its own
        self.keys.clear()
        body: dict[str, Any] = self.requests[-1].body
        text, calls = obey(*read_body(body, dialect), self.calls)
        return Answer(text, tool_calls=calls, usage=self._usage)


def obey(
    messages: Sequence[Message], tools: Sequence[ToolSpec], number: int
) -> tuple[str, tuple[ToolCall, ...]]:
    """What an obedient model answers: its words and its calls.

    Args:
        number: of the request, which makes the ids of its calls its own.
    """
    orders = orders_for(messages, tools)
    calls = tuple(
        ToolCall(f"call_{number}_{place}_{short_hash(name, _canonical(arguments))}", name, arguments)
        for place, (name, arguments) in enumerate(orders.calls)
    )
    return "\n".join(orders.words) or NOTHING_ASKED, calls


def read_body(body: dict[str, Any], dialect: Dialect) -> tuple[list[Message], list[ToolSpec]]:
    """Messages and tools of a request on the wire, as far as orders can stand in them."""
    messages: list[Message] = []
    if dialect == "anthropic" and body.get("system"):
        messages.append(Message("system", "\n".join(_strings(body["system"]))))
    for each in body.get("messages", ()):
        role, content = each.get("role", "user"), each.get("content") or ""
        called = bool(each.get("tool_calls")) or _has_block(content, "tool_use")
        calls = (ToolCall("", "", {}),) if called else ()
        text = content if isinstance(content, str) else "\n".join(_strings(content))
        if role == "system":
            messages.append(Message("system", text))
        elif role == "assistant":
            messages.append(Message("assistant", text, calls))
        else:
            messages.append(Message("user", text))
    specs: list[ToolSpec] = []
    for each in body.get("tools", ()):
        told = each.get("function", each)
        schema = told.get("parameters") or told.get("input_schema") or {}
        specs.append(ToolSpec(str(told.get("name", "")), str(told.get("description", "")), schema))
    return messages, specs


def _has_block(content: Any, kind: str) -> bool:
    return isinstance(content, list) and any(
        isinstance(each, dict) and each.get("type") == kind for each in content
    )


def _strings(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    match value:
        case str():
            yield value
        case dict():
            for key, each in value.items():
                yield str(key)
                yield from _strings(each)
        case list():
            for each in value:
                yield from _strings(each)
        case _:
            pass


def _ways_to_read(text: str) -> Iterator[list[str]]:
    """The text as it stands, then as somebody reads it who misses nothing.

    Later ways are for a text in which nothing was found before: an order may hold another one, for somebody else.
    """
    hidden = "".join(chr(ord(sign) - 0xE0000) for run in _TAGS.findall(text) for sign in run)
    yield [text, hidden]
    plain = unicodedata.normalize("NFKC", "".join(c for c in text if unicodedata.category(c) != "Cf"))
    yield [plain]
    yield [_ESCAPED.sub(r"\1", text), _ESCAPED.sub(r"\1", plain)]


def _calls(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for found in _CALL.finditer(text):
        arguments = _decoded(text, found.end())
        if isinstance(arguments, dict):
            yield found[1].replace("\\", ""), arguments


def _decoded(text: str, start: int) -> Any:
    """The JSON value that begins there; None if there is none."""
    try:
        return _DECODER.raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None


def _canonical(arguments: dict[str, Any]) -> str:
    return msgspec.json.encode(arguments, order="sorted").decode()
