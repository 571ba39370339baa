"""Cron slots as Unix seconds; pure."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim

_WINDOWS = (3_600.0, 86_400.0, 40 * 86_400.0, 370 * 86_400.0)


def next_slot(cron: str, zone: str, after: float) -> float | None:
    """The first slot later than a time; None if the schedule never comes again.

    Args:
        cron: five fields, checked when the workflow was loaded.
        zone: IANA name.
        after: Unix seconds.
    """
    start = datetime.fromtimestamp(after, UTC).astimezone(ZoneInfo(zone))
    slot = next(CronSim(cron, start), None)
    return None if slot is None else slot.timestamp()


def due_slot(cron: str, zone: str, since: float, now: float) -> float | None:
    """The latest slot later than `since` and not later than `now`; None if there is none.

    Looks back in growing windows, so that a schedule of every minute is not walked through a year of downtime.
    """
    for window in (*_WINDOWS, float("inf")):
        start = max(since, now - window)
        found = None
        slot = next_slot(cron, zone, start)
        while slot is not None and slot <= now:
            found, slot = slot, next_slot(cron, zone, slot)
        if found is not None or start == since:
            return found
    return None
