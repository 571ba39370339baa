"""The node: the whole supervision tree of a garden, from settings to running processes. Read it top to bottom.

Each child needs those above it, so the root is `rest_for_one`: when the journal is lost, everything that trusted it
starts again. The chronicle alone stands above what it needs: it waits for the journal, and so can tell of its end.
Above that, `nerve` and `life` do not need each other: a lost dashboard hurts nobody, and it stands first, since what
lives here waits while the journal cannot be read, and people must be able to see why.
"""

import os
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import planaria.agents.keeper as agents
import planaria.agents.later as later_children
import planaria.membrane.apis.api as apis
import planaria.membrane.garden_tools.tree as own_tools
import planaria.membrane.mcp.tree as mcp
import planaria.rooms.deferred as later_talk
import planaria.rooms.rooms as rooms
import planaria.tools
import planaria.workflows.deferred as later_runs
import planaria.workflows.tree as workflows
from planaria.agents.children import with_household
from planaria.config.lock import private_folder
from planaria.config.settings import Settings, load_settings
from planaria.cortex.chronicle import Chronicle
from planaria.cortex.chronicle_events import SESSION, NodeStarted
from planaria.cortex.durable.dead import REPLAY, Dead, replaying
from planaria.cortex.durable.questions import Questions
from planaria.cortex.durable.work import Handler, Work
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.live.store import Live
from planaria.cortex.node_lease import NodeLease
from planaria.cortex.redact import Redactor
from planaria.cortex.secrets import Secrets
from planaria.cortex.stores.place import JournalPlace, master_key
from planaria.cortex.stores.stores_of import Stores
from planaria.cortex.telemetry.export import exporter
from planaria.cortex.telemetry.log_writer import LogWriter
from planaria.cortex.telemetry.logs import log_processes, logging_to
from planaria.cortex.upkeep.pruner import Pruner
from planaria.cortex.upkeep.retention import policy_of
from planaria.immune.breakers.keeper import Breakers
from planaria.immune.ledger.keeper import Ledger
from planaria.immune.notice import NOTICE
from planaria.membrane.calls.permits import Permits
from planaria.membrane.calls.process import Calls
from planaria.membrane.gate.gate import Gate, load_tools
from planaria.membrane.gate.remembered import Approvals
from planaria.membrane.gate.second_factor import SecondFactor
from planaria.membrane.models.directory import Latest, ModelDirectory
from planaria.membrane.search.service import lacking
from planaria.nerve.control import serve_control
from planaria.nerve.draw import tree_text
from planaria.nerve.live import projections
from planaria.nerve.methods import Services
from planaria.nerve.metrics.process import Metrics, Source
from planaria.nerve.observe import watched
from planaria.nerve.protocol import OBSERVER, place_socket
from planaria.nerve.views import tree_views
from planaria.nerve.web.dashboard import Dashboard
from planaria.nerve.web.models import models_view
from planaria.otp import ChildSpec, Node, StartFailed, child, root_cause, supervisor, task_child
from planaria.otp.program import Program
from planaria.records.index import Index
from planaria.records.library import Library
from planaria.records.watcher import watch
from planaria.rooms.asking import Asking
from planaria.tools._services import services_of
from planaria.workflows.messages import START

floor = partial(supervisor, max_restarts=10, within=30.0)
"""A supervisor of a few processes that belong together."""


