"""The doctor: looks at a garden and says what is well, what is not, and how to mend it.

`examine` is plain blocking code over files and sockets, so that it works when no node runs; a running node adds
`examine_node`. Nothing is changed. Does badly: a model service that takes connections but answers nonsense looks well.
"""

import os
import platform
import shutil
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from planaria.config.errors import SettingsError
from planaria.config.lock import STATE_FOLDER, PrivateFolderError, find_holder
from planaria.config.mcp import McpServerSettings
from planaria.config.sandbox import SandboxSettings
from planaria.config.settings import Settings, load_settings
from planaria.cortex.codec.seal import load_master_key
from planaria.cortex.errors import SealError
from planaria.cortex.redact import Redactor
from planaria.cortex.stores.place import KEY_FILE, JournalPlace
from planaria.cortex.telemetry.export import ExportFigures, exporter
from planaria.membrane.mcp.hold import program_of
from planaria.membrane.models.catalogue import OFFLINE
from planaria.membrane.models.models import Models, ProviderView
from planaria.membrane.sandbox.available import MEND, find_sandbox, strength_here, why_not
from planaria.membrane.sandbox.errors import PolicyRefused
from planaria.membrane.sandbox.policy import basis_of, check
from planaria.nerve.views import TreeView
from planaria.records.errors import RecordError
from planaria.records.scan import scan

CONNECT_TIME = 2.0
"""Seconds a model service may take to accept a connection."""
LITTLE_ROOM = 200_000_000
"""Bytes free on the garden's disk below which the doctor speaks up."""
LITTLE_ROOM_MEND = (
    "make room: the journal grows; `planaria journal prune` shows what retention would let go of"
)

