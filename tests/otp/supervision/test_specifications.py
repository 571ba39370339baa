"""Which specifications supervisors refuse (supervisor:check_childspecs) and how dynamic children are made."""

import pytest

from planaria.otp import (
    ChildError,
    DynamicSupervisor,
    Ignore,
    Pid,
    StartFailed,
    Supervisor,
    child,
    dynamic,
    supervisor,
)
from planaria.testing.node import TestNode
from tests.otp.support import Boom, Counter


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"restart": "always"}, "'permanent', 'transient' or 'temporary'"),
        ({"shutdown": "never"}, "'infinity' or 'brutal_kill'"),
        ({"shutdown": -1.0}, "0 or more seconds"),
        ({"significant": True}, "transient or temporary"),
    ],
)
def test_a_specification_that_makes_no_sense_names_the_child_and_the_mend(options, told):
    with pytest.raises(ValueError, match=told) as caught:
        child(Counter, id="c", **options)
    assert "'c'" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"strategy": "all_for_one"}, "rest_for_one"),
        ({"auto_shutdown": "always"}, "any_significant"),
        ({"max_restarts": -1}, "at least 0"),
        ({"within": 0}, "more than 0 seconds"),
    ],
)
def test_flags_that_make_no_sense_are_named(options, told):
    with pytest.raises(ValueError, match=told):
        supervisor(child(Counter), **options)


async def test_a_significant_child_needs_a_supervisor_that_shuts_down(node: TestNode) -> None:
    """OTP: {bad_combination, [{auto_shutdown, never}, {significant, true}]}."""
    significant = child(Counter, restart="temporary", significant=True)
    with pytest.raises(ValueError, match="auto_shutdown"):
        supervisor(significant)
    for sup, start_child in (
        (await node.start(supervisor()), Supervisor.start_child),
        (await node.start(dynamic()), DynamicSupervisor.start_child),
    ):
        with pytest.raises(ChildError) as caught:
            await start_child(sup, significant)
        assert caught.value.code == "bad_combination"


@pytest.mark.parametrize(
    ("mode", "survives_one", "survives_both"),
    [("any_significant", False, False), ("all_significant", True, False)],
)
async def test_a_dynamic_supervisor_ends_with_its_significant_children(
    node: TestNode, mode: str, survives_one: bool, survives_both: bool
) -> None:
    """supervisor.erl, do_auto_shutdown for simple_one_for_one."""
    sup = await node.start(dynamic(auto_shutdown=mode))  # type: ignore[arg-type]
    spec = child(Counter, restart="transient", significant=True)
    first, second, stopped = [await DynamicSupervisor.start_child(sup, spec) for _ in range(3)]
    assert first and second and stopped
    await DynamicSupervisor.terminate_child(sup, stopped)  # not an end of its own
    Counter.crash(first)  # restarted: no end either
    await node.settle()
    assert sup.alive
    first = next(
        info.process for info in await DynamicSupervisor.which_children(sup) if info.process != second
    )
    assert first is not None
    Counter.end(first)
    await node.settle()
    assert sup.alive is survives_one
    if sup.alive:
        Counter.end(second)
        await node.settle()
    assert sup.alive is survives_both
    assert sup.reason == "shutdown"


async def test_a_template_makes_children_that_keep_their_arguments(node: TestNode) -> None:
    """simple_one_for_one, and DynamicSupervisor's extra_arguments."""
    sup = await node.start(dynamic(template=lambda name, start=100: child(Counter, start, name=name)))
    assert await DynamicSupervisor.start_with(sup, "a", start=5) == node["a"]
    await DynamicSupervisor.start_with(sup, "b")
    Counter.crash(node["a"])
    await node.settle()
    assert (await Counter.add(node["a"]), await Counter.add(node["b"])) == (6, 101)
    assert (await DynamicSupervisor.get_child_spec(sup, node["a"])).id == "a"
    with pytest.raises(TypeError, match="name"):
        await DynamicSupervisor.start_with(sup)
    bare = await node.start(dynamic())
    with pytest.raises(ChildError, match="no template"):
        await DynamicSupervisor.start_with(bare)
    with pytest.raises(ChildError, match="not found"):
        await DynamicSupervisor.get_child_spec(bare, node["a"])


async def test_the_pid_of_a_dead_child_still_ends_the_tries_to_restart_it(node: TestNode) -> None:
    """supervisor.erl finds `{restarting, Pid}` too; while the tries go on the child counts against max_children."""
    starts: list[bool] = []

    class Stubborn(Counter):
        def init(self, start: int = 0) -> None:
            super().init(start)
            starts.append(True)
            if 1 < len(starts) < 50:
                raise Boom

    sup = await node.start(dynamic(max_restarts=100, max_children=1))
    pid = await DynamicSupervisor.start_child(sup, child(Stubborn))
    assert isinstance(pid, Pid)

    async def crash_and_end_the_tries() -> None:
        Stubborn.crash(pid)
        while not (await DynamicSupervisor.which_children(sup))[0].restarting:
            pass
        with pytest.raises(StartFailed, match="max_children"):
            await DynamicSupervisor.start_child(sup, child(Counter))
        await DynamicSupervisor.terminate_child(sup, pid)

    await node.run(crash_and_end_the_tries)
    await node.settle()
    assert await DynamicSupervisor.which_children(sup) == []
    assert len(starts) < 50


async def test_a_dynamic_child_that_declines_is_not_kept(node: TestNode) -> None:
    class Declines(Counter):
        def init(self, start: int = 0) -> None:
            raise Ignore

    sup = await node.start(dynamic())
    assert await DynamicSupervisor.start_child(sup, child(Declines)) is None
    assert await DynamicSupervisor.which_children(sup) == []
