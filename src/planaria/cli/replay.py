"""`planaria replay`: a session step by step, as its journal tells it. Nothing outside is called."""

from pathlib import Path

import click

from planaria.cli import output
from planaria.cli.garden import json_option


@click.command()
@click.argument("what", metavar="SESSION|FILE")
@click.option("--to", type=click.IntRange(min=1), metavar="N", help="End after step N.")
@click.option(
    "--step",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show step N: its exact prompt, and the state after it.",
)
@click.option(
    "-n", "--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="Steps to show."
)
@click.option("--garden", type=click.Path(path_type=Path), metavar="DIR", help="The garden's folder.")
@json_option
def replay(
    what: str, to: int | None, step: int | None, limit: int, garden: Path | None, as_json: bool
) -> None:
    """A session step by step: what was said, decided, called and spent, and the state it came to.

    SESSION is such as scout@garden, or scout if it sits in one room. FILE is an export of the journal. State and
    prompts are rebuilt from the journal by the code that runs sessions, and each prompt is checked against the digest
    it was sent with. Works on a garden that no node runs, too.
    """
    from planaria.cli.runs import ask_run

    with output.working("replaying"):
        if step is not None:
            view = ask_run(what, garden, "session.step", step=step)
        else:
            view = ask_run(what, garden, "session.replay", to=to, limit=limit)
    if as_json:
        output.print_json(view)
        return
    from planaria.cli import replay_draw

    console = output.console()
    for line in replay_draw.step(view) if step is not None else replay_draw.replay(view):
        console.print(line, soft_wrap=True)
