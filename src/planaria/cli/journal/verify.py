"""`planaria journal verify`: has anybody tampered with it?"""

from pathlib import Path
from typing import Any

import click
import msgspec

from planaria.cli import output
from planaria.cli.errors import NEGATIVE, REFUSED, CliError
from planaria.cli.garden import garden_option, json_option
from planaria.cli.journal.door import open_door
from planaria.cli.journal.progress import progress

WORDS = {
    "changed": "was changed",
    "removed": "comes after events that were removed",
    "inserted": "was put in",
    "reordered": "was moved",
    "cut": "is where the end was cut off",
    "rewritten": "was written anew",
    "unreadable": "cannot be read as it was written",
    "miscounted": "is not the end that the list of sessions has",
}


class Heads(msgspec.Struct, forbid_unknown_fields=True):
    """The file of `--head`."""

    heads: dict[str, dict[str, Any]]
    planaria_heads: int = 1


@click.command()
@click.argument("session", required=False)
@click.option(
    "--head",
    "head_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Compare with the heads in this file, then write the present ones into it. Keep it on another machine.",
)
@garden_option
@json_option
def verify(session: str | None, head_file: Path | None, garden: Path, as_json: bool) -> None:
    """Walk the hash chain of SESSION, or of all, and name the first place where it breaks. Exit code 1 if one does.

    A chain shows what was changed, removed, put in or moved. A journal whose end was cut off with its last digests, or
    written anew as a whole, shows only against heads remembered elsewhere: use --head.
    """
    remembered = _read(head_file) if head_file is not None and head_file.exists() else {}
    with open_door(garden) as door, progress("walking the chains") as show:
        verdict = door.ask("journal.verify", show, session=session, heads=remembered)
    if head_file is not None and not verdict["breaks"]:
        _write(head_file, remembered | verdict["heads"])
    if as_json:
        output.print_json(verdict)
    else:
        _print(verdict, head_file, bool(remembered))
    if verdict["breaks"]:
        raise SystemExit(NEGATIVE)


def _print(verdict: dict[str, Any], head_file: Path | None, compared: bool) -> None:
    for found in verdict["breaks"]:
        if found["session"]:
            what = (
                f"event {found['id']} at {found['seq']} {WORDS[found['what']]}" if found["id"] else "is gone"
            )
            click.echo(
                f"{click.style(output.clean(found['session']), fg='red', bold=True)}: {output.clean(what)}"
            )
        else:
            click.echo(click.style("events were removed", fg="red", bold=True))
        click.echo(f"  {output.clean(found['detail'])}")
    counted = f"{verdict['events']} events in {verdict['sessions']} sessions"
    if verdict["breaks"]:
        mend = "`planaria journal restore FILE` puts a backup in its place"
        click.echo(f"{counted}; {len(verdict['breaks'])} breaks. {mend}")
        return
    click.echo(
        f"{click.style('whole', fg='green')}: {counted}, {verdict['stripped']} of them without their payload"
    )
    if head_file is None:
        click.echo("an end that was cut off shows only against remembered heads: --head FILE")
    else:
        click.echo(f"{'compared with, and' if compared else 'heads'} written to {head_file}")


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Heads).heads
    except (OSError, msgspec.DecodeError) as error:
        mend = "name the file an earlier `planaria journal verify --head` wrote, or a new one"
        raise CliError(REFUSED, f"{file} holds no heads: {error}", mend, "bad_file") from error


def _write(file: Path, heads: dict[str, dict[str, Any]]) -> None:
    part = file.with_name(f"{file.name}.part")
    try:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(Heads(dict(sorted(heads.items()))))))
        part.rename(file)
    except OSError as error:
        raise CliError(REFUSED, f"{file} cannot be written: {error.strerror}", "name another file") from error
