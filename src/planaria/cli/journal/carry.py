"""`planaria journal export` and `import`: the journal as text, one event a line."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import click

from planaria.cli import output
from planaria.cli.errors import NEGATIVE, NO_GARDEN, REFUSED, CliError
from planaria.cli.garden import garden_option, json_option
from planaria.cli.journal.door import (
    lock_garden,
    need_stopped,
    open_door,
    run_alone,
    settings_of,
)
from planaria.cli.journal.keep import COPIES
from planaria.cli.journal.progress import progress
from planaria.config.errors import SettingsError


class Moment(click.ParamType[float]):
    """A day or a time, such as 2026-11-21 or 2026-11-21T08:00; here, unless it names its zone. Gives unix seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Unix seconds."""
        try:
            return datetime.fromisoformat(str(value)).astimezone(UTC).timestamp()
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-11-21 or 2026-11-21T08:00", param, ctx)


@click.command()
@click.argument("places", nargs=-1, metavar="[SESSION]... FILE|-")
@click.option("--since", type=Moment(), help="Only events accepted at this time or later.")
@click.option("--until", type=Moment(), help="Only events accepted before this time.")
@garden_option
@json_option
def export(
    places: tuple[str, ...], since: float | None, until: float | None, garden: Path, as_json: bool
) -> None:
    """Write events as JSONL to a new FILE, or with - to standard output: all of them, or those of each SESSION.

    What persons said is in it in plain: whoever has the file can read it, and erasing does not reach it.
    """
    if not places:
        raise click.UsageError("name a file, or - for standard output")
    *sessions, target = places
    file: IO[bytes]
    if target == "-":
        file, part = sys.stdout.buffer, None
    else:
        if Path(target).exists():
            raise CliError(REFUSED, f"{target} is there already", "name a new file", "refused")
        part = Path(f"{target}.part")
        file = _open(part)
    try:
        count = _write(file, garden, sessions, since, until)
        file.flush()
    except BaseException:
        if part is not None:
            part.unlink(missing_ok=True)
        raise
    finally:
        if part is not None:
            file.close()
    if part is not None:
        part.rename(target)
    if as_json and part is not None:
        output.print_json({"file": target, "events": count})
    elif part is not None:
        click.echo(f"{output.clean(target)}: {count} events")
        click.echo(click.style(f"in plain; {COPIES}", dim=True))


def _open(part: Path) -> IO[bytes]:
    try:
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        return part.open("wb")
    except OSError as error:
        raise CliError(REFUSED, f"{part} cannot be written: {error.strerror}", "name another file") from error


def _write(
    file: IO[bytes], garden: Path, sessions: list[str], since: float | None, until: float | None
) -> int:
    import msgspec

    from planaria.cortex.upkeep.portable import ending, heading

    count = after = 0
    over = False
    try:
        file.write(heading(settings_of(garden).node.name, time.time()))
        with open_door(garden) as door, progress("exporting") as show:
            while not over:
                page = door.ask("journal.page", after_seq=after, sessions=sessions, since=since, until=until)
                for event in page["events"]:
                    file.write(msgspec.json.encode(event) + b"\n")
                count += len(page["events"])
                after, over = page["after_seq"], page["over"]
                show({"done": after, "total": page["total"]})
        file.write(ending(count))
    except OSError as error:
        raise CliError(
            REFUSED, f"the export cannot be written: {error.strerror}", "see that there is room"
        ) from error
    return count


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@garden_option
@json_option
def import_(file: Path, garden: Path, as_json: bool) -> None:
    """Add the events of FILE, as `export` wrote it, to the journal; the node must be stopped.

    Ids, times, traces and the order stay; what is there already is left alone, so a second time adds nothing. The whole
    file is checked first; the first line that does not fit is named, and nothing is added. Persons who were erased here
    stay erased. Broken off, it has added nothing; in a PostgreSQL database it goes on when it is done again.
    """
    import os
    from collections.abc import AsyncGenerator
    from contextlib import asynccontextmanager
    from importlib import import_module

    from planaria.cortex.codec.keyring import Keyring
    from planaria.cortex.errors import CortexError
    from planaria.cortex.redact import Redactor
    from planaria.cortex.store import EventStore
    from planaria.cortex.stores.place import JournalPlace, master_key
    from planaria.cortex.stores.sqlite.store import SqliteStore
    from planaria.cortex.upkeep.adoption import Adopted, adopt
    from planaria.cortex.upkeep.portable import Unfit, read_events
    from planaria.cortex.upkeep.restore import rewritten

    import_module(
        "planaria.node"
    )  # every kind of event: some name places in the journal, which are others here
    need_stopped(garden, "events cannot be added to the past")
    settings = settings_of(garden)
    redactor = Redactor(os.environ, settings.secret_variables())
    try:
        place = JournalPlace(settings.journal, garden, os.environ)
    except SettingsError as error:
        raise CliError(NO_GARDEN, str(error), code="settings") from error

    @asynccontextmanager
    async def journal() -> AsyncGenerator[EventStore]:
        if place.is_database:
            yield place()
            return
        async with rewritten(settings.journal.file(garden)) as copy:
            yield SqliteStore(copy)

    async def work() -> Adopted:
        with file.open("rb") as lines:
            for _ in read_events(str(file), lines):
                pass
        async with journal() as store:
            await store.open()
            try:
                with file.open("rb") as lines:
                    keyring = Keyring(store, master_key(garden))
                    await keyring.check()
                    return await adopt(store, keyring, redactor, str(file), read_events(str(file), lines))
            finally:
                await store.close()

    with lock_garden(garden), output.working("importing"):
        try:
            done = run_alone(work)
        except Unfit as error:
            raise CliError(
                NEGATIVE, f"{error.file}:{error.line}: {error.problem}", error.mend, "unfit"
            ) from error
        except OSError as error:
            raise CliError(REFUSED, f"{file} cannot be read: {error.strerror}", "name another") from error
        except CortexError as error:
            what, mend = getattr(error, "problem", str(error)), getattr(error, "mend", "")
            raise CliError(REFUSED, what, mend, "refused") from error
    if as_json:
        output.print_json({"added": done.added, "present": done.present, "withheld": done.withheld})
        return
    click.echo(f"{done.added} events added, {done.present} were there already")
    if done.withheld:
        click.echo(f"{done.withheld} came without their content: whose they are was erased here")
