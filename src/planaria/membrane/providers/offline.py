"""The model that is none: rules that search the garden, run tools and workflows, and say so.

Answers when no language model is configured, so that a fresh garden is alive without key and network. It calls only
tools offered in the request, quotes what they return, and invents nothing. Equal requests get equal answers, down to
the ids of tool calls. Does badly: everything but the commands it lists when asked for help.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from planaria.membrane.commands import (
    BadArguments,
    Command,
    Help,
    Remember,
    RunTool,
    RunWorkflow,
    Search,
    Status,
    read_arguments,
    understand,
)
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
from planaria.membrane.providers.vendors import VENDORS

NAME = "offline"
MODEL = "offline"

SEARCH, WRITE, STATUS, WORKFLOW = "notes.search", "notes.write", "node.status", "workflow.run"

MAX_QUOTED = 1200
"""Characters of one tool's result that are quoted."""
MAX_HITS = 5

_EMPTY = re.compile(r"^\s*(no |nothing|none\b|0 |\[\]|$)", re.IGNORECASE)
_WRAPPED = re.compile(r'<outside-content origin="([^"\n]*)">\n[^\n]*\n(.*?)\n</outside-content>', re.DOTALL)
_FAILED = re.compile(r"^\s*(failed|error|refused)\b[: ]*", re.IGNORECASE)


class _Reply(msgspec.Struct, frozen=True):
    text: str
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()


class OfflineProvider:
    """Implements `Provider` with rules."""

    name = NAME

    async def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
        reply = answer(request)
        for piece in word_pieces(reply.text):
            yield TextDelta(piece)
        yield ModelResponse(
            text=reply.text,
            tool_calls=tuple(
                ToolCall(_call_id(request, position, name, arguments), name, arguments)
                for position, (name, arguments) in enumerate(reply.calls)
            ),
            usage=Usage(),
            finish_reason="tool_calls" if reply.calls else "stop",
            model=MODEL,
            provider=NAME,
        )

    async def models(self) -> list[ModelInfo]:
        return [ModelInfo(MODEL)]


def word_pieces(text: str) -> tuple[str, ...]:
    """A text as models stream it: words with the blank before them; joined they are the text."""
    words = text.split(" ")
    return tuple(piece for piece in (words[0], *(f" {word}" for word in words[1:])) if piece)


def answer(request: ModelRequest) -> _Reply:
    """The reply to a request. Pure."""
    tools = {tool.name: tool for tool in request.tools}
    spoken = [message for message in request.messages if message.role != "system"]
    if spoken and spoken[-1].role == "tool":
        return _report(spoken, tools)
    asked = next((message.content for message in reversed(spoken) if message.role == "user"), "")
    return _obey(understand(asked, tools), tools)


# --- before the tools ---------------------------------------------------------------------


def _obey(command: Command, tools: Mapping[str, ToolSpec]) -> _Reply:
    match command:
        case Search(query):
            if SEARCH not in tools:
                return _Reply(f"I cannot search: {_not_offered(SEARCH)} {_what_i_am()}")
            return _Reply(
                f"Searching the garden for {query!r}.", ((SEARCH, _only(tools[SEARCH], "query", query)),)
            )
        case RunTool(name, rest):
            return _run(name, rest, tools)
        case RunWorkflow(name, rest):
            return _run_workflow(name, rest, tools)
        case Remember(text):
            return _remember(text, tools)
        case Status():
            if STATUS not in tools:
                return _Reply(f"I cannot tell the node's status: {_not_offered(STATUS)}")
            return _Reply("Looking at the node.", ((STATUS, {}),))
        case Help(greeting):
            return _Reply(("Hello. " if greeting else "") + _help(tools))


def _run(name: str, rest: str, tools: Mapping[str, ToolSpec]) -> _Reply:
    tool = tools.get(name)
    if tool is None:
        near = difflib.get_close_matches(name, tools, n=3, cutoff=0.5)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        if "." not in name and WORKFLOW in tools:
            hint += f" If you mean a workflow, write: run workflow {name}."
        return _Reply(f"No tool {name!r} is offered to me.{hint} Write help to see those that are.")
    try:
        arguments = read_arguments(rest, tool)
    except BadArguments as error:
        return _Reply(f"I did not run it: {error}")
    missing = [key for key in tool.parameters.get("required") or () if key not in arguments]
    if missing:
        usage = " ".join(f"{key}=..." for key in missing)
        return _Reply(f"I did not run it: {name} needs {', '.join(missing)}. Write: run {name} {usage}")
    return _Reply(f"Running {name}.", ((name, arguments),))


