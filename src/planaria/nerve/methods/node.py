"""Methods about the node itself: what runs, how it is, ending and restarting it."""

import os
import platform

import msgspec

from planaria import __version__
from planaria.config.lock import Holder, find_holder
from planaria.cortex.telemetry.export import export_figures
from planaria.membrane.models.directory import ModelDirectory
from planaria.nerve.doctor import Finding, examine, examine_export, examine_node
from planaria.nerve.methods.method import Channel, Nothing, Services
from planaria.nerve.outage import NOTHING_LOST, find_outage
from planaria.nerve.protocol import ControlError
from planaria.nerve.restart import NotSupervised
from planaria.nerve.restart import restart as restart_process
from planaria.nerve.views import (
    NoSuchProcess,
    ProcessRow,
    ProcessView,
    TreeView,
    find_process,
    node_view,
    pid_text,
    process_rows,
    process_view,
    tree_views,
)
from planaria.otp import (
    CallError,
    Pid,
    exit_signal,
    node_,
    run_blocking,
    sleep,
    wait_down,
    wall_time,
    whereis,
)
from planaria.records.library import Library

KILL_TIME = 5.0
"""Seconds to wait for a killed process to be gone."""
SUCCESSION_TIME = 2.0
"""Seconds to wait for its successor; one without a supervisor has none."""


class WhichProcess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process: its registered name, `<node.id>`, or the bare id."""

    process: str


class StatusView(msgspec.Struct, frozen=True):
    """The node in figures. `since` is unix seconds, `problems` how many records need a mend.

    `login_url` is a fresh link that logs one browser in to the dashboard, once; empty without one.
    `journal` says what is wrong with the journal, `mend` what to do about it; both are empty while it works.
    """

    name: str
    version: str
    python: str
    pid: int
    garden: str
    url: str
    since: float
    uptime: float
    processes: int
    queued: int
    reductions: int
    restarts: int
    rss_mb: float
    problems: int | None
    login_url: str = ""
    journal: str = ""
    mend: str = ""


class Killed(msgspec.Struct, frozen=True):
    """A process was ended; `successor` is who has its name now, if it had one."""

    process: str
    successor: str | None


async def status(params: Nothing, services: Services, channel: Channel) -> StatusView:
    """The node in figures."""
    view = node_view(node_())
    holder = await run_blocking(find_holder, services.garden) or Holder(os.getpid(), since=wall_time())
    problems = len(await Library.problems("library")) if whereis("library") is not None else None
    outage = await find_outage()
    return StatusView(
        name=view.name,
        version=__version__,
        python=platform.python_version(),
        pid=os.getpid(),
        garden=str(services.garden),
        url=holder.url,
        since=holder.since,
        uptime=max(0.0, wall_time() - holder.since),
        processes=view.processes,
        queued=view.queued,
        reductions=view.reductions,
        restarts=view.restarts,
        rss_mb=view.rss_mb,
        problems=problems,
        login_url=await _login_url(services),
        journal="" if outage is None else outage.trouble or "",
        mend="" if outage is None else f"{outage.mend}; {NOTHING_LOST}",
    )


async def _login_url(services: Services) -> str:
    """A fresh link to log in with; none while the dashboard is off or down, which must not hide the rest."""
    try:
        return "" if services.login_link is None else await services.login_link()
    except CallError:
        return ""


async def tree(params: Nothing, services: Services, channel: Channel) -> tuple[TreeView, ...]:
    """The supervision tree."""
    return tree_views(node_())


async def processes(params: Nothing, services: Services, channel: Channel) -> tuple[ProcessRow, ...]:
    """Every process."""
    return process_rows(node_())


async def inspect(params: WhichProcess, services: Services, channel: Channel) -> ProcessView:
    """Everything there is to see of one process."""
    return process_view(node_(), _find(params), services.redactor)


async def kill(params: WhichProcess, services: Services, channel: Channel) -> Killed:
    """End a process at once, as an untrappable `kill`; its supervisor decides what follows."""
    pid = _find(params)
    name, text = pid.name, pid_text(pid)
    exit_signal(pid, "kill")
    await wait_down(pid, KILL_TIME)
    successor = await _successor(name) if name and pid.parent is not None else None
    return Killed(text, None if successor is None else str(successor))


async def restart(params: WhichProcess, services: Services, channel: Channel) -> Killed:
    """Let the supervisor of a process end it in order and start it anew."""
    pid = _find(params)
    text = pid_text(pid)
    try:
        successor = await restart_process(pid)
    except NotSupervised as error:
        mend = f"`planaria kill {params.process}` ends it; one that is supervised dynamically may come back"
        raise ControlError("refused", str(error), mend) from error
    return Killed(text, None if successor is None else str(successor))


async def stop(params: Nothing, services: Services, channel: Channel) -> dict[str, bool]:
    """Begin the orderly end of the node."""
    services.stop()
    return {"stopping": True}


async def doctor(params: Nothing, services: Services, channel: Channel) -> list[Finding]:
    """What is well with the garden and the node, what is not, and how to mend it."""
    known = await ModelDirectory.describe("models") if whereis("models") else None
    findings = await run_blocking(examine, services.garden, dict(os.environ), known)
    broken = {finding.detail.partition(":")[0] for finding in findings if finding.what == "record"}
    # What only a running node knows of good files: unknown keys of agents, tools that do not exist, bad schedules.
    found = await Library.problems("library") if whereis("library") else []
    said = [
        Finding("error", "record", f"{problem.path}:{problem.line}: {problem.problem}", problem.mend)
        for problem in found
        if problem.path not in broken
    ]
    exported = examine_export(export_figures(node_()))
    return [*findings, await _journal(), *exported, *said, *examine_node(tree_views(node_()))]


async def _journal() -> Finding:
    outage = await find_outage()
    if outage is None:
        return Finding("ok", "journal", "writes")
    return Finding("error", "journal", outage.trouble or "", f"{outage.mend}; {NOTHING_LOST}")


async def _successor(name: str) -> Pid | None:
    """Who takes over a name; its supervisor may need a moment."""
    until = wall_time() + SUCCESSION_TIME
    while (successor := whereis(name)) is None and wall_time() < until:
        await sleep(0.02)
    return successor


def _find(params: WhichProcess) -> Pid:
    try:
        return find_process(node_(), params.process)
    except NoSuchProcess as error:
        mend = (
            f"did you mean {' or '.join(map(repr, error.near))}?"
            if error.near
            else "`planaria tree` lists them"
        )
        raise ControlError("not_found", f"no process {params.process!r}", mend) from error
