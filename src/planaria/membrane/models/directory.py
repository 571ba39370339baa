"""The models of a node as a process: found at the start, changed while it runs, local servers looked for each minute.

Started under the name `models`. What it answers is a value, so asking costs one message and callers keep what they got
for one call only; who must not wait reads `models_now`. What the garden's database says of providers is a fold over the
session `config:providers`, read in a task: until it was read once nobody is given a model, since a provider may be
switched off or kept to this machine by a word that is not there yet. A look that fails changes nothing.
Does badly: a key put into the environment is seen at the next start of the node.
Emits on the topic `models`: `ModelsChanged`, when a local server came or went, or a provider was changed.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from planaria.config.providers import ProviderSettings
from planaria.config.settings import ModelSettings
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event
from planaria.cortex.fold import FIRST_PAUSE
from planaria.cortex.folded import save
from planaria.cortex.secrets import Secrets
from planaria.membrane.models.changes import SESSION, GivenKey, ProviderKeySet, StoredProviders, given_keys
from planaria.membrane.models.local_servers import LocalServer, probe
from planaria.membrane.models.models import Models, ProviderView
from planaria.otp import (
    CallError,
    Deferred,
    Down,
    ExitSignal,
    GenServer,
    Node,
    Task,
    TaskDone,
    TaskRef,
    broadcast,
    call,
    send_after,
    sleep,
    subscribe,
)
from planaria.otp.kernel.table import publish

NAME = "models"
TOPIC = "models"
PROBE_EVERY = 60.0
"""Seconds between two looks for model servers on this machine."""
FOLD = "providers"
"""Name of the fold's snapshot."""


class ModelsChanged(msgspec.Struct, frozen=True):
    """Other models are to be had than before."""

    offline: bool


class _Look(msgspec.Struct, frozen=True):
    """To itself: look for local servers."""


class _Again(msgspec.Struct, frozen=True):
    """To itself: read once more what the database says."""


class Latest:
    """Where the directory leaves the newest models for code outside processes, which cannot wait for a call."""

    def __init__(self) -> None:
        self.models = Models.discover(ModelSettings(), {})


class _Now:
    """The newest models, published; None until the database was read."""

    __slots__ = ("models",)

    def __init__(self) -> None:
        self.models: Models | None = None


class ModelDirectory(GenServer):
    """Which models there are now."""

    trap_exit: ClassVar[bool] = True

    now: _Now | None = None
    reading: TaskRef | None = None
    stored: StoredProviders | None = None

    async def init(
        self,
        settings: ModelSettings,
        environ: Mapping[str, str],
        latest: Latest | None = None,
        look: bool = True,
        secrets: Secrets | None = None,
    ) -> None:
        """Find models; local servers are asked before the start is done, so that the first message meets them.

        Args:
            environ: where keys are looked up.
            latest: told of every change.
            look: whether to look for servers on this machine.
            secrets: the garden's, for the keys in its database. None: nothing is read from the journal.
        """
        self.environ = dict(environ)
        self.local: tuple[LocalServer, ...] = tuple(await probe(environ)) if look else ()
        self.latest = Latest() if latest is None else latest
        self.known = self.latest.models = Models.discover(settings, environ, self.local)
        self.task: TaskRef | None = None
        self.secrets = secrets
        self.waiting: list[Deferred[Models]] = []
        self.now = _Now()
        publish(self.pid, self.now)
        if secrets is None:
            self.now.models = self.known
        else:
            subscribe(f"journal:{SESSION}")
            self._read()
        if look:
            send_after(PROBE_EVERY, self.pid, _Look())

    @call
    def models(self) -> Models | Deferred[Models]:
        """The models, to be used for one piece of work. Waits for what is being read from the database."""
        if self.reading is None:
            return self.known
        answer: Deferred[Models] = self.defer()
        self.waiting.append(answer)
        return answer

    @call
    def describe(self) -> list[ProviderView]:
        """All providers for people, as far as they are known."""
        return self.known.describe()

    def handle_info(self, message: Any) -> None:
        match message:
            case _Look():
                self.task = Task.start_link(probe, self.environ, label="look for local models")
            case TaskDone(ref=ref, value=list() as found) if ref is self.task:
                self._found(tuple(found))
                send_after(PROBE_EVERY, self.pid, _Look())
            case Event() as event:
                self._heard(event)
            case TaskDone(ref=ref, value=(StoredProviders() as stored, dict() as keys)) if (
                ref is self.reading
            ):
                self._loaded(stored, keys)
            case Down(ref=ref) if ref is self.reading:
                send_after(FIRST_PAUSE, self.pid, _Again())
            case _Again():
                self._read()
            case Down(ref=ref) if ref is self.task:
                send_after(
                    PROBE_EVERY, self.pid, _Look()
                )  # a server that answers nonsense ends a look, not us
            case ExitSignal() | TaskDone() | Down():
                pass  # of a look that has failed, of a snapshot, of what was overtaken
            case _:
                super().handle_info(message)

    def _found(self, local: tuple[LocalServer, ...]) -> None:
        if local != self.local:
            self.local = local
            self._change(self.known.changed(local=local))

    def _heard(self, event: Event) -> None:
        """Somebody has changed a provider."""
        if self.stored is None or event.kind == ProviderKeySet.kind or self.reading is not None:
            self._read()  # from the beginning: what is under way may have begun before this event
        elif self.stored.take(event):
            self._change(self.known.changed(stored=dict(self.stored.records)))

    def _read(self) -> None:
        assert self.secrets is not None
        self.reading = Task.start_link(_load, self.secrets, label="read what the database says of models")

    def _loaded(self, stored: StoredProviders, keys: Mapping[str, GivenKey]) -> None:
        self.reading = None
        self.stored = stored
        self._change(self.known.changed(stored=dict(stored.records), keys=keys))
        for answer in self.waiting:
            answer.reply(self.known)
        self.waiting.clear()
        if stored.is_due():
            Task.start_link(save, stored.saved(SESSION, FOLD), label="keep what is said of models")

    def _change(self, models: Models) -> None:
        before, self.known = self.known, models
        self.latest.models = models
        if self.now is not None and (self.secrets is None or self.stored is not None):
            self.now.models = models
        before.close(but=models)  # what rests; calls under way go on
        if before.catalogue != models.catalogue:
            broadcast(TOPIC, ModelsChanged(is_offline(models)))

    def terminate(self, reason: object) -> None:
        """Close kept connections."""
        self.known.close()


async def load_stored(secrets: Secrets) -> tuple[dict[str, ProviderSettings], dict[str, GivenKey]]:
    """What the database says of providers, and the keys it has.

    Raises:
        JournalUnavailable, CallError: it cannot be read now.
    """
    stored, keys = await _load(secrets)
    return stored.records, keys


async def _load(secrets: Secrets) -> tuple[StoredProviders, dict[str, GivenKey]]:
    while True:
        try:
            # Keys last: an event about a key comes after the key.
            stored = await StoredProviders.load(SESSION, FOLD)
            return stored, await given_keys(secrets)
        except (JournalUnavailable, CallError):
            await sleep(FIRST_PAUSE)


def models_now(node: Node, name: str = NAME) -> Models | None:
    """The newest models, read without asking anybody; None while there are none, or they are being read."""
    process = node.whereis(name)
    # While it starts, and asks local servers, it is registered and has published nothing.
    table = None if process is None else node.tables.get(process)
    return table.models if isinstance(table, _Now) else None


def is_offline(models: Models) -> bool:
    """Whether the model that answers by default is the built-in one, which is no language model."""
    return any(view.name == "offline" and view.default for view in models.describe())
