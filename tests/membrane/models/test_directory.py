"""The directory of models: found at the start, local servers watched, never taken down by them."""

from collections.abc import Mapping

import pytest

from planaria.config.providers import LimitSettings, ModelDetails, ProviderSettings
from planaria.config.secret import Secret
from planaria.config.settings import ModelSettings
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.errors import StoreFailed
from planaria.cortex.event_type import EventType
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.redact import Redactor
from planaria.cortex.secrets import Secrets
from planaria.membrane.errors import AuthenticationFailed, ModelNotFound
from planaria.membrane.models import directory
from planaria.membrane.models.changes import (
    SESSION,
    ProviderKeySet,
    ProviderRemoved,
    ProviderSet,
    keep_key,
)
from planaria.membrane.models.directory import (
    PROBE_EVERY,
    TOPIC,
    Latest,
    ModelDirectory,
    ModelsChanged,
    is_offline,
    models_now,
)
from planaria.membrane.models.local_servers import LocalServer
from planaria.membrane.models.models import Models
from planaria.otp import Pid, child, exit_signal, hang, supervisor
from planaria.testing.memory_store import MemoryStore
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


# --- the garden's database ------------------------------------------------------------------------


class Garden:
    """A directory that reads the journal, and what changes there."""

    def __init__(self, node: TestNode, store: MemoryStore) -> None:
        self.node = node
        self.redactor = Redactor()
        self.secrets = Secrets(MASTER, self.redactor, node["journal"])

    async def write(self, *events: EventType) -> None:
        await Journal.append(self.node["journal"], [event.new(session=SESSION) for event in events])

    async def models(self) -> Models:
        return await ModelDirectory.models(self.node["models"])


async def kill(node: TestNode) -> None:
    async def do() -> None:
        exit_signal(node["models"], "kill")

    await node.run(do)
    await node.settle()


MASTER = MasterKey(b"m" * 32)
BOX = ProviderSettings(base_url="http://127.0.0.1:9/v1", models=("m",))


async def start_garden(node: TestNode, store: MemoryStore | None = None, **environ: str) -> Garden:
    kept = store or MemoryStore()
    redactor = Redactor()
    await node.start(child(Journal, lambda: kept, JournalOptions(), redactor, MASTER, name="journal"))
    garden = Garden(node, kept)
    secrets = Secrets(MASTER, garden.redactor)
    tree = child(ModelDirectory, ModelSettings(), environ, None, False, secrets, name="models")
    await node.start(supervisor(tree, name="root"))
    return garden


async def test_a_provider_that_is_set_is_there_at_once_and_nobody_restarts(node: TestNode):
    garden = await start_garden(node)
    assert is_offline(await garden.models())
    pid = node["models"]
    await garden.write(ProviderSet("box", BOX))
    assert (await garden.models()).resolve().ref == "box/m"
    now = models_now(node)
    assert now is not None
    assert now.catalogue.provider("box") is not None
    await garden.write(ProviderSet("box", ProviderSettings(enabled=False)))
    with pytest.raises(ModelNotFound, match="planaria provider enable box"):
        (await garden.models()).resolve("box/m")
    await garden.write(ProviderRemoved("box"))
    assert is_offline(await garden.models())
    assert node["models"] is pid


async def test_different_changes_do_not_undo_each_other_and_outlive_the_process(node: TestNode):
    garden = await start_garden(node)
    await garden.write(
        ProviderSet("box", BOX),
        ProviderSet("box", ProviderSettings(priority=3, about={"m": ModelDetails(tiers=("light",))})),
        ProviderSet("box", ProviderSettings(limits=LimitSettings(queue=1)), ("priority",)),
    )
    for _ in range(2):
        box = (await garden.models()).catalogue.provider("box")
        assert box is not None
        assert (box.priority, box.limits.queue, box.models[0].tiers) == (0, 1, ("light",))
        before = node["models"]
        await kill(node)
        assert node["models"] is not before


async def test_a_key_that_is_set_is_used_and_masked_and_can_be_taken_away(node: TestNode):
    garden = await start_garden(node)
    await node.run(keep_key, garden.secrets, "groq", "https://api.groq.com", Secret("gsk-pond-and-moss"))
    await garden.write(ProviderKeySet("groq"))
    models = await garden.models()
    assert models.resolve("groq").ref == "groq/openai/gpt-oss-120b"
    assert models.key_source("groq") == "the garden's database"
    assert garden.redactor.text("gsk-pond-and-moss") == "[secret provider:groq]"
    assert "moss" not in repr(models.catalogue)
    await node.run(keep_key, garden.secrets, "groq", "", None)
    await garden.write(ProviderKeySet("groq", dropped=True))
    assert is_offline(await garden.models())


async def test_a_key_sealed_by_another_master_key_is_a_problem_of_its_provider_alone(node: TestNode):
    store = MemoryStore()
    await store.open()
    name = "provider:groq@https://api.groq.com"
    await store.put_secret(name, MasterKey(b"n" * 32).seal_secret(name, "gsk-pond-and-moss"))
    garden = await start_garden(node, store, OPENAI_API_KEY="k")
    models = await garden.models()
    assert models.resolve().provider.name == "openai"
    with pytest.raises(AuthenticationFailed, match="give the secret again"):
        models.resolve("groq")


async def test_nobody_is_given_a_model_before_the_database_was_read(node: TestNode):
    store = MemoryStore()
    garden = await start_garden(node, store)
    await garden.write(ProviderSet("openai", ProviderSettings(enabled=False)), ProviderSet("box", BOX))
    store.fault = StoreFailed("the disk is away", "bring it back")
    await kill(node)
    assert models_now(node) is None
    assert [view.name for view in await ModelDirectory.describe(node["models"])] == ["offline"]
    store.fault = None
    await node.advance(10)
    assert (await garden.models()).resolve().ref == "box/m"


async def test_while_it_still_looks_for_local_servers_there_are_no_models_and_no_error(
    node: TestNode, monkeypatch: pytest.MonkeyPatch
):
    async def endless(environ: Mapping[str, str], within: float = 0.5) -> list[LocalServer]:
        await hang()
        return []

    monkeypatch.setattr(directory, "probe", endless)

    async def begin() -> None:
        await ModelDirectory.start_link(ModelSettings(), {}, name="models")

    node.spawn(begin)
    await node.settle()
    assert node.whereis("models") is not None and models_now(node) is None
