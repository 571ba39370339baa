"""The exporter against a receiver on a real socket: what arrives, and what a bad endpoint does to the node."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planaria.config.errors import SettingsError
from planaria.config.settings import TelemetrySettings
from planaria.cortex.event import Event
from planaria.cortex.redact import Redactor
from planaria.cortex.telemetry.conventions import message_key, turn_key
from planaria.cortex.telemetry.export import ExportFigures, ExportOptions, export_figures, exporter
from planaria.cortex.telemetry.otlp_span import trace_number
from planaria.cortex.telemetry.span import begin_span, span
from planaria.otp import Task, broadcast, exit_signal, supervisor
from planaria.testing.node import TestNode
from planaria.testing.otlp_receiver import OtlpReceiver

TRACE = "01HZY3V7Q0ABCDEFGHJKMNPQRS"
GARDEN = Path("/nowhere")
REDACTOR = Redactor({"MY_KEY": "the-secret-of-ada"})


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


async def start(
    node: TestNode,
    url: str,
    environ: dict[str, str] | None = None,
    *,
    content: bool = False,
    headers: str | None = None,
    options: ExportOptions = ExportOptions(timeout=2.0),  # noqa: B008 - frozen
) -> None:
    settings = TelemetrySettings(otlp_endpoint=url, otlp_headers_env=headers, content=content)
    (child,) = exporter(settings, GARDEN, environ or {}, "garden", REDACTOR, options)
    await node.start(supervisor(child, name="root"))


async def work(count: int = 1) -> None:
    for _ in range(count):
        with span("tool.call", {"gen_ai.tool.name": "web.fetch"}, trace_id=TRACE):
            pass


def figures(node: TestNode) -> ExportFigures:
    found = export_figures(node)
    assert found is not None
    return found


async def turn() -> None:
    """One message, its turn in another process, a model call and a tool call in tasks."""
    message = begin_span("room.post", {"planaria.room": "garden"}, trace_id=TRACE, key=message_key("m1"))
    message.stop()
    key = turn_key("session:scout@garden", "m1")
    about = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "scout"}
    whole = begin_span("turn", about, trace_id=TRACE, key=key, under=message_key("m1"))

    async def think() -> None:
        asked: Any = {"gen_ai.request.model": "tiny", "planaria.turn": "m1", "planaria.step": 0}
        with span("model.call", asked, trace_id=TRACE, under=key) as call:
            with span("journal.read"):
                pass
            call.set("gen_ai.usage.input_tokens", 120)
            call.set("gen_ai.response.finish_reasons", ("stop",))
            call.set("planaria.cost_micro", None)

    async def act() -> None:
        about = {"gen_ai.tool.name": "web.fetch", "gen_ai.tool.call.id": "m1/0/0"}
        with span("tool.call", about, trace_id=TRACE, under=key) as call:
            call.fail("failed", "no such page")

    await Task.start_link(think).result()
    await Task.start_link(act).result()
    whole.set("planaria.outcome", "answered")
    whole.stop()


async def test_a_turn_arrives_as_one_tree_with_names_and_attributes_of_the_conventions(
    node: TestNode, receiver: OtlpReceiver
):
    await start(node, receiver.url)
    await node.run(turn)
    await node.advance(2)
    spans = {span.name: span for span in receiver.wait_for(5)}
    drawn = [line.split("  ")[-2:] for line in receiver.tree().splitlines()]
    assert [line.strip().rsplit("  ")[0] for line in receiver.tree().splitlines()] == [
        f"trace {trace_number(TRACE):032x}",
        "message garden",
        "invoke_agent scout",
        "chat tiny",
        "journal.read",
        "execute_tool web.fetch",
    ], drawn
    call = spans["chat tiny"]
    assert call.kind == 3 and call.attributes["gen_ai.usage.input_tokens"] == 120
    assert call.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert "planaria.cost_micro" not in call.attributes and call.error is None
    tool = spans["execute_tool web.fetch"]
    assert (tool.error, tool.attributes["error.type"], tool.events) == ("failed", "failed", ["exception"])
    assert tool.parent_id == spans["invoke_agent scout"].span_id == call.parent_id
    assert call.resource["service.name"] == "planaria" and call.resource["service.instance.id"] == "garden"
    assert figures(node).exported == 5 and figures(node).dropped == 0


async def test_a_turn_taken_up_after_a_restart_ends_the_same_span(node: TestNode, receiver: OtlpReceiver):
    await start(node, receiver.url)

    async def again() -> None:
        for _ in range(2):
            begin_span("turn", trace_id=TRACE, key=turn_key("s", "m")).stop()

    await node.run(again)
    await node.advance(2)
    first, second = receiver.wait_for(2)
    assert first.span_id == second.span_id


async def test_commits_are_in_no_trace_and_stay_here(node: TestNode, receiver: OtlpReceiver):
    await start(node, receiver.url)

    async def commit() -> None:
        with span("journal.commit"):
            pass
        with span("http.server.request", {"http.request.method": "GET", "http.route": "/"}):
            pass

    await node.run(commit)
    await node.advance(2)
    assert [span.name for span in receiver.wait_for(1)] == ["GET /"]


async def test_headers_come_from_the_environment(node: TestNode, receiver: OtlpReceiver):
    await start(node, receiver.url, {"OTEL": "Authorization=Basic%20abc,x-tenant=ada"}, headers="OTEL")
    await node.run(work)
    await node.advance(2)
    receiver.wait_for(1)
    assert receiver.headers["authorization"] == "Basic abc" and receiver.headers["x-tenant"] == "ada"


def test_a_variable_of_headers_that_is_not_set_refuses_the_start_and_is_not_shown():
    settings = TelemetrySettings(otlp_endpoint="http://127.0.0.1:1/", otlp_headers_env="OTEL")
    with pytest.raises(SettingsError, match="OTEL is not set"):
        exporter(settings, GARDEN, {}, "garden", REDACTOR)
    with pytest.raises(SettingsError, match="no list of headers") as caught:
        exporter(settings, GARDEN, {"OTEL": "secret-without-a-name"}, "garden", REDACTOR)
    assert "secret-without" not in str(caught.value)


@pytest.mark.parametrize("value", ["Authorization=Bearer%20ab%0Acd", "Authorization=secr%E2%82%AC", "a b=cd"])
def test_headers_that_cannot_be_sent_refuse_the_start_and_are_not_shown(value: str):
    settings = TelemetrySettings(otlp_endpoint="http://127.0.0.1:1/", otlp_headers_env="OTEL")
    with pytest.raises(SettingsError, match="no list of headers") as caught:
        exporter(settings, GARDEN, {"OTEL": value}, "garden", REDACTOR)
    assert "cd" not in str(caught.value) and "secr" not in str(caught.value)


def test_without_an_endpoint_there_is_no_exporter():
    assert exporter(TelemetrySettings(), GARDEN, {}, "garden", REDACTOR) == []


async def said(seq: int, kind: str, payload: dict[str, Any]) -> None:
    event = Event(seq, f"E{seq}", 0.0, TRACE, None, "n", "p", "session:scout@garden", kind, payload)
    broadcast("journal", event)


@pytest.mark.parametrize("content", [False, True])
async def test_content_leaves_only_where_it_may(node: TestNode, receiver: OtlpReceiver, content: bool):
    await start(node, receiver.url, content=content)
    asked = {"id": "c1", "name": "web.fetch", "arguments": {"url": "http://x.org"}}
    answered = {"turn": "m1", "step": 0, "text": "It rained.", "tool_calls": [asked], "finish_reason": "stop"}
    await node.run(said, 1, "model.responded", answered)
    await node.run(said, 2, "tool.started", {"call_id": "m1/0/0", "arguments": {"url": "http://x.org"}})
    await node.run(said, 3, "tool.finished", {"call_id": "m1/0/0", "outcome": None, "error": "no such page"})
    await node.run(turn)
    await node.advance(2)
    spans = {span.name: span for span in receiver.wait_for(5)}
    call, tool = spans["chat tiny"].attributes, spans["execute_tool web.fetch"].attributes
    names = {"gen_ai.output.messages", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"}
    if not content:
        assert not names & (call.keys() | tool.keys())
        assert spans["execute_tool web.fetch"].error == "failed"  # not what the page said
        return
    assert json.loads(call["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "It rained."}, {"type": "tool_call", **asked}],
            "finish_reason": "stop",
        }
    ]
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"url": "http://x.org"}
    assert json.loads(tool["gen_ai.tool.call.result"]) == "no such page"
    assert spans["execute_tool web.fetch"].error == "no such page"


async def test_an_error_leaves_masked_where_content_leaves_and_else_by_its_type(
    node: TestNode, receiver: OtlpReceiver
):
    await start(node, receiver.url, content=True)

    async def fail() -> None:
        begin_span("turn", trace_id=TRACE).fail("http", "the-secret-of-ada is no key")

    await node.run(fail)
    await node.advance(2)
    assert receiver.wait_for(1)[0].error == "[secret MY_KEY] is no key"


async def test_text_that_is_no_unicode_costs_no_span(node: TestNode, receiver: OtlpReceiver):
    await start(node, receiver.url, content=True)

    async def name_a_file() -> None:
        begin_span("turn", {"planaria.room": "a\udcffb"}, trace_id=TRACE).fail("os", "no file \udcff")

    await node.run(work)
    await node.run(name_a_file)
    await node.advance(2)
    spans = receiver.wait_for(2)
    assert (spans[1].attributes["planaria.room"], spans[1].error) == ("a?b", "no file ?")


async def test_a_busy_endpoint_gets_the_batch_again_and_nothing_is_lost(
    node: TestNode, receiver: OtlpReceiver
):
    await start(node, receiver.url)
    receiver.faults = [503, 429]
    await node.run(work, 3)
    await node.advance(1.5)
    assert figures(node).trouble.startswith("HTTP 503") and figures(node).exported == 0
    await node.advance(10)
    assert len(receiver.wait_for(3)) == 3
    assert (figures(node).exported, figures(node).failures, figures(node).dropped) == (3, 2, 0)
    assert figures(node).trouble == ""


async def test_an_endpoint_that_says_no_loses_the_batch_counted_and_gets_the_next(
    node: TestNode, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture
):
    await start(node, receiver.url)
    receiver.faults = [401]
    await node.run(work, 3)
    await node.advance(2)
    assert figures(node).dropped_refused == 3
    assert "spans cannot be exported: HTTP 401" in caplog.text
    await node.run(work, 1)
    await node.advance(10)
    assert len(receiver.wait_for(1)) == 1


async def test_spans_the_endpoint_rejects_are_counted(
    node: TestNode, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture
):
    await start(node, receiver.url)
    receiver.reject = 2
    await node.run(work, 5)
    await node.advance(2)
    assert (figures(node).exported, figures(node).dropped_refused) == (3, 2)
    assert "2 spans were rejected: rejected on request" in caplog.text


async def test_a_dead_endpoint_costs_a_bounded_line_and_is_counted(node: TestNode, receiver: OtlpReceiver):
    receiver.close()
    await start(node, receiver.url, options=ExportOptions(limit=100, batch=10, timeout=1.0))
    await node.run(work, 500)
    await node.advance(2)
    assert figures(node).failures >= 1 and figures(node).waiting <= 110
    assert figures(node).dropped_full == 400
    await node.advance(40)  # the first batch was tried five times, with pauses of 1, 2, 4 and 8 s
    assert figures(node).dropped_given_up == 10
    assert node["otlp"].alive


async def test_an_endpoint_that_never_answers_holds_up_nobody(node: TestNode, receiver: OtlpReceiver):
    receiver.silent.set()
    await start(node, receiver.url, options=ExportOptions(timeout=0.5))
    await node.run(work)
    done: list[int] = []

    async def others() -> None:
        await work(50)
        done.append(1)

    node.virtual_clock._now += 5  # time passes without waiting for the thread that hangs
    advancing = asyncio.ensure_future(node.advance(5))
    await asyncio.to_thread(_wait_for_request, receiver)
    await node.run(others)
    assert done == [1] and figures(node).exported == 0
    await advancing
    assert figures(node).failures >= 1


def _wait_for_request(receiver: OtlpReceiver) -> None:
    with receiver._changed:
        assert receiver._changed.wait_for(lambda: receiver.requests > 0, 10)


async def test_an_orderly_stop_sends_what_waits(node: TestNode, receiver: OtlpReceiver):
    await start(node, receiver.url, options=ExportOptions(batch=10))
    await node.run(work, 25)
    await node.stop()
    assert len(receiver.spans) == 25


async def test_a_stop_with_a_dead_endpoint_says_what_was_left(
    node: TestNode, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture
):
    receiver.close()
    await start(node, receiver.url)
    await node.run(work, 25)
    await node.stop()
    assert "25 spans were not exported before the stop" in caplog.text


async def test_a_killed_exporter_is_started_again(node: TestNode, receiver: OtlpReceiver):
    await start(node, receiver.url)
    exit_signal_ = node["otlp"]

    async def kill() -> None:
        exit_signal(exit_signal_, "kill")

    await node.run(kill)
    await node.settle()
    await node.run(work)
    await node.advance(2)
    assert len(receiver.wait_for(1)) == 1


def test_the_receiver_refuses_what_is_no_otlp(receiver: OtlpReceiver):
    import urllib.error
    import urllib.request

    def post(url: str, body: bytes, type_: str) -> int:
        request = urllib.request.Request(url, body, {"Content-Type": type_})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=5)
        with caught.value as error:
            return error.code

    assert post(receiver.url, b"\xff\xff", "application/x-protobuf") == 400
    assert post(receiver.url, b"{}", "application/json") == 415
    assert post(receiver.url.replace("traces", "logs"), b"", "application/x-protobuf") == 404
    assert receiver.spans == []


def test_a_node_without_the_setting_imports_nothing_of_opentelemetry():
    code = (
        "import sys, planaria.node; from planaria.config.settings import Settings; from pathlib import Path;"
        "planaria.node.exporter(Settings().telemetry, Path('.'), {}, 'n', None);"
        "sys.exit(any(m.split('.')[0] in ('opentelemetry', 'google', 'requests') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
