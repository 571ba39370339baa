"""Providers now: how many model calls are under way at each, how they went, what they cost.

Figures are counted from the events read at the start on; times are those of the last 512 calls. Who waits is told by
the process `calls` (`membrane/calls/process.py`).
"""

from collections import deque
from typing import Any, ClassVar

from planaria.cortex.event import Event
from planaria.cortex.live.table import Row, Table
from planaria.membrane.calls.process import TOPIC, QueueChanged
from planaria.nerve.live.projected import Projected
from planaria.otp import ProcessExited

MOST = 200
MOST_OPEN = 10_000
WINDOW = 512


class ProviderRow(Row, frozen=True):
    """One provider of models; `key` is its name.

    Attributes:
        in_flight: calls under way.
        calls, failures: that are over; failures are not among the calls.
        tokens_in, tokens_out, cost_micro: of both, as far as they are known; cost in millionths of a dollar.
        p50_ms, p99_ms: of whole calls, and `first_p50_ms` to the first piece; None before the first one.
        last_error, last_error_at: of the last failure; unix seconds.
        last_at: when it answered last.
        waiting: calls that wait for their turn, of so many `sessions`; the first since `waiting_since`, unix seconds.
        resting_until: unix seconds before which it is left alone, for the reason `resting`; None if it is not.
    """

    labels: ClassVar[tuple[str, ...]] = ("model",)
    model: str
    in_flight: int = 0
    calls: int = 0
    failures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micro: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    first_p50_ms: float | None = None
    last_error: str = ""
    last_error_at: float | None = None
    last_at: float | None = None
    waiting: int = 0
    sessions: int = 0
    waiting_since: float | None = None
    resting_until: float | None = None
    resting: str = ""


class _Provider:
    def __init__(self, name: str) -> None:
        self.name = name
        self.model = self.last_error = ""
        self.in_flight = self.calls = self.failures = 0
        self.tokens_in = self.tokens_out = self.cost_micro = 0
        self.times: deque[float] = deque(maxlen=WINDOW)
        self.firsts: deque[float] = deque(maxlen=WINDOW)
        self.last_error_at: float | None = None
        self.last_at: float | None = None
        self.queue: QueueChanged | None = None

    def row(self) -> ProviderRow:
        queue = self.queue
        return ProviderRow(
            key=self.name,
            model=self.model,
            in_flight=self.in_flight,
            calls=self.calls,
            failures=self.failures,
            tokens_in=self.tokens_in,
            tokens_out=self.tokens_out,
            cost_micro=self.cost_micro,
            p50_ms=quantile(self.times, 0.5),
            p99_ms=quantile(self.times, 0.99),
            first_p50_ms=quantile(self.firsts, 0.5),
            last_error=self.last_error,
            last_error_at=self.last_error_at,
            last_at=self.last_at,
            waiting=0 if queue is None else queue.waiting,
            sessions=0 if queue is None else queue.sessions,
            waiting_since=None if queue is None else queue.since,
            resting_until=None if queue is None else queue.resting_until,
            resting="" if queue is None else queue.why,
        )

    def spent(self, payload: dict[str, Any]) -> None:
        """Count what a call took, as far as the provider told."""
        usage = payload.get("usage")
        if isinstance(usage, dict):
            self.tokens_in += usage.get("input_tokens", 0)
            self.tokens_out += usage.get("output_tokens", 0)
        self.cost_micro += payload.get("cost_micro") or 0


class Providers(Projected):
    """Keeps the table `providers`."""

    kinds = frozenset({"model.requested", "model.responded", "model.failed", "turn.finished"})
    kernel = (ProcessExited,)
    hears = (QueueChanged,)

    def __init__(self) -> None:
        super().__init__()
        self.topics = {TOPIC}
        self.providers: dict[str, _Provider] = {}
        self.open: dict[str, tuple[str, _Provider]] = {}  # session -> the call it waits for
        self.table: Table[ProviderRow] = Table("providers", ProviderRow, MOST, "a provider of models")
        self.table.build = self._build
        self.table.forget = self.providers.pop

    def _build(self, key: str) -> ProviderRow | None:
        provider = self.providers.get(key)
        return None if provider is None else provider.row()

    def event(self, event: Event) -> None:
        """A model call begins or ends."""
        payload = event.payload
        match event.kind:
            case "model.requested":
                self._close(event.session)
                if event.state != "whole":
                    return  # nobody knows whom it asked
                name = str(payload.get("provider", ""))
                provider = self._provider(name)
                provider.model = str(payload.get("model", ""))
                provider.in_flight += 1
                self.open[event.session] = (str(payload.get("turn", "")), provider)
                if len(self.open) > MOST_OPEN:
                    self._close(next(iter(self.open)))
                self.table.touch(name)
            case "model.responded":
                self._close(event.session)
                if event.state == "whole":
                    self._responded(payload, event.at)
            case "model.failed":
                asked = self._close(event.session)
                if asked is not None:
                    asked.failures += 1
                    asked.last_error = str(payload.get("error", ""))[:200]
                    asked.last_error_at = event.at
                    asked.spent(payload)
            case _:
                self._close(event.session)

    def heard(self, message: Any) -> None:
        """Who waits before a provider, and whether it is left alone."""
        if isinstance(message, QueueChanged):
            self._provider(message.provider).queue = message
            self.table.touch(message.provider)

    def kernel_event(self, event: Any) -> None:
        """A session that is gone waits for nothing."""
        self._close(event.name)

    def _provider(self, name: str) -> _Provider:
        provider = self.providers.get(name)
        if provider is None:
            provider = self.providers[name] = _Provider(name)
        return provider

    def _close(self, session: str) -> _Provider | None:
        asked = self.open.pop(session, None)
        if asked is None:
            return None
        asked[1].in_flight -= 1
        self.table.touch(asked[1].name)
        return asked[1]

    def _responded(self, payload: dict[str, Any], at: float) -> None:
        name = str(payload.get("provider", ""))
        provider = self._provider(name)
        provider.calls += 1
        provider.last_at = at
        provider.spent(payload)
        provider.times.append(payload.get("duration_ms") or 0.0)
        provider.firsts.append(payload.get("first_ms") or 0.0)
        self.table.touch(name)


def quantile(values: deque[float], part: float) -> float | None:
    """The value below which this part of the values lies (nearest rank); None for none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
