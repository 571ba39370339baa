"""Reads payloads of any age and state: a field that is missing, erased or of another shape reads as nothing.

A trace must show what is there whatever wrote it, so nothing here raises.
"""

import math
from typing import Any

import msgspec

REFERENCE = "$content"
"""Key of what the journal keeps apart; see `cortex/codec/contents.py`."""


def words(value: object) -> str:
    """A value as text: a string as it is, nothing for None, JSON for the rest."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, dict) and REFERENCE in value:
        return f"({count(value, 'chars')} characters)"
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return f"({type(value).__name__})"


def text(payload: Any, key: str) -> str:
    """A field that should be text; of one that was left in its place apart, its length."""
    value = payload.get(key) if isinstance(payload, dict) else None
    if isinstance(value, dict) and REFERENCE in value:
        return words(value)
    return value if isinstance(value, str) else ""


def length(value: object) -> int:
    """Characters of a text, whether it is here or referred to."""
    if isinstance(value, dict) and REFERENCE in value:
        return count(value, "chars")
    return len(value) if isinstance(value, str) else 0


def number(payload: Any, key: str) -> float | None:
    """A field that should be a finite number of at least 0."""
    value = payload.get(key) if isinstance(payload, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e15 and math.isfinite(value) else None


def count(payload: Any, key: str) -> int:
    """A field that should count something."""
    return int(number(payload, key) or 0)


def inner(payload: Any, key: str) -> dict[str, Any]:
    """A field that should be an object."""
    value = payload.get(key) if isinstance(payload, dict) else None
    return value if isinstance(value, dict) else {}


def items(payload: Any, key: str) -> list[Any]:
    """A field that should be a list."""
    value = payload.get(key) if isinstance(payload, dict) else None
    return list(value) if isinstance(value, list | tuple) else []


def line(said: str, limit: int = 90) -> str:
    """The beginning of a text in one line of at most `limit` characters."""
    short = " ".join(said[: limit * 4].split())
    return short if len(short) <= limit and len(said) <= limit * 4 else short[: limit - 1].rstrip() + "…"


def called(payload: Any) -> str:
    """Arguments in one line: `query="supervision" limit=5`."""
    arguments = inner(payload, "arguments")
    said = []
    for name, value in arguments.items():
        shown = f'"{line(value, 40)}"' if isinstance(value, str) else line(words(value), 40)
        said.append(f"{name}={shown}")
    return line(" ".join(said), 120)
