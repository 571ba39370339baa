"""What an MCP server offers and answers, in plain values: they cross from its OS process into the node."""

from typing import Any

import msgspec

from planaria.membrane.sandbox.policy import SandboxPolicy


class OfferedTool(msgspec.Struct, frozen=True):
    """A tool. `schema` is the JSON schema of its arguments; `repeatable` what the server says of itself, unproven."""

    name: str
    description: str
    schema: dict[str, Any]
    title: str = ""
    repeatable: bool = False


class OfferedResource(msgspec.Struct, frozen=True):
    """Something to read; `uri` may be a template with `{names}`."""

    uri: str
    name: str
    description: str = ""
    media_type: str = ""
    template: bool = False


class OfferedPrompt(msgspec.Struct, frozen=True):
    """A prompt; `arguments` are names, those that are needed first."""

    name: str
    description: str = ""
    arguments: tuple[str, ...] = ()


class Offer(msgspec.Struct, frozen=True):
    """All that a server offers now.

    Attributes:
        protocol: the revision that was agreed on, such as `2025-11-25`.
        instructions: what the server says of itself; words of a stranger.
    """

    server: str = ""
    version: str = ""
    protocol: str = ""
    instructions: str = ""
    tools: tuple[OfferedTool, ...] = ()
    resources: tuple[OfferedResource, ...] = ()
    prompts: tuple[OfferedPrompt, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What a call, a resource or a prompt came to.

    Attributes:
        text: all parts that are text, joined by empty lines; others are named with their type and size.
        value: the structured answer, if there is one.
        failed: the server says that it could not.
    """

    text: str
    value: Any = None
    failed: bool = False


class Changed(msgspec.Struct, frozen=True):
    """From the connection to the node: how it stands with a server now; `offer` is None while it is not connected.

    Attributes:
        problem: why not, with the mend.
    """

    server: str
    offer: Offer | None = None
    problem: str = ""


class Progress(msgspec.Struct, frozen=True):
    """From the connection to the node: how far a call is. `total` is None where the server does not know."""

    server: str
    tool: str
    done: float
    total: float | None = None
    said: str = ""


class Target(msgspec.Struct, frozen=True):
    """Where a server is: a program with its environment, or an address with its headers.

    Attributes:
        timeout: seconds one answer may take.
        policy: what holds the program; None: nothing does.
        problem: why it cannot be run, with the mend.
    """

    name: str
    command: tuple[str, ...] = ()
    folder: str = ""
    env: dict[str, str] = {}
    url: str = ""
    headers: dict[str, str] = {}
    timeout: float = 60.0
    policy: SandboxPolicy | None = None
    problem: str = ""

    def __repr__(self) -> str:
        return f"Target({self.name!r}, {self.url or ' '.join(self.command)!r})"  # no keys
