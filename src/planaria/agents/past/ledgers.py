"""The turns of a session as this node knows them: from the latest snapshot, and what came after it."""

import msgspec

from planaria.agents.past.ledger import SNAPSHOT, SNAPSHOT_VERSION, Ledger
from planaria.agents.past.replay import ledger_of
from planaria.agents.past.source import JournalSource
from planaria.cortex.journal import Journal
from planaria.cortex.store import Snapshot
from planaria.otp import Server

KEEP_AFTER = 200
"""Turns after which they are kept anew; also after a tenth of all, if that is more: what is written grows with n."""


async def known_ledger(session: str, journal: Server = "journal") -> Ledger:
    """The turns of a session; kept if many came since they were last.

    Raises:
        JournalUnavailable, CallError: the journal cannot be read.
    """
    kept = await Journal.load_snapshot(journal, session, SNAPSHOT, SNAPSHOT_VERSION)
    start = Ledger()
    if kept is not None:
        start = msgspec.msgpack.decode(kept.data, type=Ledger)
    before = len(start.rows)
    ledger = await ledger_of(JournalSource(journal), session, start)
    if len(ledger.rows) - before >= max(KEEP_AFTER, len(ledger.rows) // 10):
        data = msgspec.msgpack.encode(ledger)
        await Journal.save_snapshot(journal, Snapshot(session, SNAPSHOT, SNAPSHOT_VERSION, ledger.seq, data))
    return ledger
