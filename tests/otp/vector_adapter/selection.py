"""Which scenarios there are, and which of them are not expected to pass yet.

`OTP_VECTORS` names another directory of vector files; none of those is ever excused.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .comparison import Json

TESTS = Path(__file__).parents[1]
OWN_VECTORS = TESTS / "vectors"
MORE_VECTORS = TESTS / "vectors_more"
NOT_YET = TESTS / "not_yet.txt"

MANY_SCHEDULES = 8
FEW_SCHEDULES = 3


@dataclass(frozen=True)
class Scenario:
    """One line of a vector file."""

    id: str
    content: Mapping[str, Json]
    not_yet: str | None
    """Why it is expected to fail; None if it must pass."""
    schedules: int
    """How many schedules to try."""


def scenarios() -> list[Scenario]:
    """All scenarios of the directory in use."""
    named = os.environ.get("OTP_VECTORS")
    if named:
        return _read(Path(named), {}, MANY_SCHEDULES)
    excuses = not_yet()
    return _read(OWN_VECTORS, excuses, MANY_SCHEDULES) + _read(MORE_VECTORS, excuses, FEW_SCHEDULES)


def _read(directory: Path, excuses: Mapping[str, str], schedules: int) -> list[Scenario]:
    found = []
    for path in sorted(directory.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            content = json.loads(line)
            found.append(Scenario(content["id"], content, excuse(content["id"], excuses), schedules))
    if not found:
        raise FileNotFoundError(f"no *.jsonl files with scenarios in {directory}")
    return found


def not_yet() -> dict[str, str]:
    """The reasons in `not_yet.txt`, by id or prefix of ids."""
    lines = NOT_YET.read_text(encoding="utf-8").splitlines()
    entries = (line.split(":", 1) for line in lines if line.strip() and not line.startswith("#"))
    return {prefix.strip(): reason.strip() for prefix, reason in entries}


def excuse(id: str, excuses: Mapping[str, str]) -> str | None:
    """Why the scenario `id` may fail, if it may."""
    return next((reason for prefix, reason in excuses.items() if id.startswith(prefix)), None)
