"""`planaria.toml`: the few things a node must know before it can open its journal.

Read once, by whoever starts the node; processes get the frozen parts they need. Every key has a default, so an
empty file is a complete one. Secrets are never in it: `api_key_env` names the environment variable that has one.
Does badly: a key set in two places of the file is reported at the first.

    zone = "UTC"                    # an IANA name; what "every day at 8" means
    [node]     name = "garden"
    [web]      host = "127.0.0.1", port = 4747, allow_remote = false, metrics_token_env = "NAME"
    [journal]  path = ".planaria/journal.db", or database = "postgresql://user@host/name" (its password: PGPASSWORD), or
               database_env = "NAME" (that variable has the address); commit_interval = 0.0 (seconds to collect appends)
    [journal.retention] conversations, models, tools, runs, node, other = "forever" (or an age: "90d", "2y")
    [watchdog] warn = 0.1, limit = 2.0 (seconds a process may run without a pause: told, broken; limit 0 never breaks)
    [log]      level = "warning", format = "human" or "json", file = "node.log" (by default the terminal)
    [telemetry]  otlp_endpoint = "http://127.0.0.1:4318/v1/traces", otlp_headers_env = "NAME", content = false
    [breakers.tool], .provider, .mcp, .gateway: when what keeps failing is left alone (`config/breakers.py`)
    [apis.NAME]: services described with OpenAPI, as tools (`config/apis.py`)
    [mcp.servers.NAME], [mcp.clients.NAME]: tools of others, and others who use ours (`config/mcp.py`)
    [budget], [budget.garden], .agent, .room, .session, .provider: what may be spent (`config/budget.py`)
    [sandbox]  what programs may use, and what holds them (`config/sandbox.py`)
    [search]   the service that `web.search` asks (`config/search.py`)
    [web_access]  private = ["nas.local:8080"]: hosts near by that tools may fetch from (`config/web_access.py`)
    [models]   default = "local/some-model", local_first = true
    [models.fallback]  heavy = ["medium"]      # what may stand in for a wish: `default`, a tier, a ref
    [models.providers.local]  kind = "openai", base_url = "http://127.0.0.1:8080/v1", api_key_env, models = [],
               priority = 0, local, enabled = true; more tables in it, `limits` and `about."a-model"`: see
               `config/providers.py`. What `planaria provider` changes is in the database and stands over this file.
"""

import ipaddress
import os.path
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from planaria.config.age import FOREVER, parse_age
from planaria.config.apis import ApiSettings
from planaria.config.breakers import BreakerSettings
from planaria.config.budget import BudgetSettings, Limits
from planaria.config.database import check_address
from planaria.config.errors import SettingsError
from planaria.config.mcp import McpServerSettings, McpSettings
from planaria.config.providers import ProviderSettings
from planaria.config.sandbox import SandboxSettings
from planaria.config.search import SearchSettings
from planaria.config.toml_lines import KeyPath, key_lines
from planaria.config.toml_reader import TomlReader, bad_toml, shown
from planaria.config.web_access import WebAccessSettings, places_of

FILE_NAME = "planaria.toml"

_NODE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


class NodeSettings(msgspec.Struct, frozen=True):
    """The node: its name stands in pids and events."""

    name: str = "garden"


class WebSettings(msgspec.Struct, frozen=True):
    """Where the dashboard listens. A host beyond this machine must be allowed in words.

    `metrics_token_env` names the variable whose value lets a Prometheus read `/metrics` without a login.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 4747
    allow_remote: bool = False
    metrics_token_env: str | None = None


class RetentionSettings(msgspec.Struct, frozen=True):
    """How long the journal keeps what was said and done, by class of event: an age such as "90d" or "2y", or "forever".

    Afterwards the content goes and the event stays; which kinds are in a class: `cortex/upkeep/retention.py`.
    """

    conversations: str = FOREVER
    models: str = FOREVER
    tools: str = FOREVER
    runs: str = FOREVER
    node: str = FOREVER
    other: str = FOREVER


class JournalSettings(msgspec.Struct, frozen=True):
    """Where the journal is, a file or a PostgreSQL database, and how long it collects appends before a commit.

    Attributes:
        path: of the file, below the garden or absolute.
        database: the address of a database, which is then used instead of the file; without a password.
        database_env: the environment variable that has that address, with its password if need be.
        commit_interval: in seconds; 0.0 is at once.
        retention: how long contents are kept.
    """

    path: str = ".planaria/journal.db"
    database: str | None = None
    database_env: str | None = None
    commit_interval: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.0
    retention: RetentionSettings = RetentionSettings()

    def file(self, garden: Path) -> Path:
        """The journal's database: `path` below `garden`, or itself when absolute."""
        return garden / self.path


