"""Changes to providers while the node runs: events of the session `config:providers`, and what they come to.

An event says what was changed, not what it came to, so two people who change different things do not undo each other.
Keys are never in one: they are among the garden's secrets (`cortex/secrets.py`), each under the origin it was given
for, so that it goes nowhere else.
"""

from typing import Any, ClassVar

import msgspec

from planaria.config.providers import ModelDetails, ProviderSettings, merged
from planaria.config.secret import Secret
from planaria.cortex.errors import SealError
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventType
from planaria.cortex.folded import Folded
from planaria.cortex.secrets import Secrets

SESSION = "config:providers"
PREFIX = "provider:"
"""What the names of secrets begin with that are keys of providers."""


class ProviderSet(EventType, frozen=True, omit_defaults=True):
    """Something is said of a provider.

    Attributes:
        change: what is said now; the rest is as it was.
        unset: fields that nothing is said of any more: `priority`, `limits.queue`, `about.NAME`, `about.NAME.tiers`.
        by: who did it.
    """

    kind = "provider.set"

    name: str
    change: ProviderSettings = ProviderSettings()
    unset: tuple[str, ...] = ()
    by: str = ""


class ProviderRemoved(EventType, frozen=True, omit_defaults=True):
    """Nothing is said of a provider any more; one that was found elsewhere is as it was found."""

    kind = "provider.removed"

    name: str
    by: str = ""


class ProviderKeySet(EventType, frozen=True, omit_defaults=True):
    """A provider got another key, or (`dropped`) none. The key is not here."""

    kind = "provider.key_set"

    name: str
    dropped: bool = False
    by: str = ""


class ProviderReleased(EventType, frozen=True, omit_defaults=True):
    """A provider that was left alone is asked again, since somebody said so.

    Attributes:
        seconds: for which it would have been left alone; `why` that was. Neither if only breakers held it back.
        breakers: that were closed with it.
    """

    kind = "provider.released"

    name: str
    seconds: float = 0.0
    why: str = ""
    breakers: tuple[str, ...] = ()
    by: str = ""


class StoredProviders(Folded):
    """What the database says of providers, by name; in the order in which they came."""

    version: ClassVar[int] = 1

    records: dict[str, ProviderSettings] = msgspec.field(default_factory=dict[str, ProviderSettings])

    def apply(self, event: Event) -> None:
        """Take one event in."""
        if event.state != "whole":
            return
        match event.kind:
            case ProviderSet.kind:
                said = ProviderSet.of(event)
                known = without(self.records.get(said.name, ProviderSettings()), said.unset)
                self.records[said.name] = merged(known, said.change)
            case ProviderRemoved.kind:
                self.records.pop(ProviderRemoved.of(event).name, None)
            case _:
                pass

    def size(self) -> int:
        """How many providers it speaks of."""
        return len(self.records)


class GivenKey(msgspec.Struct, frozen=True):
    """A key as the database has it.

    Args:
        key: None if it cannot be used.
        origin: where it may be sent: `https://api.openai.com`.
        problem: why it cannot be used.
    """

    key: Secret | None = None
    origin: str = ""
    problem: str = ""


def secret_name(provider: str, origin: str) -> str:
    """The name a provider's key is kept under; sealed with it, so that neither can be exchanged."""
    return f"{PREFIX}{provider}@{origin}"


async def given_keys(secrets: Secrets) -> dict[str, GivenKey]:
    """The keys the database has, by provider.

    Raises:
        JournalUnavailable, CallError: they cannot be read now.
    """
    found: dict[str, GivenKey] = {}
    for name in await secrets.names(PREFIX):
        provider, _, origin = name.removeprefix(PREFIX).partition("@")
        try:
            found[provider] = GivenKey(await secrets.get(name), origin)
        except SealError as error:
            found[provider] = GivenKey(
                None, origin, f"its key cannot be opened: {error.problem}; {error.mend}"
            )
    return found


async def keep_key(secrets: Secrets, provider: str, origin: str, key: Secret | None) -> None:
    """Keep a provider's key in place of any other; None lets it go. Raises as `Secrets.put`."""
    name = secret_name(provider, origin)
    if key is not None:
        await secrets.put(name, key)
    for other in await secrets.names(f"{PREFIX}{provider}@"):
        if key is None or other != name:
            await secrets.drop(other)


def without(settings: ProviderSettings, fields: tuple[str, ...]) -> ProviderSettings:
    """The same with nothing said of these fields; those that nothing was said of change nothing."""
    plain: dict[str, Any] = msgspec.to_builtins(settings)
    for path in fields:
        place: Any = plain
        steps = split_path(path)
        for step in steps[:-1]:
            place = place.get(step, {})
        place.pop(steps[-1], None)
    return msgspec.convert(plain, ProviderSettings)


def split_path(path: str) -> list[str]:
    """`about.gpt-4.1.tiers` in steps: between `about.` and a field of a model its name may have dots of its own."""
    first, dot, rest = path.partition(".")
    if first != "about" or not dot:
        return path.split(".")
    name, dot, last = rest.rpartition(".")
    return [first, name, last] if dot and last in DETAILS else [first, rest]


DETAILS = frozenset(ModelDetails.__struct_fields__)
"""The fields that may be said of one model."""
