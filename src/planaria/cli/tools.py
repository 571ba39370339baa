"""`planaria tools`: which tools there are, who is offered them, and a call of one by hand."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import NEGATIVE, REFUSED, CliError
from planaria.cli.garden import find_garden, garden_option, json_option
from planaria.cli.journal.door import open_door
from planaria.cli.listing import Listing
from planaria.cli.who import by_option


@click.group(cls=Listing, invoke_without_command=True)
@click.option("--garden", type=click.Path(path_type=Path), help="The garden's folder.", metavar="DIR")
@json_option
@click.pass_context
def tools(context: click.Context, garden: Path | None, as_json: bool) -> None:
    """Tools: which there are, what they need, who is offered them; and calling one by hand.

    Without a subcommand: the list.
    """
    if context.invoked_subcommand is None:
        _list(find_garden(garden), as_json)


@tools.command("list")
@garden_option
@json_option
def list_(garden: Path, as_json: bool) -> None:
    """All tools: what each needs, and which agents are offered it."""
    _list(garden, as_json)


@tools.command()
@click.argument("tool")
@garden_option
@json_option
def show(tool: str, garden: Path, as_json: bool) -> None:
    """All about TOOL: its arguments, branches, and what its capabilities are used on."""
    with Client(garden) as client, output.working("asking the node"):
        found = client.ask("tools.show", tool=tool)
    if as_json:
        output.print_json(found)
        return
    row = found["row"]
    click.echo(click.style(output.clean(row["name"]), bold=True))
    click.echo(output.clean(found["whole"].strip()))
    click.echo()
    asked = "with a code" if found["second_factor"] else "yes" if found["ask"] else "no"
    after = {"retry": "it is made again", "ask": "a person is asked", "fail": "its caller is told"}
    pairs = [
        ("from", row["source"] or "built in"),
        ("offered to", ", ".join(row["offered"]) or "nobody"),
        ("branches", ", ".join(found["branches"])),
        ("asks a person each time", asked),
        ("cut off", after[found["on_unknown"]]),
    ]
    output.print_pairs([*([("lacking", row["lacking"])] if row["lacking"] else []), *pairs])
    _needs(found["needs"])
    _arguments(found["parameters"])


@tools.command("call")
@click.argument("tool")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE | NAME:=JSON]...")
@click.option(
    "--arguments",
    "whole",
    metavar="JSON",
    help="All arguments as one JSON object; `-` reads it from standard input.",
)
@click.option("--room", help="The room it is called in, for tools that speak or ask in one.")
@by_option
@garden_option
@json_option
def call_(
    tool: str,
    arguments: tuple[str, ...],
    whole: str | None,
    room: str | None,
    by: str,
    garden: Path,
    as_json: bool,
) -> None:
    """Call TOOL yourself: through the same gate as an agent, noted in the journal as yours.

    \b
    planaria tools call files.read path=notes/moss.md
    planaria tools call shell.run 'command:=["git", "log", "-3"]'
    planaria tools call web.search query="moss on walls" limit=3

    Ends with 1 if it failed.
    """
    given = {**_whole(whole), **_given(arguments)}
    with Client(garden) as client, output.working(f"calling {tool}"):
        found = client.ask("tools.call", within=None, tool=tool, arguments=given, by=by, room=room)
    if as_json:
        output.print_json(found)
    else:
        click.echo(output.clean(found["text"]), err=not found["ok"])
    if not found["ok"]:
        sys.exit(NEGATIVE)


@tools.command()
@click.argument("tool")
@click.option("--drop", is_flag=True, help="Take the key away instead.")
@garden_option
@json_option
def key(tool: str, drop: bool, garden: Path, as_json: bool) -> None:
    """Give the service that TOOL asks (web.search) a key: typed unseen, or read from standard input.

    It is kept sealed with the garden's master key, sent to that service alone, and masked wherever it turns up.
    """
    secret = None if drop else _read_key(tool)
    with open_door(garden) as door, output.working("keeping it"):
        found = door.ask("tools.key", tool=tool, key=secret)
    if as_json:
        output.print_json(found)
    else:
        what = "has a key" if found["key"] else "has no key"
        click.echo(output.clean(f"{found['service']} ({found['url']}) {what}"))


def _list(garden: Path, as_json: bool) -> None:
    with Client(garden) as client, output.working("asking the node"):
        rows = client.ask("tools.list")
    if as_json:
        output.print_json(rows)
        return
    columns = ("tool", "needs", "offered to", "what it does")
    output.print_table(columns, [_line(each) for each in rows])


def _line(row: dict[str, Any]) -> list[object]:
    name = f"{row['name']} ({row['source']})" if row["source"] else row["name"]
    offered = "not to be used yet" if row["lacking"] else ", ".join(row["offered"]) or "nobody"
    return [name, ", ".join(row["needs"]), offered, row["lacking"] or row["description"]]


def _needs(needs: Sequence[dict[str, Any]]) -> None:
    if not needs:
        return
    click.echo()
    click.echo(click.style("needs", bold=True))
    for each in needs:
        default = ", ".join(each["default"])
        granted = f"granted within {default} without a line" if default else "granted by a scope only"
        used = f"; on `{each['by']}`" if each["by"] else ""
        click.echo(
            output.clean(
                f"  {each['capability']}: {each['says']}; scopes are {each['scopes']}s; {granted}{used}"
            )
        )


def _arguments(schema: dict[str, Any]) -> None:
    click.echo()
    click.echo(click.style("arguments", bold=True))
    properties = schema.get("properties", {})
    if not properties:
        click.echo("  none")
    for name, about in properties.items():
        needed = name in schema.get("required", ())
        default = "" if needed else f" = {json.dumps(about.get('default'), ensure_ascii=False)}"
        said = str(about.get("description", "")).strip()
        click.echo(output.clean(f"  {name}: {_kind(about)}{default}" + (f"  {said}" if said else "")))


def _kind(about: dict[str, Any]) -> str:
    """The type of an argument in a word or two."""
    if "enum" in about:
        return " | ".join(json.dumps(each) for each in about["enum"])
    if "anyOf" in about:
        return " | ".join(_kind(each) for each in about["anyOf"])
    kind = about.get("type", "any")
    if kind == "array":
        return f"list of {_kind(about.get('items', {}))}"
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def _whole(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise click.UsageError(f"--arguments is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise click.UsageError('--arguments is one JSON object, such as {"path": "notes/moss.md"}')
    return found


def _given(words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name.rstrip(":"):
            raise click.UsageError(f"{word!r}: arguments are written NAME=VALUE, or NAME:=JSON")
        if not name.endswith(":"):
            found[name] = value
            continue
        try:
            found[name[:-1]] = json.loads(value)
        except ValueError as error:
            raise click.UsageError(f"{word!r}: what stands behind := is no JSON: {error}") from error
    return found


def _read_key(tool: str) -> str:
    if sys.stdin.isatty():
        typed = click.prompt(f"key for {tool}", hide_input=True, default="", show_default=False, err=True)
    else:
        typed = sys.stdin.readline()
    secret = str(typed).strip()
    if not secret:
        raise CliError(REFUSED, "no key came", f"pipe it in: `planaria tools key {tool} < FILE`", "no_key")
    return secret
