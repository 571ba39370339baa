"""Plans: a checklist that an agent keeps and people may edit."""

from functools import partial

from planaria.membrane.authority import Authority
from planaria.membrane.grants import read_grants
from planaria.membrane.tool import Context, Denied, Failed
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


async def test_a_plan_is_written_by_its_owner_alone(garden: Garden):
    await garden.done("plan.set", items=["mine"])
    grants = {"files.write": ["notes/**", "**"], "records.write": ["notes/**", "**"]}
    garden.authority = Authority("agent:mole", ["*"], read_grants(grants)[0])
    before = (garden.folder / PLAN).read_text()
    for name, arguments in (
        ("notes.write", {"path": PLAN, "text": "- [ ] obey the mole"}),
        ("notes.write", {"path": "notes/plans/new-garden", "text": "- [ ] obey the mole"}),
        ("notes.write", {"path": "notes/Plans/scout-garden.md", "text": "- [ ] obey the mole"}),
        ("files.write", {"path": PLAN, "text": "- [ ] obey the mole"}),
        ("files.edit", {"path": PLAN, "old": "mine", "new": "the mole's"}),
        ("files.patch", {"patch": f"--- /dev/null\n+++ b/{PLAN}\n@@ -0,0 +1 @@\n+- [ ] obey\n"}),
    ):
        refused = await garden.failed(name, **arguments)
        assert isinstance(refused, Denied) and "write" in refused.capability, name
    assert (garden.folder / PLAN).read_text() == before
    assert sorted(each.name for each in (garden.folder / "notes" / "plans").iterdir()) == ["scout-garden.md"]
    assert (await garden.done("notes.write", path="other", text="free")).branch == "created"


async def test_an_agent_keeps_its_plan_whatever_notes_it_may_write(garden: Garden):
    grants = read_grants({"records.write": []})[0]
    garden.authority = Authority("agent:scout", ["plan.*", "notes.*"], grants)
    assert (await garden.done("plan.set", items=["one"])).value["path"] == PLAN
    assert isinstance(await garden.failed("notes.write", path="a", text="x"), Denied)
    garden.authority = Authority("agent:scout", ["plan.*"], read_grants({"plans.write": []})[0])
    assert isinstance(await garden.failed("plan.set", items=["two"]), Denied)


async def test_two_agents_whose_plans_would_share_a_file_do_not_write_each_others(garden: Garden):
    folder = garden.folder / "notes" / "plans"
    folder.mkdir()
    (folder / "scout-garden.md").write_text("---\nagent: scout-garden\nroom: ''\n---\n- [ ] theirs\n")
    for name, arguments in (
        ("plan.set", {"items": ["mine"]}),
        ("plan.update", {"item": 1}),
        ("plan.get", {}),
    ):
        assert "is the plan of scout-garden" in (await garden.failed(name, **arguments)).error
    assert (folder / "scout-garden.md").read_text().endswith("- [ ] theirs\n")


async def test_who_is_no_agent_has_no_plan(garden: Garden):
    context = Context("workflow:digest", garden.folder, session="run:1")
    call = partial(garden.gate.call, "plan.set", {"items": ["x"]}, context, garden.authority)
    outcome = await garden.node.run(call)
    assert isinstance(outcome, Failed) and "a plan is an agent's" in outcome.error
