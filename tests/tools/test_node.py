from planaria.config.settings import ModelSettings
from planaria.membrane.models.directory import ModelDirectory
from planaria.otp import child
from planaria.records.library import Library

from .conftest import Garden


async def test_a_node_that_is_well_says_so(garden: Garden) -> None:
    done = await garden.done("node.status")
    assert done.branch == "well"
    assert {"journal", "library", "index"} <= set(done.value["named"])
    assert (done.text or "").startswith("The node test runs ")
    assert (done.text or "").endswith("No problems.")


async def test_problems_are_listed_with_file_and_line(garden: Garden) -> None:
    (garden.folder / "agents").mkdir()
    (garden.folder / "agents" / "bad.md").write_text("---\na: 1\na: 2\n---\n")
    Library.changed(garden.node["library"], "agents/bad.md")
    await Library.list(garden.node["library"], "notes")
    done = await garden.done("node.status")
    assert done.branch == "problems"
    assert "- agents/bad.md:3: the key 'a' stands twice" in (done.text or "")


async def test_models_are_named(garden: Garden) -> None:
    await garden.node.start(child(ModelDirectory, ModelSettings(), {}, None, False, name="models"))
    done = await garden.done("node.status")
    assert "offline" in [view["provider"] for view in done.value["models"]]
