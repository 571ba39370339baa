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
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentelemetry.sdk.resources import Resource

from planaria import __version__
from planaria.config.settings import TelemetrySettings
from planaria.cortex.event import Event
from planaria.cortex.telemetry.conventions import (
    CONTENT_INPUT,
    CONTENT_OUTPUT,
    CONTENT_RESULT,
    SPANS,
    TOOL_CALL,
)
from planaria.cortex.telemetry.export import ExportFigures, ExportOptions
from planaria.cortex.telemetry.feed import READY, Feed
from planaria.cortex.telemetry.handlers import attach, handlers_of
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
LONGEST_CONTENT = 8000
MOST_CONTENT = 2000
CONTENT_KINDS = frozenset({"model.responded", "tool.started", "tool.finished"})

log = logging.getLogger(__name__)

type Ended = SpanStopped | SpanFailed
type Contents = Mapping[str, Mapping[str, str]]


class OtlpExporter(GenServer):
    """One line of spans, one batch on its way."""

    trap_exit = True

    def init(
        self,
        settings: TelemetrySettings,
        headers: Mapping[str, str],
        node_name: str,
        options: ExportOptions = ExportOptions(),  # noqa: B008 - frozen
    ) -> None:
        """Begin to listen.

        Args:
            settings: where to, and whether with content.
            headers: sent with each request; secret.
            node_name: becomes `service.instance.id`.
        """
        assert settings.otlp_endpoint is not None
        self.options = options
        self.content = settings.content
        self.figures = ExportFigures()
        publish(self.pid, self.figures)
        self._endpoint = OtlpEndpoint(settings.otlp_endpoint, headers, options.timeout)
        about = {"service.name": "planaria", "service.version": __version__, "service.instance.id": node_name}
        self._resource = Resource.create(about)
        self._nonce = handlers_of(self.pid.node).nonce
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="planaria otlp")
        self.feed = Feed(self.pid, options.limit)
        self.batch: list[Ended] = []
        self.tries = 0
        self.task: TaskRef | None = None
        self.resting = False
        self.said: OrderedDict[str, dict[str, str]] = OrderedDict()
        if self.content:
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
                if message.kind in CONTENT_KINDS and message.state == "whole":
                    self._remember(message)
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
            contents = self._contents(self.batch) if self.content else {}
            self.task = Task.start_link(self._export, self.batch, contents, label="otlp export")
        self._count()

    def _sent(self, sent: Sent) -> None:
        if sent.delivered:
            self._delivered(sent)
        else:
            self._failed(sent)
        self._count()

    def _delivered(self, sent: Sent) -> None:
        self._settle(sent)
        if sent.problem:
            log.warning("the endpoint of spans: %s", sent.problem)
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

    async def _export(self, batch: list[Ended], contents: Contents) -> Sent:
        """One request, in the thread."""
        return await run_blocking(self._export_now, batch, contents, executor=self._thread)

    def _export_now(self, batch: list[Ended], contents: Contents) -> Sent:
        spans = [
            readable(span, self._nonce, self._resource, contents.get(_content_key(span), {}))
            for span in batch
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
                    contents = self._contents(self.batch) if self.content else {}
                    sent = await self._export(self.batch, contents)
                    if not sent.delivered:
                        break
                    self._settle(sent)
        except (TimeoutError, TaskFailed):
            pass
        left = len(self.batch) + len(self.feed)
        if left:
            self.figures.dropped_at_stop += left
            log.warning("%d spans were not exported before the stop", left)
        self._thread.shutdown(wait=False, cancel_futures=True)

    # --- content -----------------------------------------------------------------------------------------------------

    def _remember(self, event: Event) -> None:
        payload = event.payload
        match event.kind:
            case "model.responded":
                key = f"model {payload.get('turn')}/{payload.get('step')}"
                found = {CONTENT_OUTPUT: str(payload.get("text", ""))}
            case "tool.started":
                key = f"tool {payload.get('call_id')}"
                found = {CONTENT_INPUT: str(payload.get("arguments", ""))}
            case _:
                key = f"tool {payload.get('call_id')}"
                found = {CONTENT_RESULT: str(payload.get("outcome") or payload.get("error") or "")}
        kept = self.said.setdefault(key, {})
        kept.update({name: text[:LONGEST_CONTENT] for name, text in found.items()})
        if len(self.said) > MOST_CONTENT:
            self.said.popitem(last=False)

    def _contents(self, batch: list[Ended]) -> Contents:
        keys = [_content_key(span) for span in batch]
        return {key: self.said[key] for key in keys if key in self.said}


def _content_key(span: Ended) -> str:
    about = span.attributes
    if span.name == "tool.call":
        return f"tool {about.get(TOOL_CALL)}"
    return (
        f"model {about.get('planaria.turn')}/{about.get('planaria.step')}"
        if span.name == "model.call"
        else ""
    )


_ON = object()
