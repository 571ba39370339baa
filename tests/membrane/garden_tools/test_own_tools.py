"""Tools in a garden's own files: each in an OS process of its own, live, and no harm to anybody when one is broken."""

import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.authority import Authority
from planaria.membrane.garden_tools import keeper, running
from planaria.membrane.garden_tools.tree import tree
from planaria.membrane.gate.gate import Gate
from planaria.membrane.grants import read_grants
from planaria.membrane.tool import Context, Denied, Done, Failed, Outcome, tool
from planaria.otp import Node, child, sleep, supervisor
from planaria.records.library import Library
from planaria.testing.memory_store import MemoryStore

HEAD = "import os, time\nfrom planaria.membrane.tool import Context, Done, Failed, tool\n\n\n"


@tool(needs={"records.read"}, touches={"records.read": "path"}, name="notes.read")
async def read(context: Context, path: str) -> Done:
    """Read a note.

    Args:
        path: which.
    """
    return Done(f"{context.caller} read {path} as {context.call_id}")


@tool(needs={"node.read"}, name="node.status")
async def status(context: Context) -> Done:
    """Tell how the node is."""
    return Done("well")


def one(name: str, body: str, decorator: str = "@tool()", arguments: str = "", doc: str = "") -> str:
    told = f"\n\n    Args:\n{doc}\n    " if doc else ""
    head = f"{decorator}\nasync def {name}(context: Context{arguments}) -> Done | Failed:"
    return f'{head}\n    """Do it.{told}"""\n{body}\n\n\n'


class Garden:
    def __init__(self, node: Node, folder: Path, gate: Gate) -> None:
        self.node = node
        self.folder = folder
        self.gate = gate
        self.calls = 0

    def write(self, name: str, *parts: str) -> None:
        (self.folder / "tools" / name).write_text(HEAD + "".join(parts))

    async def until(self, what: Any) -> None:
        async def work() -> None:
            for _ in range(1500):
                if what():
                    return
                await sleep(0.02)
            raise AssertionError("it did not come about")

        await self.node.run(work)

    def names(self) -> list[str]:
        return [each.name for each in self.gate.tools() if each.source]

    async def problems(self) -> list[str]:
        return [str(problem) for problem in await Library.problems(self.node["library"])]

    async def call(self, name: str, /, grants: Any = None, **arguments: Any) -> Outcome:
        self.calls += 1
        context = Context(
            "agent:scout",
            self.folder,
            session="session:scout@garden",
            room="garden",
            call_id=f"c{self.calls}",
        )
        given, _ = read_grants(grants or {})
        authority = Authority("agent:scout", ["lamp.*", "other.*"], given)
        return await self.node.run(partial(self.gate.call, name, arguments, context, authority))


@pytest.fixture
async def garden(tmp_path: Path) -> AsyncIterator[Garden]:
    folder = tmp_path.resolve() / "garden"
    (folder / "tools").mkdir(parents=True)
    (folder / "notes").mkdir()
    store = MemoryStore()
    gate = Gate([read, status])
    async with Node("test") as node:
        found = Garden(node, folder, gate)
        found.write("lamp.py", one("on", "    return Done(os.getpid())"))
        await node.start(
            supervisor(
                child(Journal, lambda: store, name="journal"),
                child(Library, folder, name="library"),
                tree(folder, gate, {}),
                name="node",
            )
        )
        yield found


