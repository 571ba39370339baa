"""Runs the benchmarks and writes down what they say: `make bench`, or `python -m benchmarks.run [NAME ...]`.

Every `bench_*.py` beside this file answers the question in its docstring's first line, with one JSON object a line.
Each runs in a process of its own, one after the other. Prints a table for each; `--json` prints the rows instead.
Without names all are run and `docs/performance.md` is written anew, with command, machine and date.
"""

import argparse
import ast
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import kernel_page
from benchmarks.figures import number

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"

ARGUMENTS = dict.fromkeys(
    ("flow", "isolation", "journal", "kernel", "stream", "turn", "upgrade", "watchdog"), ("--json",)
)
"""What a benchmark must be told to print JSON; most print nothing else."""

HURRIED = frozenset({"journal", "kernel", "stream", "turn"})
"""Those that know `--quick`."""

LIMIT = 1800.0
"""Seconds one benchmark may take."""

SAME = frozenset({"bench", "benchmark", "machine", "python", "cores", "cpus"})
"""Keys that say the same in every row; the page says it once."""

type Row = dict[str, Any]


def names() -> list[str]:
    """Every benchmark there is."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def docstring(name: str) -> tuple[str, str]:
    """The question a benchmark answers, and what more it says about itself."""
    text = ast.get_docstring(ast.parse((HERE / f"bench_{name}.py").read_text(encoding="utf-8"))) or name
    question, _, rest = text.partition("\n")
    return question, rest.strip()


def run(name: str, quick: bool) -> list[Row]:
    """Run one benchmark; its rows. What it says on standard error is passed on.

    Raises:
        subprocess.CalledProcessError: it failed.
        subprocess.TimeoutExpired: it took longer than `LIMIT`.
    """
    command = [sys.executable, "-m", f"benchmarks.bench_{name}", *ARGUMENTS.get(name, ())]
    if quick and name in HURRIED:
        command.append("--quick")
    done = subprocess.run(
        command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def cell(value: object) -> str:
    """A figure for people; of several runs the median and the spread."""
    match value:
        case None:
            return "-"
        case {"median": median, "low": low, "high": high}:
            return f"{number(median)} ({number(low)}..{number(high)})"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number(value)
        case _:
            return str(value)


def table(rows: list[Row]) -> list[list[str]]:
    """Head and cells; rows of one benchmark may have different keys."""
    keys = list(dict.fromkeys(key for row in rows for key in row if key not in SAME))
    return [keys, *([cell(row[key]) if key in row else "" for key in keys] for row in rows)]


def tables(name: str, rows: list[Row]) -> list[tuple[str, list[list[str]]]]:
    """Titles and cells of one benchmark; most have one table, without a title."""
    return kernel_page.tables(rows) if name == "kernel" else [("", table(rows))]


def as_text(cells: list[list[str]]) -> str:
    """A table for a terminal."""
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def as_markdown(cells: list[list[str]]) -> str:
    """A table for the page."""
    head, *rest = cells
    rule = ["---", *(["--:"] * (len(head) - 1))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rest))


def machine() -> str:
    """What the figures were measured on."""
    model = next(_after_colon("/proc/cpuinfo", "model name"), platform.processor() or platform.machine())
    memory = next(_after_colon("/proc/meminfo", "MemTotal"), "").removesuffix(" kB")
    gigabytes = f", {int(memory) / 1e6:.0f} GB" if memory.isdecimal() else ""
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{model}, {os.cpu_count()} cores{gigabytes}, {system}, Python {platform.python_version()}"


def _after_colon(file: str, name: str) -> Iterator[str]:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return iter(())
    return (line.partition(":")[2].strip() for line in lines if line.startswith(name))


def page(results: dict[str, list[Row]], today: str, failed: Sequence[str] = ()) -> str:
    """`docs/performance.md`; a benchmark that failed is named, not left out."""
    about = (
        "Written by `make bench`; every figure names the benchmark it comes from. Absolute figures are this "
        "machine's: compare those of one run with each other."
    )
    parts = [
        "# Performance",
        about,
        f"Measured {today} on: {machine()}.",
    ]
    for name, rows in results.items():
        question, rest = docstring(name)
        command = " ".join(["python -m", f"benchmarks.bench_{name}", *ARGUMENTS.get(name, ())])
        parts += [f"## {name}", f"**{question}**", rest, f"`{command}`"]
        for title, cells in tables(name, rows):
            parts += [f"### {title}" if title else "", as_markdown(cells)]
        if name == "kernel":
            parts += kernel_page.notes(rows)
    parts += [f"## {name}\n\nFailed when this page was written." for name in failed]
    return "\n\n".join(part for part in parts if part) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(names())}")
    parser.add_argument("--json", action="store_true", help="print the rows as they are")
    parser.add_argument("--quick", action="store_true", help="a look in less time; writes nothing")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names()):
        parser.error(f"no benchmark {min(unknown)!r}; there are: {', '.join(names())}")
    results: dict[str, list[Row]] = {}
    failed: list[str] = []
    for name in options.names or names():
        print(f"{name}: {docstring(name)[0]}", file=sys.stderr, flush=True)
        try:
            results[name] = run(name, options.quick)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"{name} failed: {error}", file=sys.stderr)
            failed.append(name)
            continue
        if options.json:
            for row in results[name]:
                print(json.dumps(row), flush=True)
        elif results[name]:
            for title, cells in tables(name, results[name]):
                print(f"\n{title}\n{as_text(cells)}\n", flush=True)
    if not options.names and not options.quick:
        PAGE.write_text(page(results, datetime.now(UTC).date().isoformat(), failed), encoding="utf-8")
        print(f"wrote docs/{PAGE.name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
