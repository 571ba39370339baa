"""The directory of models: found at the start, local servers watched, never taken down by them."""

from collections.abc import Mapping

import pytest

from planaria.config.settings import ModelSettings
from planaria.membrane.models import directory
from planaria.membrane.models.directory import (
    PROBE_EVERY,
    TOPIC,
    Latest,
    ModelDirectory,
    ModelsChanged,
    is_offline,
)
from planaria.membrane.models.local_servers import LocalServer
from planaria.otp import Pid, child, supervisor
from planaria.testing.model_server import ModelServer
from planaria.testing.node import TestNode


class Machine:
    """What is found on this machine, instead of asking its ports."""

    def __init__(self) -> None:
        self.servers: list[LocalServer] = []
        self.fault: Exception | None = None
        self.looks = 0

    async def probe(self, environ: Mapping[str, str], within: float = 0.5) -> list[LocalServer]:
        self.looks += 1
        if self.fault is not None:
            raise self.fault
        return list(self.servers)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(directory, "probe", machine.probe)
    return machine


OLLAMA = LocalServer("ollama", "http://127.0.0.1:11434/v1", ("moss",))


async def start(node: TestNode, latest: Latest | None = None, **environ: str) -> Pid:
    await node.start(
        supervisor(child(ModelDirectory, ModelSettings(), environ, latest, name="models"), name="root")
    )
    return node["models"]


async def test_with_nothing_else_the_offline_model_answers(node: TestNode, machine: Machine):
    models = await ModelDirectory.models(await start(node))
    assert models.resolve(None).offline
    assert is_offline(models)


async def test_a_key_in_the_environment_is_found_and_never_shown(node: TestNode, machine: Machine):
    pid = await start(node, OPENAI_API_KEY="sk-secret-0123456789abcdef")
    views = await ModelDirectory.describe(pid)
    assert [view.name for view in views] == ["openai", "offline"]
    assert views[0].default
    assert "sk-secret" not in repr(views)


async def test_a_local_server_is_met_by_the_first_message(node: TestNode, machine: Machine):
    machine.servers = [OLLAMA]
    models = await ModelDirectory.models(await start(node))
    assert models.resolve("local").ref == "ollama/moss"


async def test_a_local_server_that_comes_and_goes_is_noticed_and_told(node: TestNode, machine: Machine):
    latest = Latest()
    pid = await start(node, latest)
    async with node.open_port() as port:
        node.subscribe(TOPIC, port.pid)
        machine.servers = [OLLAMA]
        await node.advance(PROBE_EVERY + 1)
        assert await port.receive(1.0) == ModelsChanged(offline=False)
        assert latest.models is await ModelDirectory.models(pid)
        machine.servers = []
        await node.advance(PROBE_EVERY + 1)
        assert await port.receive(1.0) == ModelsChanged(offline=True)
        await node.advance(PROBE_EVERY * 3)
    assert machine.looks >= 5


async def test_a_look_that_crashes_changes_nothing_and_is_tried_again(node: TestNode, machine: Machine):
    machine.servers = [OLLAMA]
    pid = await start(node)
    machine.fault = ZeroDivisionError("a server that answers nonsense")
    await node.advance(PROBE_EVERY * 2.5)
    assert node["models"] is pid
    assert (await ModelDirectory.models(pid)).resolve("local").ref == "ollama/moss"
    machine.fault, machine.servers = None, []
    await node.advance(PROBE_EVERY * 1.5)
    assert is_offline(await ModelDirectory.models(pid))


async def test_without_looking_nothing_is_asked(node: TestNode, machine: Machine):
    await node.start(child(ModelDirectory, ModelSettings(), {}, None, False, name="models"))
    await node.advance(PROBE_EVERY * 3)
    assert machine.looks == 0


async def test_what_was_got_can_be_used_after_a_change(node: TestNode, machine: Machine):
    async with ModelServer(models=("moss",)) as server:
        machine.servers = [LocalServer("ollama", server.url, ("moss",))]
        pid = await start(node)
        choice = (await ModelDirectory.models(pid)).resolve("local")
        machine.servers = []
        await node.advance(PROBE_EVERY + 1)
        assert [model.id for model in await choice.provider.models()] == ["moss"]
        close = getattr(choice.provider, "close", None)
        assert close is not None
        close()
