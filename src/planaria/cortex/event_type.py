"""Typed events: each kind of event is a frozen class with a version, and can read what its older versions wrote.

    class TurnStarted(EventType, frozen=True):
        kind = "turn.started"
        message: str
        author: str

    await Journal.append("journal", [TurnStarted(id, "ada").new(session="session:scout@garden")])
    started = TurnStarted.of(event)

The class is the contract of its payload: a field that is renamed, added without a default or changed in meaning
makes a new `version`, and `upcast` brings older payloads up, one version at a time. Fields that are unknown are
ignored, so an older program can read what a newer one added with a default.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import msgspec

from planaria.cortex.event import Event, NewEvent


class EventMismatch(ValueError):
    """An event cannot be read as the type its kind names; the text says which event and what is wrong with it."""


class EventType(msgspec.Struct, frozen=True):
    """The payload of one kind of event. Subclass it, frozen, and give it a `kind`.

    Attributes:
        kind: `subject.verb`, unique in the program.
        version: of the payload's shape, from 1.
    """

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        kind = cls.__dict__.get("kind", "")
        if not kind:
            return
        known = _types.get(kind)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(
                f"the kind {kind!r} is {known.__qualname__}'s and cannot be {cls.__qualname__}'s too"
            )
        _types[kind] = cls  # a module loaded anew replaces its own

    @classmethod
    def upcast(cls, version: int, payload: dict[str, Any]) -> dict[str, Any]:
        """A payload of `version` (below the class's own) in the shape of the next one. Override it with a new version.

        Raises:
            EventMismatch: this version is not known.
        """
        raise EventMismatch(f"{cls.kind} has no way up from version {version}")

    @classmethod
    def moved(cls, payload: dict[str, Any], place: Callable[[int], int]) -> dict[str, Any]:
        """The payload for another journal, where events have other places. Override it if it names places (`seq`).

        Args:
            payload: of any version; it is not changed.
            place: where the other journal has what this one has up to a place; 0 if it has nothing of that.
        """
        return payload

    @classmethod
    def of(cls, event: Event) -> Self:
        """Read an event of this kind, whatever version wrote it.

        Raises:
            EventMismatch: another kind, a payload that does not fit, one that was erased or pruned, or a later
                version that this program does not know.
        """
        if event.kind != cls.kind:
            raise EventMismatch(f"event {event.id} is a {event.kind}, not a {cls.kind}")
        if event.state != "whole":
            raise EventMismatch(f"event {event.id} ({event.kind}) was {event.state}: its content is gone")
        if event.version > cls.version:
            raise EventMismatch(
                f"event {event.id} ({event.kind}) has version {event.version}, this program knows {cls.version}"
            )
        payload = event.payload
        for version in range(event.version, cls.version):
            payload = cls.upcast(version, payload)
        try:
            return msgspec.convert(payload, cls, strict=False)
        except msgspec.ValidationError as error:
            raise EventMismatch(f"event {event.id} ({event.kind}) does not fit: {error}") from error

    def new(
        self,
        *,
        session: str = "",
        trace_id: str = "",
        cause_id: str | None = None,
        id: str = "",
        process: str = "",
        subject: str = "",
    ) -> NewEvent:
        """This as an event to append; see `NewEvent` for the arguments. With `omit_defaults` these are left out."""
        omits = self.__struct_config__.omit_defaults
        return NewEvent(
            self.kind,
            msgspec.to_builtins(self) if omits else msgspec.structs.asdict(self),
            session=session,
            process=process,
            trace_id=trace_id,
            cause_id=cause_id,
            id=id,
            version=self.version,
            subject=subject,
        )


def with_place(payload: dict[str, Any], name: str, place: Callable[[int], int]) -> dict[str, Any]:
    """The payload with the place of this name moved, for `EventType.moved`; as it is if there is none."""
    known = payload.get(name)
    return {**payload, name: place(known)} if isinstance(known, int) and known else payload


def event_types() -> dict[str, type[EventType]]:
    """All kinds of events the imported modules know, by name."""
    return dict(sorted(_types.items()))


_types: dict[str, type[EventType]] = {}