def tree(
    settings: Settings,
    garden: Path,
    environ: Mapping[str, str],
    stop: Callable[[], None],
    sources: Mapping[str, Source] | None = None,
    redactor: Redactor | None = None,
) -> ChildSpec:
    """Everything that runs.

    Args:
        sources: figures of what is no process, for `/metrics`.
        redactor: one for all that writes, as it learns secrets on the way; made here if there is none.
    """
    redactor = redactor or Redactor(environ, settings.secret_variables())
    key = master_key(garden)
    gate = Gate(load_tools(planaria.tools), lacking=lacking(settings))
    options = JournalOptions(commit_interval=settings.journal.commit_interval)
    place = JournalPlace(settings.journal, garden, environ)
    latest = Latest()
    permits = Permits(settings.zone)
    given = services_of(settings, environ, Secrets(key, redactor))
    told: dict[type, object] = {Redactor: redactor, **given}
    home = with_household(garden, gate, {**told, Permits: permits})
    models = partial(models_view, latest)
    link = partial(Dashboard.login_link, "dashboard")
    services = Services(
        garden=garden,
        settings=settings,
        stop=stop,
        redactor=redactor,
        login_link=link,
        usage=partial(permits.usage, True),
        gate=gate,
        context=told,
    )
    token = environ.get(settings.web.metrics_token_env or "", "")
    return supervisor(
        child(Chronicle, name="chronicle"),
        child(Journal, Stores(place), options, redactor, key, name="journal"),
        child(NodeLease, place.holder, name="node_lease"),
        floor(
            child(Library, garden, name="library"),
            child(Index, garden, name="index"),
            task_child(watch, garden, name="watcher"),
            name="records",
            strategy="rest_for_one",
        ),
        child(Pruner, policy_of(settings.journal.retention), name="pruner"),
        supervisor(
            floor(
                child(Live, projections, name="live"),
                child(Metrics, sources, name="metrics"),
                *exporter(settings.telemetry, garden, environ, settings.node.name, redactor),
                child(Dashboard, garden, settings, models, redactor, token, services.usage, name="dashboard"),
                task_child(serve_control, services, name="control"),
                name="nerve",
            ),
            *apis.tree(settings.apis, garden, gate, environ),
            *mcp.tree(settings.mcp, garden, gate, environ, told, Secrets(key, redactor)),
            supervisor(
                floor(
                    child(Breakers, settings.breakers, name="breakers"),
                    child(Ledger, settings.budget, settings.zone, name="ledger"),
                    name="immune",
                ),
                floor(
                    child(
                        ModelDirectory,
                        settings.models,
                        environ,
                        latest,
                        True,
                        Secrets(key, redactor),
                        name="models",
                    ),
                    child(Calls, permits, name="calls"),
                    child(Approvals, name="approvals"),
                    child(SecondFactor, Secrets(key, redactor), garden.name, name="second_factor"),
                    own_tools.tree(garden, gate, told),
                    name="membrane",
                ),
                rooms.tree(),
                agents.tree(garden, gate, home),
                workflows.tree(gate, garden, given, settings.zone),
                floor(
                    child(Questions, name="questions"),
                    child(Dead, name="dead"),
                    child(Work, handlers(home), name="work"),
                    child(Asking, name="asking"),
                    name="work_floor",
                ),
                name="life",
                strategy="rest_for_one",
                max_restarts=20,
                within=60.0,
            ),
            name="floors",
            max_restarts=20,
            within=60.0,
        ),
        name="node",
        strategy="rest_for_one",
        max_restarts=20,  # somebody who kills the same process again and again must not end the node
        within=60.0,
    )


def handlers(home: Mapping[type, object]) -> dict[str, Handler]:
    """Who does the work that is done later, and who does again what was given up.

    Args:
        home: what agents and their children are started with.
    """
    replayers = {later_talk.LETTER: later_talk.redeliver, START: later_runs.restart}
    return {
        later_talk.SAY: Handler(later_talk.say),
        later_talk.POST: Handler(later_talk.post),
        NOTICE: Handler(later_talk.tell),
        later_children.CHILD: Handler(later_children.children(home)),
        START: Handler(later_runs.start),
        REPLAY: Handler(replaying(replayers)),
    }


@dataclass(frozen=True, slots=True)
class Ready:
    """The node is up: what to show the person who started it."""

    tree: str
    journal: str
    url: str
    login_url: str


def run(garden: Path, on_ready: Callable[[Ready], None], environ: Mapping[str, str] | None = None) -> int:
    """Run the node of a garden until it is told to stop; the exit code.

    Args:
        on_ready: called once, when everything runs.
        environ: where keys are looked up; the program's own by default.
    Raises:
        SettingsError: planaria.toml has a fault.
        PrivateFolderError: `.planaria` cannot be used.
    """
    garden = garden.resolve()
    environ = os.environ if environ is None else environ
    place_socket(private_folder(garden))  # refused here, it is one sentence
    place_socket(private_folder(garden), OBSERVER)
    settings = load_settings(garden)
    redactor = Redactor(environ, settings.secret_variables())

    async def ready(node: Node) -> None:
        log_processes(node)
        Journal.settle(node["journal"])
        Chronicle.note(node["chronicle"], NodeStarted(node.name).new(session=SESSION))
        url = await Dashboard.url(node["dashboard"])
        login = await Dashboard.login_link(node["dashboard"])
        journal = JournalPlace(settings.journal, garden, environ).shown
        on_ready(Ready(tree_text(tree_views(node)), journal, url, login))

    def failed(reason: str) -> None:
        sys.stderr.write(f"the node gave up: {reason}\n")
        sys.stderr.write(
            "start it again with `planaria up`; `planaria journal tail` then shows what happened\n"
        )

    def stop() -> None:
        program.stop()

    logs: list[LogWriter] = []

    def log_figures() -> dict[str, float]:
        return logs[0].figures() if logs else {}

    @contextmanager
    def around(node: Node) -> Generator[None]:
        watching = watched(node, garden=garden, settings=settings.watchdog, redactor=redactor)
        with logging_to(settings.log, garden, redactor, node) as writer, watching:
            logs.append(writer)
            yield

    root = tree(settings, garden, environ, stop, {"Log lines": log_figures}, redactor)
    program = Program(Node(settings.node.name), root, ready, failed, around=around)
    try:
        return program.run()
    except StartFailed as error:
        sys.stderr.write(f"the node did not start: {root_cause(error.reason)}\n")
        return 1
