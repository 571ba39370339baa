"""Workflows as a server: definitions from the garden's files, runs that outlive everything, views for people."""

import pytest

from planaria.cortex.errors import StoreFull
from planaria.otp import exit_signal
from planaria.records.library import Library
from planaria.workflows import engine
from planaria.workflows.engine import Workflows
from planaria.workflows.messages import DefinitionsChanged, Refused, RunChanged
from tests.workflows.support import graph
from tests.workflows.world import SlowStore, World, as_markdown, world

LINE = {"a": {"ok": "b", "*": "fail"}, "b": {"ok": "end", "*": "fail"}}

PYTHON = """
from planaria.workflows.python import WorkflowDefinition, end, step

class ByHand(WorkflowDefinition):
    inputs = ["who"]
    a = step("test.step", step="{{ trigger.who }}", on={"*": end})
"""


@pytest.fixture
async def garden(tmp_path):
    async with world(tmp_path, seed=2) as made:
        yield made


async def kill(place: World, name: str) -> None:
    async def fire(pid) -> None:
        exit_signal(pid, "kill")

    await place.node.run(fire, place.node[name])
    await place.node.settle()


async def views(place: World):
    return {view.name: view for view in await Workflows.list(place.node["workflows"])}


async def problems(place: World):
    return await Library.problems(place.node["library"])


async def test_the_workflows_of_the_garden_are_listed_with_all_it_takes_to_draw_them(garden):
    garden.write("test.md", as_markdown(graph(LINE), description="A line.", schedule="0 7 * * *"))
    await garden.begin()
    view = (await views(garden))["test"]
    assert (view.runnable, view.description, view.cron, view.start) == (True, "A line.", "0 7 * * *", "a")
    assert [node.id for node in view.nodes] == ["a", "b", "end", "fail"]
    assert ("a", "ok", "b") in {(edge.source, edge.branch, edge.target) for edge in view.edges}
    assert view.next_at == 1767225600.0 + 7 * 3600
    assert view.last_run is None


async def test_a_file_that_breaks_keeps_its_last_good_version_and_is_reported(garden):
    good = as_markdown(graph(LINE))
    garden.write("test.md", good)
    await garden.begin()
    garden.write("test.md", good.replace("test.step", "test.stp"))
    await garden.changed("test.md")
    view = (await views(garden))["test"]
    assert view.runnable
    assert {problem.path for problem in view.problems} == {"workflows/test.md"}
    assert any("'test.step'" in problem.mend for problem in await problems(garden))
    run_id = await garden.start("test")
    assert (await garden.finished(run_id)).status == "done"
    garden.write("test.md", good + "\nMended.\n")
    await garden.changed("test.md")
    assert (await views(garden))["test"].problems == ()
    assert await problems(garden) == []


async def test_a_file_broken_from_the_start_is_listed_and_cannot_run(garden):
    garden.write("test.md", as_markdown(graph(LINE)).replace('"ok":"b"', '"ok":"c"'))
    garden.write("worse.md", "---\nclass: workflow\nclass: workflow\n---\n")
    garden.write("note.md", "---\nclass: note\n---\n")
    await garden.begin()
    listed = await views(garden)
    assert [(name, view.runnable) for name, view in listed.items()] == [
        ("note", False),
        ("test", False),
        ("worse", False),
    ]
    answer = await Workflows.start_run(garden.node["workflows"], "test")
    assert isinstance(answer, Refused)
    assert "workflows/test.md" in answer.error


async def test_a_removed_file_is_forgotten_and_its_run_goes_on(garden):
    held = garden.hold("b")
    garden.write("test.md", as_markdown(graph(LINE)))
    await garden.begin()
    run_id = await garden.start("test")
    (garden.garden / "workflows" / "test.md").unlink()
    await garden.changed("test.md")
    assert await views(garden) == {}
    held.set()
    assert (await garden.finished(run_id)).status == "done"


async def test_a_run_goes_on_with_the_definition_it_started_with(garden):
    held = garden.hold("a")
    garden.write("test.md", as_markdown(graph(LINE)))
    await garden.begin()
    run_id = await garden.start("test")
    await garden.node.settle()
    garden.write("test.md", as_markdown(graph({"a": {"*": "end"}})))
    await garden.changed("test.md")
    await kill(garden, f"run:{run_id}")
    held.set()
    assert (await garden.finished(run_id)).path == ("a", "b")
    assert (await garden.finished(await garden.start("test"))).path == ("a",)


async def test_python_files_are_loaded_and_a_broken_one_is_a_problem_with_its_line(garden):
    garden.write("hand.py", PYTHON)
    garden.write("bad.py", "x = 1\nraise RuntimeError('broken on purpose')\n")
    await garden.begin()
    listed = await views(garden)
    assert listed["by-hand"].runnable
    assert not listed["bad"].runnable
    (problem,) = await problems(garden)
    assert (problem.path, problem.line) == ("workflows/bad.py", 2)
    view = await garden.finished(await garden.start("by-hand", who="ada"))
    assert view.status == "done"
    assert garden.arguments[0]["step"] == "ada"


@pytest.mark.parametrize(
    "raised", ["SystemExit(1)", "KeyboardInterrupt()", "Exception('x')", "GeneratorExit()"]
)
async def test_nothing_a_python_file_raises_reaches_the_node(garden, raised):
    garden.write("bad.py", f"raise {raised}\n")
    garden.write("hand.py", PYTHON)
    await garden.begin()
    assert [problem.path for problem in await problems(garden)] == ["workflows/bad.py"]
    assert (await garden.finished(await garden.start("by-hand", who="ada"))).status == "done"


