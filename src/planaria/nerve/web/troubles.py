"""What is wrong with the node now, for whoever opens the dashboard at three in the morning.

Gathered from the files that have errors, the supervisors that gave up and the servers that should be there.
Does badly: a process that is up and answers nonsense is not noticed here.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from planaria.nerve.outage import NOTHING_LOST, find_outage
from planaria.nerve.web.render import process_url
from planaria.otp import CallError, Node
from planaria.records.library import Library

CRASH_LOOP = 3
"""So many crashes of one process within `RECENT` seconds are worth waking somebody."""
RECENT = 120.0
LASTING = 600.0
"""Seconds a supervisor's giving up is shown."""
DEEP = 1000
"""A mailbox this long means that its process does not keep up."""


class Trouble(msgspec.Struct, frozen=True):
    """One thing to mend: what, where, how."""

    what: str
    where: str
    mend: str
    href: str | None = None


class Happening(msgspec.Struct, frozen=True):
    """One crash, restart or surrender the dashboard saw."""

    at: float
    kind: str  # "crashed", "restarted", "gave_up", "killed"
    who: str
    text: str

    @property
    def bad(self) -> bool:
        """Whether it is shown in red."""
        return self.kind != "restarted"

    @property
    def words(self) -> str:
        """What happened in a few words."""
        said = {
            "crashed": "crashed",
            "killed": "was killed",
            "gave_up": "gave up",
            "restarted": "started again",
        }
        because = "" if self.text in ("", self.kind) else f": {self.text}"
        return said[self.kind] + (because if self.bad else "")


async def find_troubles(node: Node, lately: Sequence[Happening], now: float) -> tuple[Trouble, ...]:
    """What needs a person, worst first: the journal, surrenders, crash loops, servers, files, full mailboxes."""
    return (
        *await _journal(node),
        *_surrenders(lately, now),
        *_loops(lately, now),
        *await _files(node),
        *_full(node),
    )


async def _journal(node: Node) -> list[Trouble]:
    journal = node.whereis("journal")
    if journal is None:
        mend = "Its supervisor starts it again; if it does not, the node's own output says why."
        return [Trouble("The journal does not run", "journal", mend)]
    outage = await find_outage(journal)
    if outage is None:
        return []
    return [
        Trouble(
            f"The journal cannot be used: {outage.trouble}",
            "journal",
            f"{outage.mend}; {NOTHING_LOST}",
            "/processes/journal",
        )
    ]


def _surrenders(lately: Sequence[Happening], now: float) -> list[Trouble]:
    return [
        Trouble(
            f"{event.who} gave up: too many restarts",
            event.who,
            f"The last failure was: {event.text}. Mend its cause; the supervisor above decides meanwhile.",
        )
        for event in lately
        if event.kind == "gave_up" and now - event.at < LASTING
    ]


def _loops(lately: Sequence[Happening], now: float) -> list[Trouble]:
    """Those that failed again and again of late, restarted by a supervisor or begun anew by their owner."""
    failures = [event for event in lately if event.kind == "crashed" and now - event.at < RECENT]
    return [
        Trouble(
            f"{who} crashed {times} times within {RECENT:.0f} s",
            who,
            f"The last reason: {next(event.text for event in failures if event.who == who)}",
            None if " " in who else process_url(who),
        )
        for who, times in Counter(event.who for event in failures).items()
        if times >= CRASH_LOOP
    ]


async def _files(node: Node) -> list[Trouble]:
    try:
        problems = await Library.problems.within(2.0)(node["library"])
    except CallError as error:
        return [
            Trouble("The files of the garden cannot be read", "library", str(error), "/processes/library")
        ]
    return [
        Trouble(problem.problem, f"{problem.path}:{problem.line}", problem.mend)
        for problem in sorted(problems)
    ]


def _full(node: Node) -> list[Trouble]:
    infos = (node.info(pid) for pid in node.processes())
    return [
        Trouble(
            f"{info.name or info.label} has {info.queue_len} messages waiting",
            info.name or str(info.pid),
            "It does not keep up. Look at what it awaits; kill it if it hangs.",
            process_url(info.name or str(info.pid.id)),
        )
        for info in infos
        if info.queue_len >= DEEP
    ]