type Level = Literal["ok", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. `mend` says what to do, and is empty where nothing needs doing."""

    level: Level
    what: str
    detail: str
    mend: str = ""


def examine(
    garden: Path, environ: Mapping[str, str], providers: Sequence[ProviderView] | None = None
) -> list[Finding]:
    """Look at a garden's files and its model services.

    Args:
        providers: those the running node knows; None: those that settings and environment tell of.
    """
    findings = [_python(), _lock(garden), _private(garden), _room(garden)]
    try:
        settings = load_settings(garden)
    except SettingsError as error:
        findings += _sandbox(environ, SandboxSettings())
        findings.append(Finding("error", "settings", str(error), error.mend))
    else:
        findings += _sandbox(environ, settings.sandbox)
        findings.append(Finding("ok", "settings", str(garden / "planaria.toml")))
        findings += _mcp(settings, garden, environ)
        findings += _web(settings)
        findings += [_journal(settings, garden), _key(settings, garden)]
        findings += _database(settings, garden, environ)
        findings += _telemetry(settings, garden, environ)
        findings += _models(
            Models.discover(settings.models, environ).describe() if providers is None else providers
        )
    findings += _records(garden)
    return findings


def examine_node(trees: Iterable[TreeView]) -> list[Finding]:
    """Look at what runs: children that are not there, and processes that were restarted or have much to do."""
    findings: list[Finding] = []
    waiting = list(trees)
    count = 0
    while waiting:
        view = waiting.pop()
        waiting += view.children
        count += 1
        if not view.pid:
            findings.append(
                Finding("error", "process", f"{view.title} does not run", "restart its supervisor")
            )
        elif view.restarts:
            mend = f"`planaria inspect {view.name or view.pid}` and `planaria journal tail` show why"
            findings.append(
                Finding("warning", "process", f"{view.title} restarted {view.restarts} times", mend)
            )
        if view.queue_len > 1000:
            mend = f"`planaria inspect {view.name or view.pid}` shows what it waits for"
            findings.append(
                Finding("warning", "process", f"{view.title}: {view.queue_len} messages wait", mend)
            )
    return findings or [Finding("ok", "processes", f"{count} run, none was restarted")]


def examine_export(figures: ExportFigures | None) -> list[Finding]:
    """Look at how spans leave the node; nothing if none do."""
    if figures is None:
        return []
    lost = f"{figures.dropped} spans lost since the start"
    if figures.trouble:
        mend = "start the collector, or mend [telemetry] in planaria.toml; the node goes on without it"
        return [Finding("warning", "telemetry", f"{figures.trouble}; {lost}", mend)]
    return [Finding("ok", "telemetry", f"{figures.exported} spans sent, {lost}")]


def worst(findings: Iterable[Finding]) -> Level:
    """The gravest level among findings."""
    levels = {finding.level for finding in findings}
    return "error" if "error" in levels else "warning" if "warning" in levels else "ok"


def _python() -> Finding:
    return Finding("ok", "python", platform.python_version())


def _lock(garden: Path) -> Finding:
    try:
        found = find_holder(garden)
    except PrivateFolderError as error:
        return Finding("error", "node", str(error), "make the folder yours")
    if found is None:
        return Finding("ok", "node", "not running; the garden is free")
    return Finding("ok", "node", f"running as process {found.pid}{' at ' + found.url if found.url else ''}")


def _private(garden: Path) -> Finding:
    folder = garden / STATE_FOLDER
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        return Finding("ok", "private folder", f"{folder} will be made by the first start")
    except OSError as error:
        return Finding("error", "private folder", f"{folder}: {error.strerror}", "make it yours")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding("error", "private folder", f"{folder} cannot be written", "make it yours")
    if mode & 0o077:
        return Finding("warning", "private folder", f"{folder} is open to others", f"chmod 700 {folder}")
    return Finding("ok", "private folder", str(folder))


def _room(garden: Path) -> Finding:
    try:
        free = shutil.disk_usage(garden).free
    except OSError as error:
        return Finding("error", "disk", f"{garden}: {error.strerror}", "name an existing garden")
    if free < LITTLE_ROOM:
        return Finding("warning", "disk", f"{free // 1_000_000} MB free", LITTLE_ROOM_MEND)
    return Finding("ok", "disk", f"{free // 1_000_000_000} GB free")


def _sandbox(environ: Mapping[str, str], settings: SandboxSettings) -> list[Finding]:
    """What holds the programs that tools run, what they may use, and what they may read beside the system's own."""
    what, found, basis = "sandbox", find_sandbox(environ), basis_of(settings)
    held = strength_here(found, basis.backend)
    limits = (
        f"{settings.memory_mb} MB, {settings.processes} processes, {settings.cpu_seconds:g} s of processor time, "
        f"at most {settings.seconds:g} s, {settings.disk_mb} MB of disk"
    )
    if held is None and basis.backend is not None:
        why = f"{basis.backend} does not work here, so tools run no programs: {why_not(found, basis.backend)}"
        mend = f'{MEND}; or write backend = "auto" in [sandbox] of planaria.toml'
        return [Finding("error", what, why, mend)]
    if held is None:
        why = f"there is none, so tools run no programs: {found.why}"
        return [Finding("warning", what, why, MEND)]
    asked = basis.backend is not None
    if held.backend == "landlock" and not asked:
        findings = [Finding("warning", what, f"{held.said}; {found.why}", MEND)]
    else:
        findings = [Finding("ok", what, held.said + ("; as [sandbox] says" if asked else ""))]
    findings.append(Finding("ok", "sandbox limits", limits))
    for path in settings.read:
        if os.path.exists(path):
            findings.append(Finding("ok", "sandbox reads", path))
        else:
            mend = "correct it in [sandbox] of planaria.toml: until then no program is run"
            findings.append(Finding("error", "sandbox reads", f"{path} is not there", mend))
    return findings


def _mcp(settings: Settings, garden: Path, environ: Mapping[str, str]) -> list[Finding]:
    """What holds the servers of MCP that are programs."""
    findings: list[Finding] = []
    basis = basis_of(settings.sandbox)
    for name, given in settings.mcp.servers.items():
        what = f"mcp {name}"
        if not given.command or not given.enabled:
            continue
        if not given.sandbox:
            told = "it runs outside the sandbox, with all this user's files and the network"
            mend = f"declare paths, write and network, and take sandbox = false out of [mcp.servers.{name}]"
            findings.append(Finding("warning", what, told, mend))
            continue
        program = program_of(name, given, garden.resolve(), environ, basis)
        policy, problem = program.policy, program.problem
        try:
            check(policy)
        except PolicyRefused as error:
            problem = problem or str(error)
        missing = [str(path) for path in (*policy.read, *policy.write) if not os.path.exists(path)]
        if not problem and missing:
            problem = f"{missing[0]} is declared, and is not there"
        if problem:
            mend = f"correct [mcp.servers.{name}] of planaria.toml: until then it is not run"
            findings.append(Finding("error", what, problem, mend))
        elif strength_here(find_sandbox(environ), policy.backend) is None:
            mend = f"{MEND}; or write sandbox = false to [mcp.servers.{name}]: then it runs as you"
            findings.append(Finding("error", what, "there is no sandbox here, so it is not run", mend))
        else:
            findings.append(Finding("ok", what, f"in the sandbox; {_declared(given)}"))
    return findings


def _declared(given: McpServerSettings) -> str:
    """What a server's program may get at, in words."""
    network = "all public hosts" if given.network is True else ", ".join(given.network or ()) or "no host"
    reads, writes = (", ".join(each) or "nothing" for each in (given.paths, given.write))
    return f"it reads {reads}, writes {writes}, reaches {network}"


def _web(settings: Settings) -> list[Finding]:
    """Which service is searched, and which hosts near by may be fetched from. Nobody is called."""
    search, found = settings.search, []
    if search.service is not None:
        found.append(Finding("ok", "search", f"{search.service} at {search.url}"))
    if settings.web_access.private:
        hosts = ", ".join(settings.web_access.private)
        found.append(Finding("ok", "web access", f"tools may fetch from {hosts}, if net.fetch grants it"))
    return found


def _journal(settings: Settings, garden: Path) -> Finding:
    """The journal's file as it lies there; whether a running node can write it, `examine_node`'s side knows."""
    what = "journal file"
    if settings.journal.database or settings.journal.database_env:
        return Finding("ok", what, "none: the journal is in a PostgreSQL database")
    file = settings.journal.file(garden)
    try:
        size = file.stat().st_size
        free = shutil.disk_usage(file.parent).free
    except FileNotFoundError:
        return Finding("ok", what, f"{file} will be made by the first start")
    except OSError as error:
        return Finding(
            "error", what, f"{file}: {error.strerror}", "make it readable and writable for this user"
        )
    if not file.is_file() or not os.access(file, os.R_OK | os.W_OK) or not os.access(file.parent, os.W_OK):
        mend = "make the file and its folder writable for this user"
        return Finding("error", what, f"{file} cannot be written", mend)
    if free < LITTLE_ROOM:
        return Finding("warning", what, f"{free // 1_000_000} MB free beside {file}", LITTLE_ROOM_MEND)
    return Finding("ok", what, f"{file}, {size / 1e6:.1f} MB")


def _key(settings: Settings, garden: Path) -> Finding:
    """The key that opens what persons said. Never made here: one that is missing is to be put back."""
    what, file = "journal key", garden / STATE_FOLDER / KEY_FILE
    try:
        mode = file.stat().st_mode
    except OSError as error:
        if isinstance(error, FileNotFoundError) and (
            settings.journal.database or settings.journal.database_env
        ):
            mend = "if the database has this garden's journal, put the copy of the key back before the next start"
            return Finding("warning", what, f"{file} is missing; a first start makes it", mend)
        if isinstance(error, FileNotFoundError) and not settings.journal.file(garden).exists():
            return Finding("ok", what, f"{file} will be made by the first start")
        mend = "put the copy of it back before the next start: nothing else opens what persons said"
        return Finding("error", what, f"{file}: {error.strerror}", mend)
    try:
        load_master_key(file)
    except SealError as error:
        return Finding("error", what, error.problem, error.mend)
    if mode & 0o077:
        return Finding("warning", what, f"{file} is open to others", f"chmod 600 {file}")
    return Finding("ok", what, f"{file}; keep a copy of it apart from those of the journal")


def _telemetry(settings: Settings, garden: Path, environ: Mapping[str, str]) -> list[Finding]:
    """Whether what the settings name for telemetry is there. Nobody is called."""
    found: list[Finding] = []
    try:
        exporter(settings.telemetry, garden, environ, settings.node.name, Redactor())
    except SettingsError as error:
        found.append(Finding("error", "telemetry", error.problem, error.mend))
    token = settings.web.metrics_token_env
    if token and not environ.get(token):
        mend = "set it, or take metrics_token_env away"
        what = f"the variable {token} is not set, so /metrics opens only to browsers that are logged in"
        found.append(Finding("warning", "telemetry", what, mend))
    return found


def _database(settings: Settings, garden: Path, environ: Mapping[str, str]) -> list[Finding]:
    """If the journal is in a database: which, and whether somebody listens at its address."""
    try:
        place = JournalPlace(settings.journal, garden, environ)
    except SettingsError as error:
        return [Finding("error", "journal", error.problem, error.mend)]
    if not place.is_database:
        return []
    faults: list[str] = []
    for server in place.servers:
        try:
            socket.create_connection(server, CONNECT_TIME).close()
        except OSError as error:
            faults.append(error.strerror or str(error))
    if faults and len(faults) == len(place.servers):
        mend = "start PostgreSQL or mend the address; a running node then goes on by itself"
        return [Finding("error", "journal", f"{place.shown}: {faults[0]}", mend)]
    return [Finding("ok", "journal", place.shown)]


def _records(garden: Path) -> list[Finding]:
    found = scan(garden)
    broken = [
        Finding("error", "record", f"{error.path}:{error.line}: {error.problem}", error.mend)
        for error in found.values()
        if isinstance(error, RecordError)
    ]
    return broken or [Finding("ok", "records", f"{len(found)} read, none broken")]


def _models(views: Sequence[ProviderView]) -> list[Finding]:
    findings = [_provider(view) for view in views]
    default = next((view for view in views if view.default), None)
    if default is None or default.name == OFFLINE:
        mend = "set an API key such as OPENAI_API_KEY, start a local model server, or `planaria provider add`"
        findings.append(
            Finding("warning", "models", "only the offline rules answer; they are no language model", mend)
        )
    return findings


def _provider(view: ProviderView) -> Finding:
    what = f"model provider {view.name}"
    if not view.enabled:
        return Finding("ok", what, f"{view.where}: switched off")
    if view.problem:
        return Finding("error", what, f"{view.where}: {view.problem}", "correct it, or take it away")
    if not view.local or not view.base_url:
        return Finding("ok", what, view.where)
    # Only servers nearby are tried: looking must cost nothing and tell nobody.
    url = urlsplit(view.base_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname or "", port), CONNECT_TIME).close()
    except OSError as error:
        mend = f"start it, or correct its base_url ({view.where})"
        return Finding("error", what, f"{url.hostname}:{port}: {error.strerror or error}", mend)
    return Finding("ok", what, f"{url.hostname}:{port} takes connections")
