"""What every provider over HTTP does alike: the connection, the key, the errors, the events of a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from planaria.config.secret import Secret
from planaria.membrane.errors import BadAnswer, ProviderError, StreamCut, TimedOut
from planaria.membrane.provider import ModelRequest, ModelResponse, Patience, Piece, Sink
from planaria.membrane.providers.reading import Reading
from planaria.membrane.wire.address import parse_address
from planaria.membrane.wire.http_stream import DEFAULT_LIMITS, HttpCall, HttpClient, Limits
from planaria.membrane.wire.sse import EventParser, EventTooLong, ServerEvent
from planaria.membrane.wire.vendor_errors import Vendor, from_response
from planaria.otp import now

MAX_ERROR_BODY = 64 * 1024
MAX_WHOLE_ANSWER = 16 * 1024 * 1024


class HttpProvider:
    """Base of the dialects.

    Args:
        name: what people write before the slash.
        base_url: up to and without the path of the call, e.g. `https://api.openai.com/v1`.
        key: sent with every call; None for servers that want none.
        key_variable: environment variable the key came from (or should), for error messages.
        known_models: to name the nearest when one is missing.
        local: whether it runs on this machine and costs nothing.
        allow_http: take plain http to a public host.
    Raises:
        BadAddress: `base_url` cannot be used.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        key: Secret | None = None,
        key_variable: str | None = None,
        known_models: tuple[str, ...] = (),
        local: bool = False,
        allow_http: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.name = name
        self.local = local
        self.vendor = Vendor(name, key, key_variable, known_models, local)
        self.client = HttpClient(parse_address(base_url, allow_http), limits)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} at {self.client.address}>"

    def close(self) -> None:
        """Close kept connections; the provider can still be used."""
        self.client.close()

    def headers(self) -> dict[str, str]:
        """Headers of every call, the key among them."""
        raise NotImplementedError

    def begin(self, request: ModelRequest) -> tuple[str, bytes, Reading]:
        """Path and body of a call, and what reads its answer. Pure.

        Raises:
            RequestRefused: the dialect cannot say this.
        """
        raise NotImplementedError

    async def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
        """See `Provider.stream`."""
        path, body, reading = self.begin(request)
        begun = False
        try:
            async with self._open(path, body, request) as response:
                await self.expect_ok(response, request.model)
                if begun := is_event_stream(response.headers):
                    reader = EventReader(self.name, response)
                    while not reading.done and (events := await reader.next()):
                        for event in events:
                            for piece in reading.take(event):
                                yield piece
                    await response.finish()
                else:
                    for piece in reading.whole(await response.read_all(MAX_WHOLE_ANSWER)):
                        yield piece
            yield reading.response()
        except ProviderError as error:
            bill(error, reading, begun)
            raise

    async def push(self, request: ModelRequest, sink: Sink) -> ModelResponse:
        """See `Pushing.push`."""
        path, body, reading = self.begin(request)
        begun = False
        try:
            async with self._open(path, body, request) as response:
                await self.expect_ok(response, request.model)
                if begun := is_event_stream(response.headers):
                    await self._pump(response, reading, sink)
                    await response.finish()
                else:
                    for piece in reading.whole(await response.read_all(MAX_WHOLE_ANSWER)):
                        sink(piece)
            return reading.response()
        except ProviderError as error:
            bill(error, reading, begun)
            raise

    async def _pump(self, response: HttpCall, reading: Reading, sink: Sink) -> None:
        parser = EventParser()
        feed, take = parser.feed, reading.take
        silence = Silence(self.name, response.limits.between_words)

        def read(data: bytes) -> bool:
            events = feed(data)
            silence.look(events)
            for event in events:
                for piece in take(event):
                    sink(piece)
            return reading.done

        try:
            if not await response.pump(read):
                for event in parser.finish():
                    for piece in take(event):
                        sink(piece)
        except EventTooLong as error:
            raise BadAnswer(f"{self.name}: {error}") from error

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        idempotency_key: str = "",
        limits: Limits | None = None,
    ) -> HttpCall:
        """Open one call, to be used with `async with`."""
        headers = {**self.headers(), "user-agent": "planaria"}
        if idempotency_key:
            headers["idempotency-key"] = idempotency_key
        return self.client.request(method, path, headers, body, limits)

    def _open(self, path: str, body: bytes, request: ModelRequest) -> HttpCall:
        limits = patient(self.client.limits, request.patience)
        return self.call("POST", path, body, request.idempotency_key, limits)

    async def expect_ok(self, response: HttpCall, model: str) -> None:
        """Return if the answer is 200, raise what it means otherwise."""
        if response.status != 200:
            body = await response.read_all(MAX_ERROR_BODY)
            raise from_response(self.vendor, model, response.status, response.headers, body)

    async def get_json[T](self, path: str, kind: type[T]) -> T:
        """One GET, decoded."""
        return await self._json(self.call("GET", path), kind, "")

    async def post_json[T](self, path: str, value: object, kind: type[T], model: str) -> T:
        """One POST, its answer decoded.

        Args:
            model: for the words of an error.
        """
        return await self._json(self.call("POST", path, msgspec.json.encode(value)), kind, model)

    async def _json[T](self, call: HttpCall, kind: type[T], model: str) -> T:
        async with call as response:
            await self.expect_ok(response, model)
            data = await response.read_all(MAX_WHOLE_ANSWER)
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadAnswer(f"{self.name} answered what cannot be read: {error}") from error


