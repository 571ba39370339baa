"""Secrets are sealed in the store, open under their own name alone, and are masked from the moment they are set."""

from pathlib import Path

import pytest

from planaria.config.secret import Secret
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.errors import SealError
from planaria.cortex.event import NewEvent
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.redact import Redactor
from planaria.cortex.secrets import Secrets, SecretTooShort
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.otp import child
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode

KEY = "wild-strawberry-4711"
MASTER = MasterKey(b"m" * 32)


@pytest.fixture
async def store(node: TestNode) -> MemoryStore:
    return MemoryStore()


async def garden(node: TestNode, store: object) -> tuple[Secrets, Redactor]:
    redactor = Redactor()
    await node.start(child(Journal, lambda: store, JournalOptions(), redactor, MASTER, name="journal"))
    return Secrets(MASTER, redactor, node["journal"]), redactor


async def test_a_secret_comes_back_and_can_be_let_go(node: TestNode, store: MemoryStore) -> None:
    secrets, _ = await garden(node, store)
    await secrets.put("provider:a", Secret(KEY))
    await secrets.put("provider:b", Secret("another-one-entirely"))
    assert await secrets.get("provider:a") == Secret(KEY)
    assert await secrets.names("provider:") == ["provider:a", "provider:b"]
    await secrets.drop("provider:a")
    assert await secrets.all("") == {"provider:b": Secret("another-one-entirely")}
    assert await secrets.get("provider:a") is None


async def test_a_secret_is_masked_in_what_is_written_after_it_was_set(
    node: TestNode, store: MemoryStore
) -> None:
    secrets, redactor = await garden(node, store)
    await secrets.put("provider:a", Secret(KEY))
    (event,) = await Journal.append(
        node["journal"], [NewEvent("x.said", {"text": f"it is {KEY}."}, session="s")]
    )
    assert event.payload == {"text": "it is [secret provider:a]."}
    assert redactor.text(f"x{KEY}y") == "x[secret provider:a]y"


async def test_a_secret_that_is_opened_is_masked_from_then_on(node: TestNode, store: MemoryStore) -> None:
    await store.open()
    await store.put_secret("totp:ada", MASTER.seal_secret("totp:ada", KEY))
    secrets, redactor = await garden(node, store)
    assert redactor.text(KEY) == KEY
    await secrets.get("totp:ada")
    assert redactor.text(KEY) == "[secret totp:ada]"


async def test_a_sealed_secret_opens_under_no_other_name_and_with_no_other_key(
    node: TestNode, store: MemoryStore
) -> None:
    secrets, _ = await garden(node, store)
    await store.put_secret("provider:a", MASTER.seal_secret("provider:b", KEY))
    with pytest.raises(SealError, match="does not open the secret 'provider:a'"):
        await secrets.get("provider:a")
    await store.put_secret("provider:a", MasterKey(b"n" * 32).seal_secret("provider:a", KEY))
    with pytest.raises(SealError, match="give the secret again"):
        await secrets.get("provider:a")


async def test_a_secret_too_short_to_be_masked_is_refused(node: TestNode, store: MemoryStore) -> None:
    secrets, _ = await garden(node, store)
    with pytest.raises(SecretTooShort, match="it needs 8"):
        await secrets.put("provider:a", Secret("short12"))
    assert await secrets.names() == []


async def test_no_file_of_the_store_has_a_secret_in_plain(node: TestNode, tmp_path: Path) -> None:
    secrets, _ = await garden(node, SqliteStore(tmp_path / "journal.db"))
    await secrets.put("provider:a", Secret(KEY))
    assert KEY not in repr(secrets)
    files = [file for file in tmp_path.iterdir() if file.is_file()]
    assert files
    assert not any(KEY.encode() in file.read_bytes() for file in files)