def _run_workflow(name: str, rest: str, tools: Mapping[str, ToolSpec]) -> _Reply:
    tool = tools.get(WORKFLOW)
    if tool is None:
        return _Reply(f"I cannot run workflows: {_not_offered(WORKFLOW)}")
    arguments = _only(tool, "name", name)
    properties = tool.parameters.get("properties") or {}
    try:
        given = read_arguments(rest, ToolSpec(tool.name, "", {})) if rest else {}
    except BadArguments as error:
        return _Reply(f"I did not run it: {error}")
    if given:
        # Arguments of the workflow itself go where the tool takes them.
        arguments |= {"arguments": given} if "arguments" in properties else given
    return _Reply(f"Running the workflow {name!r}.", ((WORKFLOW, arguments),))


def _remember(text: str, tools: Mapping[str, ToolSpec]) -> _Reply:
    tool = tools.get(WRITE)
    if tool is None:
        return _Reply(f"I cannot write notes: {_not_offered(WRITE)}")
    title = " ".join(text.split()[:8]).rstrip(".,;:!?")[:60].strip()
    slug = re.sub(r"[^\w]+", "-", title.lower()).strip("-") or short_hash(text)
    known = {
        **dict.fromkeys(("text", "body", "content", "markdown"), text),
        **dict.fromkeys(("title", "name"), title),
        **dict.fromkeys(("path", "file"), f"notes/{slug}.md"),
    }
    properties: Mapping[str, Any] = tool.parameters.get("properties") or {}
    arguments = {key: known[key] for key in properties if key in known}
    if "append" in ((properties.get("mode") or {}).get("enum") or ()):
        arguments["mode"] = "append"  # A note of the same name keeps what it has.
    missing = [key for key in tool.parameters.get("required") or () if key not in arguments]
    if missing or text not in arguments.values():
        return _Reply(
            f"I do not know how to fill {WRITE} ({', '.join(missing or properties)}). Write: run {WRITE} ..."
        )
    return _Reply("Writing a note.", ((WRITE, arguments),))


def _only(tool: ToolSpec, usual: str, value: str) -> dict[str, Any]:
    """The one argument that matters, under the name this tool has for it."""
    properties: Mapping[str, Any] = tool.parameters.get("properties") or {}
    if usual in properties or not properties:
        return {usual: value}
    names: Sequence[str] = tool.parameters.get("required") or list(properties)
    return {names[0]: value}


def _not_offered(tool: str) -> str:
    return f"the tool {tool} is not offered to me here."


# --- after the tools ----------------------------------------------------------------------


def _report(spoken: Sequence[Message], tools: Mapping[str, ToolSpec]) -> _Reply:
    """What the tools returned, quoted."""
    start = len(spoken)
    while start and spoken[start - 1].role == "tool":
        start -= 1
    calls = {call.id: call for call in (spoken[start - 1].tool_calls if start else ())}
    results = [(calls.get(message.tool_call_id or ""), message.content) for message in spoken[start:]]
    call, content = results[0]
    if len(results) == 1 and call is not None and call.name == SEARCH and not _FAILED.match(content):
        return _found(call, content, spoken, tools)
    return _Reply("\n\n".join(_told(call, content) for call, content in results))


def _told(call: ToolCall | None, content: str) -> str:
    name = call.name if call else "The tool"
    problem = _problem(content)
    if problem is not None:
        return f"{name} failed: {_cut(problem)}"
    if not content.strip():
        return f"{name} is done; it returned nothing."
    return f"{name} returned:\n\n{_cut(_WRAPPED.sub(_unwrapped, content).strip())}"


def _unwrapped(found: re.Match[str]) -> str:
    """Content from outside as people read it: the warning in it is for models that could be led astray."""
    return f"From {found[1]}:\n\n{found[2]}"


