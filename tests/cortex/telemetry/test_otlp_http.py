"""One request to endpoints that misbehave, each a real socket: it ends in time, and says what became of the spans."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource

from planaria.cortex.telemetry.otlp_http import OtlpEndpoint, Sent
from planaria.cortex.telemetry.otlp_span import readable
from planaria.cortex.telemetry.signal import SpanStopped

type Behave = Callable[[socket.socket, threading.Event], None]


@contextmanager
def endpoint(behave: Behave) -> Iterator[str]:
    """A server that takes one request and then behaves; its event is set when the test is over."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                taken, _ = listening.accept()
                with taken:
                    taken.recv(65_536)
                    behave(taken, over)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1/traces"
        over.set()
    thread.join(10)


def answer(head: str, body: bytes = b"") -> Behave:
    def behave(taken: socket.socket, _: threading.Event) -> None:
        taken.sendall(f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return behave


def drip(first: bytes, piece: bytes) -> Behave:
    """Sends a piece again and again, each well before a socket's timeout, and never ends."""

    def behave(taken: socket.socket, over: threading.Event) -> None:
        taken.sendall(first)
        while not over.wait(0.02):
            taken.sendall(piece)

    return behave


def send(behave: Behave, timeout: float = 5.0) -> Sent:
    span = SpanStopped(
        name="turn",
        id=1,
        parent=0,
        key="",
        under="",
        trace_id="t",
        process=None,
        attributes={},
        at=1.0,
        duration=1.0,
    )
    with endpoint(behave) as url:
        return OtlpEndpoint(url, {}, timeout).send([readable(span, 1, Resource.get_empty(), {}, None)] * 3)


@pytest.mark.parametrize(
    "behave",
    [
        drip(b"", b"H"),
        drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"x"),
        lambda _, over: over.wait(),
    ],
    ids=["first line", "headers", "body", "silence"],
)
def test_an_endpoint_that_drips_or_is_silent_is_cut_off(behave: Behave):
    sent = send(behave, timeout=0.3)
    assert (sent.delivered, sent.retry) == (False, True)
    assert "100 headers" in sent.problem or sent.problem == "no whole answer within 0.3 s"


@pytest.mark.parametrize(
    ("behave", "retry", "problem"),
    [
        (lambda taken, _: taken.sendall(b"\x00\xff\x1b[31m what\r\n\r\n"), True, "BadStatusLine"),
        (lambda taken, _: None, True, ""),
        (answer("307 Go\r\nLocation: http://127.0.0.1:1/"), False, "HTTP 307 Go"),
        (answer("400 Bad"), False, "HTTP 400 Bad"),
        (answer("503 \x1b[31mBusy"), True, "HTTP 503  [31mBusy"),
        (answer("429 " + "z" * 5000), True, "HTTP 429 zzz"),
    ],
    ids=["garbage", "closed", "redirect", "400", "control characters", "long"],
)
def test_what_went_wrong_is_a_short_line_and_whether_to_try_again(behave: Behave, retry: bool, problem: str):
    sent = send(behave)
    assert (sent.delivered, sent.retry) == (False, retry)
    assert sent.problem.startswith(problem) and len(sent.problem) <= 220 and sent.problem.isprintable()


def test_an_endpoint_where_nobody_listens_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        endpoint = OtlpEndpoint(f"http://127.0.0.1:{port}/v1/traces", {}, 5.0)
        assert endpoint.send([]).problem == f"127.0.0.1:{port}: Connection refused"


def test_retry_after_is_told_in_seconds():
    assert send(answer("429 Slow\r\nRetry-After: 7")).retry_after == 7.0
    assert send(answer("429 Slow\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT")).retry_after is None


@pytest.mark.parametrize(("said", "rejected"), [(2, 2), (0, 0), (-5, 0), (2**62, 3)])
def test_an_endpoint_cannot_reject_what_was_not_sent(said: int, rejected: int):
    body = ExportTraceServiceResponse()
    body.partial_success.rejected_spans = said
    body.partial_success.error_message = "too old"
    sent = send(answer("200 OK", body.SerializeToString()))
    assert sent.delivered and sent.rejected == rejected and "too old" in sent.problem


def test_a_request_may_be_cut_from_another_thread():
    found: list[Sent] = []
    reached = threading.Event()

    def behave(_: socket.socket, over: threading.Event) -> None:
        reached.set()
        over.wait()

    with endpoint(behave) as url:
        to = OtlpEndpoint(url, {}, 60.0)
        sending = threading.Thread(target=lambda: found.append(to.send([])))
        sending.start()
        assert reached.wait(10)
        to.cut()
        sending.join(10)
    assert [sent.delivered for sent in found] == [False]
