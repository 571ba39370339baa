"""What is counted from events, spans and kernel events, read with Prometheus' own parser."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from planaria.cortex.event import Event
from planaria.cortex.telemetry.signal import SpanFailed, SpanStopped, Value
from planaria.cortex.telemetry.tally import Capped, Histogram, Tally
from planaria.nerve.metrics.book import MOST_NAMES, MetricsBook
from planaria.otp import ChildRestarted, Crash, ProcessExited
from planaria.testing.node import TestNode

SESSION = "session:scout@garden"


class _Only:
    def __init__(self, families: Any) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families())


def samples(book: MetricsBook) -> dict[tuple[str, frozenset[str]], float]:
    """Every sample by name and the values of its labels, as a scraper reads it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Only(book.families))
    text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Journal:
    def __init__(self, book: MetricsBook) -> None:
        self.book = book
        self.seq = 0

    def take(self, kind: str, session: str = SESSION, state: Any = "whole", **payload: Any) -> None:
        self.seq += 1
        self.book.event(
            Event(
                seq=self.seq,
                id=f"E{self.seq}",
                at=float(self.seq),
                trace_id="T",
                cause_id=None,
                node="n",
                process="p",
                session=session,
                kind=kind,
                payload=payload,
                state=state,
            )
        )


def of(found: dict[tuple[str, frozenset[str]], float], name: str, *labels: str) -> float | None:
    return found.get((name, frozenset(labels)))


def test_a_turn_is_counted_with_its_calls_tokens_cost_and_tools():
    book = MetricsBook()
    journal = Journal(book)
    journal.take("turn.started", message="m", author="ada")
    journal.take("model.requested", provider="local", model="tiny", step=0)
    usage = {"input_tokens": 100, "output_tokens": 7}
    journal.take(
        "model.responded", provider="local", model="tiny-1", usage=usage, cost_micro=1500, duration_ms=300.0
    )
    journal.take("tool.finished", tool="web.fetch", branch="ok", duration_ms=20.0)
    journal.take("model.requested", provider="local", model="tiny", step=1)
    journal.take("model.failed", error="overloaded", retry=True)
    journal.take("turn.finished", turn="m", outcome="answered")
    journal.take("room.message", session="room:garden", author="scout", author_kind="agent")
    found = samples(book)
    call = ("chat", "local", "tiny")
    assert of(found, "gen_ai_client_token_usage_sum", *call, "input") == 100
    assert of(found, "gen_ai_client_token_usage_bucket", *call, "output", "16.0") == 1
    assert of(found, "gen_ai_client_operation_duration_seconds_sum", *call, "") == 0.3
    assert of(found, "gen_ai_client_operation_duration_seconds_count", *call, "provider_error") == 1
    assert of(found, "planaria_model_cost_dollars_total", "local", "tiny") == 0.0015
    assert of(found, "planaria_agent_tokens_total", "scout", "input") == 100
    assert of(found, "planaria_turns_total", "scout", "answered") == 1
    assert of(found, "planaria_turn_duration_seconds_sum") == 6
    assert of(found, "planaria_tool_calls_total", "web.fetch", "ok") == 1
    assert of(found, "planaria_room_messages_total", "agent") == 1


def test_runs_are_counted_by_workflow_and_status():
    book = MetricsBook()
    journal = Journal(book)
    journal.take("workflow.run.started", "run:1", workflow="news")
    journal.take("workflow.step.retried", "run:1", step="fetch")
    journal.take("workflow.run.finished", "run:1", workflow="news", status="done")
    found = samples(book)
    assert of(found, "planaria_workflow_runs_total", "news", "done") == 1
    assert of(found, "planaria_workflow_runs_started_total", "news") == 1
    assert of(found, "planaria_workflow_retries_total") == 1


