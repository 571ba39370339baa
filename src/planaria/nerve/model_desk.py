"""Where people look at providers, change them and try them: what the command and the dashboard both do.

Used in processes of the node; in a stopped garden with the journal alone the models are found in the same way. What is
refused is a `ControlError`, with the mend.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from planaria.config.providers import ProviderSettings, merged
from planaria.config.secret import Secret
from planaria.config.settings import ModelSettings
from planaria.cortex.errors import EventRefused, JournalUnavailable, SealError
from planaria.cortex.event_type import EventType
from planaria.cortex.journal import Journal
from planaria.cortex.redact import Redactor
from planaria.cortex.secrets import Secrets, SecretTooShort
from planaria.cortex.stores.place import master_key
from planaria.immune.breakers.keeper import Breakers
from planaria.immune.breakers.table import OWNER as BREAKERS
from planaria.immune.breakers.table import breakers_of
from planaria.membrane.calls.permits import CALLS
from planaria.membrane.calls.process import Calls
from planaria.membrane.errors import BadAddress, ProviderError
from planaria.membrane.models.changes import (
    SESSION,
    ProviderKeySet,
    ProviderReleased,
    ProviderRemoved,
    ProviderSet,
    keep_key,
    without,
)
from planaria.membrane.models.directory import NAME, ModelDirectory, load_stored
from planaria.membrane.models.editing import BadChange, change_of, check_name
from planaria.membrane.models.local_servers import probe
from planaria.membrane.models.models import Models
from planaria.membrane.models.router import ProviderUsage, Request, route
from planaria.membrane.models.sources import Sources
from planaria.membrane.provider import Message, ModelRequest, Usage, complete
from planaria.membrane.providers.bridge import KIND as BRIDGED
from planaria.membrane.wire.address import parse_address
from planaria.nerve.model_views import ProviderRow, RouteView, provider_row, provider_rows, route_view
from planaria.nerve.protocol import ControlError
from planaria.otp import node_, now, whereis

PATIENCE = 10.0
"""Seconds a change may take to be read by the directory."""
SHORT_ANSWER = 16
"""Tokens a model may answer when it is only tried."""
TRIED_WITH = "Say the word: ready"


class Tried(msgspec.Struct, frozen=True):
    """How a provider answered.

    Attributes:
        error: why it did not work; empty if it did.
        ms: of the last request.
        offered: models the service names now.
        missing: models that are listed here and that it does not name.
        answer, usage, cost_micro: of the model that was asked.
    """

    name: str
    error: str
    ms: float
    offered: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    answer: str | None = None
    usage: Usage | None = None
    cost_micro: int | None = None


class Removed(msgspec.Struct, frozen=True):
    """What a removed provider is now; None: there is none of this name any more."""

    name: str
    left: ProviderRow | None


class Released(msgspec.Struct, frozen=True):
    """A provider that is asked again.

    Attributes:
        seconds: for which it would have been left alone; 0.0 if it was not.
        why: it was left alone.
        breakers: that were closed.
    """

    name: str
    seconds: float = 0.0
    why: str = ""
    breakers: tuple[str, ...] = ()


class ModelDesk:
    """The providers of one garden.

    Args:
        settings: of `planaria.toml`, for a garden whose node does not run.
        redactor: told of every key.
        usage: how much providers are used now.
    """

    def __init__(
        self,
        garden: Path,
        settings: ModelSettings,
        redactor: Redactor,
        usage: Callable[[], Mapping[str, ProviderUsage]] | None = None,
    ) -> None:
        self.garden = garden
        self.settings = settings
        self.redactor = redactor
        self.usage = usage

    async def rows(self) -> list[ProviderRow]:
        """All providers, in order of preference."""
        return provider_rows(await self._models())

    async def row(self, name: str) -> ProviderRow:
        """One provider."""
        return _row(await self._models(), name)

    async def set(self, name: str, words: Mapping[str, str], by: str, new: bool = False) -> ProviderRow:
        """Say something of a provider, or (`new`) add it; in force when this answers.

        Args:
            words: fields and values as a person writes them; see `change_of`.
        """
        models = await self._models()
        known = models.catalogue.provider(name)
        try:
            check_name(name)
            change = change_of(words)
        except BadChange as error:
            raise ControlError("bad_request", error.problem, error.mend) from error
        if new and known is not None:
            mend = f"change it with `planaria provider set {name} FIELD=VALUE`"
            raise ControlError("refused", f"there is a provider {name!r} already ({known.where})", mend)
        if not new and known is None and name not in models.catalogue.unkeyed:
            raise _no_provider(models, name)
        before = models.sources.stored.get(name, ProviderSettings())
        after = merged(without(before, change.unset), change.said)
        made = models.changed(stored={**models.sources.stored, name: after}).catalogue.provider(name)
        if made is not None and not made.base_url and not made.dialect.startswith(BRIDGED):
            raise ControlError("refused", f"{name} has no address", "write it: base_url=https://host/v1")
        await self._write(ProviderSet(name, change.said, change.unset, by))
        return await self.row(name)

    async def remove(self, name: str, by: str) -> Removed:
        """Forget what the database says of a provider, and its key."""
        models = await self._models()
        known = models.catalogue.provider(name)
        if known is None:
            raise _no_provider(models, name)
        if name not in models.sources.stored and name not in models.sources.keys:
            mend = f"it is gone when that is; `planaria provider disable {name}` switches it off"
            raise ControlError("refused", f"{name} is not in the database but from {known.where}", mend)
        if name in models.sources.keys:
            await self._keep(name, "", None, by)
        await self._write(ProviderRemoved(name, by))
        return Removed(name, provider_row(await self._models(), name))

    async def key(self, name: str, key: str | None, by: str) -> ProviderRow:
        """Keep a provider's key, sealed; None takes it away. In force when this answers."""
        if key is not None:
            self.redactor.learn(f"provider:{name}", key.strip())  # before anything can be written about it
        models = await self._models()
        known = models.catalogue.provider(name)
        address = models.address_of(name)
        if not address and (known is None or not known.dialect.startswith(BRIDGED)):
            raise _no_provider(models, name)
        try:
            origin = parse_address(address).origin if address else ""
        except BadAddress as error:
            raise ControlError("refused", str(error), "mend the address first") from error
        if key is None and name not in models.sources.keys:
            raise ControlError(
                "refused", f"{name} has no key in the database", "there is nothing to take away"
            )
        await self._keep(name, origin, None if key is None else Secret(key), by)
        models = await self._models()
        found = provider_row(models, name)
        if found is None:
            raise _no_provider(models, name)
        return found

    async def try_(self, name: str, ask: str | None = None) -> Tried:
        """Ask a provider what models it has, and perhaps one of them for a word, which costs."""
        models = await self._models()
        known = models.catalogue.provider(name)
        if known is None:
            raise _no_provider(models, name)
        begun = now()
        try:
            provider = models.provider(name)
            offered = tuple(model.id for model in await provider.models())
            there = {*offered, *(each.removeprefix("models/") for each in offered)}
            missing = tuple(model.id for model in known.models if there and model.id not in there)
            tried = Tried(name, "", _ms(begun), offered, missing)
            if ask is None:
                return tried
            begun = now()
            choice = models.resolve(f"{name}/{ask}")
            request = ModelRequest(choice.model, (Message("user", TRIED_WITH),), max_tokens=SHORT_ANSWER)
            answer = await complete(choice.provider, request)
        except ProviderError as error:
            return Tried(name, self.redactor.text(str(error)), _ms(begun))
        finally:
            if whereis(NAME) is None:
                models.close()  # nobody else will
        return msgspec.structs.replace(
            tried,
            ms=_ms(begun),
            answer=self.redactor.text(answer.text),
            usage=answer.usage,
            cost_micro=models.cost_micro(name, choice.model, answer.usage),
        )

    async def release(self, name: str, by: str) -> Released:
        """Have a provider asked again that asked for time, or that breakers hold back."""
        if whereis(CALLS) is None:
            raise ControlError("refused", "nothing is left alone while the node is stopped", "planaria up")
        await self.row(name)
        table = breakers_of(node_())
        mine = (f"provider:{name}", f"provider:{name}/")
        held = sorted(each for each in table.states() if each == mine[0] or each.startswith(mine[1]))
        seconds, why = await Calls.release(CALLS, name)
        for each in held:
            await Breakers.close(BREAKERS, each, by)
        if seconds or held:
            await self._write(ProviderReleased(name, round(seconds, 1), why, tuple(held), by))
        return Released(name, round(seconds, 1), why, tuple(held))

    async def route(self, request: Request, explain: bool = True) -> RouteView:
        """What a route would be now."""
        models = await self._models()
        breakers = breakers_of(node_()).states()
        usage: Mapping[str, ProviderUsage] = {} if self.usage is None else self.usage()
        found = route(request, models.catalogue, usage, breakers, models.preferences, explain)
        return route_view(request, found)

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _models(self) -> Models:
        if whereis(NAME) is not None:
            found: Models = await ModelDirectory.models.within(PATIENCE)(NAME)
            return found
        stored, keys = await load_stored(self._secrets())
        local = tuple(await probe(os.environ))
        return Models(Sources(self.settings, os.environ, local, stored, keys))

    def _secrets(self) -> Secrets:
        try:
            return Secrets(master_key(self.garden), self.redactor)
        except SealError as error:
            raise ControlError("unavailable", error.problem, error.mend) from error

    async def _keep(self, name: str, origin: str, key: Secret | None, by: str) -> None:
        try:
            await keep_key(self._secrets(), name, origin, key)
        except SecretTooShort as error:
            raise ControlError(
                "refused", str(error), "a service that wants no key needs none here"
            ) from error
        except JournalUnavailable as error:
            raise ControlError(
                "unavailable", f"the key was not kept: {error}", "nothing was changed"
            ) from error
        await self._write(ProviderKeySet(name, key is None, by))

    async def _write(self, event: EventType) -> None:
        try:
            await Journal.append("journal", [event.new(session=SESSION)])
        except (JournalUnavailable, EventRefused) as error:
            raise ControlError("unavailable", f"not written: {error}", "nothing was changed") from error


def _row(models: Models, name: str) -> ProviderRow:
    row = provider_row(models, name)
    if row is None:
        raise _no_provider(models, name)
    return row


def _no_provider(models: Models, name: str) -> ControlError:
    if name in models.catalogue.unkeyed:
        mend = f"set {models.catalogue.unkeyed[name]}"
        return ControlError("not_found", f"{name} is known and has no key", mend)
    names = ", ".join(each.name for each in models.catalogue.providers)
    mend = f"providers: {names}; add one with `planaria provider add {name} --url https://...`"
    return ControlError("not_found", f"no provider {name!r}", mend)


def _ms(begun: float) -> float:
    return round((now() - begun) * 1000, 1)
