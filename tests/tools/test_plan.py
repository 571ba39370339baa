"""Plans: a checklist that an agent keeps and people may edit."""

from planaria.records.library import Library
from tests.tools.conftest import Garden

PLAN = "notes/plans/scout-garden.md"


async def test_a_plan_is_a_record_that_people_can_read(garden: Garden):
    told = await garden.done("plan.set", items=["look at the  wall", "write it down"], goal="know the moss")
    assert told.text == "Goal: know the moss\n1. [ ] look at the wall\n2. [ ] write it down"
    text = (garden.folder / PLAN).read_text()
    assert "class: plan" in text and "goal: know the moss" in text
    assert text.endswith("- [ ] look at the wall\n- [ ] write it down\n")


async def test_items_change_their_status_and_what_people_wrote_stays(garden: Garden):
    await garden.done("plan.set", items=["one", "two", "three"])
    file = garden.folder / PLAN
    file.write_text(file.read_text().replace("- [ ] two", "Ada: mind the step.\n\n- [ ] two"))
    Library.changed(garden.node["library"], PLAN)
    await garden.done("plan.update", item=1)
    told = await garden.done("plan.update", item=2, status="doing", text="two, slowly")
    assert told.text == "1. [x] one\nAda: mind the step.\n\n2. [ ] (doing) two, slowly\n3. [ ] three"
    assert [each["status"] for each in told.value["items"]] == ["done", "doing", "open"]


async def test_a_new_plan_keeps_the_status_of_the_items_it_had(garden: Garden):
    await garden.done("plan.set", items=["one", "two"], goal="count")
    await garden.done("plan.update", item=2, status="dropped")
    told = await garden.done("plan.set", items=["zero", "two", "one"])
    assert told.text == "Goal: count\n1. [ ] zero\n2. [-] two\n3. [ ] one"


async def test_an_agent_without_a_plan_is_told_how_to_make_one(garden: Garden):
    assert (await garden.done("plan.get")).branch == "missing"
    assert (await garden.done("plan.update", item=1)).branch == "missing"
    assert "1 to 100 items" in (await garden.failed("plan.set", items=[])).error
    await garden.done("plan.set", items=["one"])
    assert "the items 1 to 1, not 2" in (await garden.failed("plan.update", item=2)).error
    assert (await garden.done("plan.get")).text == "1. [ ] one"