def test_spans_of_the_journal_rooms_and_requests_are_timed():
    book = MetricsBook()
    common: dict[str, Any] = {"id": 1, "parent": 0, "key": "", "under": "", "trace_id": "", "process": None}
    for name in ("journal.commit", "journal.read", "room.post"):
        book.signal(SpanStopped(name=name, attributes={}, at=0.0, duration=0.003, **common))
    about: dict[str, Value] = {
        "http.request.method": "GET",
        "http.route": "/rooms/{name}",
        "http.response.status_code": 500,
    }
    common |= {"error_type": "500", "error": ""}
    book.signal(SpanFailed(name="http.server.request", attributes=about, at=0.0, duration=0.2, **common))
    found = samples(book)
    assert of(found, "planaria_journal_commit_duration_seconds_bucket", "0.005") == 1
    assert of(found, "planaria_journal_commit_duration_seconds_bucket", "0.0025") == 0
    assert of(found, "planaria_journal_read_duration_seconds_count") == 1
    assert of(found, "planaria_room_post_duration_seconds_count") == 1
    assert of(found, "planaria_http_requests_total", "GET", "/rooms/{name}", "500") == 1


async def test_crashes_and_restarts_are_counted_and_orderly_ends_are_not(node: TestNode):
    book = MetricsBook()
    process = node.spawn(print)
    for reason in (Crash(ValueError("x")), "normal", "shutdown", "killed", "noproc"):
        book.kernel_event(ProcessExited(process, None, "", reason))
    book.kernel_event(ChildRestarted(process, "vase", process, "x"))
    book.kernel_event(ChildRestarted(process, "vase", None, "x"))  # the new one did not start
    found = samples(book)
    assert of(found, "planaria_process_crashes_total") == 1
    assert of(found, "planaria_process_restarts_total") == 1


def test_no_label_has_more_values_than_fifty_and_other():
    book = MetricsBook()
    journal = Journal(book)
    for number in range(300):
        session = f"session:agent{number}@room{number}"
        journal.take(
            "tool.finished", session, tool=f"tool{number}", branch=f"branch{number}", duration_ms=1.0
        )
        journal.take("model.requested", session, provider=f"p{number}", model=f"m{number}")
        journal.take("model.responded", session, provider=f"p{number}", model=f"m{number}", usage={})
        journal.take("turn.finished", session, turn="t", outcome="answered")
        journal.take("workflow.run.started", f"run:{number}", workflow=f"w{number}")
    labels: dict[str, set[str]] = {}
    for family in book.families():
        for sample in family.samples:
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    assert all(len(values) <= MOST_NAMES + 1 for values in labels.values()), {
        name: len(values) for name, values in labels.items()
    }
    assert "other" in labels["tool"] and "other" in labels["agent"]
    text = str(labels)
    assert "session:" not in text and "run:" not in text and "@" not in text


def test_the_branches_of_tools_leave_room_for_the_outcomes_of_turns():
    book = MetricsBook()
    journal = Journal(book)
    for number in range(100):
        journal.take("tool.finished", tool="t", branch=f"branch{number}", duration_ms=1.0)
    journal.take("turn.finished", turn="t", outcome="answered")
    journal.take("room.message", author_kind="person")
    journal.take("workflow.run.finished", workflow="w", status="done")
    found = samples(book)
    assert of(found, "planaria_turns_total", "scout", "answered") == 1
    assert of(found, "planaria_room_messages_total", "person") == 1
    assert of(found, "planaria_workflow_runs_total", "w", "done") == 1


def test_erased_events_are_counted_as_far_as_they_go():
    book = MetricsBook()
    journal = Journal(book)
    for kind in sorted(MetricsBook.kinds):
        journal.take(kind, state="erased")
    found = samples(book)
    assert of(found, "gen_ai_client_token_usage_count", "chat", "other", "other", "input") is None
    assert of(found, "planaria_turns_total", "scout", "unknown") == 1


def test_what_never_ends_is_forgotten():
    book = MetricsBook()
    journal = Journal(book)
    for number in range(10_050):
        journal.take("turn.started", f"session:a@{number}")
    assert len(book.begun) == 10_000


def test_capped_tally_and_histogram():
    capped = Capped(2)
    assert [capped(name) for name in ("a", "b", "c", "a", "")] == ["a", "b", "other", "a", "other"]
    tally = Tally("x", "about")
    assert tally.family().samples[0].value == 0.0
    tally.add(by=2.5)
    assert tally.family().samples[0].value == 2.5
    histogram = Histogram("h", "about", (1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 99.0):
        histogram.observe(value)
    buckets = {s.labels["le"]: s.value for s in histogram.family().samples if s.name == "h_bucket"}
    assert buckets == {"1.0": 2, "2.0": 3, "+Inf": 4}
