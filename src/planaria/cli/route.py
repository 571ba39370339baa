"""`planaria route`: which model would answer a wish, and why."""

from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.errors import NEGATIVE
from planaria.cli.garden import garden_option, json_option
from planaria.cli.journal.door import open_door


@click.command()
@click.argument("wish", required=False)
@click.option(
    "--needs",
    default="",
    metavar="A,B",
    help="What it must be able to do: tools, vision, thinking, json, embeddings.",
)
@click.option("--tokens", type=click.IntRange(min=0), default=0, help="Tokens of the prompt.")
@click.option("--max-output", type=click.IntRange(min=1), help="Tokens of the answer at most.")
@click.option("--local-only", is_flag=True, help="Nothing may leave this machine and the private network.")
@click.option("--agent", metavar="NAME", help="Wish as this agent's record does.")
@click.option("--exclude", multiple=True, metavar="REF", help="A model or provider not to take. Repeatable.")
@click.option("--prefer", multiple=True, metavar="REF", help="A model or provider to take first. Repeatable.")
@click.option("--explain", is_flag=True, help="Also every model that is left out, with the reason.")
@garden_option
@json_option
@click.pass_context
def route(
    context: click.Context,
    wish: str | None,
    needs: str,
    tokens: int,
    max_output: int | None,
    local_only: bool,
    agent: str | None,
    exclude: tuple[str, ...],
    prefer: tuple[str, ...],
    explain: bool,
    garden: Path,
    as_json: bool,
) -> None:
    """Show which models may answer WISH, in the order in which they would be asked. None of them is asked.

    WISH is provider/model, a provider, a model, a tier (local, light, medium, heavy), or nothing for the default.

    \b
    planaria route light --needs tools --tokens 60000 --explain
    planaria route --agent scout --local-only
    """
    with open_door(garden) as door, output.working("asking the node"):
        found = door.ask(
            "route",
            wanted=wish,
            needs=[each.strip() for each in needs.split(",") if each.strip()],
            input_tokens=tokens,
            max_output_tokens=max_output,
            local_only=local_only,
            agent=agent,
            exclude=exclude,
            prefer=prefer,
            explain=explain,
        )
    if as_json:
        output.print_json(found)
    else:
        _show(found, explain)
    if not found["candidates"]:
        context.exit(NEGATIVE)


def _show(found: dict[str, Any], explain: bool) -> None:
    from planaria.nerve.model_views import usd

    if found["problem"]:
        click.echo(output.clean(found["problem"]), err=True)
    if found["candidates"]:
        rows = [
            [number, each["ref"], usd(each["usd"]) or "price unknown", each["why"]]
            for number, each in enumerate(found["candidates"], 1)
        ]
        output.print_table(("", "model", "estimate", "why"), rows)
    left = [each for each in found["left_out"] if explain or each["asked"]]
    if left and (explain or found["candidates"]):
        click.echo()
        output.print_table(("left out", "why"), [[each["ref"], each["why"]] for each in left])
