"""Type checkers infer what the kernel promises: each case file holds exactly the errors its comments name.

A line of `typing_cases/*.py` that ends in `# error` must be reported by mypy and by pyright, every other line by
neither; `assert_type` in those files pins what is inferred.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "typing_cases"
ROOT = Path(__file__).parents[2]
MYPY_LINE = re.compile(r"^(?P<path>.+?):(?P<line>\d+): error: (?P<text>.*)$")

type Errors = dict[str, dict[int, str]]
"""What is reported: messages by line, by file."""


def case_paths() -> list[str]:
    """Named one by one: the project's own checks leave the folder out, since it holds errors."""
    return [str(path) for path in sorted(CASES.glob("*.py"))]


def expected() -> dict[str, set[int]]:
    return {
        Path(path).name: {
            number
            for number, line in enumerate(Path(path).read_text().splitlines(), 1)
            if line.endswith("# error")
        }
        for path in case_paths()
    }


def run(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments, *case_paths()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def mypy_errors() -> Errors:
    found: Errors = {}
    for line in run("mypy", "--strict", "--no-error-summary", "--no-pretty").splitlines():
        if match := MYPY_LINE.match(line):
            found.setdefault(Path(match["path"]).name, {})[int(match["line"])] = match["text"]
    return found


def pyright_errors() -> Errors:
    found: Errors = {}
    for one in json.loads(run("pyright", "--outputjson", "--pythonpath", sys.executable))[
        "generalDiagnostics"
    ]:
        if one["severity"] == "error":
            line = one["range"]["start"]["line"] + 1
            found.setdefault(Path(one["file"]).name, {})[line] = one["message"]
    return found


@pytest.mark.parametrize("checker", [mypy_errors, pyright_errors], ids=["mypy", "pyright"])
def test_a_type_checker_reports_the_marked_lines_and_no_others(checker: Callable[[], Errors]) -> None:
    found = checker()
    for name, lines in expected().items():
        reported = found.get(name, {})
        surprising = {line: text for line, text in reported.items() if line not in lines}
        assert not surprising, f"{name}: reported without being marked"
        assert not lines - set(reported), f"{name}: marked lines that nobody reported"


def test_the_cases_hold_errors_and_inferred_types_to_check() -> None:
    assert sum(len(lines) for lines in expected().values()) >= 20
    assert sum(Path(path).read_text().count("assert_type(") for path in case_paths()) >= 20
