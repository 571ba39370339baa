"""The page of models: providers as they are, their forms, and what a route would be."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from planaria.config.settings import ModelSettings
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.redact import Redactor
from planaria.cortex.secrets import Secrets
from planaria.cortex.stores.place import master_key
from planaria.membrane.models.directory import ModelDirectory
from planaria.membrane.models.router import ProviderUsage
from planaria.nerve.web.dashboard import Dashboard
from planaria.otp import Node, child, supervisor
from planaria.testing.memory_store import MemoryStore
from planaria.testing.model_server import ModelServer
from tests.nerve.web.garden import MODELS, SETTINGS, Visit, read_until

KEY = "gsk-moss-and-pond"


@asynccontextmanager
async def visiting(
    garden: Path, usage: Callable[[], Mapping[str, ProviderUsage]] | None = None
) -> AsyncIterator[Visit]:
    redactor, master = Redactor(), master_key(garden)
    tree = supervisor(
        child(Journal, MemoryStore, JournalOptions(), redactor, master, name="journal"),
        child(ModelDirectory, ModelSettings(), {}, None, False, Secrets(master, redactor), name="models"),
        child(Dashboard, garden, SETTINGS, lambda: MODELS, redactor, "", usage, name="dashboard"),
        name="node",
    )
    async with Node("garden") as node:
        await node.start(tree)
        url = (await Dashboard.url(node["dashboard"])).rstrip("/")
        async with httpx2.AsyncClient(timeout=10.0, trust_env=False) as client:
            visit = Visit(node, url, client, {"Origin": url, "HX-Request": "true"})
            assert (await client.get(await visit.link())).status_code == 303
            yield visit


@pytest.fixture
async def visit(tmp_path: Path) -> AsyncIterator[Visit]:
    async with visiting(tmp_path) as made:
        yield made


async def test_a_provider_is_added_keyed_switched_and_forgotten_while_others_watch(visit: Visit):
    assert "offline" in (await visit.get("/models")).text
    async with ModelServer(models=("moss",)) as server, visit.stream("/live/models") as pieces:
        fields = f"base_url={server.url} models=moss,fern limits.queue=7"
        said = await visit.post("/models/change", name="box", fields=fields, new="yes")
        assert "box is changed" in said.text
        seen = await read_until(pieces, "queue 7")
        assert "fern" in seen
        kept = await visit.post("/models/key", name="box", key=KEY)
        assert "kept, sealed" in kept.text
        tested = await visit.post("/models/box/test")
        assert "names 1 models. It does not name fern" in tested.text
        assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"
        assert "switched off" in (await visit.post("/models/box/off")).text
        await read_until(pieces, "Switch on")
        page = (await visit.get("/models?wanted=box&local=yes")).text
        assert "box is switched off" in page
        assert "from the garden&#39;s database" in page
        assert KEY not in page
        assert "is gone" in (await visit.post("/models/box/remove")).text
        assert "box" not in (await visit.get("/models")).text


async def test_what_cannot_be_done_is_said_on_the_page(visit: Visit):
    assert "there is no field" in (await visit.post("/models/change", name="x", fields="prio=1")).text
    assert "No key came" in (await visit.post("/models/key", name="groq", key=" ")).text
    assert "too short" in (await visit.post("/models/key", name="groq", key="abc")).text
    assert "no provider" in (await visit.post("/models/nobody/test")).text
    assert (await visit.post("/models/offline/sideways")).status_code == 404
    await visit.post("/models/key", name="groq", key=KEY)
    page = (await visit.get("/models?wanted=medium&needs=vision&tokens=9000")).text
    assert "it cannot do vision" in page
    assert "nobody" in page


async def test_a_name_from_elsewhere_harms_no_page(visit: Visit):
    words = "base_url=http://127.0.0.1:9/v1 models=<script>alert(1)</script>"
    await visit.post("/models/change", name="box", fields=words, new="yes")
    page = (await visit.get("/models?wanted=<script>alert(2)</script>")).text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


async def test_who_is_busy_who_waits_and_who_is_left_alone_is_seen(tmp_path: Path):
    used: dict[str, ProviderUsage] = {}
    async with visiting(tmp_path, lambda: used) as visit, visit.stream("/live/models") as pieces:
        assert "under way" not in (await visit.get("/models")).text
        used["offline"] = ProviderUsage(2, 3, resting="it asked for time, 20 s more")
        seen = await read_until(pieces, "2 under way, 3 waiting; left alone: it asked for time, 20 s more")
        assert "resting" in seen