class WatchdogSettings(msgspec.Struct, frozen=True):
    """Seconds a process may hold up the node: after `warn` it is told, after `limit` it is ended; 0 never ends it."""

    warn: Annotated[float, msgspec.Meta(ge=0.01, le=3600.0)] = 0.1
    limit: Annotated[float, msgspec.Meta(ge=0.0, le=86400.0)] = 2.0


class LogSettings(msgspec.Struct, frozen=True):
    """What is written about the node's work, how, and where.

    Attributes:
        level: the least that is written. `info` adds a line for each turn, `debug` one for each span.
        format: `human`: a line to read; `json`: one JSON object a line.
        file: below the garden, or absolute; None is the standard error of `planaria up`.
    """

    level: Literal["debug", "info", "warning", "error"] = "warning"
    format: Literal["human", "json"] = "human"
    file: str | None = None


class TelemetrySettings(msgspec.Struct, frozen=True):
    """Where spans are sent, if anywhere.

    Attributes:
        otlp_endpoint: takes OTLP over HTTP, with its path: `http://127.0.0.1:4318/v1/traces`. None sends nothing.
        otlp_headers_env: the environment variable with headers for it: `name=value,name=value`, values URL-encoded.
        content: send what was said, tool arguments and results too. Off: only names, sizes, times and costs leave.
    """

    otlp_endpoint: str | None = None
    otlp_headers_env: str | None = None
    content: bool = False


class ModelSettings(msgspec.Struct, frozen=True):
    """The models on offer.

    Args:
        default: what answers where no model is named: `provider/model`, a provider, or a tier.
        local_first: whether a model on one's own machine comes before others of the same tier.
        fallback: for a wish (`default`, a tier, a ref), what may stand in for it, in this order.
    """

    default: str | None = None
    providers: dict[str, ProviderSettings] = {}
    local_first: bool = True
    fallback: dict[str, tuple[str, ...]] = {}


class Settings(msgspec.Struct, frozen=True):
    """All of `planaria.toml`."""

    zone: str = "UTC"
    node: NodeSettings = NodeSettings()
    web: WebSettings = WebSettings()
    journal: JournalSettings = JournalSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    models: ModelSettings = ModelSettings()
    breakers: BreakerSettings = BreakerSettings()
    budget: BudgetSettings = BudgetSettings()
    mcp: McpSettings = McpSettings()
    apis: dict[str, ApiSettings] = {}
    sandbox: SandboxSettings = SandboxSettings()
    search: SearchSettings = SearchSettings()
    web_access: WebAccessSettings = WebAccessSettings()

    def secret_variables(self) -> frozenset[str]:
        """Names of the environment variables that hold secrets."""
        names = {p.api_key_env for p in self.models.providers.values()} | {self.journal.database_env}
        names |= {self.web.metrics_token_env, self.telemetry.otlp_headers_env, self.search.key_env}
        names |= {each.token_env for each in self.mcp.servers.values()}
        names |= {each.key_env for each in self.apis.values()}
        names |= {name for each in self.mcp.servers.values() for name in each.env}
        return frozenset(name for name in names if name)


def load_settings(garden: Path) -> Settings:
    """Read and check the settings of the garden in this folder.

    Raises:
        SettingsError: no such file, bad TOML, an unknown key, a wrong type or a value that cannot work. It names
            file, line and key, and says what to write.
    """
    file = garden / FILE_NAME
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        mend = f"name the garden's folder, or create {FILE_NAME} there (an empty file is enough)"
        raise SettingsError(file, "no settings file", mend) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(file, "text that is not UTF-8", "save the file as UTF-8", line=line) from error
    except OSError as error:
        raise SettingsError(file, f"cannot read: {error.strerror}", "make the file readable") from error
    return parse_settings(text, file)


