"""Reads a tool's Google-style docstring: what the model is told about the tool and about each argument."""

import inspect
import re

import msgspec

_SECTION = re.compile(r"(Args|Arguments|Returns|Raises|Yields|Example|Examples|Note|Notes|Source):\s*\Z")
_ARGUMENT = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)\Z")


class Docstring(msgspec.Struct, frozen=True):
    """A docstring taken apart: all text outside of sections, and the text of each argument in order."""

    summary: str
    arguments: dict[str, str]


def read_docstring(text: str | None) -> Docstring:
    """Take a docstring apart; text that is no section belongs to the summary."""
    summary: list[str] = []
    arguments: dict[str, list[str]] = {}
    section, indent, current = "", 0, ""
    for line in inspect.cleandoc(text or "").split("\n"):
        depth = len(line) - len(line.lstrip())
        if depth == 0 and line.strip():
            found = _SECTION.match(line)
            section, indent, current = (found.group(1) if found else ""), 0, ""
            if found:
                continue
        if section in ("Args", "Arguments") and line.strip():
            indent = indent or depth
            named = _ARGUMENT.match(line.strip()) if depth == indent else None
            if named:
                current = named.group(1)
                arguments[current] = [named.group(2)]
            elif current:
                arguments[current].append(line.strip())
        elif not section:
            summary.append(line)
    return Docstring(
        "\n".join(summary).strip(), {name: " ".join(filter(None, lines)) for name, lines in arguments.items()}
    )
