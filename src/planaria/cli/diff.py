"""`planaria diff`: two runs step by step, and where they first part."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from planaria.cli import output
from planaria.cli.errors import NEGATIVE
from planaria.cli.garden import json_option

if TYPE_CHECKING:
    from rich.text import Text

    from planaria.agents.past.compare import Comparison, Pair
    from planaria.agents.past.replayed import StepView

MOST_LINES = 40
"""Lines of one difference that are shown."""


@click.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option("--all", "everything", is_flag=True, help="Show equal steps, too.")
@click.option("--garden", type=click.Path(path_type=Path), metavar="DIR", help="The garden's folder.")
@json_option
def diff(one: str, other: str, everything: bool, garden: Path | None, as_json: bool) -> None:
    """Compare two runs step by step: prompts, decisions, tool calls, results, answers; and what they cost.

    A and B are sessions, branches or files, as for `planaria replay`. A branch is compared with what it branched off
    from the turn where it did. Ends with 1 if they differ.
    """
    import msgspec

    from planaria.agents.past.compare import begin_at, compare_runs
    from planaria.agents.past.replayed import Run
    from planaria.cli.runs import ask_run

    with output.working("comparing"):
        runs = [msgspec.convert(ask_run(each, garden, "session.run"), Run) for each in (one, other)]
    first, second = begin_at(*runs)
    found = compare_runs(*runs, from_one=first, from_other=second)
    if as_json:
        output.print_json(msgspec.to_builtins(found))
    else:
        console = output.console()
        for line in draw(found, everything):
            console.print(line, soft_wrap=True)
    if found.first is not None:
        raise SystemExit(NEGATIVE)


def draw(found: "Comparison", everything: bool) -> Iterator["Text"]:
    """The comparison, line by line."""
    yield output.styled(f"A  {found.one.session}", "red")
    yield output.styled(f"B  {found.other.session}", "green")
    yield output.styled(f"\n{found.divergence}", "bold yellow" if found.first is not None else "bold green")
    both = [pair for pair in found.pairs if pair.one is not None and pair.other is not None]
    for position, pair in enumerate(both):
        if _parted(pair) or everything:
            yield from _pair(pair, position == found.first)
    if rest := found.pairs[len(both) :]:
        yield from _rest(rest)
    yield output.styled("")
    yield from _figures(found)


def _parted(pair: "Pair") -> bool:
    return pair.one is None or pair.other is None or bool(pair.differences)


def _pair(pair: "Pair", first: bool) -> Iterator["Text"]:
    numbers = " | ".join(
        f"A {p.number}" if s == "A" else f"B {p.number}" for s, p in (("A", pair.one), ("B", pair.other)) if p
    )
    line = output.styled(f"\n{numbers}", "bold")
    if not _parted(pair):
        step = pair.one
        words = step.text if step is not None else ""
        line.append_text(output.styled(f"  equal  {_line(words)}", "dim"))
        yield line
        return
    if first:
        line.append_text(output.styled("  here they part", "bold yellow"))
    yield line
    for each in pair.differences:
        yield output.styled(f"  {each.what}", "bold")
        if each.lines:
            for text in [line for line in each.lines if not line.startswith("@@")][:MOST_LINES]:
                style = "green" if text.startswith("+") else "red" if text.startswith("-") else "dim"
                yield output.styled(f"    {text}", style)
            if len(each.lines) > MOST_LINES:
                yield output.styled(f"    … {len(each.lines) - MOST_LINES} more lines", "dim")
        else:
            yield output.styled(f"    -{each.one}", "red")
            yield output.styled(f"    +{each.other}", "green")


def _rest(pairs: "Sequence[Pair]") -> Iterator["Text"]:
    """The steps of the longer run that the other does not have."""
    only = "B" if pairs[0].one is None else "A"
    style = "green" if only == "B" else "red"
    yield output.styled(f"\nonly in {only}", "bold")
    for pair in pairs:
        step = pair.other if pair.one is None else pair.one
        if step is not None:
            yield output.styled(f"  {only} {step.number}  {_words(step)}", style)


def _words(step: "StepView") -> str:
    calls = ", ".join(call.tool for call in step.calls)
    return f"calls {calls}" if calls else _line(step.text)


def _figures(found: "Comparison") -> Iterator["Text"]:
    from planaria.cli.replay_draw import money
    from planaria.nerve.trace.figures import took

    for name, side, style in (("A", found.one, "red"), ("B", found.other, "green")):
        words = f"{side.steps} steps, {side.input_tokens} → {side.output_tokens} tokens"
        spent = f"{money(side.cost_micro)}, {took(side.duration_ms / 1000)} in models and tools"
        yield output.styled(f"{name}  {words}, {spent}", style)


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else line[:119] + "…"
