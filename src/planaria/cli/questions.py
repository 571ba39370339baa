"""`planaria questions`: what people are asked, and answering it."""

from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.garden import find_garden, garden_option, json_option
from planaria.cli.listing import Listing
from planaria.cli.who import by_option, moment

RECENT = 20


@click.group(cls=Listing, invoke_without_command=True)
@click.option("--garden", type=click.Path(path_type=Path), help="The garden's folder.", metavar="DIR")
@json_option
@click.pass_context
def questions(context: click.Context, garden: Path | None, as_json: bool) -> None:
    """What agents and workflows ask people; without a subcommand the open questions."""
    if context.invoked_subcommand is None:
        _list(find_garden(garden), None, False, as_json)


@questions.command("list")
@click.option("--room", help="Only those of one room.")
@click.option("--all", "everything", is_flag=True, help="Also the latest that are over.")
@garden_option
@json_option
def list_(room: str | None, everything: bool, garden: Path, as_json: bool) -> None:
    """The open questions, oldest first."""
    _list(garden, room, everything, as_json)


@questions.command()
@click.argument("question", metavar="ID")
@click.argument("text", nargs=-1, required=True)
@click.option("--code", default="", metavar="CODE", help="Of your authenticator, where a question needs one.")
@by_option
@garden_option
@json_option
def answer(question: str, text: tuple[str, ...], code: str, by: str, garden: Path, as_json: bool) -> None:
    """Answer the question ID (its number, or its id) with TEXT: an option by number or words, and a remark if wanted.

    \b
    planaria questions answer 12 yes
    planaria questions answer 12 2: not before noon
    """
    with Client(garden) as client, output.working("answering"):
        closed = client.ask("questions.answer", question=question, text=" ".join(text), by=by, code=code)
    if as_json:
        output.print_json(closed)
        return
    said = ": ".join(filter(None, (closed["option"], closed["text"])))
    click.echo(output.clean(f"#{closed['number']} answered: {said}"))


@questions.command()
@click.argument("question", metavar="ID")
@garden_option
@json_option
def show(question: str, garden: Path, as_json: bool) -> None:
    """The question ID with all it is about: every argument of the call it is to approve."""
    with Client(garden) as client, output.working("asking the node"):
        found = client.ask("questions.show", question=question)
    if as_json:
        output.print_json(found)
        return
    asked = found["question"]
    if "options" in asked:
        _show(asked)
    else:
        click.echo(
            output.clean(f"#{asked['number']} {asked['how']}: {asked['option']} {asked['text']}".rstrip())
        )
    if found["tool"]:
        click.echo(output.clean(f"\n{found['tool']}, digest {found['digest']}, asked for by {found['why']}:"))
        click.echo(output.clean(found["arguments"]))


@questions.command()
@click.argument("question", metavar="ID")
@click.option("--why", default="", help="A word about the reason; kept.")
@by_option
@garden_option
@json_option
def withdraw(question: str, why: str, by: str, garden: Path, as_json: bool) -> None:
    """Withdraw the question ID: who asked it is told that nobody will answer."""
    with Client(garden) as client, output.working("withdrawing"):
        result = client.ask("questions.withdraw", question=question, by=by, why=why)
    if as_json:
        output.print_json(result)
    else:
        click.echo("withdrawn")


def _list(garden: Path, room: str | None, everything: bool, as_json: bool) -> None:
    with Client(garden) as client, output.working("asking the node"):
        found = client.ask("questions.list", room=room, closed=RECENT if everything else 0)
    if as_json:
        output.print_json(found if everything else found["open"])
        return
    if not found["open"]:
        click.echo("nobody is asked anything now", err=True)
    for question in found["open"]:
        _show(question)
    if found["closed"]:
        columns = ("number", "when", "how", "by", "answer", "question")
        output.print_table(columns, [_row(closed) for closed in found["closed"]])


def _show(question: dict[str, Any]) -> None:
    head = click.style(f"#{question['number']}", bold=True)
    place = f" in {question['room']}" if question["room"] else ""
    until = f", until {moment(question['expires'])}" if question["expires"] else ""
    about = output.clean(f"{question['by']}{place}, {moment(question['at'])}{until}")
    click.echo(f"{head}  {click.style(about, dim=True)}")
    click.echo(output.clean(f"    {question['text']}".replace("\n", "\n    ")))
    for number, option in enumerate(question["options"], 1):
        click.echo(output.clean(f"    {number} {option}"))
    example = "1" if question["options"] else "..."
    if question.get("proof"):
        example += " --code 123456"
    click.echo(click.style(f"    planaria questions answer {question['number']} {example}", dim=True))


def _row(closed: dict[str, Any]) -> list[object]:
    said = ": ".join(filter(None, (closed["option"], closed["text"])))
    question = closed["question"].replace("\n", " ")
    short = question if len(question) <= 60 else question[:59] + "…"
    return [f"#{closed['number']}", moment(closed["at"]), closed["how"], closed["by"], said, short]