class Silence:
    """How long a stream has been signs of life alone: comments, `ping`. Costs nothing while words come."""

    __slots__ = ("_limit", "_name", "_since")

    def __init__(self, name: str, limit: float) -> None:
        self._name = name
        self._limit = limit
        self._since = 0.0

    def look(self, events: Sequence[ServerEvent]) -> None:
        """Take note of what came.

        Raises:
            TimedOut: it is silent for too long.
        """
        if events and (len(events) > 1 or events[0].event != "ping"):
            self._since = 0.0
        elif not self._since:
            self._since = now()
        elif now() - self._since > self._limit:
            raise TimedOut(f"{self._name} gave signs of life for {self._limit:g} s and not a word")


class EventReader:
    """The events of a streamed answer, in the groups they arrived in."""

    def __init__(self, provider: str, response: HttpCall) -> None:
        self._provider = provider
        self._response = response
        self._parser = EventParser()
        self._silence = Silence(provider, response.limits.between_words)
        self._ended = False

    async def next(self) -> list[ServerEvent]:
        """The next events, at least one; an empty list after the last.

        Raises:
            TimedOut, StreamCut, BadAnswer: see `errors.py`.
        """
        try:
            while not self._ended:
                data = await self._response.read_some()
                self._ended = not data
                events = self._parser.feed(data) if data else self._parser.finish()
                self._silence.look(events)
                if events:
                    return events
        except EventTooLong as error:
            raise BadAnswer(f"{self._provider}: {error}") from error
        return []


def bill(error: ProviderError, reading: Reading, begun: bool) -> None:
    """Note what an answer that failed may cost: what was told, and how much had come.

    An error that the provider tells in place of an answer is none that had begun.

    Args:
        begun: whether the provider had accepted the call and begun to stream.
    """
    error.usage = reading.charged
    written = reading.written
    if written is None and begun and error.usage is None:
        written = 0
    if written or isinstance(error, StreamCut | TimedOut | BadAnswer):
        error.written = written


def unreadable(provider: str, error: Exception) -> BadAnswer:
    """The error for an event that is no JSON or of another shape."""
    return BadAnswer(f"{provider} sent an event that cannot be read: {error}")


def cut(provider: str) -> StreamCut:
    """The error for a stream that ended before its answer did."""
    return StreamCut(f"{provider} ended its stream in the middle of the answer")


def patient(limits: Limits, patience: Patience | None) -> Limits:
    """The limits of a provider, with what a request says instead of them."""
    if patience is None:
        return limits
    told = {
        name: seconds
        for name in ("connect", "first_byte", "between_bytes", "between_words")
        if (seconds := getattr(patience, name)) is not None
    }
    return msgspec.structs.replace(limits, **told) if told else limits


def is_event_stream(headers: Mapping[str, str]) -> bool:
    """Whether the body is server-sent events; servers that say nothing are believed to stream."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("text/event-stream", "", "text/plain", "application/octet-stream")
