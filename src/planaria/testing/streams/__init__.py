"""Answers of model services as they travel: one `.sse` file each, and in `expected.json` what has to be read from it.

    for stream in recorded():
        server.answers.append(Answer(stream=stream.body))

Written after the vendors' references and what their servers are known to send; ids, keys and names are made up.
"""

from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from planaria.testing.model_answer import Dialect


class Recorded(msgspec.Struct, frozen=True):
    """One answer.

    Args:
        name: of its file; begins with whose server sends such.
        body: of the HTTP answer.
        expected: `text`, `reasoning`, `finish_reason`, `tool_calls` (id, name, arguments), `usage` (in the order of
            `Usage`); or `error`, the kind of the `ProviderError` that comes after the `text`. What is not there is
            empty.
    """

    name: str
    dialect: Dialect
    body: bytes
    expected: Mapping[str, Any]


def recorded(dialect: Dialect | None = None) -> list[Recorded]:
    """All of them, or those of one dialect."""
    folder = resources.files(__name__)
    expected: dict[str, dict[str, Any]] = msgspec.json.decode(folder.joinpath("expected.json").read_bytes())
    found = [
        Recorded(
            name,
            "anthropic" if name.startswith("anthropic") else "openai",
            folder.joinpath(f"{name}.sse").read_bytes(),
            told,
        )
        for name, told in expected.items()
    ]
    return [stream for stream in found if dialect in (None, stream.dialect)]
