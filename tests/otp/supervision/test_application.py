"""OTP's applications: order of start and stop, needs, kinds, configuration, failures."""

from typing import Any, ClassVar

import pytest

from planaria.otp import (
    Application,
    ApplicationEnded,
    Applications,
    ChildSpec,
    Down,
    Pid,
    StartFailed,
    child,
    exit_signal,
    get_env,
    monitor,
    receive,
    sleep,
    stop,
    supervisor,
)
from planaria.otp import applications as describe
from planaria.testing.node import TestNode
from tests.otp.support import Boom, Journal, Scribe

journal = Journal()


@pytest.fixture(autouse=True)
def empty_journal() -> None:
    journal.take()


class Part(Application):
    """Writes its life into the journal."""

    env: ClassVar = {"colour": "green", "crash": False}

    def start(self) -> ChildSpec:
        if self.get_env("crash"):
            raise Boom("no start")
        return supervisor(child(Scribe, journal, self.name), name=self.name)

    def prep_stop(self) -> None:
        journal.add(f"{self.name} is to stop")

    async def stop(self) -> None:
        await sleep(0)
        journal.add(f"{self.name} has stopped")


class Disk(Part):
    pass


class Store(Part):
    needs: ClassVar = (Disk,)


class Mail(Part):
    needs: ClassVar = (Disk,)


class Web(Part):
    name = "web"
    needs: ClassVar = (Store, Mail)


async def kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


async def test_needs_start_first_and_stop_last(node: TestNode) -> None:
    """application:ensure_all_started/1; the stop in reverse with prep_stop/1 and stop/1 around each."""
    await node.start(describe(Web))
    started = ["Disk starts", "Store starts", "Mail starts", "web starts"]
    assert journal.take() == started
    running = await Applications.which_applications(node["applications"])
    assert [info.name for info in running] == ["Disk", "Store", "Mail", "web"]
    assert [info.process for info in running] == [node[name] for name in ("Disk", "Store", "Mail", "web")]
    await node.stop()
    assert journal.take() == [
        line
        for name in ("web", "Mail", "Store", "Disk")
        for line in (f"{name} is to stop", f"{name} ends", f"{name} has stopped")
    ]


async def test_applications_come_and_go_one_by_one(node: TestNode) -> None:
    """application:start, stop/1: what runs is not started again; what others need may be stopped, as in OTP."""
    controller = await node.start(describe(Store))
    assert await Applications.start_application(controller, Web) == ["Mail", "web"]
    assert await Applications.start_application(controller, Web) == []
    journal.take()
    assert await Applications.stop_application(controller, Disk)
    assert not await Applications.stop_application(controller, Disk)
    assert journal.take() == ["Disk is to stop", "Disk ends", "Disk has stopped"]
    assert [info.name for info in await Applications.which_applications(controller)] == [
        "Store",
        "Mail",
        "web",
    ]
    assert [info.kind for info in await Applications.which_applications(controller)] == [
        "permanent",
        "temporary",
        "temporary",
    ]


@pytest.mark.parametrize(
    ("kind", "reason", "ends_all"),
    [
        ("permanent", "normal", True),
        ("permanent", "kill", True),
        ("transient", "normal", False),
        ("transient", "shutdown", True),  # OTP: only `normal` is normal to an application
        ("transient", "kill", True),
        ("temporary", "kill", False),
    ],
)
async def test_the_kind_says_what_its_end_means_for_the_rest(
    node: TestNode, kind: str, reason: str, ends_all: bool
) -> None:
    """application:start/2: permanent, transient, temporary."""
    controller = await node.start(describe(Disk))
    await Applications.start_application(controller, Mail, kind)  # type: ignore[arg-type]
    journal.take()

    async def end() -> None:
        if reason == "kill":
            exit_signal(node["Mail"], "kill")
        else:
            await stop("Mail", reason)

    await node.run(end)
    await node.settle()
    lines = journal.take()
    assert lines[:2] == ["Mail ends", "Mail has stopped"]
    if ends_all:
        assert lines[2:] == ["Disk is to stop", "Disk ends", "Disk has stopped"]
        assert controller.reason == ApplicationEnded("Mail", "killed" if reason == "kill" else reason)
    else:
        assert lines[2:] == []
        assert controller.alive


