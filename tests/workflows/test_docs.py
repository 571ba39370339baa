"""docs/workflows.md says what is so."""

import re
from pathlib import Path

import planaria.tools
from planaria.membrane.gate.gate import load_tools
from planaria.records.record import parse_record
from planaria.workflows.check import EACH_FIELDS, RUN_FIELDS, check
from planaria.workflows.events import FACTS, Checkpoint, ScheduleSet, SlotSkipped
from planaria.workflows.fields import HEAD_KEYS, STEP_KEYS
from planaria.workflows.load import import_workflows
from planaria.workflows.markdown import read_markdown
from planaria.workflows.template import ENVIRONMENT

TEXT = (Path(__file__).parents[2] / "docs" / "workflows.md").read_text(encoding="utf-8")


def block(opening: str, closing: str) -> str:
    return TEXT.split(opening + "\n", 1)[1].split("\n" + closing + "\n", 1)[0] + "\n"


def test_both_examples_are_good_and_equal(tmp_path):
    noted = read_markdown(parse_record("workflows/digest.md", block("````markdown", "````")))
    assert check(noted.workflow, load_tools(planaria.tools), noted.places) == ()
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "digest.py").write_text(block("```python", "```"))
    (written,) = import_workflows(tmp_path, "workflows/digest.py", "UTC")
    assert written.workflow == noted.workflow


def test_every_key_filter_and_event_is_described():
    rows = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    assert {*HEAD_KEYS, *STEP_KEYS} <= rows
    words = set(re.findall(r"`([\w.]+)`", TEXT))
    assert set(ENVIRONMENT.filters) <= words
    assert {*FACTS, Checkpoint.kind, ScheduleSet.kind, SlotSkipped.kind} <= words
    assert {*EACH_FIELDS, *RUN_FIELDS} <= words
