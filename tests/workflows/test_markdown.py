"""Workflows written as notes: what a person writes is what is read, and errors name its line."""

from pathlib import Path

import pytest

from planaria.membrane.authority import Refusal
from planaria.membrane.capability import Touch
from planaria.membrane.scopes.scope import Place
from planaria.records.record import parse_record
from planaria.workflows.definition import Schedule, definition_hash, pack, unpack
from planaria.workflows.errors import DefinitionError
from planaria.workflows.markdown import read_markdown
from tests.workflows.support import DIGEST


def read(text, path="workflows/digest.md"):
    return read_markdown(parse_record(path, text))


def line_of(text, part):
    return next(number for number, row in enumerate(text.split("\n"), 1) if part in row)


def test_front_matter_and_step_sections_make_a_workflow():
    workflow = read(DIGEST).workflow
    assert workflow.name == "digest"
    assert workflow.description == "Keeps what is new."
    assert workflow.schedule == Schedule("*/15 * * * *")
    assert workflow.zone == "Europe/Berlin"
    assert workflow.start == "fetch"
    assert list(workflow.steps) == ["fetch", "keep", "tell"]
    assert workflow.steps["fetch"].routes == {"new": "keep", "unchanged": "end", "failed": "tell"}
    assert workflow.steps["keep"].retry == 2
    assert workflow.steps["keep"].arguments["tags"] == ["inbox"]


def test_sections_without_a_yaml_block_and_blocks_without_a_section_are_for_people():
    extra = "\n## Afterword\n```python\nx = 1\n```\n# Title\n```yaml\nnot: a step\n```\n"
    assert read(DIGEST + extra).workflow == read(DIGEST).workflow


def test_the_places_are_lines_of_the_file():
    places = read(DIGEST).places
    assert places.line("schedule") == line_of(DIGEST, "schedule:")
    assert places.line("steps", "keep") == line_of(DIGEST, "## keep")
    assert places.line("steps", "keep", "arguments", "title") == line_of(DIGEST, "title:")
    assert places.line("steps", "fetch", "routes", "failed") == line_of(DIGEST, "failed: tell")
    assert places.line("steps", "keep", "arguments", "unknown") == line_of(DIGEST, '  title: "{{ item') - 1


def test_a_definition_survives_the_journal():
    workflow = read(DIGEST).workflow
    assert unpack(pack(workflow)) == workflow
    assert definition_hash(unpack(pack(workflow))) == definition_hash(workflow)


def test_grants_are_part_of_a_definition_that_has_some():
    plain = read(DIGEST).workflow
    workflow = read(DIGEST.replace("inputs:", 'grants: {shell.run: ["git log *"]}\ninputs:')).workflow
    assert unpack(pack(workflow)) == workflow
    assert definition_hash(workflow) != definition_hash(plain)
    assert "grants" not in pack(plain)
    refusal = workflow.authority().check(Touch("shell.run", ("git", "push")), Place(Path("/")))
    assert isinstance(refusal, Refusal)
    assert refusal.why == "'git push' is outside of shell.run, granted by its file for git log *"


@pytest.mark.parametrize(
    ("before", "after", "said", "mend"),
    [
        ("inputs: {limit: 5}", "grants: {shell.rum: [x]}", "did you mean 'shell.run'", "Known capabilities"),
        ("inputs: {limit: 5}", "grants: [shell.run]", "without a scope grants nothing", "shell.run: ["),
        ("tool: feed.fetch", "tol: feed.fetch", "no key 'tol'", "'tool'"),
        ("schedule:", "shedule:", "no key 'shedule'", "'schedule'"),
        ('title: "{{ item.title }}"', "title: {{ item.title }}", "without quotes", "quotes"),
        ("retry: 2", "retry: many", "'many'", "retry: 3"),
        ("inputs: {limit: 5}", "inputs: 5", "'inputs' is 5", "list of names"),
        ("## keep", "## keep it", "'keep it' is no name", "underscores"),
        ("## keep", "## fetch", "written twice", "rename"),
        ("## keep", "## end", "no name for a step", "'end'"),
        ("  unchanged: end", "  unchanged: [end]", "leads to ['end']", "name a step"),
        ('schedule: "*/15 * * * *"', "first_run: soon", "first_run is 'soon'", "'scheduled' or 'now'"),
        ("tool: room.say", "tool: 3", "names no tool", "tool: room.say"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_mend(before, after, said, mend):
    text = DIGEST.replace(before, after, 1)
    with pytest.raises(DefinitionError) as raised:
        read(text)
    found = [problem for problem in raised.value.problems if said in problem.problem]
    assert found, raised.value
    assert mend in found[0].mend
    assert found[0].line == line_of(text, after) or after == "## fetch"
    assert found[0].path == "workflows/digest.md"


def test_a_broken_yaml_block_names_the_line_in_the_file():
    text = DIGEST.replace("  failed: tell\n", "  failed: [tell\n")
    with pytest.raises(DefinitionError) as raised:
        read(text)
    assert abs(raised.value.problems[0].line - line_of(text, "[tell")) <= 1


def test_a_block_that_is_never_closed_is_named_where_it_opens():
    text = DIGEST.rstrip().removesuffix("```")
    with pytest.raises(DefinitionError) as raised:
        read(text)
    assert any("never closed" in problem.problem for problem in raised.value.problems)


def test_a_workflow_without_steps_is_refused():
    with pytest.raises(DefinitionError, match="no steps"):
        read("---\nclass: workflow\n---\nNothing here.\n")


def test_all_mistakes_of_a_file_are_named_at_once():
    text = DIGEST.replace("tool: feed.fetch", "tol: x").replace("retry: 2", "retry: many")
    with pytest.raises(DefinitionError) as raised:
        read(text)
    assert len(raised.value.problems) >= 2
    assert [problem.line for problem in raised.value.problems] == sorted(
        problem.line for problem in raised.value.problems
    )
