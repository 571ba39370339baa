"""Vendors' errors, translated once.

Pure functions: from a status, headers and a body (or an error object inside a stream) to one of our `ProviderError`s,
with a message that says what to do. Does badly: which 400 is a context overflow is told from vendors' prose, so a
new wording lands in `RequestRefused` until it is added here.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

import msgspec

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

MAX_QUOTED = 400
"""Characters of a vendor's own words that are handed on."""

# What vendors call it inside a stream, where no status tells (Anthropic's documented types, OpenAI's, DeepSeek's).
STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 402,
    "timeout_error": 504,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "service_unavailable_error": 503,
    "overloaded_error": 529,
}

_CONTEXT = re.compile(
    r"context_length_exceeded|context[_ ](length|window|size|limit)|prompt is too long|input is too long"
    r"|too many (input )?tokens|maximum (number of )?(input )?tokens|reduce the length|exceed_context_size",
    re.IGNORECASE,
)
_CREDIT = re.compile(
    r"insufficient_quota|credit balance|insufficient (balance|credit|fund)|exceeded your current quota",
    re.IGNORECASE,
)
_KEY = re.compile(
    r"api[ _-]?key.{0,20}(not valid|invalid|incorrect)|(invalid|incorrect).{0,10}api[ _-]?key", re.IGNORECASE
)
_MODEL = re.compile(
    r"model_not_found|invalid model|unknown model|model.{0,80}(not exist|not found|not supported|is not available)"
    r"|not_found_error.{0,20}model|^model: ",
    re.IGNORECASE | re.DOTALL,
)
_BLANKS = re.compile(r"\s+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Vendor(msgspec.Struct, frozen=True):
    """What a translated error may name: who, whose key, which models."""

    name: str
    key: Secret | None
    key_variable: str | None
    models: tuple[str, ...] = ()
    local: bool = False


def from_response(
    vendor: Vendor, model: str, status: int, headers: Mapping[str, str], body: bytes
) -> ProviderError:
    """The error that an HTTP answer with a status other than 200 means."""
    try:
        decoded: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded = None
    # A proxy's HTML page explains nothing to anybody.
    words = body.decode("utf-8", "replace") if decoded is None and not body.lstrip().startswith(b"<") else ""
    kind, message = _told(decoded) if decoded is not None else ("", words)
    if 300 <= status < 400:
        target = headers.get("location", "elsewhere").split("?", 1)[0]
        return RequestRefused(
            f"{vendor.name} redirects to {_clean(vendor, target)}: set base_url to the address itself"
        )
    return _judge(vendor, model, status, kind, message, retry_after(headers))


def from_stream(vendor: Vendor, model: str, error: object) -> ProviderError:
    """The error that an error object inside a stream (status 200) means."""
    kind, message = _told(error)
    status = 500
    for word in kind.split():
        status = STATUS_OF_TYPE.get(word) or (int(word) if re.fullmatch(r"[45]\d\d", word) else status)
    return _judge(vendor, model, status, kind, message, None)


def _told(decoded: object) -> tuple[str, str]:
    """Type words and message from the shapes vendors use."""
    if isinstance(decoded, list) and decoded:  # Gemini's compatible endpoint wraps its error in a list.
        decoded = decoded[0]
    if isinstance(decoded, Mapping):
        inner = decoded.get("error")
        if isinstance(inner, Mapping):
            return _told(inner)
        words = " ".join(
            str(decoded[key]) for key in ("type", "code", "status") if decoded.get(key) is not None
        )
        for key in ("message", "detail", "error", "msg"):
            if decoded.get(key):
                told = decoded[key]
                return words, told if isinstance(told, str) else msgspec.json.encode(told).decode()
        return words, ""
    return "", decoded if isinstance(decoded, str) else ""


def _judge(
    vendor: Vendor, model: str, status: int, kind: str, message: str, wait: float | None
) -> ProviderError:
    name, prose = vendor.name, f"{kind} {message}"
    quoted = _clean(vendor, message or kind)
    says = f": {quoted}" if quoted else ""
    if _CREDIT.search(prose) or status == 402:
        return OutOfCredit(f"{name} has no credit or quota left for this key ({status}){says}")
    if status == 401 or (status in (400, 403) and _KEY.search(prose)):
        return AuthenticationFailed(_key_message(vendor, status) + says)
    if status == 403:
        return AuthenticationFailed(
            f"{name} does not allow this ({status}), the key{_from(vendor)} lacks the right or the region{says}"
        )
    if status in (400, 413, 422, 500) and _CONTEXT.search(prose):
        return ContextTooLong(f"the prompt does not fit into {model!r} of {name}{says}")
    if status == 404 and not _MODEL.search(prose) and "model" not in prose.lower():
        return RequestRefused(f"{name} has nothing at this address (404), check base_url{says}")
    if status == 404 or (status in (400, 422) and _MODEL.search(prose)):
        return ModelNotFound(missing_model(name, model, vendor.models, vendor.local))
    if status == 429:
        return RateLimited(f"{name} limits its requests (429){_wait(wait)}{says}", retry_after=wait)
    if status in (408, 409, 425) or status >= 500:
        word = "is overloaded" if status in (503, 529) else "failed"
        return Overloaded(f"{name} {word} ({status}){_wait(wait)}{says}", retry_after=wait)
    if 200 <= status < 300:
        return BadAnswer(f"{name} answered {status} where a model's answer was due{says}")
    return RequestRefused(f"{name} refused the request ({status}){says}")


def missing_model(provider: str, model: str, known: Iterable[str], local: bool = False) -> str:
    """Words for a model that is not there, with the nearest that is."""
    names = tuple(known)
    lower = {name.lower(): name for name in names}
    near = [lower[name] for name in difflib.get_close_matches(model.lower(), lower, n=3, cutoff=0.4)]
    near = [name for name in names if name.split(":")[0] == model] or near
    text = f"{provider} has no model {model!r}"
    if near:
        return f"{text}; nearest: {', '.join(f'{provider}/{name}' for name in near)}"
    if names:
        return f"{text}; it has {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
    return f"{text}: load it there first" if local else f"{text}: ask the provider for its list"


LONGEST_REST = 86_400 * 7
"""Seconds; who asks for more has written something else."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asked to wait. A date is compared with the answer's own date, so no clock is needed."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        return seconds if 0 <= seconds < LONGEST_REST else None
    try:
        until, now = parsedate_to_datetime(headers["retry-after"]), parsedate_to_datetime(headers["date"])
        seconds = max(0.0, (until - now).total_seconds())
        return seconds if seconds < LONGEST_REST else None
    except (KeyError, ValueError, TypeError):
        return None


def _key_message(vendor: Vendor, status: int) -> str:
    if not vendor.key:
        mend = (
            f"set {vendor.key_variable}"
            if vendor.key_variable
            else f"type `planaria provider key {vendor.name}`"
        )
        return f"{vendor.name} wants a key ({status}): {mend}"
    mend = f": `planaria provider key {vendor.name}`" if " " in (vendor.key_variable or "") else ""
    return f"{vendor.name} refused the key{_from(vendor)} ({status}), check it or make a new one{mend}"


def _from(vendor: Vendor) -> str:
    return f" from {vendor.key_variable}" if vendor.key and vendor.key_variable else ""


def _wait(seconds: float | None) -> str:
    return "" if seconds is None else f", again in {seconds:g} s"


def _clean(vendor: Vendor, text: str) -> str:
    """A vendor's words: one line, not too long, and without the key if it is quoted."""
    text = _CONTROL.sub("", _BLANKS.sub(" ", text)).strip()
    if vendor.key:
        text = vendor.key.scrub(text)
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "..."
