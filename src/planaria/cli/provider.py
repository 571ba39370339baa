"""`planaria provider`: services of models, looked at and changed while the node runs. Also for a stopped garden."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.errors import NEGATIVE, REFUSED, CliError
from planaria.cli.garden import find_garden, garden_option, json_option
from planaria.cli.journal.door import open_door
from planaria.cli.listing import Listing
from planaria.cli.who import by_option


@click.group(cls=Listing, invoke_without_command=True)
@click.option("--garden", type=click.Path(path_type=Path), help="The garden's folder.", metavar="DIR")
@json_option
@click.pass_context
def provider(context: click.Context, garden: Path | None, as_json: bool) -> None:
    """Services of models: which there are, their limits and keys. Changes hold at once and stand over planaria.toml.

    Without a subcommand: the list.
    """
    if context.invoked_subcommand is None:
        _list(find_garden(garden), as_json)


@provider.command("list")
@garden_option
@json_option
def list_(garden: Path, as_json: bool) -> None:
    """All providers, in order of preference."""
    _list(garden, as_json)


@provider.command()
@click.argument("name")
@garden_option
@json_option
def show(name: str, garden: Path, as_json: bool) -> None:
    """All there is to know of the provider NAME, but for its key."""
    _ask_and_show(garden, as_json, "provider.show", name=name)


@provider.command()
@click.argument("name")
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option("--url", help="Where it is asked: https://host/v1.")
@click.option("--kind", help="How it is spoken to: openai (if you say nothing) or anthropic.")
@click.option(
    "--model", "models", multiple=True, help="A model it has; the first is its default. Repeatable."
)
@click.option("--key", "with_key", is_flag=True, help="Ask for its key, or read it from standard input.")
@by_option
@garden_option
@json_option
def add(
    name: str,
    fields: tuple[str, ...],
    url: str | None,
    kind: str | None,
    models: tuple[str, ...],
    with_key: bool,
    by: str,
    garden: Path,
    as_json: bool,
) -> None:
    """Add the provider NAME.

    \b
    planaria provider add work --url https://models.example.org/v1 --model our-model --key
    planaria provider add box --url http://10.0.0.7:8000/v1 --model qwen3 about.qwen3.tiers=light,medium
    """
    words = _words(fields)
    given = {"base_url": url, "kind": kind, "models": ",".join(models) or None}
    words |= {field: value for field, value in given.items() if value is not None}
    secret = _read_key(name) if with_key else None
    with open_door(garden) as door, output.working("adding it"):
        row = door.ask("provider.set", name=name, words=words, new=True, by=by)
        if secret is not None:
            row = door.ask("provider.key", name=name, key=secret, by=by)
    _said(row, as_json)


@provider.command("set")
@click.argument("name")
@click.argument("fields", nargs=-1, required=True, metavar="FIELD=VALUE...")
@by_option
@garden_option
@json_option
def set_(name: str, fields: tuple[str, ...], by: str, garden: Path, as_json: bool) -> None:
    """Change fields of the provider NAME; an empty value unsays what was said.

    \b
    planaria provider set openai priority=5 limits.usd_per_day=2.50 limits.concurrency=4
    planaria provider set work about.our-model.context_tokens=128000 about.our-model.abilities=tools,json
    planaria provider set work about.our-model.usd_in=0.5 about.our-model.usd_out=1.5 priority=
    """
    _change(garden, as_json, name, _words(fields), by)


@provider.command()
@click.argument("name")
@by_option
@garden_option
@json_option
def enable(name: str, by: str, garden: Path, as_json: bool) -> None:
    """Use the provider NAME again."""
    _change(garden, as_json, name, {"enabled": "yes"}, by)


@provider.command()
@click.argument("name")
@by_option
@garden_option
@json_option
def disable(name: str, by: str, garden: Path, as_json: bool) -> None:
    """Leave the provider NAME alone, wherever it was found."""
    _change(garden, as_json, name, {"enabled": "no"}, by)


@provider.command()
@click.argument("name")
@by_option
@garden_option
@json_option
def remove(name: str, by: str, garden: Path, as_json: bool) -> None:
    """Forget what was said of the provider NAME here, and its key."""
    with open_door(garden) as door, output.working("removing it"):
        found = door.ask("provider.remove", name=name, by=by)
    if as_json:
        output.print_json(found)
    elif found["left"] is None:
        click.echo(output.clean(f"{name} is gone"))
    else:
        click.echo(output.clean(f"{name} is as it was found: {found['left']['where']}"))


@provider.command()
@click.argument("name")
@by_option
@garden_option
@json_option
def release(name: str, by: str, garden: Path, as_json: bool) -> None:
    """Ask the provider NAME again that is left alone: it asked for time, or its breakers are open."""
    with open_door(garden) as door, output.working("releasing it"):
        found = door.ask("provider.release", name=name, by=f"person:{by}")
    if as_json:
        output.print_json(found)
        return
    said = []
    if found["seconds"]:
        said.append(f"it was to be left alone for {output.seconds(found['seconds'])} more: {found['why']}")
    if found["breakers"]:
        said.append(f"closed: {', '.join(found['breakers'])}")
    click.echo(
        output.clean(f"{name} is asked again ({'; '.join(said)})" if said else f"{name} is not left alone")
    )


@provider.command()
@click.argument("name")
@click.option("--drop", is_flag=True, help="Take the key away instead.")
@by_option
@garden_option
@json_option
def key(name: str, drop: bool, by: str, garden: Path, as_json: bool) -> None:
    """Give the provider NAME a key: typed unseen, or read from standard input; never on the command line.

    It is kept sealed with the garden's master key, sent to no other host, and masked wherever it turns up.
    """
    secret = None if drop else _read_key(name)
    with open_door(garden) as door, output.working("keeping it"):
        row = door.ask("provider.key", name=name, key=secret, by=by)
    _said(row, as_json)


@provider.command()
@click.argument("name")
@click.option("--ask", metavar="MODEL", help="Also have this model say a word; that costs a few tokens.")
@garden_option
@json_option
def test(name: str, ask: str | None, garden: Path, as_json: bool) -> None:
    """Ask the provider NAME which models it has: shows whether address and key are right."""
    with open_door(garden) as door, output.working(f"asking {name}"):
        tried = door.ask("provider.test", name=name, ask=ask)
    if as_json:
        output.print_json(tried)
    elif tried["error"]:
        click.echo(output.clean(f"{name} does not answer as it should: {tried['error']}"), err=True)
    else:
        _show_tried(tried)
    if tried["error"]:
        sys.exit(NEGATIVE)


def _show_tried(tried: dict[str, Any]) -> None:
    offered = tried["offered"]
    names = ", ".join(offered[:8]) + (f" and {len(offered) - 8} more" if len(offered) > 8 else "")
    click.echo(
        output.clean(f"{tried['name']} answers ({tried['ms']:g} ms); its models: {names or 'it names none'}")
    )
    if tried["missing"]:
        click.echo(output.clean(f"listed here, and not named by it: {', '.join(tried['missing'])}"))
    if tried["answer"] is not None:
        usage, cost = tried["usage"], tried["cost_micro"]
        price = "price unknown" if cost is None else f"${cost / 1_000_000:.6f}"
        tokens = f"{usage['input_tokens']} + {usage['output_tokens']} tokens, {price}"
        click.echo(output.clean(f"it said {tried['answer'].strip()!r} ({tokens})"))


def _change(garden: Path, as_json: bool, name: str, words: dict[str, str], by: str) -> None:
    _ask_and_show(garden, as_json, "provider.set", name=name, words=words, by=by)


def _ask_and_show(garden: Path, as_json: bool, method: str, **params: Any) -> None:
    with open_door(garden) as door, output.working("asking"):
        row = door.ask(method, **params)
    _said(row, as_json)


def _words(fields: Sequence[str]) -> dict[str, str]:
    """`FIELD=VALUE` apart. A value is shown in no message: it may be a key that was written by mistake."""
    words: dict[str, str] = {}
    for each in fields:
        field, sign, value = each.partition("=")
        if not sign or not field:
            raise click.UsageError("fields are written FIELD=VALUE, as in priority=5 or limits.queue=20")
        if field in ("key", "api_key", "token", "secret"):
            raise click.UsageError(
                "a key is not written on the command line: `planaria provider key NAME` asks for it"
            )
        words[field] = value
    return words


def _read_key(name: str) -> str:
    """A key from a terminal, unseen, or the first line of standard input."""
    if sys.stdin.isatty():
        typed = click.prompt(f"key for {name}", hide_input=True, default="", show_default=False, err=True)
    else:
        typed = sys.stdin.readline()
    secret = str(typed).strip()
    if not secret:
        raise CliError(REFUSED, "no key came", f"pipe it in: `planaria provider key {name} < FILE`", "no_key")
    return secret


def _list(garden: Path, as_json: bool) -> None:
    with open_door(garden) as door, output.working("asking the node"):
        rows = door.ask("provider.list")
    if as_json:
        output.print_json(rows)
        return
    columns = ("provider", "state", "models", "priority", "key from", "where")
    output.print_table(columns, [_line(row) for row in rows])
    for row in rows:
        if row["problem"] and row["enabled"]:
            click.echo(output.clean(f"{row['name']}: {row['problem']}"), err=True)


def _line(row: dict[str, Any]) -> list[object]:
    state = "off" if not row["enabled"] else "problem" if row["problem"] else "ready"
    words = [state, *(["default"] if row["default"] else []), *(["local"] if row["local"] else [])]
    models = [model["id"] for model in row["models"]]
    shown = ", ".join(models[:3]) + (f" and {len(models) - 3} more" if len(models) > 3 else "")
    return [row["name"], ", ".join(words), shown, row["priority"], row["key"], row["where"]]


def _said(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.print_json(row)
        return
    import msgspec

    from planaria.nerve.model_views import ModelRow, price_text, short_tokens

    state = "switched off" if not row["enabled"] else row["problem"] or "ready"
    pairs = [
        ("provider", row["name"]),
        ("state", state + (", the default" if row["default"] else "")),
        ("address", row["base_url"] or "-"),
        ("dialect", row["dialect"]),
        ("found", row["where"]),
        ("key from", row["key"] or "it has none"),
        ("local", "yes" if row["local"] else "no: what it is told leaves this network"),
        ("priority", row["priority"]),
        ("limits", ", ".join(f"{name}={value:g}" for name, value in row["limits"].items()) or "none"),
    ]
    output.print_pairs(pairs)
    if not row["models"]:
        return
    click.echo()
    columns = ("model", "tiers", "context", "USD per million in / out", "abilities")
    models = [msgspec.convert(model, ModelRow) for model in row["models"]]
    output.print_table(
        columns,
        [
            [
                model.id + ("" if model.local or not row["local"] else " (elsewhere)"),
                ", ".join(model.tiers) or "?",
                short_tokens(model.context_tokens) or "?",
                price_text(model) or "?",
                "?" if model.abilities is None else ", ".join(model.abilities) or "none",
            ]
            for model in models
        ],
    )
