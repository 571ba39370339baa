"""What a sentence asks for, told by rules: the ears of the offline model.

Pure functions from a text and the tools on offer to a command. Does badly: everything a language model is for. It
knows a few verbs of English and nothing of grammar.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from planaria.membrane.provider import ToolSpec


class Search(msgspec.Struct, frozen=True):
    """Look into the notes."""

    query: str


class RunTool(msgspec.Struct, frozen=True):
    """Call the named tool with what stands after its name."""

    name: str
    rest: str


class RunWorkflow(msgspec.Struct, frozen=True):
    """Start the named workflow."""

    name: str
    rest: str


class Remember(msgspec.Struct, frozen=True):
    """Write a note."""

    text: str


class Status(msgspec.Struct, frozen=True):
    """Tell how the node is."""


class Help(msgspec.Struct, frozen=True):
    """Nothing we know; `greeting` if it was only that."""

    greeting: bool = False


type Command = Search | RunTool | RunWorkflow | Remember | Status | Help

_MENTION = re.compile(r"^(?:\s*@[\w.-]+[,:]?)+\s*")
_AUTHOR = re.compile(r"^(?:\[[^\]\n]{1,60}\]:?|@?[\w .-]{1,40}:)\s+(?=\S)")
_POLITE = re.compile(r"^(?:please|could you|can you|would you|hey|ok|now)[, ]+", re.IGNORECASE)
_WORKFLOW = re.compile(
    r"^(?:run|start)\s+(?:the\s+)?workflow\s+[\"'`]?([\w.-]+)[\"'`]?\s*(.*)$", re.IGNORECASE | re.DOTALL
)
_RUN = re.compile(
    r"^(?:run|call|use)\s+(?:the\s+)?(?:tool\s+)?[\"'`]?([\w.-]+)[\"'`]?\s*(.*)$", re.IGNORECASE | re.DOTALL
)
_DIRECT = re.compile(r"^([a-z][\w-]*\.[\w-]+)(?:\s+(.*))?$", re.DOTALL)
_REMEMBER = re.compile(
    r"^(?:remember|note|write down|take a note)(?:\s+that|\s*:)?\s+(.+)$", re.IGNORECASE | re.DOTALL
)
_SEARCH = re.compile(
    r"^(?:search|find|look up|look for)(?:\s+(?:the|my)\s+(?:notes|garden))?(?:\s+(?:for|about))?\s+(.+)$",
    re.IGNORECASE | re.DOTALL,
)
_STATUS = re.compile(r"^(?:status|node status|how is the node)\W*$", re.IGNORECASE)
_HELP = re.compile(r"^(?:help|\?|what can you do|who are you|what are you|commands|tools)\W*$", re.IGNORECASE)
_GREETING = re.compile(
    r"^(?:hi|hello|hey|good (?:morning|evening|day)|thanks|thank you)\b[\w ,]*\W*$", re.IGNORECASE
)
_QUESTION = re.compile(
    r"^(?:what|who|whom|whose|where|when|why|how|which|is|are|was|were|do|does|did|can|could|should|tell me|show me)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
_SMALL_WORDS = """
a about all am an and any are as at be been by can could did do does for from had has have how i if in into is it its
know me my of on or our say says shall should show so tell than that the their them there these they this those to up
us was we were what when where which who whom whose why will with would you your please find search notes note garden
anything something
"""
_STOP = frozenset(_SMALL_WORDS.split())
_ARGUMENT = re.compile(
    r"""([\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\[.*?\]|\{.*\}|\S+)\s*""", re.DOTALL
)


def understand(text: str, tools: Iterable[str]) -> Command:
    """The command in a message."""
    names = frozenset(tools)
    text = _MENTION.sub("", text.strip()).strip()
    command = _read(text, names)
    # A room's transcript may put the author before the words.
    if isinstance(command, Help | Search) and (author := _AUTHOR.match(text)):
        without = _read(_MENTION.sub("", text[author.end() :]), names)
        if without != Help():
            return without
    return command


def _read(text: str, tools: frozenset[str]) -> Command:
    text = _POLITE.sub("", text, count=1).strip()
    if not text or _HELP.match(text):
        return Help()
    if _STATUS.match(text):
        return Status()
    if found := _WORKFLOW.match(text):
        return RunWorkflow(found[1].rstrip(".,;:!?"), found[2].strip())
    # A known tool counts wherever it stands first; an unknown one only after "run", to be told so.
    if (found := _DIRECT.match(text)) and found[1] in tools:
        return RunTool(found[1], (found[2] or "").strip())
    if (found := _RUN.match(text)) and (
        "." in found[1].strip(".") or found[1] in tools or text[:3].lower() == "run"
    ):
        return RunTool(found[1].rstrip(".,;:!?"), found[2].strip())
    if found := _REMEMBER.match(text):
        return Remember(found[1].strip())
    if found := _SEARCH.match(text):
        return Search(keywords(found[1]) or found[1].strip(" ?.!"))
    if _GREETING.match(text):
        return Help(greeting=True)
    if text.endswith("?") or _QUESTION.match(text):
        query = keywords(text)
        return Search(query) if query else Help()
    return Help()


def keywords(text: str) -> str:
    """The words of a question that may stand in an answer."""
    words = [word for word in _WORD.findall(text) if word.lower() not in _STOP and len(word) > 1]
    return " ".join(dict.fromkeys(words))


class BadArguments(Exception):
    """The text after a tool's name cannot be read as its arguments; the message says what to write."""


def read_arguments(rest: str, tool: ToolSpec) -> dict[str, Any]:
    """Arguments from what stands after a tool's name: JSON, `key=value` pairs, or the bare first argument.

    Values become what the tool's schema asks for where they can; the gate tells about the others.
    Raises:
        BadArguments: neither of these.
    """
    rest = rest.strip()
    properties: Mapping[str, Any] = tool.parameters.get("properties") or {}
    if not rest:
        return {}
    if rest.startswith("{"):
        try:
            return msgspec.json.decode(rest, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise BadArguments(f"the arguments for {tool.name} are not valid JSON: {error}") from error
    pairs: dict[str, Any] = {}
    place = 0
    while found := _ARGUMENT.match(rest, place):
        pairs[found[1]] = _value(found[2], properties.get(found[1], {}))
        place = found.end()
    if place == len(rest):
        return pairs
    required: list[str] = list(tool.parameters.get("required") or [])
    first = next((name for name in [*required, *properties] if name not in pairs), None)
    if place == 0 and first is not None:  # `web.fetch https://example.org`
        return {first: _value(rest, properties.get(first, {}))}
    usage = " ".join(f"{name}=..." for name in required or properties)
    raise BadArguments(f"cannot read {rest[place:]!r}; write: run {tool.name} {usage}".rstrip())


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'"
    if quoted:
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    kinds = schema.get("type") or [option.get("type") for option in schema.get("anyOf", ())]
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if quoted or "string" in kinds or not any(kinds):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
