"""One request of OTLP over HTTP, blocking: what became of the spans, and whether to send them again.

Source: the OTLP specification 1.x, section OTLP/HTTP: protobuf bodies, gzip, 429, 502, 503 and 504 may be tried again
(after `Retry-After`), everything else not; a 200 may still say that some spans were rejected.
Differs from the SDK's exporter, which does not look at rejected spans and tells why it failed only in its own log.
"""

import gzip
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan

from planaria import __version__

AGAIN = frozenset({429, 502, 503, 504})
LONGEST_ANSWER = 65_536


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


class OtlpEndpoint:
    """Where spans go.

    Args:
        url: with its path.
        headers: sent with each request.
        timeout: seconds the endpoint may be silent.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": f"planaria/{__version__}",
            **headers,
        }
        context = ssl.create_default_context()
        self._opener = urllib.request.build_opener(
            _NoRedirect(), urllib.request.HTTPSHandler(context=context)
        )

    def send(self, spans: Sequence[ReadableSpan]) -> Sent:
        """Send one batch. Never raises for what the world does."""
        body = gzip.compress(encode_spans(spans).SerializeToString(), compresslevel=5)
        request = urllib.request.Request(self._url, body, self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return _taken(answer.read(LONGEST_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                wait = _seconds(error.headers.get("Retry-After"))
                return Sent(f"HTTP {error.code} {error.reason}", error.code in AGAIN, wait, 0, False)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            return Sent(f"{type(error).__name__}: {reason}", True, None, 0, False)


def _taken(body: bytes) -> Sent:
    try:
        answer = ExportTraceServiceResponse.FromString(body)
    except DecodeError:
        return Sent()  # a proxy's own 200: the spans were taken, as far as anybody says
    partial = answer.partial_success
    if not partial.rejected_spans:
        return Sent()
    said = partial.error_message or "no reason given"
    return Sent(f"{partial.rejected_spans} spans were rejected: {said}", rejected=partial.rejected_spans)


def _seconds(text: str | None) -> float | None:
    """Of a `Retry-After`; a date there is not worth a clock."""
    return float(text) if text is not None and text.isdecimal() else None
