"""Supervisors: order, restarts, budgets, escalation, children added and taken away."""

import asyncio
from typing import Any

import pytest

from planaria.otp import (
    ChildError,
    ChildRestarted,
    ChildSpec,
    Crash,
    FailedToStartChild,
    GenServer,
    Ignore,
    Node,
    Pid,
    RestartsExceeded,
    Shutdown,
    StartFailed,
    Supervisor,
    child,
    exit_signal,
    sleep,
    stop,
    supervisor,
    task_child,
)
from planaria.testing.node import TestNode

from .support import Boom, Journal, Scribe, idle


def scribes(journal: Journal, *names: str, **options: Any) -> list[ChildSpec]:
    return [child(Scribe, journal, name, name=name, **options) for name in names]


async def crash(node: Node, name: str) -> None:
    """Crash a scribe and return when its supervisor has done what it does about it."""
    Scribe.crash(node[name])
    await node.settle()


async def test_children_start_in_order_and_stop_in_reverse(node: TestNode) -> None:
    journal = Journal()
    root = await node.start(supervisor(*scribes(journal, "a", "b", "c")))
    assert journal.take() == ["a starts", "b starts", "c starts"]
    await stopped(node, root)
    assert journal.take() == ["c ends", "b ends", "a ends"]


async def test_a_tree_stops_depth_first_in_reverse(node: TestNode) -> None:
    journal = Journal()
    inner = supervisor(*scribes(journal, "b", "c"), name="inner")
    root = await node.start(supervisor(*scribes(journal, "a"), inner, *scribes(journal, "d")))
    journal.take()
    await stopped(node, root)
    assert journal.take() == ["d ends", "c ends", "b ends", "a ends"]


async def test_one_for_one_restarts_the_crashed_child_alone(node: TestNode) -> None:
    journal = Journal()
    await node.start(supervisor(*scribes(journal, "a", "b", "c")))
    journal.take()
    await crash(node, "b")
    assert journal.take() == ["b ends", "b starts"]


async def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order(node: TestNode) -> None:
    journal = Journal()
    await node.start(supervisor(*scribes(journal, "a", "b", "c"), strategy="one_for_all"))
    journal.take()
    await crash(node, "b")
    assert journal.take() == ["b ends", "c ends", "a ends", "a starts", "b starts", "c starts"]


async def test_rest_for_one_leaves_those_started_before_alone(node: TestNode) -> None:
    journal = Journal()
    await node.start(supervisor(*scribes(journal, "a", "b", "c"), strategy="rest_for_one"))
    journal.take()
    await crash(node, "b")
    assert journal.take() == ["b ends", "c ends", "b starts", "c starts"]


@pytest.mark.parametrize(
    ("restart", "reason", "comes_back"),
    [
        ("permanent", "normal", True),
        ("permanent", "boom", True),
        ("transient", "normal", False),
        ("transient", "shutdown", False),
        ("transient", Shutdown("x"), False),
        ("transient", "boom", True),
        ("temporary", "normal", False),
        ("temporary", "boom", False),
    ],
)
async def test_the_restart_type_decides_who_comes_back(
    node: TestNode, restart: Any, reason: object, comes_back: bool
) -> None:
    await node.start(supervisor(*scribes(Journal(), "a", restart=restart)))
    Scribe.end(node["a"], reason)
    await node.settle()
    assert (node.whereis("a") is not None) is comes_back


async def test_a_supervisor_gives_up_after_max_restarts(node: TestNode) -> None:
    events: list[object] = []
    node.subscribe_events(events.append)
    journal = Journal()
    root = await node.start(supervisor(*scribes(journal, "a", "b"), max_restarts=2, within=5.0))
    for _ in range(2):
        await crash(node, "a")
    assert root.alive
    journal.take()
    await crash(node, "a")
    assert root.reason == "shutdown"
    assert journal.take() == ["a ends", "b ends"]
    assert [type(event) for event in events].count(ChildRestarted) == 2
    assert [type(event) for event in events].count(RestartsExceeded) == 1