async def test_configuration_has_defaults_and_is_checked(node: TestNode) -> None:
    """application:get_env/3, set_env/3, and the environment of the specification."""
    with pytest.raises(ValueError, match="no setting 'color'; it has: colour, crash"):
        describe(Disk, env={Disk: {"color": "red"}})
    controller = await node.start(describe(Disk, Store, env={Disk: {"colour": "blue"}}))

    async def colours() -> list[Any]:
        return [get_env(each, "colour") for each in (Disk, Store)] + [get_env(Disk, "size", 7)]

    assert await node.run(colours) == ["blue", "green", 7]
    await Applications.set_env(controller, Store, {"colour": "red"})
    assert await node.run(colours) == ["blue", "red", 7]
    with pytest.raises(ValueError, match="no setting"):
        await Applications.set_env(controller, Store, {"size": 1})
    with pytest.raises(ValueError, match="no setting"):
        await Applications.start_application(controller, Mail, env={"size": 1})
    assert controller.alive


async def test_a_failed_start_stops_what_it_had_started(node: TestNode) -> None:
    with pytest.raises(StartFailed) as caught:
        await node.start(describe(Web, env={Web: {"crash": True}}))
    assert "no start" in str(caught.value)
    assert [line for line in journal.take() if line.endswith("stopped")] == [
        "Mail has stopped",
        "Store has stopped",
        "Disk has stopped",
    ]
    controller = await node.start(describe(Disk))
    journal.take()
    with pytest.raises(StartFailed, match="no start"):
        await Applications.start_application(controller, Web, env={"crash": True})
    assert [info.name for info in await Applications.which_applications(controller)] == ["Disk"]


async def test_a_callback_that_crashes_keeps_nobody_from_stopping(node: TestNode) -> None:
    class Rude(Part):
        needs: ClassVar = (Disk,)

        def prep_stop(self) -> None:
            raise Boom

        async def stop(self) -> None:
            raise Boom

    await node.start(describe(Rude))
    await node.stop()
    assert journal.take()[-2:] == ["Disk ends", "Disk has stopped"]


def test_applications_that_need_each_other_are_named() -> None:
    class One(Part):
        pass

    class Two(Part):
        needs: ClassVar = (One,)

    One.needs = (Two,)
    with pytest.raises(ValueError, match="One needs Two needs One"):
        describe(One)


async def test_an_application_without_a_tree_says_what_is_missing(node: TestNode) -> None:
    class Empty(Application):
        pass

    async def work() -> object:
        controller = node.whereis("applications")
        assert controller is not None
        ref = monitor(controller)
        with pytest.raises(StartFailed) as caught:
            await Applications.start_application(controller, Empty)
        assert "Empty.start must answer" in str(caught.value)
        exit_signal(controller, "kill")
        return (await receive(Down)).ref is ref

    await node.start(describe())
    assert await node.run(work)


async def test_an_application_that_is_made_wrong_leaves_the_others_alone(node: TestNode) -> None:
    class Unmade(Part):
        def __init__(self, settings: object) -> None:
            raise Boom("not made")

    class Rootless(Part):
        def start(self) -> Any:
            return None

    await node.start(describe(Disk))
    controller = node["applications"]
    with pytest.raises(StartFailed, match=r"Unmade did not start: .*Boom\('not made'\)"):
        await Applications.start_application(controller, Unmade)
    with pytest.raises(StartFailed, match=r"Rootless.start answered None: it answers child\(...\)"):
        await Applications.start_application(controller, Rootless)
    with pytest.raises(TypeError, match="<class 'int'> is no application"):
        await Applications.start_application(controller, int)  # type: ignore[arg-type]
    assert [each.name for each in await Applications.which_applications(controller)] == ["Disk"]
