"""The node's figures for Prometheus: counted as things happen, gathered when they are asked for.

Started by the node as `child(Metrics, sources, name="metrics")`; `/metrics` of the dashboard asks it. Each node has a
registry of its own. Counts begin anew when this is restarted, which Prometheus takes for a restart of the node.
Does badly: a figure that is looked up (processes, journal) is that of the moment of the scrape.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from planaria.cortex.event import Event
from planaria.cortex.journal import Journal, JournalStatus
from planaria.cortex.live.store import Live, LiveStatus
from planaria.cortex.telemetry.export import export_figures
from planaria.cortex.telemetry.feed import READY, Feed
from planaria.cortex.telemetry.handlers import attach, handlers_of
from planaria.nerve.metrics.book import MetricsBook
from planaria.nerve.metrics.immune import immune_figures
from planaria.otp import (
    CallError,
    ChildRestarted,
    Deferred,
    ExitSignal,
    GenServer,
    KernelEvent,
    MessageShed,
    Node,
    ProcessExited,
    RestartsExceeded,
    Task,
    call,
    now,
    send_after,
)
from planaria.otp.kernel.mailbox import queue_length
from planaria.otp.kernel.tap import tap

BEAT = 1.0
MOST_WAITING = 20_000
LOOK_UP_TIME = 1.0
"""Seconds another server may take to tell its figures; without them the scrape goes on."""

log = logging.getLogger(__name__)

type Source = Callable[[], Mapping[str, float]]
"""Figures of something that is no process here: name of a counter (without `_total`) -> its value."""


class Scraped(msgspec.Struct, frozen=True):
    """What a scraper gets."""

    content_type: str
    body: bytes


class Metrics(GenServer):
    """Counts, and gathers."""

    trap_exit = True

    def init(self, sources: Mapping[str, Source] | None = None) -> None:
        """Begin to count.

        Args:
            sources: further counters, by the words that explain them: `{"log lines": logs.figures}`.
        """
        self.book = MetricsBook()
        self.sources = dict(sources or {})
        self.feed = Feed(self.pid, MOST_WAITING, BEAT)
        self.faulty: set[str] = set()
        self.scrapes = 0
        tap(self.pid.node, "journal", self._event)
        attach(self.feed, names=self.book.spans)
        self.unsubscribe_events = self.pid.node.subscribe_events(self._kernel)
        self.due = now() + BEAT
        send_after(BEAT, self.pid, _BEAT)

    @call
    def scrape(self, accept: str = "") -> Deferred[Scraped]:
        """All figures, as text for Prometheus or OpenMetrics, as `accept` prefers."""
        answer: Deferred[Scraped] = self.defer()
        self.scrapes += 1
        self._catch_up()
        Task.start_link(_scrape, self, accept, answer, label="metrics scrape")
        return answer

    def handle_info(self, message: Any) -> None:
        match message:
            case _ if message is READY:
                self._catch_up()
            case _ if message is _BEAT:
                self.book.lag.observe(max(0.0, now() - self.due))
                self.due = now() + BEAT
                send_after(BEAT, self.pid, _BEAT)
            case ExitSignal(reason="normal"):
                pass
            case ExitSignal(reason=reason):
                log.warning("a scrape failed: %r", reason)
            case _:
                pass

    def _catch_up(self) -> None:
        """Count what waits."""
        book = self.book
        for what in self.feed.take():
            cls = type(what)
            try:
                if cls is Event:
                    book.event(what)
                elif cls in _KERNEL:
                    book.kernel_event(what)
                else:
                    book.signal(what)
            except Exception as error:  # noqa: BLE001  event delivery: one that cannot be counted must not end the counting
                self._fault(what.kind if cls is Event else cls.__name__, error)

    def _fault(self, name: str, error: Exception) -> None:
        self.book.faults.add()
        if name not in self.faulty:
            self.faulty.add(name)
            log.error("%s cannot be counted", name, exc_info=error)

    def _event(self, event: Event) -> None:
        # Those of other nodes at the same database are in their own figures.
        if event.kind in self.book.kinds and event.node == self.pid.node.name:
            self.feed(event)

    def _kernel(self, event: KernelEvent) -> None:
        # Most processes are tasks that end well, and are not counted.
        if type(event) in _KERNEL and getattr(event, "reason", None) != "normal":
            self.feed(event)

    def terminate(self, reason: object) -> None:
        """Stop listening."""
        self.unsubscribe_events()


class _Collector:
    """What one scrape gives: the counts, and what was looked up for it."""

    def __init__(self, metrics: Metrics, journal: JournalStatus | None, live: LiveStatus | None) -> None:
        self.metrics = metrics
        self.journal = journal
        self.live = live

    def collect(self) -> Iterator[Metric]:
        """Asked by the registry."""
        yield from self.metrics.book.families()
        yield from _kernel(self.metrics.pid.node)
        yield from _journal(self.journal)
        yield from immune_figures(self.metrics.pid.node)
        yield from _telemetry(self.metrics, self.live)


async def _scrape(metrics: Metrics, accept: str, answer: Deferred[Scraped]) -> None:
    """In a task, as other servers are asked."""
    try:
        journal = await Journal.status.within(LOOK_UP_TIME)("journal")
    except CallError:
        journal = None  # said by `planaria_journal_up`
    try:
        live = await Live.status.within(LOOK_UP_TIME)("live")
    except CallError:
        live = None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(metrics, journal, live))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    answer.reply(Scraped(content_type, encode(registry)))


def _kernel(node: Node) -> Iterator[Metric]:
    processes = node.processes()
    queues = [queue_length(process) for process in processes]
    yield _gauge("planaria_processes", "Processes that live now.", len(processes))
    yield _gauge("planaria_mailbox_messages", "Messages that wait in all mailboxes.", sum(queues))
    yield _gauge("planaria_mailbox_longest", "Messages in the fullest mailbox.", max(queues, default=0))
    reductions = sum(process.reductions for process in processes)
    yield _gauge(
        "planaria_process_reductions", "Messages handled by the processes that live now.", reductions
    )


def _journal(status: JournalStatus | None) -> Iterator[Metric]:
    well = status is not None and status.health.trouble is None
    yield _gauge("planaria_journal_up", "1 when the journal takes events.", float(well))
    if status is None:
        return
    figures = {
        "appends": ("Appends that are on disk.", status.appends),
        "events": ("Events that are on disk.", status.events),
        "commits": ("Commits.", status.commits),
        "failures": ("Commits that failed.", status.failures),
        "refused": ("Appends that can never be written.", status.refused),
    }
    for name, (about, value) in figures.items():
        yield _counter(f"planaria_journal_{name}", f"{about} Since the journal started.", value)
    yield _gauge("planaria_journal_waiting_events", "Events that wait for the disk.", status.waiting)
    yield _gauge("planaria_journal_last_seq", "The place of the newest event.", status.last_seq)


def _telemetry(metrics: Metrics, live: LiveStatus | None) -> Iterator[Metric]:
    node = metrics.pid.node
    detached = handlers_of(node).detached
    yield _counter("planaria_telemetry_handlers_detached", "Handlers that raised.", detached)
    dropped = CounterMetricFamily(
        "planaria_telemetry_dropped", "Spans and kernel events a reader had no room for.", labels=("reader",)
    )
    dropped.add_metric(("metrics",), metrics.feed.dropped)
    if live is not None:
        dropped.add_metric(("live",), live.dropped)
    yield dropped
    if live is not None:
        evicted = CounterMetricFamily(
            "planaria_live_evicted", "Rows a table had no room for.", labels=("table",)
        )
        rows = GaugeMetricFamily("planaria_live_rows", "Rows of a table.", labels=("table",))
        for table in live.tables:
            evicted.add_metric((table.name,), table.evicted)
            rows.add_metric((table.name,), table.rows)
        yield evicted
        yield rows
        yield _counter("planaria_live_coalesced", "Changes that were not told one by one.", live.coalesced)
        yield _counter("planaria_live_faults", "Events no row could be made of.", live.faults)
        yield _gauge("planaria_live_subscribers", "Who follows a table.", live.subscribers)
    yield from _exported(node)
    for about, source in metrics.sources.items():
        for name, value in source().items():
            yield _counter(name, f"{about}.", value)
    yield _counter("planaria_metrics_scrapes", "Times these figures were asked for.", metrics.scrapes)


def _exported(node: Node) -> Iterator[Metric]:
    figures = export_figures(node)
    if figures is None:
        return
    yield _counter("planaria_otlp_spans_exported", "Spans the collector has taken.", figures.exported)
    lost = CounterMetricFamily(
        "planaria_otlp_spans_dropped", "Spans the collector never had.", labels=("reason",)
    )
    for reason in ("full", "refused", "given_up", "at_stop"):
        lost.add_metric((reason,), getattr(figures, f"dropped_{reason}"))
    yield lost
    yield _counter("planaria_otlp_failures", "Requests to the collector that failed.", figures.failures)
    yield _gauge("planaria_otlp_spans_waiting", "Spans that wait for the collector.", figures.waiting)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)


_KERNEL = frozenset({ProcessExited, ChildRestarted, RestartsExceeded, MessageShed})
_BEAT = object()
