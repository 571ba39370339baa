"""What a file of tools offers and answers, in plain values: they cross from its OS process into the node."""

from typing import Any

import msgspec

from planaria.membrane.tool import OnUnknown, Outcome

FOLDER = "tools"


class OwnTool(msgspec.Struct, frozen=True):
    """One tool as its file declares it; see `Tool`. `schema` is the JSON schema of its arguments."""

    name: str
    description: str
    schema: dict[str, Any]
    branches: tuple[str, ...]
    needs: tuple[str, ...]
    touches: dict[str, str] | None = None
    on_unknown: OnUnknown = "fail"
    waits: bool = False
    polling: bool = False
    ask: bool = False
    second_factor: bool = False


class Offered(msgspec.Struct, frozen=True):
    """A file is loaded: its tools."""

    tools: tuple[OwnTool, ...]


class Broken(msgspec.Struct, frozen=True):
    """A file cannot be loaded: the line, what is wrong there, and what mends it."""

    line: int
    problem: str
    mend: str


class About(msgspec.Struct, frozen=True):
    """A call as the worker is told of it: who calls, and the word by which it may call others; see `Context`."""

    token: str
    caller: str
    garden: str
    session: str
    room: str | None
    trace_id: str
    cause_id: str | None
    call_id: str
    effect_id: str
    subject: str


class Answered(msgspec.Struct, frozen=True):
    """What a call came to. `crashed`: it raised."""

    outcome: Outcome
    crashed: bool = False
