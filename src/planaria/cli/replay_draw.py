"""Draws replays and comparisons of runs in the terminal."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from planaria.cli import output
from planaria.nerve.trace.figures import short, took

if TYPE_CHECKING:
    from rich.text import Text

LONGEST = 160
"""Characters of a text in a list."""
DIVERGED = {
    "exact": ("prompt exact", "green"),
    "changed": ("prompt CHANGED", "bold red"),
    "unknown": ("", ""),
}


def replay(view: dict[str, Any]) -> Iterator["Text"]:
    """A session: its steps, numbered, then what it came to and the state after the last."""
    yield _heading(view)
    turn = ""
    for each in view["steps"]:
        if each["turn"] != turn:
            turn = each["turn"]
            yield output.styled("")
        yield from _step(each)
    yield output.styled("")
    yield _totals(view)
    if view.get("state"):
        yield _state(view["state"])


def _heading(view: dict[str, Any]) -> "Text":
    first = view["steps"][0]["number"] if view["steps"] else 0
    last = view["steps"][-1]["number"] if view["steps"] else 0
    shown = "" if (first, last) == (1, view["total"]) else f", {first} to {last} shown"
    text = output.styled(view["session"], "bold")
    text.append_text(output.styled(f"  {_count(view['total'], 'step')}{shown}", "dim"))
    if fork := view.get("fork"):
        text.append_text(output.styled(f"\n{_branch(fork)}", "magenta"))
    return text


def _branch(fork: dict[str, Any]) -> str:
    words = [f"branched off {fork['session']} at step {fork['step']}"]
    if fork.get("model"):
        words.append(f"answered by {fork['model']}")
    if fork.get("edit"):
        words.append(f"with another {fork['edit']}")
    return ", ".join(words)


def _step(each: dict[str, Any]) -> Iterator["Text"]:
    number = output.styled(f"{each['number']:>4}  ", "dim")
    if each["kind"] == "message":
        number.append_text(output.styled(each["author"] or "?", "bold cyan"))
        number.append_text(output.styled(f"  {_clock(each['at'])}  ", "dim"))
        number.append_text(output.styled(_line(each["text"])))
        if each["attempt"] > 1:
            number.append_text(output.styled(f"  delivered again, attempt {each['attempt']}", "magenta"))
    else:
        number.append_text(output.styled(each["model"] or "?", "bold"))
        if each["kept"]:
            number.append_text(output.styled("  kept", "magenta"))
        words = f"  {each['decided']} " if each["decided"] else "  "
        calls = ", ".join(call["tool"] for call in each["calls"])
        number.append_text(output.styled(words + calls, "yellow" if calls else "green"))
        number.append_text(output.styled(f"  {_line(each['text'])}" if each["text"] else ""))
        number.append_text(output.styled(_spent(each), "dim"))
        label, style = DIVERGED.get(each["prompt"], ("", ""))
        if label:
            number.append_text(output.styled(f"  {label}", style))
    yield number
    for failure in each["failures"]:
        yield output.styled(f"      tried, failed: {_line(failure)}", "red")
    for call in each["calls"]:
        line = output.styled(
            f"      {call['tool']} {_line(json.dumps(call['arguments'], ensure_ascii=False))}", "dim"
        )
        result = "(nobody knows what came of it)" if call["result"] is None else _line(call["result"])
        line.append_text(output.styled(f"  →  {result}", "red" if call["failed"] else ""))
        line.append_text(output.styled(f"  {took(call['duration_ms'] / 1000)}", "dim"))
        yield line
    if each["outcome"] not in ("", "answered"):
        yield output.styled("      given up: the room was told, and the message is a dead letter", "bold red")
    for problem in each["problems"]:
        yield output.styled(f"      {problem}", "red")


def _spent(each: dict[str, Any]) -> str:
    parts = []
    if each["input_tokens"] or each["output_tokens"]:
        parts.append(f"{short(each['input_tokens'])} → {short(each['output_tokens'])} tokens")
    if each["cost_micro"]:
        parts.append(money(each["cost_micro"]))
    if not each["kept"]:
        parts.append(took(each["duration_ms"] / 1000))
    return "  " + "  ".join(parts) if parts else ""


def _totals(view: dict[str, Any]) -> "Text":
    totals = view["totals"]
    words = [
        _count(totals["turns"], "turn"),
        f"{short(totals['input_tokens'])} → {short(totals['output_tokens'])} tokens",
        money(totals["cost_micro"])
        + (f" and {_count(totals['unpriced'], 'call')} without a price" if totals["unpriced"] else ""),
    ]
    if totals["failures"]:
        words.append(f"{_count(totals['failures'], 'call')} failed")
    return output.styled(", ".join(words), "dim")


def _state(state: dict[str, Any]) -> "Text":
    doing = {
        "rest": "at rest",
        "think": "about to ask the model",
        "act": "about to call tools",
        "say": "about to answer",
    }
    return output.styled(f"state after it: {doing[state['next']]}, digest {state['digest']}", "dim")


def step(detail: dict[str, Any]) -> Iterator["Text"]:
    """One step: its prompt, what was decided, the state after it."""
    each, prompt = detail["step"], detail["prompt"]
    yield output.styled(f"{detail['session']}, step {each['number']}", "bold")
    if prompt is not None:
        settings = [
            f"{name} {prompt[name]}" for name in ("max_tokens", "temperature") if prompt[name] is not None
        ]
        about = ", ".join([f"{prompt['provider']}/{prompt['model']}", *settings])
        yield output.styled(f"\nsent to {about}", "bold")
        yield output.styled(f"tools: {', '.join(prompt['tools']) or 'none'}", "dim")
        if prompt["exact"]:
            yield output.styled(f"exactly as it was sent: digest {prompt['digest']}", "green")
        for problem in prompt["problems"]:
            yield output.styled(problem, "bold red")
        for message in prompt["messages"]:
            yield output.styled(f"\n[{message['role']}]", "bold cyan")
            if message["content"]:
                yield output.styled(message["content"])
            for call in message["tool_calls"]:
                yield output.styled(f"calls {call['name']} {_json(call['arguments'])}", "yellow")
    yield output.styled("\nwhat came of it" if prompt is not None else "", "bold")
    yield from _step(each if each["kind"] == "message" else each | {"text": ""})
    if each["kind"] == "answer" and each["text"]:
        yield output.styled(f"\n{each['text']}")
    yield output.styled("")
    yield _state(detail["state"])
    yield output.styled(_json(_brief(detail["state"]["value"]), 2), "dim")


def _brief(state: dict[str, Any]) -> dict[str, Any]:
    """The state without what stands above it already: the prompt's own long texts."""
    asked = state.get("asked")
    if asked is None:
        return state
    return state | {
        "asked": {name: value for name, value in asked.items() if name not in ("system", "tools")}
    }


def money(micro: int) -> str:
    """`$0.0012`."""
    dollars = micro / 1_000_000
    return f"${dollars:.2f}" if dollars >= 1 or not micro else f"${dollars:.6f}".rstrip("0")


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _line(text: str) -> str:
    line = " ".join(output.clean(text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
