"""A workflow that cannot run is refused when it is loaded, with the line and the mend."""

import pytest

from planaria.records.record import parse_record
from planaria.workflows.check import ancestors, check
from planaria.workflows.load import import_workflows
from planaria.workflows.markdown import read_markdown
from tests.workflows.support import DIGEST, DIGEST_PY, TOOLS, graph, stepping


def problems(text):
    source = read_markdown(parse_record("workflows/digest.md", text))
    return check(source.workflow, TOOLS, source.places)


def line_of(text, part):
    return next(number for number, row in enumerate(text.split("\n"), 1) if part in row)


def test_a_good_workflow_has_no_problems():
    assert problems(DIGEST) == ()


@pytest.mark.parametrize(
    ("before", "after", "said", "mend"),
    [
        ("tool: feed.fetch", "tool: feed.fech", "unknown tool 'feed.fech'", "'feed.fetch'"),
        ("  new: keep", "  new: kep", "unknown step 'kep'", "'keep'"),
        ("  new: keep", "  nwe: keep", "no branch 'nwe'", "'new'"),
        ("  source: feeds/news.atom", "  sorce: feeds/news.atom", "no argument 'sorce'", "'source'"),
        ('  limit: "{{ trigger.limit }}"', "  limit: many", "not an integer", "give an integer"),
        (
            '  limit: "{{ trigger.limit }}"',
            '  limit: "x{{ trigger.limit }}"',
            "not an integer",
            "give an integer",
        ),
        ('  limit: "{{ trigger.limit }}"', "  limit: true", "is a boolean", "give an integer"),
        ('  tags: ["inbox"]', "  tags: [3]", "3 is an integer", "give an array or nothing"),
        ('  tags: ["inbox"]', "  mode: old", "possible values", "one of 'add', 'new'"),
        ('"{{ trigger.limit }}"', '"{{ trigger.limt }}"', "no input 'limt'", "'limit'"),
        ('"{{ item.title }}"', '"{{ itm.title }}"', "nothing is called 'itm'", "'item'"),
        ("steps.fetch.value.items", "steps.fech.value.items", "no step 'fech'", "'fetch'"),
        ("steps.fetch.value.items", "steps.fetch.vlue.items", "a step has no 'vlue'", "'value'"),
        ("steps.fetch.value.items", "steps.tell.value.items", "cannot have run before", "fetch"),
        (
            '"{{ trigger.limit }}"',
            '"{{ item.x }}"',
            "only in the arguments of a step with 'each'",
            "add 'each'",
        ),
        ('"{{ steps.fetch.value.items }}"', '"{{ steps.fetch.value.items"', "cannot be read", "templates"),
        ('"{{ steps.fetch.value.items }}"', '"x {{ steps.fetch.value.items }}"', "gives text", "alone"),
        ('"{{ item.title }}"', '"{{ item.title | slg }}"', "No filter named 'slg'", "templates"),
        ("zone: Europe/Berlin", "zone: Europe/Berlino", "unknown time zone", "IANA"),
        ('"*/15 * * * *"', '"*/15 * * *"', "five fields", "five fields"),
        ('"*/15 * * * *"', '"61 * * * *"', "bad minute", "five fields"),
        ("inputs: {limit: 5}", "inputs: {limit: 5}\nroom: The Garden", "no name for a room", "small letters"),
        ("retry: 2", "max_visits: 0", "never be visited", "1 or more"),
        ("retry: 2", "timeout: 0", "timeout of step 'keep'", "above 0"),
        ("inputs: {limit: 5}", "inputs: {limit: 5}\nstart: ftch", "unknown step 'ftch'", "'fetch'"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_mend(before, after, said, mend):
    text = DIGEST.replace(before, after, 1)
    assert text != DIGEST
    found = [problem for problem in problems(text) if said in problem.problem]
    assert found, problems(text)
    assert mend in found[0].mend
    assert found[0].line == line_of(text, after.split("\n")[-1])


def test_a_missing_required_argument_is_named_with_its_type():
    text = DIGEST.replace('  title: "{{ item.title }}"\n', "")
    (problem,) = problems(text)
    assert "does not give notes.write its argument 'title'" in problem.problem
    assert problem.mend == "add title: a string"
    assert problem.line == line_of(text, '  tags: ["inbox"]') - 1


def test_every_branch_of_a_tool_must_lead_somewhere_failed_included():
    text = DIGEST.replace("  unchanged: end\n  failed: tell\n", "")
    assert [problem.problem for problem in problems(text)] == [
        "step 'fetch' does not say where 'unchanged' leads",
        "step 'fetch' does not say where 'failed' leads",
    ]


def test_a_step_with_each_must_say_where_an_empty_list_leads():
    text = DIGEST.replace('  "*": tell', "  ok: tell\n  failed: tell")
    (problem,) = problems(text)
    assert "'none'" in problem.problem


def test_a_step_that_is_never_reached_is_named():
    text = DIGEST.replace("  new: keep", "  new: tell")
    said = [problem.problem for problem in problems(text)]
    assert "step 'keep' can never be reached from the start" in said


def test_a_cycle_needs_a_step_with_a_bound():
    ways = {"a": {"*": "b"}, "b": {"ok": "a", "*": "end"}}
    (problem,) = check(graph(ways), [stepping])
    assert problem.problem == "the steps go round without a bound: a -> b -> a"
    assert check(graph(ways, a={"max_visits": 3}), [stepping]) == ()
    assert check(graph(ways, b={"max_visits": 3}), [stepping]) == ()


def test_a_bound_on_one_cycle_does_not_excuse_another():
    ways = {"a": {"*": "b"}, "b": {"ok": "a", "other": "c", "*": "end"}, "c": {"ok": "b", "*": "end"}}
    found = check(graph(ways, a={"max_visits": 3}), [stepping])
    assert [problem.problem for problem in found] == ["the steps go round without a bound: b -> c -> b"]


def test_on_a_cycle_a_step_may_refer_to_itself():
    ways = {"a": {"ok": "a", "*": "end"}}
    arguments = {"step": "{{ steps.a.value | default('first') }}"}
    assert check(graph(ways, a={"max_visits": 3, "arguments": arguments}), [stepping]) == ()


def test_what_may_have_run_before_follows_every_route():
    ways = {"a": {"ok": "b", "*": "c"}, "b": {"*": "d"}, "c": {"*": "d"}, "d": {"*": "end"}}
    assert ancestors(graph(ways)) == {"a": set(), "b": {"a"}, "c": {"a"}, "d": {"a", "b", "c"}}


def test_mistakes_in_the_python_form_have_the_line_of_the_python_file(tmp_path):
    (tmp_path / "workflows").mkdir()
    text = DIGEST_PY.replace("steps.fetch.value.items", "steps.fech.value.items").replace("title=", "titel=")
    (tmp_path / "workflows" / "digest.py").write_text(text)
    (source,) = import_workflows(tmp_path, "workflows/digest.py", "UTC")
    found = {problem.line: problem.problem for problem in check(source.workflow, TOOLS, source.places)}
    assert "no step 'fech'" in found[line_of(text, "each=")]
    assert "no argument 'titel'" in found[line_of(text, "titel=")]
