"""Plans: read, changed, and in view of whoever keeps them."""

import pytest

from planaria.agents.prompt.plan import Item, body_of, changed, items_of, plan_text, renewed
from planaria.records.record import parse_record
from planaria.testing.models import Call, Calls, ScriptedProvider
from planaria.tools.plan import set_plan, update
from tests.agents.support import SCOUT, SESSION, World, once

BODY = "Before all.\n- [ ] one\n* [x] two\n  - [ ] (doing) three\n- [-] four\n- no item\n"


def test_the_items_of_a_list_are_numbered_in_order_whatever_stands_between():
    assert items_of(BODY) == [
        Item(1, "one", "open"),
        Item(2, "two", "done"),
        Item(3, "three", "doing"),
        Item(4, "four", "dropped"),
    ]


def test_changing_one_item_leaves_the_rest_as_it_was():
    now = changed(BODY, 1, "doing") or ""
    assert now == BODY.replace("- [ ] one", "- [ ] (doing) one")
    assert changed(BODY, 5, "done") is None
    assert items_of(changed(BODY, 3, None, "more") or "")[2] == Item(3, "more", "doing")


@pytest.mark.parametrize("text", ["a", "a [x] b", "(doing) nothing", "- x"])
def test_what_is_written_is_read_again(text: str):
    (item,) = items_of(body_of([(text, "done")]))
    assert (item.text.removeprefix("(doing) "), item.status) == (text.removeprefix("(doing) "), "done")


def test_a_plan_is_shown_with_its_goal_and_numbers():
    plan = parse_record("notes/plans/a.md", f"---\ngoal: get there\n---\n{BODY}")
    assert plan_text(plan).startswith("Goal: get there\nBefore all.\n1. [ ] one\n2. [x] two")
    assert plan_text(None) == ""


async def test_a_plan_is_in_the_prompt_from_the_next_step_on_and_after_a_restart(world: World):
    world.tools = (once, set_plan)
    (world.garden / "agents" / "scout.md").write_text(SCOUT.replace("work.*", "work.*, plan.*"))
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(Call("plan.set", {"items": ["look", "tell"]}), "planned", "going on", "done")
    await world.start()
    await world.post()
    await world.until_answered()
    before, after = (request.messages[0].content for request in world.provider.requests[:2])
    assert "# Your plan" not in before
    assert after.endswith("# Your plan\n\n1. [ ] look\n2. [ ] tell")
    path = "notes/plans/scout-garden.md"
    await world.save(path, (world.garden / path).read_text().replace("- [ ] look", "- [x] look"))
    await world.post("and?")
    await world.until_answered(2)
    assert world.provider.requests[2].messages[0].content.endswith("1. [x] look\n2. [ ] tell")
    await world.kill(SESSION)
    await world.post("now?")
    await world.until_answered(3)
    assert world.provider.requests[3].messages[0].content.endswith("1. [x] look\n2. [ ] tell")


def test_a_plan_that_is_written_anew_keeps_what_people_wrote_around_it():
    now = renewed(BODY, [("five", "open"), ("two", "done")])
    assert now == "Before all.\n\n- [ ] five\n- [x] two\n\n- no item\n"
    assert renewed("", [("a", "open")]) == "- [ ] a\n"
    odd = "a\u2028b\x0bc\n- [ ] one\n"
    assert changed(odd, 1, "done") == odd.replace("[ ]", "[x]")


async def test_items_that_are_ticked_off_at_once_are_all_ticked_off(world: World):
    world.tools = (once, set_plan, update)
    (world.garden / "agents" / "scout.md").write_text(SCOUT.replace("work.*", "work.*, plan.*"))
    assert isinstance(world.provider, ScriptedProvider)
    ticks = tuple(Call("plan.update", {"item": number}) for number in (1, 2, 3))
    world.provider.add(Call("plan.set", {"items": ["a", "b", "c"]}), Calls(ticks), "done")
    await world.start()
    await world.post()
    await world.until_answered()
    items = items_of((world.garden / "notes/plans/scout-garden.md").read_text())
    assert [item.status for item in items] == ["done"] * 3
