"""Methods that look after the journal, as the control socket asks them."""

from functools import partial
from pathlib import Path
from typing import Any

from planaria.cortex.journal import Journal
from planaria.cortex.stores.sqlite.backup_file import begin_file
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.nerve.methods.journal_keep import Copying, backup
from planaria.nerve.methods.method import Channel
from planaria.otp import Node, Process, Task, child, receive, self_, send


class NeverDone(SqliteStore):
    """Begins a backup, and says so to whoever waits for that."""

    watcher: Process

    async def backup(self, path: Path) -> None:
        begin_file(path)
        send(self.watcher, "began")
        await receive(lambda message: False)


async def test_a_backup_whose_asker_has_gone_leaves_no_file(node: Node, tmp_path: Path) -> None:
    store = NeverDone(tmp_path / "journal.db")
    await node.start(child(Journal, lambda: store, name="journal"))
    services: Any = None

    async def ask_and_go() -> bool:
        store.watcher = self_()
        asked = Copying(str(tmp_path / "copy.db"))
        task = Task.start_link(partial(backup, asked, services, Channel(lambda event: None)))
        await receive(lambda message: message == "began")
        await task.shutdown()
        return True

    assert await node.run(ask_and_go)
    assert not [file.name for file in tmp_path.iterdir() if "copy" in file.name]
