from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from planaria.cortex.errors import JournalUnavailable, StoreFailed
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.gate.gate import Gate, ToolConflict, load_tools, spoken
from planaria.membrane.gate.outcome import TEXT_LIMIT
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.otp import Node, Pid, child, exit_signal, hang, send
from planaria.testing.memory_store import MemoryStore


@tool(branches=("even", "odd"), name="math.parity")
async def parity(context: Context, number: int, api_key: str = "") -> Done:
    """Say whether a number is even.

    Args:
        number: the number.
        api_key: a secret.
    """
    return Done(number, branch="odd" if number % 2 else "even")


@tool(name="math.broken")
async def broken(context: Context) -> Done:
    """Fail."""
    raise ZeroDivisionError("division by zero")


@tool(name="math.lost")
async def lost(context: Context) -> Done:
    """Ask a server that is not there."""
    send("nobody", "hello")
    return Done()


@tool(name="math.homeless")
async def homeless(context: Context) -> Done:
    """Need a service."""
    context.get(Node)
    return Done()


@tool(name="math.answer")
async def answer(context: Context, what: str) -> Any:
    """Answer all sorts of things.

    Args:
        what: which.
    """
    match what:
        case "text":
            return Done("x", text="y" * 100_000)
        case "value":
            return Done(["x" * 1000] * 1000)
        case "object":
            return Done(object())
        case "branch":
            return Done(branch="sideways")
        case "failed":
            return Done(branch="failed")
        case "half":
            return Done("half of a character: \ud83d")
        case "half text":
            return Done("whole", text="half of a character: \ud83d")
        case "nan":
            return Done([float("nan")])
        case "bad memory":
            return Done("x", events=(NewEvent("math.seen", {"n": "\ud83d"}, session="math"),))
        case "memory":
            return Done("x", events=(NewEvent("math.seen", {"n": 1}, session="math"),))
        case "error":
            raise ValueError("half: \ud83d")
        case _:
            return "nothing of the kind"


@tool(name="math.wait")
async def wait(context: Context) -> Done:
    """Wait for ever."""
    await hang()
    return Done()


async def _kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


class Rig:
    def __init__(self, node: Node, store: MemoryStore) -> None:
        self.node = node
        self.store = store
        self.gate = Gate([parity, broken, lost, homeless, answer, wait])

    async def call(
        self, name: str, arguments: dict[str, Any] | None = None, grants: tuple[str, ...] = ("*",)
    ) -> Any:
        context = Context(
            "agent:scout",
            Path(),
            session="session:scout@garden",
            trace_id="t" * 26,
            cause_id="c" * 26,
            call_id="call-1",
        )
        return await self.node.run(partial(self.gate.call, name, arguments or {}, context, grants))

    async def events(self, session: str = "session:scout@garden") -> list[Event]:
        return await self.node.run(partial(Journal.read, "journal", Query(session=session)))


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    store = MemoryStore()
    async with Node("test") as node:
        await node.start(child(Journal, lambda: store, name="journal"))
        yield Rig(node, store)


async def test_a_call_is_answered_and_journaled_from_start_to_finish(rig: Rig) -> None:
    assert await rig.call("math.parity", {"number": "7"}) == Done(7, branch="odd")
    started, finished = await rig.events()
    assert (started.kind, finished.kind) == ("tool.started", "tool.finished")
    assert started.payload["call_id"] == finished.payload["call_id"] == "call-1"
    assert started.trace_id == "t" * 26
    assert started.cause_id == "c" * 26
    assert finished.payload["tool"] == "math.parity"
    assert finished.payload["branch"] == "odd"
    assert finished.payload["outcome"] == {"value": 7, "text": None}
    assert "error" not in finished.payload
    assert finished.payload["duration_ms"] >= 0


async def test_secrets_in_arguments_do_not_reach_the_journal(rig: Rig) -> None:
    await rig.call("math.parity", {"number": 2, "api_key": "hunter2hunter2"})
    assert "hunter2" not in repr([event.payload for event in await rig.events()])


async def test_an_unknown_tool_is_refused_with_the_nearest_one(rig: Rig) -> None:
    for name in ("math.parety", "math_parity", "parity"):
        failed = await rig.call(name, {"number": 1})
        assert "did you mean 'math.parity'?" in failed.error
    (event, *_) = await rig.events()
    assert event.kind == "tool.finished"
    assert event.payload["branch"] == "failed"


async def test_a_tool_that_is_not_granted_is_refused_even_if_it_exists(rig: Rig) -> None:
    failed = await rig.call("math.parity", {"number": 1}, grants=("notes.*", "math.broken"))
    assert failed.error == "the tool 'math.parity' is not granted to this caller; on offer: math.broken"