async def test_restarts_older_than_the_window_are_forgotten(node: TestNode) -> None:
    root = await node.start(supervisor(*scribes(Journal(), "a"), max_restarts=1, within=5.0))
    for _ in range(5):
        await crash(node, "a")
        await node.advance(5.1)
    assert root.alive


async def test_a_group_restart_counts_once(node: TestNode) -> None:
    root = await node.start(
        supervisor(*scribes(Journal(), "a", "b", "c"), strategy="one_for_all", max_restarts=2)
    )
    await crash(node, "a")
    await crash(node, "b")
    assert root.alive
    await crash(node, "c")
    assert not root.alive


async def test_a_supervisor_that_gave_up_is_restarted_by_its_own_with_a_fresh_budget(node: TestNode) -> None:
    inner = supervisor(*scribes(Journal(), "a"), name="inner", max_restarts=1)
    root = await node.start(supervisor(inner))
    first = node["inner"]
    await crash(node, "a")
    await crash(node, "a")
    assert root.alive and node["inner"] != first
    await crash(node, "a")
    assert node["inner"].alive


async def test_a_restart_that_fails_is_tried_again_and_each_try_counts(node: TestNode) -> None:
    answers = iter([False, True, True, False, False, True, True, True, True])
    root = await node.start(
        supervisor(child(Scribe, Journal(), "a", lambda: next(answers), name="a"), max_restarts=3)
    )
    await crash(node, "a")
    assert root.alive and node["a"].alive
    await crash(node, "a")
    assert root.reason == "shutdown"


async def test_a_boot_failure_stops_what_had_started_and_is_told_level_by_level(node: TestNode) -> None:
    journal = Journal()
    bad = child(Scribe, journal, "bad", lambda: True, name="bad")
    inner = supervisor(*scribes(journal, "b"), bad, name="inner")
    with pytest.raises(StartFailed) as caught:
        await node.start(supervisor(*scribes(journal, "a"), inner))
    assert journal.take() == ["a starts", "b starts", "bad refuses", "b ends", "a ends"]
    inside = Shutdown(FailedToStartChild("bad", "refused"))
    assert caught.value.reason == Shutdown(FailedToStartChild("inner", inside))
    await node.settle()
    assert not node.processes()


async def test_a_child_that_declines_stays_known_without_a_process(node: TestNode) -> None:
    class Declines(GenServer):
        def init(self) -> None:
            raise Ignore

    root = await node.start(supervisor(child(Declines, id="quiet"), *scribes(Journal(), "a")))
    quiet, _ = await Supervisor.which_children(root)
    assert (quiet.id, quiet.process) == ("quiet", None)
    assert await Supervisor.restart_child(root, "quiet") is None


async def test_a_child_that_takes_too_long_to_stop_is_killed(node: TestNode) -> None:
    class Stubborn(GenServer):
        trap_exit = True

        async def terminate(self, reason: object) -> None:
            await sleep(60)

    root = await node.start(supervisor(child(Stubborn, name="s", shutdown=0.5)))
    pid = node["s"]
    task = asyncio.ensure_future(node.run(Supervisor.terminate_child, root, "s"))
    await node.advance(0.4)
    assert pid.alive
    await node.advance(0.2)
    await task
    assert pid.reason == "killed"


async def test_brutal_kill_leaves_no_time_to_terminate(node: TestNode) -> None:
    journal = Journal()
    root = await node.start(supervisor(*scribes(journal, "a", shutdown="brutal_kill")))
    journal.take()
    pid = node["a"]
    await Supervisor.terminate_child(root, "a")
    assert (journal.take(), pid.reason) == ([], "killed")


