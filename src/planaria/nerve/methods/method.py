"""What a method of the control protocol is: an async function over its parameters and the node's services."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from planaria.config.settings import Settings
from planaria.cortex.redact import Redactor
from planaria.membrane.gate.gate import Gate
from planaria.membrane.models.router import ProviderUsage


class Services(msgspec.Struct, frozen=True):
    """What methods may use besides the processes they find by name. Given by the node.

    Attributes:
        garden: the garden's folder.
        stop: begins the orderly end of the node and returns at once.
        redactor: knows the secrets of this node.
        login_link: makes a link that logs one browser in to the dashboard, once.
        usage: how much providers are used now, by name.
        gate: where tools are called; None: this node has none, as one with the journal alone.
        context: what tools that people call may ask for; see `Context.services`.
    """

    garden: Path
    settings: Settings
    stop: Callable[[], object]
    redactor: Redactor
    login_link: Callable[[], Awaitable[str]] | None = None
    usage: Callable[[], Mapping[str, ProviderUsage]] | None = None
    gate: Gate | None = None
    context: Mapping[type, object] = {}


class Channel:
    """Where a streaming method sends its events."""

    def __init__(self, send: Callable[[object], None]) -> None:
        self.send = send


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A method without parameters."""


class Method[P: msgspec.Struct](msgspec.Struct, frozen=True):
    """One entry of the table.

    Attributes:
        params: its parameters; unknown ones are refused.
        function: runs in a process of its own; may use whatever processes may. Raises `ControlError` for what a
            client should hear; any other error is a crash.
    """

    params: type[P]
    function: Callable[[P, Services, Channel], Awaitable[Any]]
