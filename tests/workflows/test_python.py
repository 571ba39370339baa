"""Workflows written as classes: the same value as the Markdown form, and errors with lines."""

import pytest

from planaria.records.record import parse_record
from planaria.workflows.definition import definition_hash
from planaria.workflows.errors import DefinitionError
from planaria.workflows.load import import_workflows, problem_of, python_files
from planaria.workflows.markdown import read_markdown
from planaria.workflows.python import WorkflowDefinition, end, kebab, read_class, step
from tests.workflows.support import DIGEST, DIGEST_PY


@pytest.fixture
def garden(tmp_path):
    (tmp_path / "workflows").mkdir()
    return tmp_path


def write(garden, text, name="digest.py"):
    (garden / "workflows" / name).write_text(text, encoding="utf-8")
    return f"workflows/{name}"


def line_of(text, part):
    return next(number for number, row in enumerate(text.split("\n"), 1) if part in row)


def problems(garden, text):
    path = write(garden, text)
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - whatever the file raises
        import_workflows(garden, path, "UTC")
    return problem_of(raised.value, garden, path)


def test_both_forms_of_one_workflow_are_equal_with_the_same_hash(garden):
    (written,) = import_workflows(garden, write(garden, DIGEST_PY), "UTC")
    noted = read_markdown(parse_record("workflows/digest.md", DIGEST))
    assert written.workflow == noted.workflow
    assert definition_hash(written.workflow) == definition_hash(noted.workflow)


def test_the_places_are_lines_of_the_file(garden):
    (source,) = import_workflows(garden, write(garden, DIGEST_PY), "UTC")
    assert source.places.line("schedule") == line_of(DIGEST_PY, "schedule =")
    assert source.places.line("steps", "keep", "arguments", "title") == line_of(DIGEST_PY, "title=")
    assert source.places.line("steps", "tell", "routes", "failed") == line_of(DIGEST_PY, '"failed": fail')


def test_a_class_needs_no_file():
    class MorningRound(WorkflowDefinition):
        say = step("room.say", text="hello", on={"*": end})

    source = read_class(MorningRound, "here.py")
    assert source.workflow.name == "morning-round"
    assert source.workflow.steps["say"].arguments == {"text": "hello"}


def test_steps_of_a_base_class_come_first_and_may_be_replaced():
    class Base(WorkflowDefinition):
        first = step("room.say", text="one", on={"*": "second"})
        second = step("room.say", text="two", on={"*": end})

    class Changed(Base):
        second = step("room.say", text="other", on={"*": end})

    workflow = read_class(Changed, "here.py").workflow
    assert list(workflow.steps) == ["first", "second"]
    assert workflow.steps["second"].arguments == {"text": "other"}


def test_an_argument_with_the_name_of_an_option_goes_into_arguments():
    class Odd(WorkflowDefinition):
        one = step("x.y", arguments={"on": 1, "each": 2}, on={"*": end})

    assert read_class(Odd, "here.py").workflow.steps["one"].arguments == {"on": 1, "each": 2}


@pytest.mark.parametrize(
    ("name", "expected"), [("GardenDigest", "garden-digest"), ("RSSFeed2Go", "rss-feed2-go")]
)
def test_class_names_become_kebab_case(name, expected):
    assert kebab(name) == expected


def test_what_a_file_raises_is_a_problem_with_the_line_that_raised(garden):
    text = "import math\n\ndef f():\n    return 1 / 0\n\nf()\n"
    (problem,) = problems(garden, text)
    assert (problem.path, problem.line) == ("workflows/digest.py", 4)
    assert "ZeroDivisionError" in problem.problem


def test_a_missing_import_is_named_at_its_line(garden):
    (problem,) = problems(garden, "\nimport no_such_module_here\n")
    assert problem.line == 2
    assert "no_such_module_here" in problem.problem


def test_broken_syntax_is_named_at_its_line(garden):
    (problem,) = problems(garden, "x = 1\ny = = 2\n")
    assert problem.line == 2
    assert "not Python" in problem.problem


def test_even_an_exit_in_a_file_is_a_problem(garden):
    (problem,) = problems(garden, "raise SystemExit(3)\n")
    assert problem.line == 1


def test_a_file_without_a_workflow_says_so(garden):
    (problem,) = problems(garden, "x = 1\n")
    assert "no workflow" in problem.problem


def test_a_wrong_key_is_named_at_its_line(garden):
    text = DIGEST_PY.replace('    zone = "Europe/Berlin"', '    zne = "Europe/Berlin"')
    (problem,) = problems(garden, text)
    assert problem.line == line_of(text, "zne")
    assert "'zone'" in problem.mend


def test_files_with_an_underscore_are_for_import_by_others(garden):
    write(garden, DIGEST_PY)
    write(garden, "x = 1", "_shared.py")
    write(garden, "note", "other.md")
    assert python_files(garden) == ("workflows/digest.py",)


def test_a_route_that_is_not_text_is_refused():
    class Odd(WorkflowDefinition):
        one = step("x.y", on={"*": 5})  # type: ignore[dict-item]

    with pytest.raises(DefinitionError, match="leads to 5"):
        read_class(Odd, "here.py")
