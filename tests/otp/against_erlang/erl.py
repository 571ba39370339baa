"""Running the Erlang modules beside this file."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "erlang"


def run_erlang(module: str, cases: list[str]) -> list[Any]:
    """What `module:main/1` prints for a file of these terms: a JSON value for each line.

    Raises:
        SystemExit: Erlang is not there.
    """
    if shutil.which("erl") is None or shutil.which("erlc") is None:
        raise SystemExit("no erl and erlc on the path: install Erlang/OTP 25 (Debian: erlang-base)")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["erlc", "-o", folder, *map(str, SOURCES.glob("*.erl"))], check=True)
        terms = Path(folder, "cases.txt")
        terms.write_text("".join(f"{case}.\n" for case in cases))
        command = ["erl", "-noshell", "-pa", folder, "-eval", f'{module}:main("{terms}").']
        told = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in told.stdout.splitlines()]


def term(value: Any) -> str:
    """A Python value as an Erlang term: tuples, lists, texts as atoms, numbers, truth values."""
    if isinstance(value, tuple):
        return f"{{{','.join(map(term, value))}}}"
    if isinstance(value, list):
        return f"[{','.join(map(term, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
