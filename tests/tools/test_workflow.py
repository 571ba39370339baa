from functools import partial

import pytest

from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.tool import Context, Done
from planaria.otp import Port
from planaria.records.library import Library
from planaria.tools.workflow import run
from planaria.workflows.messages import RunChanged
from planaria.workflows.tree import tree

from .conftest import Garden

KEEP = """---
class: workflow
description: Keeps a note.
---
## keep
```yaml
tool: notes.write
with: {path: kept, text: kept}
on: {failed: fail, "*": end}
```
"""


@pytest.fixture
async def workflows(garden: Garden) -> Garden:
    (garden.folder / "workflows").mkdir()
    (garden.folder / "workflows" / "keep.md").write_text(KEEP)
    (garden.folder / "workflows" / "broken.md").write_text("---\na: [\n---\n")
    Library.changed(garden.node["library"], "workflows")
    await Library.list(garden.node["library"], "notes")
    await garden.node.start(tree(garden.gate, garden.folder, garden.services, watching=False))
    return garden


async def ended(port: Port, run: str) -> RunChanged:
    while True:
        message = await port.receive(timeout=10)
        if isinstance(message, RunChanged) and message.run_id == run and message.summary.status != "running":
            return message


async def test_a_workflow_is_started_and_goes_on_by_itself(workflows: Garden) -> None:
    async with workflows.node.open_port() as port:
        workflows.node.subscribe("workflows", port.pid)
        done = await workflows.done("workflow.run", name="keep")
        assert (await ended(port, done.value["run"])).summary.status == "done"
    assert (workflows.folder / "notes" / "kept.md").read_text().endswith("---\nkept")


async def test_an_unknown_workflow_is_refused_with_the_nearest(workflows: Garden) -> None:
    assert "'keep'" in (await workflows.failed("workflow.run", name="kepe")).error


async def test_workflows_are_listed_with_what_is_wrong(workflows: Garden) -> None:
    done = await workflows.done("workflow.list")
    assert "- keep: Keeps a note." in (done.text or "")
    assert "workflows/broken.md:2" in (done.text or "")


async def test_without_workflows_the_answer_says_so(garden: Garden) -> None:
    (garden.folder / "workflows").mkdir()
    await garden.node.start(tree(garden.gate, garden.folder, garden.services, watching=False))
    assert (await garden.done("workflow.list")).branch == "none"


async def test_a_node_without_the_service_may_have_it_later(garden: Garden) -> None:
    outcome = await garden.failed("workflow.list")
    assert outcome.retry is True


async def test_a_call_that_is_made_again_is_still_one_run(workflows: Garden) -> None:
    context = Context("agent:scout", workflows.folder, session="session:scout@garden", call_id="turn/0/1")

    async def call() -> Done:
        answer = await run.function(context, name="keep", arguments={})
        assert isinstance(answer, Done)
        return answer

    first = await workflows.node.run(call)
    again = await workflows.node.run(call)
    assert again.value == first.value
    query = Query(kinds=("workflow.run.started",))
    assert len(await workflows.node.run(partial(Journal.read, "journal", query))) == 1
