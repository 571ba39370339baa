"""What the journal does at its store besides committing, each in a task of its own: the journal itself never waits.

A task answers for itself, with a value: what was found, or that the store cannot be used now.
"""

from typing import Any

import msgspec

from planaria.cortex.chronicle_events import JournalErased
from planaria.cortex.codec.commit import Unavailable
from planaria.cortex.codec.keyring import Keyring
from planaria.cortex.codec.reading import events_from
from planaria.cortex.codec.snapshots import open_snapshot, seal_snapshot
from planaria.cortex.errors import SealError, StoreDamaged, StoreError, StoreFailed
from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.cortex.store import EventStore
from planaria.cortex.telemetry.span import spanned
from planaria.otp import Deferred, Pid, send

ASKED = frozenset(
    {
        *("read", "contents", "sessions", "save_snapshot", "load_snapshot", "subject_keys", "erasures"),
        *("secrets", "put_secret"),
        *("acquire_lease", "renew_lease", "release_lease", "lease"),
        *("destroy_subject_keys", "strip", "sweep_contents", "check", "backup", "size"),
    }
)
"""The methods of a store that `ask_store` knows."""


class Found(msgspec.Struct, frozen=True):
    """What was asked of the store, or read from it."""

    value: Any


class Hurt(msgspec.Struct, frozen=True):
    """To the journal: a read met damage."""

    problem: str
    mend: str


async def read_others(store: EventStore, keyring: Keyring, query: Query) -> list[Event]:
    """Committed events, for the follower: others may have written them."""
    try:
        events = await events_from(store, keyring, await store.read(query))
    except SealError as error:
        raise StoreFailed(error.problem, error.mend) from error
    for event in events:
        if event.kind == JournalErased.kind and event.state == "whole":
            keyring.forget(JournalErased.of(event).subject)  # another node has destroyed them
    return events


async def open_store(store: EventStore, keyring: Keyring) -> int | StoreError | SealError:
    """Open the store and see that it can be used: the last place in it, or why it cannot."""
    try:
        await store.open()
        await keyring.check()
        newest = await store.read(Query(limit=1, newest_first=True, as_found=True))
    except (StoreError, SealError) as error:
        await store.close()
        return error
    return newest[0].seq if newest else 0


@spanned("journal.read")
async def answer_query(
    store: EventStore,
    keyring: Keyring,
    query: Query | str,
    answer: Deferred[Found | Unavailable],
    journal: Pid,
    settled: bool,
) -> None:
    """One read. Damage is told to the journal; once the node is up it is waited for."""
    try:
        if isinstance(query, str):
            row = await store.find(query)
            answer.reply(Found(await events_from(store, keyring, [] if row is None else [row])))
        else:
            rows = await store.read(query)
            answer.reply(Found(await events_from(store, keyring, rows, contents=query.contents)))
    except StoreDamaged as error:
        send(journal, Hurt(error.problem, error.mend))
        answer.reply(Unavailable(error.problem, error.mend, settled))
    except StoreError as error:
        answer.reply(Unavailable(error.problem, error.mend, error.retry))
    except SealError as error:
        answer.reply(Unavailable(error.problem, error.mend, False))


async def ask_store(
    store: EventStore,
    keyring: Keyring,
    what: str,
    arguments: tuple[Any, ...],
    answer: Deferred[Found | Unavailable],
) -> None:
    """One method of the store."""
    try:
        if what == "save_snapshot":
            arguments = (await seal_snapshot(keyring, *arguments),)
        value = await getattr(store, what)(*arguments)
        if what == "load_snapshot" and value is not None:
            value = await open_snapshot(keyring, value)
        answer.reply(Found(value))
    except StoreError as error:
        answer.reply(Unavailable(error.problem, error.mend, error.retry))
    except SealError as error:
        answer.reply(Unavailable(error.problem, error.mend, False))
    finally:
        if what == "destroy_subject_keys":
            keyring.forget(*arguments)  # also after a fault: they may be destroyed all the same
