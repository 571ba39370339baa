"""The dashboard's process: owns the keys, remembers recent crashes, and runs the web server as a linked task.

Started by the node's supervisor under the name `dashboard`. Ask it for `url()` and for a `login_link()`. When the
server's task fails this process ends too and its supervisor starts both again; open pages reconnect by themselves.
Where the keys cannot be saved (a full disk) they are kept in memory, and the library is told of the problem.
Does badly: what it remembers of crashes ends with it; the journal keeps its own account.
Emits nothing; the node's kernel events are what it listens to.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from planaria.config.settings import Settings
from planaria.cortex.redact import Redactor
from planaria.membrane.models.router import ProviderUsage
from planaria.nerve.web import auth
from planaria.nerve.web.app import build_app
from planaria.nerve.web.live import CLOSING
from planaria.nerve.web.server import WebServer, listen, url_of
from planaria.nerve.web.site import ModelsView, Services
from planaria.nerve.web.troubles import Happening
from planaria.otp import (
    ChildRestarted,
    ExitSignal,
    GenServer,
    KernelEvent,
    Pid,
    ProcessExited,
    RestartsExceeded,
    Task,
    TaskDone,
    broadcast,
    call,
    reason_text,
    run_blocking,
    timeout,
    wall_time,
    whereis,
)
from planaria.records.errors import Problem
from planaria.records.library import Library

log = logging.getLogger(__name__)

KEYS_FILE = ".planaria/dashboard.json"
REMEMBERED = 200
"""Crashes and restarts kept for those who look."""
STOP_WITHIN = 2.0
"""Seconds the server is given to close its connections."""


class Dashboard(GenServer):
    """The web dashboard of one node.

    Args (of `init`):
        garden: the garden's folder; keys are kept below it.
        settings: address and zone; a port of 0 takes a free one.
        models: tells which models answer; called for each look, so it must not block.
        redactor: masks secrets in what is shown.
        metrics_token: lets a scraper read `/metrics`; empty: only who is logged in.
        usage: how much providers are used now, by name.
    """

    trap_exit = True

    async def init(
        self,
        garden: Path,
        settings: Settings,
        models: Callable[[], ModelsView],
        redactor: Redactor | None = None,
        metrics_token: str = "",
        usage: Callable[[], Mapping[str, ProviderUsage]] | None = None,
    ) -> None:
        self.keys_file = garden / KEYS_FILE
        self._keys, problem = await run_blocking(_load, self.keys_file)
        self._saved = True
        _report(problem)
        self.happenings: deque[Happening] = deque(maxlen=REMEMBERED)
        if settings.web.metrics_token_env and not metrics_token:
            log.warning(
                "%s is not set, so /metrics opens only to browsers that are logged in",
                settings.web.metrics_token_env,
            )
        sock = listen(settings.web.host, settings.web.port)
        self.address = url_of(sock, settings.web.host)
        services = Services(
            node=self.pid.node,
            garden=garden,
            zone=settings.zone,
            door=_Door(self.pid),
            lately=lambda: Dashboard.lately(self.pid),
            models=models,
            redactor=Redactor() if redactor is None else redactor,
            hosts=(settings.web.host,),
            metrics_token=metrics_token,
            usage=usage,
        )
        self._server = WebServer(build_app(services), sock)
        self._stop_listening = self.pid.node.subscribe_events(self._notice)
        self._task = Task.start_link(self._server.run, label="web server")

    @call
    def url(self) -> str:
        """Where the dashboard is, e.g. `http://127.0.0.1:4747/`."""
        return self.address

    @call
    async def login_link(self) -> str:
        """A fresh link that logs one browser in, once. It is good for a day."""
        keys, token = auth.issue(self._keys, wall_time())
        await self._keep(keys)
        return f"{self.address}login?token={token}"

    @call
    async def redeem(self, token: str) -> str | None:
        """Use up a login token; a new session, or None if the token is unknown or used."""
        keys, session = auth.redeem(self._keys, token, wall_time())
        if session is not None:
            await self._keep(keys)
        return session

    @call
    def knows(self, session: str) -> bool:
        """Whether this session is good."""
        return auth.knows(self._keys, session, wall_time())

    @call
    async def forget(self, session: str) -> None:
        """End a session."""
        await self._keep(auth.forget(self._keys, session))

    @call
    def lately(self) -> tuple[Happening, ...]:
        """The crashes and restarts seen, newest first."""
        return tuple(reversed(self.happenings))

    def handle_info(self, message: object) -> None:
        """The server's task ended: so do we, and our supervisor starts both again."""
        if isinstance(message, TaskDone):
            self.stop("normal")
        elif isinstance(message, ExitSignal):
            self.stop(message.reason)

    async def terminate(self, reason: object) -> None:
        """Let open pages go, close the socket."""
        self._stop_listening()
        broadcast(CLOSING, CLOSING)
        self._server.stop()
        try:
            async with timeout(STOP_WITHIN):
                await self._server.closed()
        except TimeoutError:
            self._task.cancel()

    async def _keep(self, keys: auth.Keyring) -> None:
        # A few hundred bytes, and a login must not be answered before it is on disk: worth waiting for.
        self._keys = keys
        try:
            await run_blocking(auth.save, self.keys_file, keys)
        except OSError as error:
            # A login that is lost at the next start is better than none.
            if self._saved:
                _report(unsaved(error))
            self._saved = False
            return
        if not self._saved:
            _report(None)
        self._saved = True

    def _notice(self, event: KernelEvent) -> None:
        happening = happening_of(event, self.pid.node.clock.wall())
        if happening is not None:
            self.happenings.append(happening)


