"""A collector for tests: takes OTLP over HTTP on a real socket, parses the protobuf, keeps the spans.

    with OtlpReceiver() as receiver:
        ... otlp_endpoint = receiver.url ...
        receiver.wait_for(3)
        print(receiver.tree())

Faithful where exporters can tell: path, method, content type, gzip and the message itself are checked and answered as
the specification says; faults on request are status codes, rejected spans, silence and a closed port.
Needs the extra `otel`.
"""

import gzip
import threading
import time
import zlib
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

PATH = "/v1/traces"


class ReceivedSpan(msgspec.Struct, frozen=True):
    """One span as it came over the wire; ids as hex, times in nanoseconds, `error` the status' words if it failed."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    begun: int
    ended: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str
    error: str | None
    events: list[str]


class OtlpReceiver:
    """A server in a thread of its own; a context manager.

    Attributes:
        spans: what came, in order of arrival.
        requests: how many requests came, taken or not.
        headers: of the last request, names in small letters.
        faults: status codes to answer the next requests with, one each; 200 is as usual.
        reject: spans of the next request to be answered as rejected.
        silent: while set, requests are not answered.
    """

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.requests = 0
        self.headers: dict[str, str] = {}
        self.faults: list[int] = []
        self.reject = 0
        self.silent = threading.Event()
        self._changed = threading.Condition()
        self._released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5.0

            def do_POST(self) -> None:
                receiver._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False  # closing waits for the requests under way
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """Where spans go."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop; the port refuses connections from then on."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int, within: float = 10.0) -> list[ReceivedSpan]:
        """Block until that many spans are there; raises `TimeoutError`. Not for the event loop's thread."""
        until = time.monotonic() + within
        with self._changed:
            while len(self.spans) < count:
                if not self._changed.wait(until - time.monotonic()):
                    raise TimeoutError(f"{len(self.spans)} of {count} spans came in {within} s")
            return list(self.spans)

    def tree(self) -> str:
        """The spans as a tree of each trace, children below their parents, in order of their start."""
        lines: list[str] = []
        for trace in dict.fromkeys(span.trace_id for span in self.spans):
            members = sorted((s for s in self.spans if s.trace_id == trace), key=lambda s: s.begun)
            known = {span.span_id for span in members}
            lines.append(f"trace {trace}")
            roots = [span for span in members if span.parent_id not in known]
            lines += _branches(roots, members, "  ")
        return "\n".join(lines)

    # --- the server's threads ----------------------------------------------------------------------------------------

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", "0")))
        with self._changed:
            self.requests += 1
            self.headers = {name.lower(): value for name, value in request.headers.items()}
            fault = self.faults.pop(0) if self.faults else 200
            rejected, self.reject = self.reject, 0
            self._changed.notify_all()
        if self.silent.is_set():
            self._released.wait(30)
            request.close_connection = True
            return
        status, answer = self._take(request.path, body, rejected) if fault == 200 else (fault, b"")
        try:
            request.send_response(status)
            request.send_header("Content-Type", "application/x-protobuf")
            request.send_header("Content-Length", str(len(answer)))
            request.end_headers()
            request.wfile.write(answer)
        except OSError:
            request.close_connection = True  # the exporter did not wait for it

    def _take(self, path: str, body: bytes, rejected: int) -> tuple[int, bytes]:
        if path != PATH:
            return 404, b""
        if self.headers.get("content-type") != "application/x-protobuf":
            return 415, b""
        try:
            plain = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            spans = list(_spans(ExportTraceServiceRequest.FromString(plain)))
        except (DecodeError, OSError, EOFError, zlib.error):
            return 400, b""
        answer = ExportTraceServiceResponse()
        if rejected:
            answer.partial_success.rejected_spans = rejected
            answer.partial_success.error_message = "rejected on request"
        with self._changed:
            self.spans += spans[: len(spans) - rejected]
            self._changed.notify_all()
        return 200, answer.SerializeToString()


def _spans(request: ExportTraceServiceRequest) -> Iterable[ReceivedSpan]:
    for from_resource in request.resource_spans:
        resource = _attributes(from_resource.resource.attributes)
        for from_scope in from_resource.scope_spans:
            for span in from_scope.spans:
                if (
                    len(span.trace_id) != 16
                    or len(span.span_id) != 8
                    or len(span.parent_span_id) not in (0, 8)
                ):
                    raise DecodeError("an id of the wrong length")
                yield ReceivedSpan(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    kind=span.kind,
                    begun=span.start_time_unix_nano,
                    ended=span.end_time_unix_nano,
                    attributes=_attributes(span.attributes),
                    resource=resource,
                    scope=from_scope.scope.name,
                    error=span.status.message if span.status.code == 2 else None,
                    events=[event.name for event in span.events],
                )


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case "array_value":
            return [_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case field:
            return None if field is None else getattr(value, field)


def _branches(spans: list[ReceivedSpan], members: list[ReceivedSpan], indent: str) -> list[str]:
    lines: list[str] = []
    for span in spans:
        failed = f"  failed: {span.error}" if span.error is not None else ""
        lines.append(f"{indent}{span.name}  {(span.ended - span.begun) / 1e6:.1f} ms{failed}")
        below = [member for member in members if member.parent_id == span.span_id]
        lines += _branches(below, members, indent + "  ")
    return lines
