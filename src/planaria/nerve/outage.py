"""Whether the journal works now, for all who show it: status, doctor, dashboard, those who were refused."""

from planaria.cortex.journal import Journal, JournalHealth
from planaria.otp import CallError, Server

PATIENCE = 2.0
"""Seconds the journal may take to say how it is; it never waits for the disk to say so."""
NOTHING_LOST = "what was acknowledged is safe, nothing new is accepted until then, and it goes on by itself"


async def find_outage(journal: Server = "journal") -> JournalHealth | None:
    """What is wrong with the journal and how to mend it; None if it works."""
    try:
        health = (await Journal.status.within(PATIENCE)(journal)).health
    except CallError as error:
        return JournalHealth(f"the journal does not answer: {error}", "`planaria tree` shows what runs")
    return None if health.trouble is None else health
