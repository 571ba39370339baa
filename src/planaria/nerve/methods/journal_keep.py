"""Methods that look after the journal: show, sessions, verify, check, backup, pages for export, prune, erase.

Each works on whatever journal is registered as `journal`: the running node's, or one opened for a single command.
"""

from pathlib import Path

import msgspec

from planaria.cortex.chronicle_events import SESSION, JournalErased
from planaria.cortex.codec.seal import generation_of, is_sealed
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.store import SessionRow, Stored
from planaria.cortex.stores.sqlite.backup_file import remove_file
from planaria.cortex.upkeep.pruner import ClassTotal, prune
from planaria.cortex.upkeep.retention import policy_of
from planaria.cortex.upkeep.verify import Head, Verdict, verify
from planaria.nerve.methods.method import Channel, Nothing, Services
from planaria.nerve.protocol import ControlError
from planaria.nerve.restart import restart
from planaria.otp import Task, TaskDone, receive, run_blocking, wall_time, whereis

JOURNAL = "journal"
PAGE_BYTES = 4 << 20
"""Bytes of events in one page, unless a single one is larger."""
MOST_ROWS = 500
LOOK = 0.5
"""Seconds between two words about a backup."""
LIFE = "life"
"""The supervisor of all that holds in memory what was said."""


class WhichEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event, by its place or its id."""

    event: str


class Sessions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sessions that begin so, the latest of them."""

    prefix: str = ""
    limit: int = 100


class SessionView(msgspec.Struct, frozen=True):
    """One session; `head` is the digest its chain ends with, in hexadecimal."""

    name: str
    events: int
    first_seq: int
    last_seq: int
    last_at: float
    head: str


