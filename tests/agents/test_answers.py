"""Agents whose records say by a schema what their answers are: checked and mended in rooms, as children's are."""

import json
from pathlib import Path

import pytest

from planaria.agents.kinship import ChildFinished
from planaria.membrane.provider import Message
from planaria.testing.models import Call, Line, ScriptedProvider
from planaria.testing.models import Say as Line_
from planaria.testing.node import TestNode
from planaria.tools.agents import ask
from tests.agents.support import TrapStore, World, again, once
from tests.agents.test_children import Cast

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
COUNTER = """---
class: agent
tools: [work.*, agents.*]
grants: {agents.spawn: ["*"]}
answer: {type: object, properties: {n: {type: integer}}, required: [n]}
max_steps: 3
---
You are scout, and count.
"""
HELPER = COUNTER.replace("You are scout", "You are helper").replace(
    "class: agent", "class: agent\nrooms: [shed]"
)


async def world(node: TestNode, folder: Path, *lines: Line) -> tuple[World, ScriptedProvider]:
    (folder / "agents").mkdir()
    (folder / "agents" / "scout.md").write_text(COUNTER)
    model = ScriptedProvider(lines)
    made = World(node, folder, model, TrapStore())
    await made.start()
    return made, model


async def test_an_answer_in_a_room_that_does_not_fit_is_mended(node: TestNode, tmp_path: Path):
    made, model = await world(node, tmp_path, "about seven", 'Sure!\n```json\n{"n": 7}\n```')
    await made.post("how many?")
    assert await made.until_answered() == ['{"n":7}']
    first, second = model.requests
    assert first.response_schema == SCHEMA
    asked: Message = second.messages[-1]
    assert asked.role == "user" and "does not fit what was asked for" in asked.content
    (noted,) = await made.events("turn.checked")
    assert "not JSON" in noted.payload["problem"]
    (end,) = await made.events("turn.finished")
    assert end.payload["outcome"] == "answered"


async def test_an_answer_that_never_fits_is_given_up_with_a_notice(node: TestNode, tmp_path: Path):
    made, model = await world(node, tmp_path, "seven", "still seven")
    await made.post("how many?")
    (said,) = await made.until_answered()
    assert said.startswith("I could not answer in the form that was asked for")
    assert "the answer is not JSON" in said and "schema" not in said
    assert [m.author_kind for m in await made.said()][-1] == "notice"
    assert len(model.requests) == 2
    (end,) = await made.events("turn.finished")
    assert end.payload["outcome"] == "failed"


async def test_the_last_words_at_a_limit_are_checked_too(node: TestNode, tmp_path: Path):
    steps = [Call("work.again", {"what": str(number)}) for number in range(3)]
    made, _ = await world(node, tmp_path, *steps, "no time to count", '{"n": 3}')
    await made.post("how many?")
    (said,) = await made.until_answered()
    assert said.startswith("I could not answer in the form that was asked for: the answer is not JSON")
    await made.post("again?")
    assert (await made.until_answered(2))[-1] == '{"n":3}'


async def test_a_turn_that_was_killed_before_its_answer_says_the_same(node: TestNode, tmp_path: Path):
    made, model = await world(node, tmp_path, Call("work.once", {"what": "x"}), '{"n": 1}')
    made.book.held = {"once"}
    await made.post("how many?")
    await node.settle()
    await made.kill("session:scout@garden")
    made.book.release()
    assert await made.until_answered() == ['{"n":1}']
    assert len(model.requests) == 2


async def test_a_child_answers_as_its_own_record_says_and_one_made_up_in_words(
    node: TestNode, tmp_path: Path
):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "scout.md").write_text(COUNTER)
    (tmp_path / "agents" / "helper.md").write_text(HELPER)
    words = {"agent": "poet", "task": "sing", "instructions": "You sing."}
    model = Cast(
        scout=[
            Call("agents.ask", {"agent": "helper", "task": "count"}),
            Call("agents.ask", words),
            Line_('{"n": 1}'),
        ],
        helper=[Line_("some"), Line_('{"n": 2}')],
        poet=[Line_("la la")],
    )
    made = World(node, tmp_path, model, TrapStore(), tools=(once, again, ask))
    await made.start()
    await made.post()
    assert await made.until_answered() == ['{"n":1}']
    ends = [ChildFinished.of(event) for event in await made.events(ChildFinished.kind, session=None)]
    assert [(end.outcome, end.value, end.text) for end in ends] == [
        ("answered", {"n": 2}, '{"n": 2}'),
        ("answered", None, "la la"),
    ]


async def test_a_schema_may_stand_in_a_file_beside_the_record(node: TestNode, tmp_path: Path):
    named = COUNTER.replace(
        COUNTER[COUNTER.index("answer:") : COUNTER.index("max_steps")], "answer: count.json\n"
    )
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "scout.md").write_text(named)
    model = ScriptedProvider(['{"n": 7}', "seven", '{"n": 8}'])
    made = World(node, tmp_path, model, TrapStore())
    await made.start()
    (problem,) = await made.problems()
    assert problem.startswith("agents/scout.md:5: agents/count.json cannot be read: No such file")
    (tmp_path / "agents" / "count.json").write_text(json.dumps(SCHEMA))
    await made.save("agents/scout.md", named + "\nWell.\n")
    assert not any("count.json" in each for each in await made.problems())
    await made.post("how many?")
    assert await made.until_answered() == ['{"n":7}']
    await made.save("agents/scout.md", named + "\nWell done.\n")
    await made.post("and now?")
    assert (await made.until_answered(2))[-1] == '{"n":8}'
    assert [request.response_schema for request in model.requests] == [SCHEMA] * 3
    (tmp_path / "agents" / "count.json").write_text('{"type": 5}')
    await made.save("agents/scout.md", named + "\nBad.\n")
    (problem,) = await made.problems()
    assert "agents/count.json is no JSON schema" in problem


@pytest.mark.parametrize("answer", ["{type: nonsense}", "[1]", "{properties: 5}"])
async def test_a_schema_that_is_none_is_told_with_its_line(node: TestNode, tmp_path: Path, answer: str):
    (tmp_path / "agents").mkdir()
    text = f"---\nclass: agent\nanswer: {answer}\n---\nYou count.\n"
    (tmp_path / "agents" / "scout.md").write_text(text)
    made = World(node, tmp_path, ScriptedProvider([]), TrapStore())
    await made.start()
    (problem,) = await made.problems()
    assert problem.startswith("agents/scout.md:3: answer ") and "Write a JSON schema, such as" in problem