async def test_a_file_is_a_family_of_tools_that_follows_its_changes(garden: Garden) -> None:
    assert garden.names() == ["lamp.on"]
    first = await garden.call("lamp.on")
    assert isinstance(first, Done)
    assert first.value != os.getpid()  # an OS process of its own
    doc = "        room: where.\n        level: how bright.\n"
    garden.write(
        "lamp.py",
        one("on", "    return Done([room, level, context.caller, context.room])", "@tool()",
            ", room: str, level: int = 3", doc),
        one("off", "    raise KeyError(room)", "@tool()", ", room: str", "        room: where.\n"),
    )  # fmt: skip
    await garden.until(lambda: garden.names() == ["lamp.off", "lamp.on"])
    assert await garden.call("lamp.on", room="hall", level="7") == Done(["hall", 7, "agent:scout", "garden"])
    assert await garden.call("lamp.on", room="hall") == Done(["hall", 3, "agent:scout", "garden"])
    wrong = await garden.call("lamp.on", level=7)
    assert isinstance(wrong, Failed)
    assert "'room' is a required property" in wrong.error
    raised = await garden.call("lamp.off", room="hall")
    assert raised == Failed("lamp.off raised KeyError: 'hall' (line 25)")
    (garden.folder / "tools/lamp.py").unlink()
    await garden.until(lambda: garden.names() == [])
    gone = await garden.call("lamp.on", room="hall")
    assert isinstance(gone, Failed)
    assert "there is no tool 'lamp.on'" in gone.error


async def test_a_broken_file_is_told_with_its_line_and_the_old_version_stays(garden: Garden) -> None:
    broken = {
        "    return Done(\n": "tools/lamp.py:8: this is not Python",
        "    pass\n\n\nraise ValueError('no lamps')": "tools/lamp.py:11: importing it raised ValueError: no lamps",
        "    pass\n\n\nimport sys\nsys.exit(3)": "tools/lamp.py:12: importing it raised SystemExit: 3",
        "    pass\n\n\n@tool(needs={'http'})\nasync def off(context):\n    pass": (
            "tools/lamp.py:11: tool lamp.off: 'http' is no capability; write 'net.fetch'"
        ),
    }
    for body, problem in broken.items():
        garden.write("lamp.py", one("on", body))
        for _ in range(300):
            if any(each.startswith(problem) for each in await garden.problems()):
                break
            await garden.node.run(partial(sleep, 0.02))
        else:
            raise AssertionError((problem, await garden.problems()))
        assert isinstance(await garden.call("lamp.on"), Done)
    garden.write("lamp.py", one("on", "    return Done('mended')"))
    for _ in range(300):
        if await garden.call("lamp.on") == Done("mended"):
            break
        await garden.node.run(partial(sleep, 0.02))
    assert await garden.problems() == []


async def test_what_cannot_be_offered_is_told(garden: Garden) -> None:
    garden.write("notes.py", one("read", "    return Done()"))
    garden.write("touchy.py", one("on", "    pass", "@tool(needs={'files.read'}, touches=lambda bound: ())"))
    garden.write("empty.py")
    wanted = (
        "'notes.read' is a tool of the built-in tools already",
        "the touches of touchy.on are a function",
        "the file holds no tool",
    )
    told = ""
    for _ in range(300):
        told = "\n".join(await garden.problems())
        if all(each in told for each in wanted):
            break
        await garden.node.run(partial(sleep, 0.02))
    assert all(each in told for each in wanted)
    assert garden.names() == ["lamp.on"]


