"""`planaria journal check`, `backup`, `restore`: a sound database, and a copy of it for the day it is not."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.errors import NEGATIVE, NO_GARDEN, REFUSED, CliError
from planaria.cli.garden import garden_option, json_option
from planaria.cli.journal.door import lock_garden, need_stopped, open_door, run_alone, settings_of
from planaria.cli.journal.progress import progress
from planaria.config.lock import private_folder

COPIES = "erasing a person's data later does not reach copies made before"


@click.command()
@garden_option
@json_option
def check(garden: Path, as_json: bool) -> None:
    """Let the database look at its own structure; exit code 1 if it is damaged. Who tampered shows `verify`."""
    with open_door(garden) as door, output.working("checking the database"):
        found = door.ask("journal.check")
    if as_json:
        output.print_json(found)
    elif found["problems"]:
        for problem in found["problems"]:
            click.echo(f"{click.style('damaged', fg='red')} {output.clean(problem)}")
        click.echo("`planaria journal restore FILE` puts a backup in its place")
    else:
        click.echo(f"{click.style('sound', fg='green')}: {size(found['bytes'])}")
    if found["problems"]:
        raise SystemExit(NEGATIVE)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@garden_option
@json_option
def backup(file: Path, garden: Path, as_json: bool) -> None:
    """Write a consistent copy of the journal to a new FILE, while the node goes on.

    The key that opens what persons said, .planaria/journal.key, is not in the copy: keep a copy of it elsewhere.
    """
    with open_door(garden) as door, progress("copying the journal") as show:
        copied = door.ask("journal.backup", show, path=os.path.abspath(file))
    if as_json:
        output.print_json(copied)
        return
    click.echo(f"{output.clean(copied['path'])}: {size(copied['bytes'])}")
    click.echo(click.style(COPIES, dim=True))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--force", is_flag=True, help="Put aside a journal that has events, or take a backup whose chain breaks."
)
@garden_option
@json_option
def restore(file: Path, force: bool, garden: Path, as_json: bool) -> None:
    """Put the backup FILE in the journal's place; the node must be stopped. The old journal is kept beside it.

    A backup of a journal in a file can take the place of one in PostgreSQL, and the other way round.

    What the present journal knows to be erased is erased in the backup first.
    """
    from planaria.config.errors import SettingsError
    from planaria.cortex.errors import CortexError
    from planaria.cortex.stores.place import JournalPlace, master_key
    from planaria.cortex.stores.whole import LoadingStore
    from planaria.cortex.upkeep.restore import Restored, count_events, restore_database
    from planaria.cortex.upkeep.restore import restore as put_in_place
    from planaria.cortex.upkeep.sound_copy import events_in

    settings, backup_file, now = settings_of(garden), file.absolute(), time.time()
    need_stopped(garden, "a backup cannot take the journal's place")
    try:
        place = JournalPlace(settings.journal, garden, os.environ)
    except SettingsError as error:
        raise CliError(NO_GARDEN, str(error), code="settings") from error

    async def work(show: Callable[[Any], None]) -> Restored | int | None:
        if place.is_database:
            if not force and (events := await events_in(place())) != 0:
                return events
            store, key = place(), master_key(garden)
            assert isinstance(store, LoadingStore)
            return await restore_database(
                *(backup_file, store, private_folder(garden), place.holder, key, now),
                strict=not force,
                progress=lambda done, total: show({"done": done, "total": total}),
            )
        journal = settings.journal.file(garden)
        if not force and (events := await count_events(journal)) != 0:
            return events
        return await put_in_place(backup_file, journal, master_key(garden), now, strict=not force)

    with lock_garden(garden), progress("restoring") as show:
        try:
            done = run_alone(partial(work, show))
        except CortexError as error:
            what, mend = getattr(error, "problem", str(error)), getattr(error, "mend", "")
            raise CliError(REFUSED, what, mend, "refused") from error
    if not isinstance(done, Restored):
        holds = f"has {done} events" if done is not None else "cannot be read"
        mend = "with --force it is put aside, and kept"
        raise CliError(REFUSED, f"{place.shown} is there and {holds}", mend, "refused")
    if as_json:
        output.print_json(
            {
                "events": done.events,
                "erased": list(done.erased),
                "aside": done.aside,
                "erasures_unknown": done.erasures_unknown,
                "breaks": [broken.detail for broken in done.verdict.breaks],
            }
        )
        return
    click.echo(f"{click.style('restored', fg='green')}: {done.events} events from {file}")
    if done.aside is not None:
        kept = f"the schema {done.aside} of the database" if place.is_database else done.aside
        click.echo(f"the journal it replaced is {kept}")
    for subject in done.erased:
        click.echo(f"erased anew, as it was in the journal before: {output.clean(subject)}")
    if done.erasures_unknown:
        what = "what was erased since the backup is not known, as the journal before could not be read"
        click.echo(click.style(f"{what}: {output.clean(done.erasures_unknown)}", fg="yellow"), err=True)
        click.echo("erase it again with `planaria journal erase SUBJECT`", err=True)


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1_000_000:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.1f} MB" if count < 1_000_000_000 else f"{count / 1e9:.2f} GB"
