import pytest

from planaria.config.secret import Secret
from planaria.membrane.errors import (
    AuthenticationFailed,
    BadAnswer,
    ContextTooLong,
    ModelNotFound,
    OutOfCredit,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestRefused,
)
from planaria.membrane.wire.vendor_errors import (
    MAX_QUOTED,
    Vendor,
    from_response,
    from_stream,
    missing_model,
    retry_after,
)

KEY = "sk-secret"
VENDOR = Vendor("acme", Secret(KEY), "ACME_API_KEY", ("llama3.3:70b", "qwen3:8b"))


def error(
    status: int, body: str = "", headers: dict[str, str] | None = None, vendor: Vendor = VENDOR
) -> ProviderError:
    return from_response(vendor, "llama3.3", status, headers or {}, body.encode())


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, "", AuthenticationFailed),
        (403, '{"error":"region"}', AuthenticationFailed),
        (
            400,
            '[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key."}}]',
            AuthenticationFailed,
        ),
        (402, '{"error":{"message":"Insufficient Balance"}}', OutOfCredit),
        (
            429,
            '{"error":{"code":"insufficient_quota","message":"You exceeded your current quota"}}',
            OutOfCredit,
        ),
        (429, "", RateLimited),
        (404, '{"error":{"message":"model \\"llama3.3\\" not found, try pulling it first"}}', ModelNotFound),
        (400, '{"error":{"message":"Model Not Exist"}}', ModelNotFound),
        (400, '{"object":"error","message":"Invalid model: llama3.3","code":"1500"}', ModelNotFound),
        (404, "<html>nginx</html>", RequestRefused),
        (400, '{"error":{"message":"This model\'s maximum context length is 8192 tokens"}}', ContextTooLong),
        (400, '{"error":{"type":"exceed_context_size_error","message":"x"}}', ContextTooLong),
        (413, '{"error":{"message":"prompt is too long"}}', ContextTooLong),
        (413, '{"error":{"message":"request entity too large"}}', RequestRefused),
        (422, '{"detail":[{"loc":["body"],"msg":"extra"}]}', RequestRefused),
        (408, "", Overloaded),
        (500, "oops", Overloaded),
        (503, "", Overloaded),
        (529, "", Overloaded),
        (599, "\xff\x00", Overloaded),
        (204, "", BadAnswer),
        (301, "", RequestRefused),
        (418, "I am a teapot", RequestRefused),
    ],
)
def test_every_status_becomes_one_of_our_errors(status, body, kind):
    assert type(error(status, body)) is kind


def test_what_may_succeed_later_says_so():
    assert all(error(status).retry for status in (408, 429, 500, 502, 503, 504, 529))
    assert not any(error(status).retry for status in (400, 401, 402, 403, 404, 413, 422))


def test_a_wrong_key_names_its_variable():
    assert "ACME_API_KEY" in error(401).message


def test_a_missing_key_says_which_variable_to_set():
    assert "set ACME_API_KEY" in error(401, vendor=Vendor("acme", None, "ACME_API_KEY")).message
    assert "`planaria provider key acme`" in error(401, vendor=Vendor("acme", None, None)).message


def test_the_key_is_never_quoted():
    for status in (400, 401, 404, 429, 500, 302):
        body = f'{{"error":{{"message":"bad key {KEY}","code":"{KEY}"}}}}'
        assert KEY not in str(error(status, body, {"location": f"https://x/{KEY}?key={KEY}"}))


def test_a_long_or_wild_message_is_cut_and_made_one_line():
    message = error(500, "a\r\n\x1b[31mb" + "x" * 10_000).message
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < MAX_QUOTED + 100


def test_a_missing_model_names_the_nearest():
    assert missing_model("ollama", "llama3.3", ("llama3.3:70b", "qwen3:8b")).endswith(
        "nearest: ollama/llama3.3:70b"
    )
    assert missing_model("ollama", "qwen4:8b", ("llama3.3:70b", "qwen3:8b")).endswith(
        "nearest: ollama/qwen3:8b"
    )
    assert "it has b" in missing_model("a", "zzz", ("b",))
    assert "load it there" in missing_model("a", "zzz", (), local=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT", "date": "Sat, 21 Nov 2026 12:00:00 GMT"}, 30.0),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT", "date": "Sat, 21 Nov 2026 12:00:00 GMT"}, 0.0),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 2036 12:00:00 GMT", "date": "Sat, 21 Nov 2026 12:00:00 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_the_wait_a_provider_asks_for_is_read(headers, seconds):
    assert retry_after(headers) == seconds
    assert error(429, "", headers).retry_after == seconds


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, Overloaded),
        ({"error": {"type": "rate_limit_error", "message": "x"}}, RateLimited),
        ({"error": {"type": "authentication_error", "message": "x"}}, AuthenticationFailed),
        ({"error": {"code": 429, "message": "x"}}, RateLimited),
        ({"error": {"code": "context_length_exceeded", "message": "x"}}, ContextTooLong),
        ({"error": "anything"}, Overloaded),
        ("words", Overloaded),
        ({}, Overloaded),
        (None, Overloaded),
        ([], Overloaded),
        ({"error": {"message": {"nested": "x"}}}, Overloaded),
    ],
)
def test_an_error_inside_a_stream_is_translated_without_a_status(told, kind):
    assert type(from_stream(VENDOR, "m", told)) is kind
