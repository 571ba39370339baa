"""Sends spans to an OpenTelemetry collector, over OTLP and HTTP. Needs the extra `otel`.

Started by the node, if `[telemetry] otlp_endpoint` is set, under the name `otlp`. Spans wait in a bounded line and
leave a batch at a time, from a thread of its own: an endpoint that is slow, dead or says no costs the node nothing
but the line. A batch that failed is sent again, with growing pauses; what does not fit meanwhile is dropped and
counted, and so is a batch that was refused or failed too often. An orderly stop sends what waits, for three seconds
at most.
Exported is what belongs to a trace, and requests to the dashboard; commits serve many traces and are in no one's.
Content (answers, arguments and results of tools) leaves only where the settings say so, masked as it is in the
journal; what has left cannot be erased any more.
Does badly: a kill loses what waits. Metrics and logs do not leave this way: `/metrics` and the log file do.
Emits: the point `telemetry.export_failed` when the endpoint begins to fail.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from opentelemetry.sdk.resources import Resource

from planaria import __version__
from planaria.config.settings import TelemetrySettings
from planaria.cortex.event import Event
from planaria.cortex.redact import Redactor
from planaria.cortex.telemetry.conventions import SPANS
from planaria.cortex.telemetry.export import ExportFigures, ExportOptions
from planaria.cortex.telemetry.feed import READY, Feed
from planaria.cortex.telemetry.handlers import attach, handlers_of
from planaria.cortex.telemetry.otlp_content import NO_CONTENT, Contents
from planaria.cortex.telemetry.otlp_http import OtlpEndpoint, Sent
from planaria.cortex.telemetry.otlp_span import readable
from planaria.cortex.telemetry.signal import Signal, SpanFailed, SpanStopped
from planaria.cortex.telemetry.span import emit
from planaria.otp import (
    Down,
    ExitSignal,
    GenServer,
    Task,
    TaskDone,
    TaskFailed,
    TaskRef,
    call,
    reason_text,
    run_blocking,
    send_after,
    subscribe,
    timeout,
)
from planaria.otp.kernel.table import publish

SHARED = frozenset(spec.name for spec in SPANS if spec.shared)
UNTRACED = frozenset({"http.server.request"})

log = logging.getLogger(__name__)

type Ended = SpanStopped | SpanFailed


class OtlpExporter(GenServer):
    """One line of spans, one batch on its way."""

    trap_exit = True

    def init(
        self,
        settings: TelemetrySettings,
        headers: Mapping[str, str],
        node_name: str,
        redactor: Redactor,
        options: ExportOptions = ExportOptions(),  # noqa: B008 - frozen
    ) -> None:
        """Begin to listen.

        Args:
            settings: where to, and whether with content.
            headers: sent with each request; secret.
            node_name: becomes `service.instance.id`.
            redactor: masks the texts of errors, where content leaves.
        """
        assert settings.otlp_endpoint is not None
        self.options = options
        self.contents = Contents() if settings.content else NO_CONTENT
        self.figures = ExportFigures()
        publish(self.pid, self.figures)
        self._endpoint = OtlpEndpoint(settings.otlp_endpoint, headers, options.timeout)
        about = {"service.name": "planaria", "service.version": __version__, "service.instance.id": node_name}
        self._resource = Resource.create(about)
        self._nonce = handlers_of(self.pid.node).nonce
        self._redactor = redactor if settings.content else None
        self._thread = _OneAtATime()
        self.warned = ""  # of rejected spans
        self.feed = Feed(self.pid, options.limit)
        self.batch: list[Ended] = []
        self.tries = 0
        self.task: TaskRef | None = None
        self.resting = False
        if settings.content:
            subscribe("journal")
        attach(self._take)

    @call
    def status(self) -> ExportFigures:
        """What it has done so far."""
        self._count()
        return self.figures

    def _take(self, signal: Signal) -> None:
        if not isinstance(signal, SpanStopped | SpanFailed) or signal.name in SHARED:
            return
        if signal.trace_id or signal.name in UNTRACED:
            self.feed(signal)
            self._count()

    def _count(self) -> None:
        self.figures.dropped_full = self.feed.dropped
        self.figures.waiting = len(self.feed) + len(self.batch)

    def handle_info(self, message: Any) -> None:
        match message:
            case _ if message is READY:
                self._rest(self.options.delay)
            case _ if message is _ON:
                self.resting = False
                self._send()
            case Event():
                self.contents.remember(message)
            case TaskDone(ref=ref, value=Sent() as sent) if ref is self.task:
                self.task = None
                self._sent(sent)
            case Down(ref=ref, reason=reason) if ref is self.task:
                self.task = None
                self._sent(Sent(f"the exporter broke: {reason_text(reason)}", delivered=False))
            case ExitSignal():
                pass  # of a task that has said how it went
            case _:
                pass

    def _rest(self, seconds: float) -> None:
        if not self.resting and self.task is None:
            self.resting = True
            send_after(seconds, self.pid, _ON)

    def _send(self) -> None:
        if self.task is not None:
            return
        if not self.batch:
            # Taken without being told of the rest: the end of this batch looks for it.
            self.batch = self.feed.take(self.options.batch)
            self.tries = 0
        if self.batch:
            said = [self.contents.of(each) for each in self.batch]
            self.task = Task.start_link(self._export, self.batch, said, label="otlp export")
        self._count()

    def _sent(self, sent: Sent) -> None:
        if sent.delivered:
            self._delivered(sent)
        else:
            self._failed(sent)
        self._count()

    def _delivered(self, sent: Sent) -> None:
        self._settle(sent)
        if sent.problem and sent.problem != self.warned:
            log.warning("the endpoint of spans: %s", sent.problem)
        self.warned = sent.problem
        if self.figures.trouble:
            log.warning("spans are exported again; %d were dropped so far", self.figures.dropped)
        self.figures.trouble = ""
        if len(self.feed) >= self.options.batch:
            self._send()
        elif len(self.feed):
            self._rest(self.options.delay)

    def _settle(self, sent: Sent) -> None:
        """The endpoint has answered for the batch."""
        self.figures.exported += len(self.batch) - sent.rejected
        self.figures.dropped_refused += sent.rejected
        self.batch = []

    def _failed(self, sent: Sent) -> None:
        self.figures.failures += 1
        self.tries += 1
        if not self.figures.trouble:
            log.warning("spans cannot be exported: %s", sent.problem)
            emit("telemetry.export_failed", {"planaria.count": len(self.batch), "error.type": "export"})
        self.figures.trouble = sent.problem
        pause = min(self.options.longest_pause, self.options.pause * 2.0 ** (self.tries - 1))
        if not sent.retry:
            self.figures.dropped_refused += len(self.batch)
            self.batch = []
        elif self.tries >= self.options.tries:
            self.figures.dropped_given_up += len(self.batch)
            self.batch = []
        asked = min(sent.retry_after or 0.0, self.options.longest_pause)
        self._rest(max(pause, asked))

    async def _export(self, batch: list[Ended], said: list[Mapping[str, str]]) -> Sent:
        """One request, in a thread."""
        return await run_blocking(self._export_now, batch, said, executor=self._thread)

    def _export_now(self, batch: list[Ended], said: list[Mapping[str, str]]) -> Sent:
        spans = [
            readable(span, self._nonce, self._resource, content, self._redactor)
            for span, content in zip(batch, said, strict=True)
        ]
        return self._endpoint.send(spans)

    async def terminate(self, reason: object) -> None:
        """Send what waits, within the time an orderly stop has for it."""
        try:
            async with timeout(self.options.flush):
                if self.task is not None:
                    sent = await self.task.result()
                    if isinstance(sent, Sent) and sent.delivered:
                        self._settle(sent)
                while self.batch or len(self.feed):
                    self.batch = self.batch or self.feed.take(self.options.batch)
                    said = [self.contents.of(each) for each in self.batch]
                    sent = await self._export(self.batch, said)
                    if not sent.delivered:
                        break
                    self._settle(sent)
        except (TimeoutError, TaskFailed):
            pass
        left = len(self.batch) + len(self.feed)
        if left:
            self.figures.dropped_at_stop += left
            log.warning("%d spans were not exported before the stop", left)
        self._endpoint.cut()


class _OneAtATime(Executor):
    """A thread for each request, which the program's end does not wait for, as it would for one of a pool."""

    def submit[**P, R](self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        future: Future[R] = Future()
        future.set_running_or_notify_cancel()  # from here on nobody can take it back

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  whoever waits for it judges it
                future.set_exception(error)

        threading.Thread(target=run, name="planaria otlp", daemon=True).start()
        return future


_ON = object()