async def test_a_tool_does_what_its_caller_may_and_it_declares_and_no_more(garden: Garden) -> None:
    call = "    return Done([str(await context.call(*each[:1], **each[1])) for each in {calls}])"
    calls = [
        ("notes.read", {"path": "notes/a.md"}),
        ("notes.read", {"path": "secret.md"}),
        ("node.status", {}),
        ("lamp.on", {}),
    ]
    garden.write(
        "lamp.py", one("on", call.format(calls=calls), "@tool(needs={'records.read'}, idempotent=True)")
    )
    await garden.until(lambda: garden.gate.tools()[0].needs == {"records.read"})
    grants = {"records.read": ["notes/**"]}
    refused = await garden.call("lamp.on", grants)
    assert isinstance(refused, Denied)  # it does not say what it reads, so it needs a grant for everything
    garden.write(
        "lamp.py",
        one("on", call.format(calls=calls), "@tool(needs={'records.read'}, touches={'records.read': 'what'})",
            ", what: str = 'notes/a.md'", "        what: it reads.\n"),
    )  # fmt: skip
    await garden.until(lambda: garden.gate.tools()[0].touch_names is not None)
    done = await garden.call("lamp.on", grants)
    assert isinstance(done, Done)
    own, other, undeclared, another = done.value
    assert "agent:scout read notes/a.md as c2.1" in own
    assert "'secret.md' is outside of records.read" in other
    assert "the calling tool does not declare node.read" in undeclared
    assert "may call built-in tools" in another
    events = await garden.node.run(partial(Journal.read, "journal", Query(session="session:scout@garden")))
    inner = [event.payload["tool"] for event in events if str(event.payload["call_id"]).startswith("c2.")]
    assert inner == ["notes.read", "notes.read", "notes.read", "node.status"]


async def test_a_new_tool_is_granted_to_nobody_until_a_record_names_it(garden: Garden) -> None:
    for words, offered in ((["*"], []), (["lamp.*"], ["lamp.on"]), (["lamp.on"], ["lamp.on"])):
        tools = garden.gate.offered(Authority("agent:scout", words))
        assert [each.name for each in tools if each.source] == offered


async def test_one_that_hangs_or_dies_hurts_nobody_and_comes_back(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "RUNNING", 0.5)
    monkeypatch.setattr(running, "ANSWERS", 0.5)
    monkeypatch.setattr(keeper, "FIRST_REST", 0.05)
    hang = one("hang", "    while True:\n        pass")
    garden.write("lamp.py", one("on", "    return Done(os.getpid())"), hang)
    garden.write("other.py", one("on", "    return Done('here')"))
    await garden.until(lambda: garden.names() == ["lamp.hang", "lamp.on", "other.on"])
    first = await garden.call("lamp.on")
    assert isinstance(first, Done)
    late = await garden.call("lamp.hang")
    assert isinstance(late, Failed)
    assert late.retry
    assert await garden.call("other.on") == Done("here")
    second = await _back(garden)
    assert second != first.value
    with pytest.raises(ProcessLookupError):
        os.kill(first.value, 0)
    # Broken meanwhile: what was accepted last is what runs.
    garden.write("lamp.py", "def")
    os.kill(second, signal.SIGKILL)
    third = await _back(garden)
    assert third not in (first.value, second)
    assert any("tools/lamp.py:5: this is not Python" in each for each in await garden.problems())


async def test_what_a_tool_remembers_is_its_own(garden: Garden) -> None:
    event = "Done('x', events=(NewEvent({kind!r}, {{'n': 1}}, session={session!r}),))"
    new = "    from planaria.cortex.event import NewEvent\n    return "
    garden.write(
        "lamp.py",
        *(
            one(name, new + event.format(kind=kind, session=session))
            for name, kind, session in (
                ("good", "lamp.seen", "lamp:hall"),
                ("bad", "approval.granted", "approvals"),
                ("sly", "lamp.seen", "approvals"),
            )
        ),
    )
    await garden.until(lambda: len(garden.names()) == 3)
    assert isinstance(await garden.call("lamp.good"), Done)
    for name in ("lamp.bad", "lamp.sly"):
        refused = await garden.call(name)
        assert isinstance(refused, Failed)
        assert "its own events are lamp.* in lamp:*" in refused.error
    assert not await garden.node.run(partial(Journal.read, "journal", Query(session="approvals")))


async def _back(garden: Garden) -> int:
    """The OS process of `lamp.on`, when it answers again."""
    for _ in range(300):
        outcome = await garden.call("lamp.on")
        if isinstance(outcome, Done):
            assert isinstance(outcome.value, int)
            return outcome.value
        assert outcome.retry, outcome
        await garden.node.run(partial(sleep, 0.02))
    raise AssertionError("it did not come back")
