"""`planaria trace` and `planaria traces`: one question from message to answer; with or without a running node."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import NOT_RUNNING, REFUSED, CliError
from planaria.cli.garden import garden_option, json_option

if TYPE_CHECKING:
    from planaria.nerve.trace.detail import Detail
    from planaria.nerve.trace.shape import Trace


@click.command()
@click.argument("what", required=False, default="", metavar="[ID|SESSION|ROOM]")
@click.option("--last", is_flag=True, help="The latest question; so does no ID at all.")
@click.option("-f", "--follow", is_flag=True, help="Draw it again while it grows, until it is over.")
@click.option(
    "--prompt", type=click.IntRange(min=1), metavar="N", help="Open the prompt of the Nth model step."
)
@click.option("--full", is_flag=True, help="Open everything: prompts, arguments, results, answers.")
@garden_option
@json_option
def trace(
    what: str, last: bool, follow: bool, prompt: int | None, full: bool, garden: Path, as_json: bool
) -> None:
    """One question from message to answer: who was asked, what each model and tool did, what it took.

    ID is that of the trace, of a message or of any event, or at least four characters from the beginning or the end
    of one. SESSION or ROOM means the latest there. Works on a garden that no node runs, too.
    """
    if last and what:
        raise click.UsageError("--last and an ID exclude each other")
    if follow and _follow(garden, what, as_json):
        return
    with output.working("reading the journal"):
        found, details = _read(garden, what, prompt, full)
    if as_json:
        output.print_json(_plain(found) | ({"details": _plain(list(details.values()))} if details else {}))
        return
    if prompt is not None:
        _print_details(details)
        return
    from planaria.cli.trace_draw import draw

    console = output.console()
    console.print(draw(found, time.time(), details, console.width), soft_wrap=True)
    if sys.stdout.isatty() and not full:
        mend = f"planaria trace {found.id[-8:]} --prompt 1    what the model was sent    --full    everything"
        click.echo(click.style(mend, dim=True))


@click.command()
@click.option("-n", "--limit", default=20, show_default=True, help="How many.")
@click.option("--failed", is_flag=True, help="Only those that failed or were cut off.")
@garden_option
@json_option
def traces(limit: int, failed: bool, garden: Path, as_json: bool) -> None:
    """The latest questions and runs, newest first. Works on a garden that no node runs, too."""
    from planaria.cli.journal.door import open_door
    from planaria.nerve.trace.shape import Trace

    with output.working("reading the journal"), open_door(garden) as door:
        found = _typed(door.ask("traces", limit=limit, failed=failed), list[Trace])
    if as_json:
        output.print_json([{k: v for k, v in _plain(each).items() if k != "nodes"} for each in found])
        return
    if not found:
        click.echo("nothing to show" + (" that failed" if failed else ": nothing was asked yet"), err=True)
        return
    from planaria.cli.trace_draw import listing

    output.print_table(*listing(found, time.time()))


def _read(garden: Path, what: str, prompt: int | None, full: bool) -> "tuple[Trace, dict[str, Detail]]":
    """The trace, and the nodes that are to be opened."""
    from planaria.cli.journal.door import open_door
    from planaria.nerve.trace.detail import Detail
    from planaria.nerve.trace.shape import Trace

    with open_door(garden) as door:
        found = _typed(door.ask("trace", trace=what), Trace)
        if not full and prompt is None:
            return found, {}
        nodes = [] if prompt is None else [_prompt(found, prompt)]
        opened = _typed(door.ask("trace.open", trace=found.id, nodes=nodes), list[Detail])
    return found, {detail.node.id: detail for detail in opened}


def _follow(garden: Path, what: str, as_json: bool) -> bool:
    """Show a trace while it grows; False where no node runs, so that nothing can grow."""
    from planaria.cli.trace_draw import draw
    from planaria.nerve.trace.shape import Trace

    try:
        client = Client(garden)
    except CliError as error:
        if error.exit_code != NOT_RUNNING:
            raise
        return False
    with client:
        watched = sys.stdout.isatty() and not as_json
        stream = client.follow("trace.follow", trace=what, beat=watched)
        if as_json:
            output.each(stream, output.print_json_line)
            return True
        if not watched:
            final = output.each(stream, lambda view: None)
            output.console().print(draw(_typed(final, Trace), time.time()), soft_wrap=True)
            return True
        from rich.live import Live

        console = output.console()
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:

            def show(view: Any) -> None:
                live.update(draw(_typed(view, Trace), time.time(), width=console.width), refresh=True)

            show(output.each(stream, show))
    return True


def _prompt(found: "Trace", number: int) -> str:
    prompts = [node.id for node in found.nodes if node.kind == "prompt"]
    if not prompts:
        raise CliError(REFUSED, "no model was asked in this trace", "`planaria trace` shows what happened")
    if number > len(prompts):
        raise CliError(REFUSED, f"there is no prompt {number}", f"this trace has prompts 1 to {len(prompts)}")
    return prompts[number - 1]


def _print_details(details: "dict[str, Detail]") -> None:
    for detail in details.values():
        for section in detail.sections:
            outside = ", outside content" if section.outside else ""
            click.echo(click.style(output.clean(section.title), bold=True), nl=False)
            click.echo(click.style(f"  {section.chars} characters{outside}", dim=True))
            click.echo(output.clean(section.text) + "\n")


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def _typed[T](view: Any, kind: type[T]) -> T:
    import msgspec

    return msgspec.convert(view, kind)