def unsaved(error: OSError) -> Problem:
    """What a person should know while the keys are in memory only."""
    return Problem(
        KEYS_FILE,
        0,
        f"the dashboard's keys cannot be saved ({error.strerror or error}), so they are kept in memory",
        "Free space on the disk and see that the file may be written. Until then a log-in or log-out does not "
        "outlive the node.",
    )


def _load(file: Path) -> tuple[auth.Keyring, Problem | None]:
    """The keys, and what is wrong with their file: a damaged one is set aside, and a new ring begun."""
    try:
        return auth.load(file), None
    except auth.Damaged as damage:
        said = f"the dashboard's keys could not be read ({damage})"
        again = "All browsers log in again: `planaria status` prints a link."
        try:
            aside = auth.set_aside(file)
        except OSError as error:
            return auth.Keyring(), Problem(
                KEYS_FILE, 0, said, f"Remove the file; it could not be set aside ({error.strerror}). {again}"
            )
        return auth.Keyring(), Problem(KEYS_FILE, 0, f"{said} and were set aside as {aside.name}", again)
    except OSError as error:
        return auth.Keyring(), unsaved(error)


def _report(problem: Problem | None) -> None:
    """Tell the library the one thing that is wrong with the file of keys, or that nothing is."""
    if whereis("library") is not None:
        Library.clear("library", KEYS_FILE)
        if problem is not None:
            Library.report("library", problem)


def happening_of(event: KernelEvent, at: float) -> Happening | None:
    """What a kernel event means to people; None for the ordinary."""
    match event:
        case ProcessExited(name=name, label=label, reason=reason) if _is_abnormal(reason):
            kind = "killed" if reason == "killed" else "crashed"
            return Happening(at, kind, name or label, reason_text(reason))
        case ChildRestarted(id=id, process=process, reason=reason) if process is not None:
            return Happening(at, "restarted", process.name or str(id), reason_text(reason))
        case RestartsExceeded(supervisor=supervisor, reason=reason):
            return Happening(at, "gave_up", supervisor.name or supervisor.label, reason_text(reason))
        case _:
            return None


def _is_abnormal(reason: object) -> bool:
    return reason not in ("normal", "shutdown", "noproc") and type(reason).__name__ != "Shutdown"


class _Door:
    """The dashboard's keys as the web pages use them, from outside any process."""

    def __init__(self, pid: Pid) -> None:
        self.pid = pid

    async def redeem(self, token: str) -> str | None:
        return await Dashboard.redeem(self.pid, token)

    async def knows(self, session: str) -> bool:
        return await Dashboard.knows(self.pid, session)

    async def forget(self, session: str) -> None:
        await Dashboard.forget(self.pid, session)
