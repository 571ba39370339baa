"""What goes wrong with model services, by name: each fault as the answer that shows it, and the error it has to become.

    server.answers.append(FAULTS["rate_limited"].answer("openai"))

`FaultServer` answers with the fault a model is named after; the table in `docs/providers.md` is this one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from planaria.membrane import errors
from planaria.membrane.errors import ProviderError
from planaria.membrane.provider import ToolCall, Usage
from planaria.testing.model_answer import Answer, Dialect, sse

TEXT = "one two three four five six seven"
"""What an answer says before or unless it fails."""
HUGE = 9 * 1024 * 1024
"""Bytes of one event that is too long: above `sse.MAX_EVENT`."""
RETRY_AFTER = 7
"""Seconds asked for with `rate_limited`."""

type Make = Callable[[Dialect], Answer]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Args:
        what: happens, in words.
        becomes: the error a caller sees; None where the answer is an answer all the same.
        held: whether the server says nothing more until the client leaves or `release()`: it is the caller's patience
            that ends it.
    """

    what: str
    becomes: type[ProviderError] | None
    make: Make = field(repr=False)
    held: bool = False

    def answer(self, dialect: Dialect = "openai") -> Answer:
        """The answer that shows it."""
        return self.make(dialect)


def _refused(status: int, kind: str, message: str, **headers: str) -> Make:
    def make(dialect: Dialect) -> Answer:
        error: dict[str, Any] = {"type": kind, "message": message}
        body: dict[str, Any] = (
            {"type": "error", "error": error} if dialect == "anthropic" else {"error": error}
        )
        return Answer(
            status=status, body=body, headers={name.replace("_", "-"): v for name, v in headers.items()}
        )

    return make


def _same(answer: Answer) -> Make:
    return lambda dialect: answer


def _cut(dialect: Dialect) -> Answer:
    """Cut in the middle of the sixth event, which is a word in either dialect."""
    events = [*sse(Answer(TEXT), dialect, "cut_mid_token")]
    return Answer(TEXT, cut_after=sum(map(len, events[:5])) + len(events[5]) // 2)


FAULTS: dict[str, Fault] = {
    "slow_first_byte": Fault(
        "nothing comes, not even a head", errors.TimedOut, _same(Answer(TEXT, hold_head=True)), held=True
    ),
    "hang": Fault(
        "the answer begins, then silence", errors.TimedOut, _same(Answer(TEXT, hold_at=5)), held=True
    ),
    "cut_mid_token": Fault("the connection drops inside an event", errors.StreamCut, _cut),
    "cut_before_head": Fault(
        "the connection drops without an answer", errors.StreamCut, _same(Answer(raw=b""))
    ),
    "early_end": Fault(
        "the stream ends properly, but its answer does not",
        errors.StreamCut,
        lambda dialect: Answer(events=(_PIECE[dialect],)),
    ),
    "wrong_length": Fault(
        "fewer bytes than the head has promised",
        errors.StreamCut,
        _same(
            Answer(
                raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\ndata: {"
            )
        ),
    ),
    "error_in_stream": Fault(
        "an error object in the middle of a stream that began with 200",
        errors.Overloaded,
        _same(Answer(TEXT, fail_at=4)),
    ),
    "rate_limited": Fault(
        "429, with the seconds to wait",
        errors.RateLimited,
        _refused(429, "rate_limit_error", "Rate limit reached", retry_after=str(RETRY_AFTER)),
    ),
    "server_error": Fault("500", errors.Overloaded, _refused(500, "api_error", "Internal server error")),
    "bad_gateway": Fault(
        "502 with a proxy's HTML page",
        errors.Overloaded,
        _same(Answer(status=502, body="<html>Bad gateway</html>")),
    ),
    "overloaded": Fault("529", errors.Overloaded, _refused(529, "overloaded_error", "Overloaded")),
    "no_key": Fault(
        "401", errors.AuthenticationFailed, _refused(401, "authentication_error", "invalid x-api-key")
    ),
    "no_credit": Fault(
        "402", errors.OutOfCredit, _refused(402, "billing_error", "Your credit balance is too low")
    ),
    "no_model": Fault(
        "404 for the model", errors.ModelNotFound, _refused(404, "not_found_error", "model: not found")
    ),
    "too_long": Fault(
        "400, the prompt does not fit",
        errors.ContextTooLong,
        _refused(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
    ),
    "bad_json": Fault(
        "an event that is no JSON", errors.BadAnswer, _same(Answer(events=('{"choices": [{"del',)))
    ),
    "bad_shape": Fault(
        "an event of another shape", errors.BadAnswer, _same(Answer(events=('{"choices": 7, "delta": 7}',)))
    ),
    "bad_events": Fault(
        "a stream that is no event stream",
        errors.StreamCut,
        _same(
            Answer(
                raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
                b"Hello there.\nThis is not SSE.\n\n\n\x00\xff\xfe\n"
            )
        ),
    ),
    "not_http": Fault(
        "something else than HTTP", errors.BadAnswer, _same(Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n"))
    ),
    "wrong_type": Fault(
        "200 with a web page", errors.BadAnswer, _same(Answer(body="<html>Welcome to nginx!</html>"))
    ),
    "compressed": Fault(
        "a compressed answer nobody asked for",
        errors.BadAnswer,
        _same(Answer(TEXT, headers={"content-encoding": "gzip"})),
    ),
    "huge_event": Fault(
        "one event of nine megabytes", errors.BadAnswer, _same(Answer(events=('{"x":"' + "y" * HUGE + '"}',)))
    ),
    "huge_head": Fault(
        "headers without an end",
        errors.BadAnswer,
        _same(
            Answer(
                raw=b"HTTP/1.1 200 OK\r\n"
                + b"x-filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 4000
            )
        ),
    ),
    "endless": Fault(
        "words without an end",
        errors.BadAnswer,
        lambda dialect: Answer(endless=b"data: " + _PIECE[dialect].encode() + b"\n\n"),
    ),
    "trickle": Fault("every byte alone", None, _same(Answer(TEXT, split=1))),
    "empty": Fault("an answer without a word", None, _same(Answer("", usage=Usage(10, 0)))),
    "bad_arguments": Fault(
        "a tool call whose arguments break off",
        None,
        lambda dialect: Answer(events=_BAD_CALL[dialect]),
    ),
    "strange_call": Fault(
        "a call of a tool nobody offers",
        None,
        _same(Answer(tool_calls=(ToolCall("c1", "no_such_tool", {}),))),
    ),
}
"""By name: letters and underscores, as a model is called to have it."""

_PIECE: dict[Dialect, str] = {
    "openai": '{"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}',
    "anthropic": '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word "}}',
}

_BAD_CALL: dict[Dialect, tuple[str, ...]] = {
    "openai": (
        '{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{\\"q"}}]}}]}',
        '{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}',
        "[DONE]",
    ),
    "anthropic": (
        '{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c1","name":"f","input":{}}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\\"q"}}',
        '{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":9}}',
        '{"type":"message_stop"}',
    ),
}
