"""`planaria journal prune`, `erase`, `compact`: letting go of what was kept."""

from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.errors import REFUSED, CliError
from planaria.cli.garden import garden_option, json_option
from planaria.cli.journal.door import journal_file, lock_garden, need_stopped, open_door
from planaria.cli.journal.keep import size
from planaria.cli.journal.look import when
from planaria.cli.journal.progress import progress


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Do it; else it is only shown what would go.")
@garden_option
@json_option
def prune(yes: bool, garden: Path, as_json: bool) -> None:
    """Apply the retention of planaria.toml now. Without --yes: show what would go.

    Events stay with their place, kind and time; their contents go, and the chain holds. A running node does this each
    day by itself.
    """
    with open_door(garden) as door, progress("looking for what may go") as show:
        found = door.ask("journal.prune", show, dry=not yes)
    if as_json:
        output.print_json(found)
        return
    rows = [_row(each) for each in found["classes"]]
    output.print_table(("class", "kept for", "events", "size", "from", "to"), rows)
    went = "lost their content" if yes else "would lose their content"
    click.echo(f"\n{found['events']} events {went}; {found['kept']} are old enough and still needed")
    if yes and found["events"]:
        click.echo(f"{found['contents']} long texts deleted, {size(found['freed'])} freed")
    if all(each["age"] == "forever" for each in found["classes"]):
        click.echo(
            'everything is kept for ever; [journal.retention] in planaria.toml says otherwise: tools = "90d"'
        )
    elif not yes and found["events"]:
        click.echo("nothing was changed; --yes does it")


def _row(each: dict[str, Any]) -> list[object]:
    first, last = (when(each[name])[:10] if each[name] else "" for name in ("first_at", "last_at"))
    return [
        each["name"],
        each["age"],
        each["events"],
        size(each["bytes"]) if each["bytes"] else "",
        first,
        last,
    ]


@click.command()
@click.argument("subject")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@garden_option
@json_option
def erase(subject: str, yes: bool, garden: Path, as_json: bool) -> None:
    """Make all that belongs to SUBJECT unreadable for ever, such as person:ada. Its key is destroyed.

    The events stay, empty, and the chains hold. Exports and backups made before still have it, and so have notes and
    other files of the garden.
    """
    with open_door(garden) as door:
        if not yes:
            with progress("counting") as show:
                found = door.ask("journal.erase", show, subject=subject, dry=True)
            readable = found["sealed"] + found["plain"]
            what = f"{readable} of {found['events']} events of {output.clean(subject)} can be read"
            click.confirm(f"{what}. Destroy its key? This cannot be undone", abort=True, err=True)
        with progress("erasing") as show:
            found = door.ask("journal.erase", show, subject=subject, dry=False)
    if as_json:
        output.print_json(found)
        return
    if not found["keys"]:
        had = (
            f"its key was destroyed before ({found['erased_before']} keys)"
            if found["erased_before"]
            else "no key"
        )
        click.echo(f"nothing to erase: {output.clean(subject)} has {had}")
    else:
        what = f"{found['sealed']} events of {output.clean(subject)} cannot be read any more"
        click.echo(f"{click.style('erased', fg='green')}: {what}")
        click.echo(
            "exports and backups made before still have them, and so have notes and files; the chains hold"
        )
    if found["plain"]:
        mend = f"{found['plain']} events of it are not sealed, as they are from before sealing; prune them"
        raise CliError(REFUSED, "not everything can be erased", mend, "refused")


@click.command()
@garden_option
@json_option
def compact(garden: Path, as_json: bool) -> None:
    """Write the journal's file anew without the room that pruning left; the node must be stopped.

    Needs as much free as the journal takes. A running node uses that room again by itself.
    """
    from planaria.cortex.errors import StoreError
    from planaria.cortex.upkeep.restore import compact as make_smaller

    journal = journal_file(garden)
    need_stopped(garden, "the journal's file cannot be written anew")
    if not journal.exists():
        raise CliError(REFUSED, f"there is no {journal} yet", "the first start makes it", "not_found")
    with lock_garden(garden), output.working("writing the journal anew"):
        try:
            before, after = make_smaller(journal)
        except StoreError as error:
            raise CliError(REFUSED, error.problem, error.mend, "refused") from error
    if as_json:
        output.print_json({"before": before, "after": after})
    else:
        click.echo(f"{size(before)} before, {size(after)} now")
