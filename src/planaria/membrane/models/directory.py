"""The models of a node as a process: found at the start, local servers asked after again and again.

Started under the name `models`. What it answers is a value, so asking costs one message and callers keep what they
got for one call only. A look that fails changes nothing. Does badly: a key put into the environment is seen at the
next start of the node.
Emits on the topic `models`: `ModelsChanged`, when a local server came or went.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from planaria.config.settings import ModelSettings
from planaria.membrane.models.models import LocalServer, Models, ProviderView, probe
from planaria.otp import Down, ExitSignal, GenServer, Task, TaskDone, broadcast, call, send_after

TOPIC = "models"
PROBE_EVERY = 60.0
"""Seconds between two looks for model servers on this machine."""


class ModelsChanged(msgspec.Struct, frozen=True):
    """Other models are to be had than before."""

    offline: bool


class _Look(msgspec.Struct, frozen=True):
    """To itself: look for local servers."""


class Latest:
    """Where the directory leaves the newest models for code outside processes, which cannot wait for a call."""

    def __init__(self) -> None:
        self.models = Models.discover(ModelSettings(), {})


class ModelDirectory(GenServer):
    """Which models there are now."""

    trap_exit: ClassVar[bool] = True

    async def init(
        self,
        settings: ModelSettings,
        environ: Mapping[str, str],
        latest: Latest | None = None,
        look: bool = True,
    ) -> None:
        """Find models; local servers are asked before the start is done, so that the first message meets them.

        Args:
            environ: where keys are looked up.
            latest: told of every change.
            look: whether to look for servers on this machine.
        """
        self.environ = dict(environ)
        self.local: tuple[LocalServer, ...] = tuple(await probe(environ)) if look else ()
        self.latest = Latest() if latest is None else latest
        self.known = self.latest.models = Models.discover(settings, environ, self.local)
        self.task: object = None
        if look:
            send_after(PROBE_EVERY, self.pid, _Look())

    @call
    def models(self) -> Models:
        """The models, to be used for one piece of work."""
        return self.known

    @call
    def describe(self) -> list[ProviderView]:
        """All providers for people."""
        return self.known.describe()

    def handle_info(self, message: Any) -> None:
        match message:
            case _Look():
                self.task = Task.start_link(probe, self.environ, label="look for local models")
            case TaskDone(ref=ref, value=list() as found) if ref is self.task:
                self._found(tuple(found))
                send_after(PROBE_EVERY, self.pid, _Look())
            case Down(ref=ref) if ref is self.task:
                send_after(
                    PROBE_EVERY, self.pid, _Look()
                )  # a server that answers nonsense ends a look, not us
            case ExitSignal():
                pass  # of a look that has failed
            case _:
                super().handle_info(message)

    def _found(self, local: tuple[LocalServer, ...]) -> None:
        if local != self.local:
            self.local = local
            self.known.close()  # what rests; calls under way go on
            self.known = self.latest.models = self.known.with_local(local)
            broadcast(TOPIC, ModelsChanged(is_offline(self.known)))

    def terminate(self, reason: object) -> None:
        """Close kept connections."""
        self.known.close()


def is_offline(models: Models) -> bool:
    """Whether the model that answers by default is the built-in one, which is no language model."""
    return any(view.name == "offline" and view.default for view in models.describe())