async def test_a_changed_python_file_is_loaded_anew_and_a_removed_one_forgotten(garden):
    garden.write("hand.py", PYTHON)
    await garden.begin()
    garden.write("hand.py", PYTHON.replace("ByHand", "Other"))
    Workflows.changed(garden.node["workflows"], "workflows/hand.py")
    await garden.node.settle()
    assert list(await views(garden)) == ["other"]
    (garden.garden / "workflows" / "hand.py").unlink()
    Workflows.changed(garden.node["workflows"], "workflows/hand.py")
    await garden.node.settle()
    assert await views(garden) == {}


async def test_two_files_cannot_have_one_name(garden):
    garden.write("a.md", as_markdown(graph(LINE), name="same"))
    garden.write("b.md", as_markdown(graph(LINE), name="same"))
    await garden.begin()
    (problem,) = await problems(garden)
    assert (problem.path, problem.mend) == ("workflows/b.md", "rename one of the two")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("by-hnd", {"who": "x"}, "did you mean 'by-hand'"),
        ("by-hand", {}, "needs the input 'who'"),
        ("by-hand", {"who": "x", "wo": "y"}, "did you mean 'who'"),
    ],
)
async def test_a_run_that_cannot_start_is_refused_with_the_mend(garden, name, arguments, said):
    garden.write("hand.py", PYTHON)
    await garden.begin()
    answer = await Workflows.start_run(garden.node["workflows"], name, "hand", arguments)
    assert isinstance(answer, Refused)
    assert said in answer.error


async def test_without_a_journal_no_run_is_accepted(garden):
    garden.write("test.md", as_markdown(graph(LINE)))
    await garden.begin()
    garden.store.fault = StoreFull("no room", "free some")
    answer = await Workflows.start_run(garden.node["workflows"], "test")
    assert isinstance(answer, Refused)
    assert "no room" in answer.error
    garden.store.fault = None
    assert await Workflows.runs(garden.node["workflows"]) == ()


async def test_changes_are_told_on_the_topic_and_on_that_of_the_run(garden):
    garden.write("test.md", as_markdown(graph(LINE)))
    await garden.begin()
    async with garden.node.open_port() as port:
        garden.node.subscribe("workflows", port.pid)
        run_id = await garden.start("test")
        await garden.finished(run_id)
        told: list[RunChanged] = []
        while not told or told[-1].summary.status == "running":
            message = await port.receive(timeout=1.0)
            assert isinstance(message, RunChanged)
            told.append(message)
    assert all(message.run_id == run_id for message in told)
    assert [message.summary.status for message in told] == ["running"] * (len(told) - 1) + ["done"]


async def test_the_latest_runs_come_first(garden):
    garden.write("test.md", as_markdown(graph(LINE)))
    await garden.begin()
    ids = [await garden.start("test") for _ in range(3)]
    for run_id in ids:
        await garden.finished(run_id)
    runs = await Workflows.runs(garden.node["workflows"], 2)
    assert [run.id for run in runs] == [ids[2], ids[1]]
    assert runs[0].status == "done"
    assert (await views(garden))["test"].last_run == runs[0]


async def test_an_unknown_run_is_shown_as_none(garden):
    await garden.begin()
    assert await Workflows.show(garden.node["workflows"], "nothing") is None


@pytest.mark.parametrize("victim", ["workflows", "runs", "workflow_floor"])
async def test_runs_survive_the_death_of_any_process_around_them(garden, victim):
    held = garden.hold("b")
    garden.write("test.md", as_markdown(graph(LINE)))
    await garden.begin()
    run_id = await garden.start("test")
    await garden.node.settle()
    await kill(garden, victim)
    await garden.node.advance(2.0)
    held.set()
    view = await garden.finished(run_id)
    assert (view.status, view.path) == ("done", ("a", "b"))
    assert [call["step"] for call in garden.arguments].count("a") == 1
    assert (await Workflows.runs(garden.node["workflows"]))[0].status == "done"


async def test_what_was_accepted_is_taken_up_by_the_next_node(tmp_path):
    store = SlowStore()
    async with world(tmp_path, seed=3, store=store) as first:
        first.hold("b")
        first.write("test.md", as_markdown(graph(LINE)))
        await first.begin()
        run_id = await first.start("test")
        await first.node.settle()
    async with world(tmp_path, seed=4, store=store) as second:
        await second.begin()
        view = await second.finished(run_id)
        assert (view.status, view.path) == ("done", ("a", "b"))
        assert [call["step"] for call in second.arguments] == ["b"]


async def test_a_checkpoint_spares_the_next_boot_the_past(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "CHECKPOINT_EVERY", 5)
    store = SlowStore()
    async with world(tmp_path, seed=3, store=store) as first:
        first.write("test.md", as_markdown(graph(LINE), schedule="0 7 * * *"))
        await first.begin()
        ids = [await first.start("test") for _ in range(12)]
        for run_id in ids:
            await first.finished(run_id)
        first.hold("a")
        going = await first.start("test")
        await first.node.settle()
        assert await first.events("workflow.checkpoint", session="workflows")
    async with world(tmp_path, seed=4, store=store) as second:
        await second.begin()
        assert (await second.finished(going)).status == "done"
        runs = await Workflows.runs(second.node["workflows"])
        assert [run.id for run in runs] == [going, *reversed(ids)]
        assert len(await second.events("workflow.schedule.set", session="workflows")) == 1


async def test_definitions_that_change_are_told(garden):
    await garden.begin()
    async with garden.node.open_port() as port:
        garden.node.subscribe("workflows", port.pid)
        garden.write("test.md", as_markdown(graph(LINE)))
        await garden.changed("test.md")
        assert await port.receive(timeout=1.0) == DefinitionsChanged(("test",))