async def test_children_are_added_stopped_restarted_and_deleted_while_it_runs(node: TestNode) -> None:
    journal = Journal()
    root = await node.start(supervisor())
    [a] = scribes(journal, "a")
    pid = await Supervisor.start_child(root, a)
    assert pid == node["a"]
    with pytest.raises(ChildError, match="running"):
        await Supervisor.delete_child(root, "a")
    with pytest.raises(ChildError, match="running"):
        await Supervisor.restart_child(root, "a")
    with pytest.raises(StartFailed):
        await Supervisor.start_child(root, a)
    await Supervisor.terminate_child(root, "a")
    with pytest.raises(ChildError, match="already present"):
        await Supervisor.start_child(root, a)
    assert await Supervisor.restart_child(root, "a") == node["a"] != pid
    await Supervisor.terminate_child(root, "a")
    await Supervisor.delete_child(root, "a")
    for request in (Supervisor.terminate_child, Supervisor.restart_child, Supervisor.delete_child):
        with pytest.raises(ChildError, match="not found"):
            await request(root, "a")
    counts = await Supervisor.count_children(root)
    assert (counts.specs, counts.active) == (0, 0)


async def test_an_added_child_is_the_first_to_stop(node: TestNode) -> None:
    journal = Journal()
    root = await node.start(supervisor(*scribes(journal, "a")))
    await Supervisor.start_child(root, *scribes(journal, "b"))
    journal.take()
    await stopped(node, root)
    assert journal.take() == ["b ends", "a ends"]


async def test_exits_of_strangers_do_not_bother_a_supervisor(node: TestNode) -> None:
    root = await node.start(supervisor(*scribes(Journal(), "a")))

    async def stranger() -> None:
        exit_signal(root, "boom")

    await node.run(stranger)
    await node.settle()
    assert root.alive


async def test_names_follow_the_child_across_restarts(node: TestNode) -> None:
    await node.start(supervisor(*scribes(Journal(), "a")))
    before = node["a"]
    await crash(node, "a")
    assert node["a"] != before

    async def ask() -> str:
        return await Scribe.ping("a")

    assert await node.run(ask) == "a"


async def test_a_significant_child_that_ends_takes_the_supervisor_along(node: TestNode) -> None:
    journal = Journal()
    root = await node.start(
        supervisor(
            *scribes(journal, "a"),
            *scribes(journal, "b", restart="transient", significant=True),
            auto_shutdown="any_significant",
        )
    )
    journal.take()
    Scribe.end(node["b"])
    await node.settle()
    assert root.reason == "shutdown"
    assert journal.take() == ["b ends", "a ends"]


async def test_a_plain_function_can_be_a_child(node: TestNode) -> None:
    async def loop() -> None:
        raise Boom

    root = await node.start(
        supervisor(task_child(idle, name="idle"), task_child(loop, id="l", restart="temporary"))
    )
    await node.settle()
    first = node["idle"]

    async def kill() -> None:
        exit_signal(first, "boom")

    await node.run(kill)
    await node.settle()
    assert root.alive and node["idle"] != first


async def test_two_children_with_one_id_are_refused_when_written(node: TestNode) -> None:
    with pytest.raises(ValueError, match="id="):
        supervisor(child(Scribe, Journal(), "a"), child(Scribe, Journal(), "b"))


async def test_a_killed_supervisor_takes_its_children_along_and_is_replaced_with_new_ones(
    node: TestNode,
) -> None:
    await node.start(supervisor(supervisor(child(Scribe, Journal(), "a"), name="inner")))
    inner = node["inner"]
    [before] = await Supervisor.which_children(inner)

    async def kill() -> None:
        exit_signal(inner, "kill")

    await node.run(kill)
    await node.settle()
    [after] = await Supervisor.which_children(node["inner"])
    assert before.process is not None and after.process is not None
    assert (inner.reason, before.process.reason) == ("killed", "killed")
    assert after.process.alive


async def test_the_reason_of_a_restart_is_in_its_event(node: TestNode) -> None:
    restarts: list[ChildRestarted] = []
    node.subscribe_events(lambda e: restarts.append(e) if isinstance(e, ChildRestarted) else None)
    await node.start(supervisor(*scribes(Journal(), "a")))
    await crash(node, "a")
    [event] = restarts
    assert event.process == node["a"] and isinstance(event.reason, Crash)
    assert node.info(node["a"]).restarts == 1


async def stopped(node: Node, root: Pid) -> None:
    """Stop a root and wait for it."""
    await node.run(stop, root, "shutdown")