def parse_settings(text: str, file: Path) -> Settings:
    """Check the text of a settings file. Pure: `file` is only named in errors."""
    text = text.removeprefix("\ufeff")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise bad_toml(error, text, file) from error
    reader = TomlReader(file, key_lines(text))
    settings: Settings = reader.struct(Settings, data, ())
    _check_node(settings, reader)
    _check_web(settings, reader)
    _check_journal(settings, reader)
    _check_database(settings, reader)
    _check_retention(settings, reader)
    _check_watchdog(settings, reader)
    _check_telemetry(settings, reader)
    _check_models(settings, reader)
    _check_budget(settings, reader)
    _check_mcp(settings, reader)
    _check_apis(settings, reader)
    _check_sandbox(settings, reader)
    _check_search(settings, reader)
    _check_web_access(settings, reader)
    _check_zone(settings, reader)
    return settings


def _check_node(settings: Settings, reader: TomlReader) -> None:
    if not _NODE_NAME.fullmatch(settings.node.name):
        mend = "use 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit"
        raise reader.fault(("node", "name"), f"node name {settings.node.name!r}", mend)


def _check_web(settings: Settings, reader: TomlReader) -> None:
    host, path = settings.web.host, ("web", "host")
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        if not _HOST_NAME.fullmatch(host) or re.fullmatch(r"[0-9.]+", host):
            mend = 'write an address or a host name, such as "127.0.0.1"'
            raise reader.fault(path, f"'web.host' is {host!r}, no address or host name", mend) from error
        local = host.lower() == "localhost"
    else:
        local = address.is_loopback
    if not local and not settings.web.allow_remote:
        mend = 'write host = "127.0.0.1", or allow_remote = true in [web] to let other machines connect'
        raise reader.fault(path, f"'web.host' {host!r} is reachable from other machines", mend)


def _check_journal(settings: Settings, reader: TomlReader) -> None:
    path = settings.journal.path
    if path.startswith("~"):
        raise reader.fault(
            ("journal", "path"), f"'journal.path' is {path!r}", "write the absolute path; ~ is not expanded"
        )
    # By its words only: a link the owner made inside the garden may lead to another disk.
    if not os.path.isabs(path):
        plain = os.path.normpath(path)
        if not path or plain in (".", "..") or plain.startswith(".." + os.sep):
            mend = "write a path below the garden, or an absolute path"
            raise reader.fault(("journal", "path"), f"'journal.path' {path!r} leaves the garden", mend)


def _check_database(settings: Settings, reader: TomlReader) -> None:
    """One place for the journal, and no password in the file."""
    journal = settings.journal
    given = [key for key in ("path", "database", "database_env") if ("journal", key) in reader.lines]
    if len(given) > 1:
        problem = f"{given[0]!r} and {given[1]!r} both say where the journal is"
        raise reader.fault(("journal", given[1]), problem, "keep one of the two")
    if journal.database is not None:
        fault = check_address(journal.database, password=False)
        if fault is not None:
            raise reader.fault(("journal", "database"), f"'journal.database' {fault.problem}", fault.mend)
    if journal.database_env is not None and not _ENV_NAME.fullmatch(journal.database_env):
        # What stands here may be the address itself, password and all, so it is not shown.
        mend = (
            'write its name, as in database_env = "JOURNAL_DATABASE"; the address with a password stays there'
        )
        raise reader.fault(
            ("journal", "database_env"), "'journal.database_env' is not the name of a variable", mend
        )


def _check_retention(settings: Settings, reader: TomlReader) -> None:
    for name, age in msgspec.structs.asdict(settings.journal.retention).items():
        try:
            parse_age(age)
        except ValueError as error:
            problem = f"'journal.retention.{name}' is {shown(age)}"
            raise reader.fault(("journal", "retention", name), problem, str(error)) from error


def _check_watchdog(settings: Settings, reader: TomlReader) -> None:
    warn, limit = settings.watchdog.warn, settings.watchdog.limit
    if 0 < limit < warn:
        problem = f"'watchdog.limit' is {limit:g}, below 'watchdog.warn' ({warn:g})"
        raise reader.fault(("watchdog", "limit"), problem, "write the longer time as limit, or 0 for none")


