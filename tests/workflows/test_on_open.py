"""A step whose tool is held back by a breaker goes the way it declares."""

from functools import partial
from typing import Any

import msgspec
import pytest

from planaria.config.breakers import BreakerPolicy, BreakerSettings
from planaria.cortex.durable.letters import DeadLettered
from planaria.cortex.journal import Journal
from planaria.immune.breakers.keeper import Breakers
from planaria.membrane.gate.gate import Gate
from planaria.membrane.tool import Context, Done, Failed, Tool, tool
from planaria.otp import child, supervisor
from planaria.records.library import Library
from planaria.records.record import parse_record
from planaria.workflows.check import check
from planaria.workflows.definition import OnOpen, Step, Workflow, definition_hash
from planaria.workflows.load import import_workflows
from planaria.workflows.markdown import read_markdown
from planaria.workflows.messages import START
from planaria.workflows.tree import tree
from planaria.workflows.views import RunView
from tests.workflows.support import DIGEST, DIGEST_PY, TOOLS
from tests.workflows.world import World, world

POLICY = BreakerSettings(tool=BreakerPolicy(failures=1, jitter=0.0, cooldown=1000.0))


@tool(name="test.other", branches=("ok", "found"))
async def other(context: Context, step: str, item: int | None = None) -> Done | Failed:
    """Another way.

    Args:
        step: which.
        item: of a list.
    """
    return Done(f"{step} otherwise", branch="found")


def written(on_open: str, **routes: str) -> str:
    ways = "".join(f"  {branch}: {target}\n" for branch, target in routes.items())
    return (
        "---\nclass: workflow\ninputs: {what: 1}\n---\n## a\n```yaml\ntool: test.step\nwith: {step: a}\n"
        f'on:\n{ways}  "*": fail\n{on_open}```\n## b\n```yaml\ntool: test.step\n'
        'with: {step: b}\non: {"*": end}\n```\n'
    )


async def run(place: World, text: str, *, first: Tool | None = None) -> RunView:
    """Run a workflow while the breaker of `test.step` is open."""
    place.write("test.md", text)
    await place.node.start(
        supervisor(
            child(Journal, lambda: place.store, name="journal"),
            child(Library, place.garden, name="library"),
            child(Breakers, POLICY, name="breakers"),
            tree(Gate([place.tool(), other]), place.garden, zone="UTC", watching=False),
            strategy="rest_for_one",
            name="node",
        )
    )
    await place.node.run(partial(Breakers.open, "breakers", "tool:test.step", "person:ada", "broken", 3600.0))
    return await place.finished(await place.start("test", what=7))


@pytest.fixture
async def garden(tmp_path):
    async with world(tmp_path, seed=1) as made:
        yield made


async def test_without_a_word_the_call_has_failed(garden: World):
    view = await run(garden, written("", failed="end", ok="b"))
    assert (view.status, view.steps[0].branch) == ("done", "failed")
    assert "tool:test.step is held back until" in str(view.steps[0].error)
    assert garden.calls == []


async def test_skip_takes_the_branch_skipped(garden: World):
    view = await run(garden, written("on_open: skip\n", skipped="end", ok="b"))
    assert (view.status, view.path, view.steps[0].branch) == ("done", ("a",), "skipped")


async def test_halt_ends_the_run_and_leaves_a_letter_that_starts_it_once_more(garden: World):
    view = await run(garden, written("retry: 5\non_open: halt\n", ok="b"))
    assert view.status == "failed" and "step 'a' was halted: tool:test.step is held back" in str(view.error)
    (event,) = await garden.events("dead.lettered")
    letter = DeadLettered.of(event)
    assert (letter.letter, letter.target) == (START, view.id)
    assert letter.evidence == {"run": view.id, "workflow": "test", "arguments": {"what": 7}}
    finished = await garden.events("workflow.run.finished")
    assert event.seq == finished[0].seq + 1  # in one append


async def test_fallback_makes_the_same_call_with_another_tool(garden: World):
    view = await run(garden, written("on_open: {fallback: test.other}\n", found="end", ok="b"))
    assert (view.status, view.path, view.steps[0].branch) == ("done", ("a",), "found")
    started = await garden.events("tool.started")
    assert [event.payload["tool"] for event in started] == ["test.other"]
    (retried,) = await garden.events("workflow.step.retried")
    assert retried.payload["tool"] == "test.other" and "held back" in retried.payload["error"]


async def test_a_fallback_that_is_held_back_too_has_failed(garden: World):
    place, text = garden, written("on_open: {fallback: test.other}\n", failed="end", found="b", ok="b")
    place.write("test.md", text)
    await place.node.start(
        supervisor(
            child(Journal, lambda: place.store, name="journal"),
            child(Library, place.garden, name="library"),
            child(Breakers, POLICY, name="breakers"),
            tree(Gate([place.tool(), other]), place.garden, zone="UTC", watching=False),
            strategy="rest_for_one",
            name="node",
        )
    )
    for name in ("tool:test.step", "tool:test.other"):
        await place.node.run(partial(Breakers.open, "breakers", name, "person:ada"))
    view = await place.finished(await place.start("test", what=7))
    assert (view.status, view.steps[0].branch) == ("done", "failed")
    assert "tool:test.other" in str(view.steps[0].error)


# --- written and checked ----------------------------------------------------------------------------------------


def problems(on_open: str) -> list[str]:
    text = DIGEST.replace("tool: feed.fetch\n", f"tool: feed.fetch\non_open: {on_open}\n")
    assert text != DIGEST
    source = read_markdown(parse_record("workflows/digest.md", text))
    return [str(problem) for problem in check(source.workflow, TOOLS, source.places)]


def test_a_way_that_is_none_is_refused():
    with pytest.raises(Exception, match=r"'on_open' is 'wait'\. write skip, halt, or \{fallback: TOOL\}"):
        problems("wait")


def test_skip_needs_a_route_and_a_fallback_a_tool_that_takes_the_arguments():
    assert "does not say where 'skipped' leads" in problems("skip")[0]
    assert (
        "falls back to an unknown tool 'notes.wirte'. did you mean 'notes.write'?"
        in problems("{fallback: notes.wirte}")[0]
    )
    assert any("room.say has no argument 'source'" in each for each in problems("{fallback: room.say}"))
    assert any("'ok'" in each for each in problems("{fallback: room.say}"))  # a branch without a route
    assert "falls back to its own tool" in problems("{fallback: feed.fetch}")[0]


def test_both_forms_say_it_alike(tmp_path: Any):
    python = DIGEST_PY.replace(
        'step("feed.fetch",', 'step("feed.fetch", on_open={"fallback": "notes.write"},'
    )
    python = python.replace(
        '"feed.fetch",\n', '"feed.fetch",\n        on_open={"fallback": "notes.write"},\n'
    )
    assert python != DIGEST_PY
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "digest.py").write_text(python)
    (source,) = import_workflows(tmp_path, "workflows/digest.py", "UTC")
    assert source.workflow.steps["fetch"].way == OnOpen("fallback", "notes.write")


def test_a_definition_that_says_nothing_of_it_has_the_hash_it_had_before():
    workflow = Workflow("w", {"a": Step("a", "room.say", {"text": "x"}, {"*": "end"})}, "a")
    assert b"on_open" not in msgspec.json.encode(workflow)
    assert definition_hash(workflow) == "07359bef6fbe6e8f"
