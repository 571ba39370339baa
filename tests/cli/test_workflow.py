"""Running workflows from the terminal: the sample that every new garden has, and ones that fail."""

import pytest

FAILING = """\
---
class: workflow
description: Searches for nothing.
---
# Doomed

## find
```yaml
tool: notes.search
with: {query: xyzzy}
on: {found: end, nothing: fail, failed: fail}
```
"""


def test_the_sample_of_a_new_garden_runs_and_leaves_a_note(live):
    result = live.run("workflow", "run", "collect", "--with", "words=welcome")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("done      find  notes.search → found in ")
    assert lines[1].startswith("done      keep  notes.write → created in ")
    assert lines[2].startswith("done ")
    assert "- [Welcome](welcome.md)" in (live.path / "notes" / "collected.md").read_text()


def test_a_run_can_be_looked_at_afterwards(live):
    view = live.json("workflow", "run", "collect")
    assert view["status"] == "done"
    assert live.json("workflow", "show", view["id"])["path"] == ["find", "keep"]
    output = live.run("workflow", "show", view["id"]).output
    assert "find → keep" in output
    assert view["id"] in live.run("workflow", "runs").output


def test_a_run_that_fails_ends_with_exit_code_1(live):
    (live.path / "workflows" / "doomed.md").write_text(FAILING)
    live.reread("workflows/doomed.md")
    result = live.run("workflow", "run", "doomed")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("failed ")


def test_workflows_are_listed_and_drawn(live):
    assert "collect\tby hand\t" in live.run("workflow", "list").output
    output = live.run("workflow", "show", "collect").output
    assert "find  notes.search\n" in output
    assert "  found → keep\n" in output


def test_a_broken_workflow_is_listed_with_line_and_mend(live):
    (live.path / "workflows" / "doomed.md").write_text(FAILING.replace("notes.search", "notes.serch"))
    live.reread("workflows/doomed.md")
    result = live.run("workflow", "list")
    assert "doomed\tbroken\t" in result.output
    assert "workflows/doomed.md:" in result.stderr
    assert "did you mean 'notes.search'?" in result.stderr


def test_an_unknown_workflow_is_answered_with_the_nearest(live):
    result = live.run("workflow", "run", "colect")
    assert result.exit_code == 6
    assert "did you mean 'collect'?" in result.stderr


def test_an_input_the_workflow_does_not_have_is_refused(live):
    assert live.run("workflow", "run", "collect", "--with", "word=x").exit_code == 6


@pytest.mark.parametrize("given", ["words", "=x"])
def test_a_value_without_a_key_is_wrong_use(live, given):
    assert live.run("workflow", "run", "collect", "--with", given).exit_code == 2


def test_a_run_can_be_started_without_waiting(live):
    started = live.json("workflow", "run", "collect", "--no-wait")
    assert live.json("workflow", "show", started["run"])["workflow"] == "collect"


def test_a_run_that_is_over_is_not_cancelled(live):
    view = live.json("workflow", "run", "collect")
    assert live.json("workflow", "cancel", view["id"]) == {"cancelled": False}


def test_an_unknown_run_is_said(live):
    result = live.run("workflow", "show", "nope")
    assert result.exit_code == 6
    assert "no run 'nope'" in result.stderr