def _check_telemetry(settings: Settings, reader: TomlReader) -> None:
    variables = {
        ("web", "metrics_token_env"): settings.web.metrics_token_env,
        ("telemetry", "otlp_headers_env"): settings.telemetry.otlp_headers_env,
    }
    for path, name in variables.items():
        if name is not None and not _ENV_NAME.fullmatch(name):
            # What stands here may be the secret itself, so it is not shown.
            mend = f'write its name, as in {path[-1]} = "PLANARIA_TOKEN"; the value itself stays out of this file'
            raise reader.fault(path, f"{path[-1]!r} is not the name of a variable", mend)
    if settings.telemetry.otlp_endpoint is not None:
        _check_address(settings.telemetry.otlp_endpoint, ("telemetry", "otlp_endpoint"), reader)
    if settings.log.file is not None and (not settings.log.file or settings.log.file.startswith("~")):
        mend = "write a path below the garden, or an absolute path; ~ is not expanded"
        raise reader.fault(("log", "file"), f"'log.file' is {settings.log.file!r}", mend)


def _check_models(settings: Settings, reader: TomlReader) -> None:
    providers = settings.models.providers
    for name, provider in providers.items():
        path = ("models", "providers", name)
        if not _NODE_NAME.fullmatch(name):
            mend = "use a-z, 0-9, - and _, beginning with a letter or digit"
            raise reader.fault(path, f"provider name {name!r}", mend)
        if provider.base_url is not None:
            _check_address(provider.base_url, (*path, "base_url"), reader)
        if provider.api_key_env is not None and not _ENV_NAME.fullmatch(provider.api_key_env):
            # What stands here may be the key itself, so it is not shown.
            mend = (
                'write its name, as in api_key_env = "OPENAI_API_KEY"; the key itself stays out of this file'
            )
            raise reader.fault((*path, "api_key_env"), "'api_key_env' is not the name of a variable", mend)


def _check_mcp(settings: Settings, reader: TomlReader) -> None:
    for name, server in settings.mcp.servers.items():
        path = ("mcp", "servers", name)
        if not _NODE_NAME.fullmatch(name):
            mend = "use a-z, 0-9, - and _, beginning with a letter or digit"
            raise reader.fault(path, f"server name {name!r}", mend)
        if bool(server.command) == (server.url is not None):
            mend = 'write command = ["program", "argument"], or url = "https://..."'
            raise reader.fault(path, f"'mcp.servers.{name}' needs a command or a url, one of the two", mend)
        if server.url is not None:
            _check_address(server.url, (*path, "url"), reader)
        for key in ("paths", "write", "network", "sandbox"):
            if server.url is not None and getattr(server, key) != getattr(McpServerSettings(), key):
                mend = "leave it out, or run the server as a program with `command`"
                raise reader.fault(
                    (*path, key), f"{key!r} is about a program, and this server has a url", mend
                )
        for key, given in (("paths", server.paths), ("write", server.write)):
            if any(not each or "\0" in each for each in given):
                raise reader.fault((*path, key), f"{key!r} has an empty path", "write paths, or leave it out")
        for key, variables in (("env", server.env), ("token_env", (server.token_env,))):
            if any(each is not None and not _ENV_NAME.fullmatch(each) for each in variables):
                mend = (
                    f'write names of variables, as in {key} = "TRACKER_TOKEN"; values stay out of this file'
                )
                raise reader.fault((*path, key), f"{key!r} holds what is no name of a variable", mend)
    for name in settings.mcp.clients:
        if not _NODE_NAME.fullmatch(name):
            mend = "use a-z, 0-9, - and _, beginning with a letter or digit"
            raise reader.fault(("mcp", "clients", name), f"client name {name!r}", mend)


def _check_apis(settings: Settings, reader: TomlReader) -> None:
    for name, api in settings.apis.items():
        path = ("apis", name)
        if not _NODE_NAME.fullmatch(name):
            mend = "use a-z, 0-9, - and _, beginning with a letter or digit"
            raise reader.fault(path, f"service name {name!r}", mend)
        if api.base_url is not None:
            _check_address(api.base_url, (*path, "base_url"), reader)
        if api.key_env is not None and not _ENV_NAME.fullmatch(api.key_env):
            mend = 'write its name, as in key_env = "TRACKER_KEY"; the key itself stays out of this file'
            raise reader.fault((*path, "key_env"), "'key_env' is not the name of a variable", mend)
        plain = os.path.normpath(api.description)
        if "://" not in api.description and (os.path.isabs(plain) or plain.startswith("..")):
            mend = "write a file below the garden, or an https address"
            raise reader.fault((*path, "description"), f"{api.description!r} leaves the garden", mend)


