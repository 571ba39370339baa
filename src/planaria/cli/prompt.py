"""`planaria prompt`: exactly what a model call was sent, part by part, why each part is there, and what was cut."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planaria.cli import output
from planaria.cli.garden import json_option

if TYPE_CHECKING:
    from rich.text import Text


@click.command()
@click.argument("session", metavar="SESSION|FILE")
@click.option(
    "--turn", default="", metavar="ID", help="A turn, by the beginning of its id; by default the latest."
)
@click.option(
    "--step",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --turn its model call N; else step N of the session, as `planaria replay` counts.",
)
@click.option("--sizes", is_flag=True, help="Only the table of the parts, without their texts.")
@click.option("--garden", type=click.Path(path_type=Path), metavar="DIR", help="The garden's folder.")
@json_option
def prompt(
    session: str, turn: str, step: int | None, sizes: bool, garden: Path | None, as_json: bool
) -> None:
    """Exactly what a model call was sent: its parts in order, their sizes and budgets, and what was cut.

    SESSION is such as scout@garden, or scout if it sits in one room; a child's is such as scout@garden/1f2e3d4c. The
    prompt is rebuilt from the journal and checked against the digest it was sent with. Works on a garden that no node
    runs, too.
    """
    from planaria.cli.runs import ask_run

    with output.working("rebuilding the prompt"):
        view = ask_run(session, garden, "session.prompt", turn=turn, step=step)
    if as_json:
        output.print_json(view)
        return
    console = output.console()
    for line in draw(view, texts=not sizes):
        console.print(line, soft_wrap=True)


def draw(view: dict[str, Any], *, texts: bool) -> Iterator["Text"]:
    """A prompt: where and when, the table of its parts, then their texts."""
    yield output.styled(
        f"{view['session']}, turn {view['turn']}, model call {view['call']} of {view['calls']}", "bold"
    )
    yield output.styled(_about(view), "dim")
    if view["exact"]:
        yield output.styled(f"exactly as it was sent: digest {view['digest']}", "green")
    for problem in view["problems"]:
        yield output.styled(problem, "bold red")
    yield output.styled(f"\n{'part':<13}{'chars':>8}{'tokens':>9}{'budget':>9}  why", "bold")
    for part in view["parts"]:
        budget = f"{part['budget']:,}" if part["budget"] else ""
        tokens = f"~{part['tokens']:,}"
        line = output.styled(f"{part['name']:<13}{part['characters']:>8,}{tokens:>9}{budget:>9}  ")
        line.append_text(output.styled(part["why"], "dim"))
        if part["cut"]:
            line.append_text(output.styled(f"  CUT: {part['cut']}", "bold yellow"))
        yield line
    tokens = "" if view["tokens"] is None else f"{view['tokens']:,}"
    yield output.styled(f"{'all':<13}{view['characters']:>8,}{tokens:>9}", "bold")
    if texts:
        for part in view["parts"]:
            yield from _part(part)


def _about(view: dict[str, Any]) -> str:
    words = [f"{view['provider']}/{view['model']}"]
    if view["attempt"] > 1:
        words.append(f"try {view['attempt']}")
    words += [f"{name} {view[name]}" for name in ("max_tokens", "temperature") if view[name] is not None]
    if view["tool_choice"] is not None:
        words.append(f"tools: {view['tool_choice']}")
    if view["schema"]:
        words.append("answers by a JSON schema")
    counted = "as counted by the provider" if view["tokens"] is not None else "estimated"
    words.append(f"{view['characters_per_token']:g} characters a token ({counted})")
    words.append(f"composition {view['composition']}")
    return ", ".join(words)


def _part(part: dict[str, Any]) -> Iterator["Text"]:
    yield output.styled(f"\n=== {part['name']} ===", "bold cyan")
    if part["name"] == "tools":
        for spec in json.loads(part["text"]):
            yield output.styled(f"{spec['name']}: {spec['description'].partition('\n')[0]}", "dim")
    elif part["text"]:
        yield output.styled(part["text"])
    for message in part["messages"]:
        yield output.styled(f"[{message['role']}]", "cyan")
        if message["content"]:
            yield output.styled(message["content"])
        for call in message["tool_calls"]:
            yield output.styled(
                f"calls {call['name']} {json.dumps(call['arguments'], ensure_ascii=False)}", "yellow"
            )