async def test_wrong_arguments_are_refused_before_anything_starts(rig: Rig) -> None:
    failed = await rig.call("math.parity", {"number": "many"})
    assert "argument 'number' of math.parity must be integer" in failed.error
    assert [event.kind for event in await rig.events()] == ["tool.finished"]


async def test_an_exception_inside_a_tool_is_news_not_a_crash(rig: Rig) -> None:
    assert await rig.call("math.broken") == Failed("math.broken raised ZeroDivisionError: division by zero")
    assert (await rig.events())[-1].payload[
        "error"
    ] == "math.broken raised ZeroDivisionError: division by zero"


async def test_a_server_that_is_not_there_may_be_there_later(rig: Rig) -> None:
    failed = await rig.call("math.lost")
    assert failed.retry is True
    assert "nobody" in failed.error


async def test_a_missing_service_is_named(rig: Rig) -> None:
    assert await rig.call("math.homeless") == Failed(
        "math.homeless cannot work here: this node offers no Node"
    )


async def test_what_a_model_reads_is_bounded(rig: Rig) -> None:
    done = await rig.call("math.answer", {"what": "text"})
    assert len(done.text) < TEXT_LIMIT + 100
    assert done.text.endswith(f"[cut here: {TEXT_LIMIT} of 100000 characters]")


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("value", "the limit is"),
        ("object", "JSON cannot say"),
        ("branch", "does not declare"),
        ("failed", "does not declare"),
        ("other", "answers Done or Failed"),
        ("half", "JSON cannot say"),
        ("half text", "no UTF-8 form"),
        ("nan", "JSON cannot say"),
        ("bad memory", "cannot be written down"),
    ],
)
async def test_an_answer_that_breaks_the_contract_fails_clearly(rig: Rig, what: str, says: str) -> None:
    failed = await rig.call("math.answer", {"what": what})
    assert isinstance(failed, Failed)
    assert says in failed.error
    assert [event.kind for event in await rig.events()] == ["tool.started", "tool.finished"]


async def test_an_error_with_half_a_character_is_said_with_a_question_mark(rig: Rig) -> None:
    failed = await rig.call("math.answer", {"what": "error"})
    assert failed == Failed("math.answer raised ValueError: half: ?")


async def test_arguments_that_no_json_can_say_are_refused(rig: Rig) -> None:
    failed = await rig.call("math.answer", {"what": "\ud83d"})
    assert "cannot be said in JSON" in failed.error


async def test_a_name_that_is_no_text_is_no_tool(rig: Rig) -> None:
    failed = await rig.call("math.\ud83d", {})
    assert "there is no tool 'math.?'" in failed.error


async def test_what_a_tool_remembers_is_committed_with_its_answer(rig: Rig) -> None:
    await rig.call("math.answer", {"what": "memory"})
    (memory,) = await rig.events("math")
    (_, finished) = await rig.events()
    assert finished.seq == memory.seq + 1
    assert len(rig.store.batches) == 2


async def test_a_call_that_cannot_be_noted_is_not_made(rig: Rig) -> None:
    rig.store.fault = StoreFailed("the disk is full", "Make room.")
    with pytest.raises(JournalUnavailable):
        await rig.call("math.broken")


async def test_a_killed_call_ends_at_once_and_leaves_its_start(rig: Rig) -> None:
    async with rig.node.open_port() as port:
        rig.node.subscribe("journal", port.pid)
        context = Context("agent:scout", Path(), session="s", call_id="call-1")
        pid = rig.node.spawn(partial(rig.gate.call, "math.wait", {}, context, ["*"]))
        await port.receive(timeout=5)
        await rig.node.run(_kill, pid)
    assert [event.kind for event in await rig.events("s")] == ["tool.started"]


def test_offers_follow_grants() -> None:
    gate = Gate([parity, broken])
    assert [each.name for each in gate.offered(["math.*"])] == ["math.broken", "math.parity"]
    assert [each.name for each in gate.offered(["math.parity"])] == ["math.parity"]
    assert gate.offered([]) == []


def test_a_grant_that_matches_nothing_is_found() -> None:
    assert Gate([parity]).unknown(["math.party", "math.*", "zzz.*"]) == {
        "math.party": "math.parity",
        "zzz.*": None,
    }


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ToolConflict, match=r"math\.parity"):
        Gate([parity, parity])


def test_tools_are_found_in_a_module_where_they_are_defined() -> None:
    module = ModuleType(__name__)
    module.parity = parity  # type: ignore[attr-defined]
    module.something = "else"  # type: ignore[attr-defined]
    assert load_tools(module) == [parity]
    assert load_tools(ModuleType("elsewhere")) == []


def test_a_model_reads_text_first_then_the_value() -> None:
    assert spoken(Done({"a": 1})) == '{"a":1}'
    assert spoken(Done({"a": 1}, text="one")) == "one"
    assert spoken(Done("plain")) == "plain"
    assert spoken(Failed("no", retry=True)) == "Failed: no (may succeed later)"