def _check_sandbox(settings: Settings, reader: TomlReader) -> None:
    """By its words only, as paths of the garden are what agents' grants say."""
    garden = str(reader.file.parent)
    for path in settings.sandbox.read:
        plain = os.path.normpath(path)
        fault = f"'sandbox.read' has {path!r}"
        if not os.path.isabs(path) or ".." in path.split("/") or not path.isprintable():
            raise reader.fault(("sandbox", "read"), fault, "write an absolute path without ..")
        if plain == "/" or plain.split("/")[1] in ("proc", "dev", "sys"):
            raise reader.fault(
                ("sandbox", "read"), fault, "name the folder that programs need, such as /srv/node"
            )
        if os.path.isabs(garden) and os.path.commonpath((plain, garden)) in (plain, garden):
            mend = "name a folder apart from the garden; what is read of that, files.read of each agent says"
            raise reader.fault(("sandbox", "read"), fault, mend)


def _check_search(settings: Settings, reader: TomlReader) -> None:
    search = settings.search
    if search.service is None:
        if search != SearchSettings():
            mend = 'write service = "searxng" or "brave", or leave [search] out'
            raise reader.fault(("search",), "[search] names no service", mend)
        return
    if not search.url:
        mend = 'write where your SearXNG is, such as base_url = "http://127.0.0.1:8888"'
        raise reader.fault(("search", "service"), "'search.base_url' is missing", mend)
    _check_address(search.url, ("search", "base_url"), reader)
    if urlsplit(search.url).query or urlsplit(search.url).fragment:
        mend = "write it without ? and #; the question is added to it"
        raise reader.fault(("search", "base_url"), f"'search.base_url' is {search.url!r}", mend)
    if search.key_env is not None and not _ENV_NAME.fullmatch(search.key_env):
        mend = 'write its name, as in key_env = "BRAVE_API_KEY"; the key itself stays out of this file'
        raise reader.fault(("search", "key_env"), "'key_env' is not the name of a variable", mend)
    if search.language is not None and not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z]{2,4})?", search.language):
        raise reader.fault(
            ("search", "language"), f"'search.language' is {search.language!r}", 'write such as "de"'
        )


def _check_web_access(settings: Settings, reader: TomlReader) -> None:
    for each in settings.web_access.private:
        try:
            places_of(each)
        except ValueError as error:
            problem = f"'web_access.private' has {shown(each)}"
            raise reader.fault(("web_access", "private"), problem, str(error)) from error


def _check_address(address: str, path: KeyPath, reader: TomlReader) -> None:
    mend = "write an absolute address beginning with http:// or https://"
    shown = repr(address) if "@" not in address else "not one"  # before an @ may stand a password
    fault = reader.fault(path, f"{path[-1]!r} is {shown}", mend)
    try:
        url = urlsplit(address)
        port = url.port
    except ValueError as error:
        raise fault from error
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise fault
    if url.password or url.username:
        raise reader.fault(
            path,
            f"{path[-1]!r} carries a name or password",
            "secrets stay out of this file: name the variable that has them",
        )


def _check_budget(settings: Settings, reader: TomlReader) -> None:
    for name in ("garden", "agent", "room", "session", "provider"):
        limits: Limits = getattr(settings.budget, name)
        for limit, most in limits.given().items():
            if most < 0:
                problem = f"'budget.{name}.{limit}' is {most:g}"
                mend = "write 0 or more, or leave it out"
                raise reader.fault(("budget", name, limit), problem, mend)


def _check_zone(settings: Settings, reader: TomlReader) -> None:
    try:
        ZoneInfo(settings.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        mend = 'write an IANA name such as "Europe/Berlin" or "UTC"'
        raise reader.fault(("zone",), f"unknown time zone {settings.zone!r}", mend) from error
