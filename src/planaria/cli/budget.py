"""`planaria budget`: what was spent, what may be, and changing that."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.garden import find_garden, garden_option, json_option
from planaria.cli.listing import Listing
from planaria.cli.who import by_option

if TYPE_CHECKING:
    from rich.text import Text

WIDTH = 20
"""Characters of a bar."""


class _Budget(Listing):
    """What is no subcommand is an account."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            return "show", self.commands["show"], args
        return super().resolve_command(ctx, args)


@click.group(cls=_Budget, invoke_without_command=True, subcommand_metavar="[ACCOUNT | COMMAND [ARGS]...]")
@click.option("--garden", type=click.Path(path_type=Path), help="The garden's folder.", metavar="DIR")
@click.option("--all", "everything", is_flag=True, help="Turns and runs, too.")
@json_option
@click.pass_context
def budget(context: click.Context, garden: Path | None, everything: bool, as_json: bool) -> None:
    """What was spent and what may be: money, tokens, calls, seconds; for the garden or one ACCOUNT."""
    if context.invoked_subcommand is None:
        _show("", find_garden(garden), everything, as_json)


@budget.command()
@click.argument("account", required=False, default="")
@click.option("--all", "everything", is_flag=True, help="Turns and runs, too.")
@garden_option
@json_option
def show(account: str, everything: bool, garden: Path, as_json: bool) -> None:
    """An ACCOUNT with those below it: garden, agent:NAME, room:NAME, provider:NAME, session:AGENT@ROOM."""
    _show(account, garden, everything, as_json)


@budget.command("set")
@click.argument("account")
@click.argument("limits", nargs=-1, required=True, metavar="LIMIT=AMOUNT...")
@by_option
@garden_option
@json_option
def set_(account: str, limits: tuple[str, ...], by: str, garden: Path, as_json: bool) -> None:
    """Set limits of ACCOUNT, from now on and after restarts; `none` takes back what was set.

    \b
    planaria budget set agent:scout usd_per_day=1.50 tokens_per_turn=200000
    planaria budget set garden usd_per_day=none
    """
    words: dict[str, str] = {}
    for each in limits:
        name, sign, amount = each.partition("=")
        if not sign or not name or not amount:
            raise click.UsageError(f"{each!r} sets nothing; write usd_per_day=1.50")
        words[name] = amount
    with Client(garden) as client, output.working("setting"):
        found = client.ask("budget.set", account=account, limits=words, by=f"person:{by}")
    if as_json:
        output.print_json(found)
    else:
        _draw(found, False)


def _show(account: str, garden: Path, everything: bool, as_json: bool) -> None:
    with Client(garden) as client, output.working("asking the node"):
        found = client.ask("budget.show", account=account)
    if as_json:
        output.print_json(found)
    else:
        _draw(found, everything)


def _draw(accounts: list[dict[str, Any]], everything: bool) -> None:
    shown = [
        each for each in accounts if everything or each["depth"] == 0 or each["kind"] not in ("turn", "run")
    ]
    for each in shown:
        output.console().print(_line(each))
        for limit in each["limits"]:
            output.console().print(_limit(each, limit))
    hidden = len(accounts) - len(shown)
    if hidden:
        click.echo(f"{hidden} turns and runs are not shown; --all shows them", err=True)


def _line(account: dict[str, Any]) -> "Text":
    line = output.styled("  " * account["depth"] + account["name"], "bold" if account["depth"] == 0 else "")
    line.append_text(output.styled(f"  today {_amount(account['today'])}", "dim"))
    if account["ever"] != account["today"]:
        line.append_text(output.styled(f"; ever {_amount(account['ever'])}", "dim"))
    if any(account["ever_estimated"].values()):
        which = "today_estimated" if any(account["today_estimated"].values()) else "ever_estimated"
        line.append_text(output.styled(f" ({_amount(account[which])} of it estimated)", "yellow"))
    if account["reserved"]["calls"]:
        line.append_text(output.styled(f"; {_calls(account['reserved']['calls'])} under way", "yellow"))
    return line


def _limit(account: dict[str, Any], limit: dict[str, Any]) -> "Text":
    most, spent, reserved = limit["most"], limit["spent"], limit["reserved"]
    whole = most or 1
    full = min(WIDTH, round(WIDTH * spent / whole)) if most else WIDTH
    held = min(WIDTH - full, round(WIDTH * reserved / whole))
    style = "red" if spent >= most else "yellow" if spent + reserved >= 0.8 * most else "green"
    line = output.styled("  " * (account["depth"] + 1))
    line.append_text(output.styled("█" * full + "▒" * held, style))
    line.append_text(output.styled("░" * (WIDTH - full - held), "dim"))
    words = f" {_value(limit['limit'], spent)} of {_value(limit['limit'], most)} {limit['limit']}"
    line.append_text(output.styled(words))
    if limit["estimated"]:
        line.append_text(
            output.styled(f", {_value(limit['limit'], limit['estimated'])} of it estimated", "yellow")
        )
    if reserved:
        line.append_text(output.styled(f", {_value(limit['limit'], reserved)} reserved", "yellow"))
    if limit["until"] is not None and spent + reserved >= 0.8 * most:
        line.append_text(output.styled(f", anew at {output.when(limit['until'])}", "dim"))
    if limit["limit"] in account["set"]:
        line.append_text(output.styled(" (set by hand)", "dim"))
    return line


def _amount(amount: dict[str, Any]) -> str:
    parts = [_value("usd", amount["micro_usd"] / 1_000_000)] if amount["micro_usd"] else []
    parts += [f"{amount['tokens']:,} tokens"] if amount["tokens"] else []
    parts += [_calls(amount["calls"])] if amount["calls"] else []
    parts += [f"{amount['seconds']:,.0f} s"] if amount["seconds"] >= 1 else []
    return ", ".join(parts) or "nothing"


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number:,} calls"


def _value(limit: str, value: float) -> str:
    if not limit.startswith("usd"):
        return f"{value:,.0f}"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.6f}".rstrip("0").ljust(5, "0")
