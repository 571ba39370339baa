"""`python -m tests.faults.table`: inject every fault into a garden of its own, and say what came of it.

Prints a line for each fault; with `--json` a JSON object for each, with `--write` the table goes into
`docs/faults.md`. A fault whose outcome is not what it has to be makes the exit code 1. It takes about two minutes, and
needs the sandbox and the extra `mcp`.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.faults.table.case import Case, Row, inject
from tests.faults.table.every import CASES
from tests.faults.table.page import written

PAGE = Path(__file__).parents[3] / "docs" / "faults.md"


async def measure(cases: Sequence[Case], pictures: Path | None) -> list[Row]:
    """Each fault in a garden of its own."""
    rows = []
    for case in cases:
        begun = time.perf_counter()
        look = None
        if pictures is not None:
            from tests.faults.table.picture import taking

            look = taking(pictures)
        with tempfile.TemporaryDirectory(prefix="fault-", ignore_cleanup_errors=True) as folder:
            row = await inject(case, Path(folder), look)
        rows.append(row)
        _say(f"{'!!' if row.problems else 'ok'} {time.perf_counter() - begun:5.1f} s  {case.name}")
        for problem in row.problems:
            _say(f"      {problem[:2500]}")
    return rows


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Inject and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="faults whose group or name has these words")
    parser.add_argument("--json", action="store_true", help="a JSON object for each fault")
    parser.add_argument("--write", action="store_true", help="the table of docs/faults.md")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of the dashboard in a browser")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    cases = [case for case in CASES if arguments.only in f"{case.group}: {case.name}"]
    rows = asyncio.run(measure(cases, arguments.pictures))
    if arguments.json:
        for row in rows:
            print(json.dumps(msgspec.to_builtins(row), ensure_ascii=False))
    if arguments.write:
        PAGE.write_text(written(PAGE.read_text(), rows))
    return 1 if any(row.problems for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
