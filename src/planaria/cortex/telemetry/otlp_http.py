"""One request of OTLP over HTTP, blocking: what became of the spans, and whether to send them again.

Source: the OTLP specification 1.x, section OTLP/HTTP: protobuf bodies, gzip, 429, 502, 503 and 504 may be tried again
(after `Retry-After`), everything else not; a 200 may still say that some spans were rejected.
Differs from the SDK's exporter, which does not look at rejected spans, tells why it failed only in its own log, and
waits for as long as the endpoint sends a byte now and then.
"""

import gzip
import http.client
import socket
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan

from planaria import __version__

AGAIN = frozenset({429, 502, 503, 504})
LONGEST_ANSWER = 65_536
LONGEST_PROBLEM = 200


class Sent(msgspec.Struct, frozen=True):
    """What became of a request.

    Attributes:
        problem: why it failed, or why spans were rejected; empty if all is well.
        retry: whether the same request may work later.
        retry_after: seconds the endpoint asks to wait.
        rejected: spans the endpoint has taken note of and does not want.
        delivered: whether the endpoint answered for the batch at all.
    """

    problem: str = ""
    retry: bool = False
    retry_after: float | None = None
    rejected: int = 0
    delivered: bool = True


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the headers, which are secret, to another place."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class _Http(http.client.HTTPConnection):
    """Tells of its socket."""

    def __init__(self, opened: list[socket.socket], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.opened = opened

    def connect(self) -> None:
        super().connect()
        self.opened.append(self.sock)


class _Https(_Http, http.client.HTTPSConnection):
    """The same with TLS; the handshake has its own end."""


class _HttpHandler(urllib.request.HTTPHandler):
    def __init__(self, opened: list[socket.socket]) -> None:
        super().__init__()
        self.opened = opened

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(partial(_Http, self.opened), req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def __init__(self, opened: list[socket.socket]) -> None:
        self.tls = ssl.create_default_context()
        super().__init__(context=self.tls)
        self.opened = opened

    def https_open(self, req: urllib.request.Request) -> Any:
        connection = partial(_Https, self.opened)
        return self.do_open(connection, req, context=self.tls)


class OtlpEndpoint:
    """Where spans go; one request at a time.

    Args:
        url: with its path.
        headers: sent with each request.
        timeout: seconds a connection may take, and then the whole answer.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float) -> None:
        self._url = url
        self._where = urllib.parse.urlsplit(url).netloc.rpartition("@")[2]  # without a password
        self._timeout = timeout
        self._headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": f"planaria/{__version__}",
            **headers,
        }
        self._opened: list[socket.socket] = []  # by the request under way
        self._cut = False
        self._opener = urllib.request.build_opener(
            _NoRedirect(), _HttpHandler(self._opened), _HttpsHandler(self._opened)
        )

    def send(self, spans: Sequence[ReadableSpan]) -> Sent:
        """Send one batch. Never raises for what the world does."""
        body = gzip.compress(encode_spans(spans).SerializeToString(), compresslevel=5)
        request = urllib.request.Request(self._url, body, self._headers, method="POST")
        self._opened.clear()
        self._cut = False
        # A socket's timeout is for one piece: an endpoint that drips would never meet it.
        late = threading.Timer(self._timeout, self.cut)
        late.daemon = True
        late.start()
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                body = answer.read(LONGEST_ANSWER)
                return self._too_late() if self._cut else _taken(body, len(spans))
        except urllib.error.HTTPError as error:
            with error:
                wait = _seconds(error.headers.get("Retry-After"))
                problem = _short(f"HTTP {error.code} {error.reason}")
                return Sent(problem, error.code in AGAIN, wait, 0, False)
        except (OSError, http.client.HTTPException) as error:
            if self._cut:
                return self._too_late()
            reason = getattr(error, "reason", error)
            said = getattr(reason, "strerror", None)
            problem = f"{self._where}: {said}" if said else f"{type(error).__name__}: {reason}"
            return Sent(_short(problem), True, None, 0, False)
        finally:
            late.cancel()

    def cut(self) -> None:
        """End the request under way; from any thread."""
        self._cut = True
        for each in self._opened:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _too_late(self) -> Sent:
        return Sent(f"no whole answer within {self._timeout:g} s", True, None, 0, False)


def _taken(body: bytes, sent: int) -> Sent:
    try:
        partial_success = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Sent()  # a proxy's own 200: the spans were taken, as far as anybody says
    said = partial_success.error_message
    rejected = min(max(0, partial_success.rejected_spans), sent)
    if rejected:
        return Sent(_short(f"{rejected} spans were rejected: {said or 'no reason given'}"), rejected=rejected)
    return Sent(_short(said))


def _short(text: str) -> str:
    """What a foreign program says, as part of one line."""
    return "".join(each if each.isprintable() else " " for each in text[:LONGEST_PROBLEM])


def _seconds(text: str | None) -> float | None:
    """Of a `Retry-After`; a date there is not worth a clock."""
    return float(text) if text is not None and text.isdecimal() else None