class Verifying(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One session or all, and the heads seen earlier."""

    session: str | None = None
    heads: dict[str, Head] = {}


class Progress(msgspec.Struct, frozen=True):
    """How far it is: `done` of `total`."""

    done: int
    total: int


class Checked(msgspec.Struct, frozen=True):
    """What is wrong with the database itself; nothing if it is sound."""

    problems: list[str]
    bytes: int


class Copying(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to; an absolute path of a file that is not there yet."""

    path: str


class Copied(msgspec.Struct, frozen=True):
    """A backup was written."""

    path: str
    bytes: int


class Paging(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events after a place, of these sessions (none: of all), accepted within these times (unix seconds)."""

    after_seq: int = 0
    sessions: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None


class Page(msgspec.Struct, frozen=True):
    """Some of the events; the next page begins after `after_seq`, unless this is the last."""

    events: list[Event]
    after_seq: int
    over: bool
    total: int


class Pruning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether to do it, or only to look."""

    dry: bool = True


class ClassView(msgspec.Struct, frozen=True):
    """A class of events: how long it is kept, and what of it goes."""

    name: str
    age: str
    events: int
    bytes: int
    first_at: float
    last_at: float


class PruneView(msgspec.Struct, frozen=True):
    """What went, or would; see `cortex/upkeep/pruner.py`."""

    dry: bool
    classes: list[ClassView]
    events: int
    kept: int
    contents: int
    freed: int


class Erasing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose data; with `dry` it is only counted."""

    subject: str
    dry: bool = True


class Erased(msgspec.Struct, frozen=True):
    """What of a subject cannot be read any more, or would not be: `keys` that are destroyed, `sealed` events.

    Attributes:
        plain: events from before there were keys, which no key erases; pruned ones do not count.
    """

    subject: str
    dry: bool
    events: int
    sealed: int
    plain: int
    keys: int
    erased_before: int


async def show(params: WhichEvent, services: Services, channel: Channel) -> Event:
    """One event in full."""
    try:
        if params.event.isdecimal():
            seq = int(params.event)
            found = await Journal.read(JOURNAL, Query(after_seq=seq - 1, before_seq=seq + 1))
            event = found[0] if found else None
        else:
            event = await Journal.find(JOURNAL, params.event)
    except JournalUnavailable as error:
        raise unavailable(error) from error
    if event is None:
        mend = "`planaria journal tail` shows the latest with their places"
        raise ControlError("not_found", f"no event {params.event!r}", mend)
    return event


async def sessions(params: Sessions, services: Services, channel: Channel) -> list[SessionView]:
    """The sessions, the one with the latest event first."""
    try:
        rows = await Journal.sessions(JOURNAL, params.prefix, max(1, params.limit))
    except JournalUnavailable as error:
        raise unavailable(error) from error
    return [
        SessionView(row.name, row.events, row.first_seq, row.last_seq, row.last_at, row.digest.hex())
        for row in rows
    ]


class _Chains:
    """The journal as what `verify` walks."""

    async def read(self, query: Query) -> list[Stored]:
        return await Journal.stored(JOURNAL, query)

    async def sessions(self, prefix: str = "", limit: int | None = None) -> list[SessionRow]:
        return await Journal.sessions(JOURNAL, prefix, limit, within=30.0)


async def _fault(query: Query) -> str | None:
    """What hinders reading these events."""
    try:
        await Journal.read(JOURNAL, query, within=30.0)
    except JournalUnavailable as error:
        return error.cause
    return None


async def check_chains(params: Verifying, services: Services, channel: Channel) -> Verdict:
    """Walk the chains; progress comes as events."""
    try:
        last = (await Journal.status(JOURNAL)).last_seq
        verdict = await verify(
            _Chains(),
            params.session,
            params.heads,
            lambda events, seq: channel.send(Progress(seq, max(last, seq))),
            _fault,
        )
    except JournalUnavailable as error:
        raise unavailable(error) from error
    if params.session is not None and not verdict.events and not verdict.breaks:
        raise ControlError(
            "not_found", f"no session {params.session!r}", "`planaria journal sessions` lists them"
        )
    return verdict


async def check(params: Nothing, services: Services, channel: Channel) -> Checked:
    """Let the database look at its own structure."""
    try:
        return Checked(await Journal.check(JOURNAL), await Journal.size(JOURNAL))
    except JournalUnavailable as error:
        raise unavailable(error) from error


async def backup(params: Copying, services: Services, channel: Channel) -> Copied:
    """Write a consistent copy while work goes on; how far it is comes as events."""
    path = Path(params.path)
    if not path.is_absolute():
        raise ControlError("bad_request", f"{params.path!r} is no absolute path", "name the whole path")
    part = path.with_name(f"{path.name}.part")
    if await run_blocking(_is_there, path, part):
        raise ControlError("refused", f"{path} is there already", "name a new file: no backup is overwritten")
    try:
        failure = await _copied(part, channel)
        if failure is not None:
            raise unavailable(failure)
        return Copied(str(path), await run_blocking(_bytes_of, await run_blocking(part.rename, path)))
    finally:
        remove_file(part)  # whoever asked has gone: nobody would take the copy


async def _copied(part: Path, channel: Channel) -> JournalUnavailable | None:
    """Write the copy, and say how far it is; why it could not be written."""
    task = Task.start_link(_copy, part, label="journal backup")
    total = 0
    while True:
        try:
            done = await receive(TaskDone, timeout=LOOK)
        except TimeoutError:
            total = total or await Journal.size(JOURNAL)
            written = await run_blocking(_bytes_of, part)
            channel.send(Progress(written, max(total, written)))
            continue
        if done.ref is task:
            value: JournalUnavailable | None = done.value
            return value


def _is_there(path: Path, part: Path) -> bool:
    """Whether the file is there; what an interrupted backup left is taken away."""
    remove_file(part)
    return path.exists()


def _bytes_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def _copy(part: Path) -> JournalUnavailable | None:
    try:
        await Journal.backup(JOURNAL, part)
    except JournalUnavailable as error:
        return error
    return None


async def page(params: Paging, services: Services, channel: Channel) -> Page:
    """The next events for whoever writes them elsewhere, whole and in plain."""
    single = params.sessions[0] if len(params.sessions) == 1 else None
    query = Query(session=single, after_seq=params.after_seq, before_at=params.until, limit=MOST_ROWS)
    try:
        total = (await Journal.status(JOURNAL)).last_seq
        found = await Journal.read(JOURNAL, query, within=30.0)
    except JournalUnavailable as error:
        raise unavailable(error) from error
    events: list[Event] = []
    size, after = 0, params.after_seq
    for event in found:
        wanted = not params.sessions or event.session in params.sessions
        if wanted and (params.since is None or event.at >= params.since):
            size += len(msgspec.json.encode(event))
            if events and size > PAGE_BYTES:
                return Page(events, after, False, total)
            events.append(event)
        after = event.seq
    return Page(events, after, len(found) < MOST_ROWS, total)


async def prune_now(params: Pruning, services: Services, channel: Channel) -> PruneView:
    """Apply retention, or show what it would do; the number of events so far comes as events."""
    settings = services.settings.journal.retention
    policy = policy_of(settings)
    try:
        found = await prune(
            JOURNAL,
            policy,
            wall_time(),
            dry=params.dry,
            rest=0.0 if params.dry else 0.02,
            progress=lambda events: channel.send(Progress(events, 0)),
        )
    except JournalUnavailable as error:
        raise unavailable(error) from error
    classes = []
    for name, age in msgspec.structs.asdict(settings).items():
        total = found.classes.get(name, ClassTotal())
        classes.append(ClassView(name, age, total.events, total.bytes, total.first_at, total.last_at))
    return PruneView(params.dry, classes, found.events, found.kept, found.contents, found.freed)


async def erase(params: Erasing, services: Services, channel: Channel) -> Erased:
    """Destroy the keys of a subject, or count what that would take; how far the count is comes as events."""
    try:
        keys = await Journal.subject_keys(JOURNAL, params.subject)
        live = sum(key.wrapped is not None for key in keys)
        generations = {key.generation for key in keys if key.wrapped is not None}
        events, sealed, plain = await _count(params.subject, generations, channel)
        if not params.dry and keys:  # also if they were destroyed: an erasure that was broken off is ended
            await Journal.erase(JOURNAL, params.subject)
        if not params.dry and live:
            note = JournalErased(params.subject, live, sealed)
            await Journal.append(JOURNAL, [note.new(session=SESSION)])
    except JournalUnavailable as error:
        raise unavailable(error) from error
    if not events and not keys:
        mend = "a person is written person:NAME, with the name they post under"
        raise ControlError("not_found", f"nothing of {params.subject!r} is in the journal", mend)
    # Rooms, sessions and runs hold it in memory still: built anew from the journal, they do not.
    if not params.dry and live and (life := whereis(LIFE)) is not None:
        await restart(life)
    return Erased(params.subject, params.dry, events, sealed, plain, live, len(keys) - live)


async def _count(subject: str, generations: set[int], channel: Channel) -> tuple[int, int, int]:
    """Events of a subject; how many of them are sealed with one of these keys; how many are in plain."""
    events = sealed = plain = after = 0
    last = (await Journal.status(JOURNAL)).last_seq
    # As kept: damage elsewhere must not keep anybody from being erased.
    while page := await Journal.stored(JOURNAL, Query(after_seq=after, limit=MOST_ROWS, as_found=True)):
        for event in page:
            if event.subject == subject:
                events += 1
                if not event.stripped and is_sealed(event.payload):
                    sealed += generation_of(event.payload) in generations
                elif not event.stripped:
                    plain += 1
        after = page[-1].seq
        channel.send(Progress(after, max(last, after)))
    return events, sealed, plain


def unavailable(error: JournalUnavailable) -> ControlError:
    """The journal cannot be used now, in its own words."""
    return ControlError("unavailable", error.cause, error.mend)