def _problem(content: str) -> str | None:
    """The error a result tells of, if it does."""
    if _FAILED.match(content):
        return _FAILED.sub("", content, count=1).strip() or content.strip()
    decoded = _decoded(content)
    if isinstance(decoded, dict) and decoded.get("error"):
        return str(decoded["error"])
    return None


def _found(call: ToolCall, content: str, spoken: Sequence[Message], tools: Mapping[str, ToolSpec]) -> _Reply:
    query = next((value for value in call.arguments.values() if isinstance(value, str)), "")
    hits = _hits(content)
    if hits is None:
        return _Reply(f"From the garden, for {query!r}:\n\n{_cut(content.strip())}\n\n{_modesty()}")
    if hits:
        shown = "\n".join(hits[:MAX_HITS])
        more = f"\n(and {len(hits) - MAX_HITS} more)" if len(hits) > MAX_HITS else ""
        return _Reply(f"I found this in the garden for {query!r}:\n\n{shown}{more}\n\n{_modesty()}")
    longest = max(query.split(), key=len, default="")
    if longest != query and SEARCH in tools and _searches(spoken) == 1:
        # All words together found nothing; once more, with the one that says most.
        return _Reply(
            f"Nothing has all of {query!r}; trying {longest!r}.",
            ((SEARCH, _only(tools[SEARCH], "query", longest)),),
        )
    return _Reply(f"Nothing in the garden matches {query!r}. {_modesty()}")


def _searches(spoken: Sequence[Message]) -> int:
    """Searches since the last word of a person."""
    count = 0
    for message in reversed(spoken):
        if message.role == "user":
            break
        count += sum(call.name == SEARCH for call in message.tool_calls)
    return count


def _hits(content: str) -> list[str] | None:
    """The hits as lines; None if the result is prose, to be quoted as it is."""
    decoded = _decoded(content)
    if isinstance(decoded, dict):
        decoded = next((value for value in decoded.values() if isinstance(value, list)), None)
    if not isinstance(decoded, list):
        return [] if _EMPTY.match(content) else None
    lines = []
    for hit in decoded:
        if isinstance(hit, dict):
            path, title = str(hit.get("path", "")), str(hit.get("title", "") or hit.get("path", ""))
            snippet = " ".join(str(hit.get("snippet") or hit.get("text") or "").split())
            lines.append(
                f"- {title}"
                + (f" ({path})" if path and path != title else "")
                + (f": {snippet}" if snippet else "")
            )
        else:
            lines.append(f"- {hit}")
    return lines


def _decoded(content: str) -> object:
    if not content.lstrip().startswith(("{", "[")):
        return None
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _cut(text: str) -> str:
    return (
        text
        if len(text) <= MAX_QUOTED
        else f"{text[:MAX_QUOTED].rstrip()} ... ({len(text) - MAX_QUOTED} more characters)"
    )


# --- about itself -------------------------------------------------------------------------


def _modesty() -> str:
    return "(Quoted by rules, not understood: no language model is configured.)"


def _what_i_am() -> str:
    return "I am the offline model: rules, no language model."


def _help(tools: Mapping[str, ToolSpec]) -> str:
    can = []
    if SEARCH in tools:
        can.append(
            "- `search moss`, or any question: I look the words up in the garden and quote what I find"
        )
    if WRITE in tools:
        can.append("- `remember the key is under the stone`: I write a note")
    if WORKFLOW in tools:
        can.append("- `run workflow digest`: I start a workflow")
    if STATUS in tools:
        can.append("- `status`: I tell how the node is")
    if tools:
        can.append(f"- `run TOOL key=value`: I call a tool. Offered to me: {', '.join(sorted(tools))}")
    body = "\n".join(can) if can else "- nothing here: no tool is offered to me"
    keys = ", ".join(vendor.key_variables[0] for vendor in VENDORS)
    return (
        f"{_what_i_am()} I do not understand free text. What I can do:\n\n{body}\n\n"
        f"For a real model set one of {keys} and start again, or run Ollama or LM Studio on this machine."
    )


def _call_id(request: ModelRequest, position: int, name: str, arguments: dict[str, Any]) -> str:
    """Made from the content; the conversation's length keeps ids of later turns apart."""
    raw = msgspec.json.encode(arguments, order="sorted").decode()
    return f"call_{len(request.messages)}_{position}_{short_hash(name, raw)}"
