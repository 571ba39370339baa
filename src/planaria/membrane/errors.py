"""What can go wrong at the edge.

```
ProviderError                 a model call failed; `retry`: may the same call succeed later; `retry_after`: seconds
├── BadAddress                the base URL cannot be used as written
├── AuthenticationFailed      no key, a wrong key, or one without the right (401, 403)
├── OutOfCredit               the account has no money or quota left (402, insufficient_quota)
├── ModelNotFound             no such model, or no such provider; names the nearest ones
├── ContextTooLong            the prompt does not fit; retrying the same one cannot help
├── RequestRefused            the provider does not accept this request (other 4xx)
├── RateLimited               too many requests (429)                                          retry
├── Overloaded                the provider fails or has no room (5xx, 529)                     retry
├── Unreachable               no connection: refused, no such host, TLS                        retry, TLS not
├── TimedOut                  connected, then silence                                          retry
├── StreamCut                 the answer broke off in the middle                               retry
├── BadAnswer                 what came is not what was agreed: garbage, too long               retry
└── NotNow                    we do not ask it now                                             retry
    ├── QueueFull             too many of our own calls wait for it already
    ├── HeldBack              it asked for time, or a limit set for it is used up
    ├── BreakerOpen           it failed too often lately
    └── BudgetExhausted       whoever asks may not spend that much                             no retry
```

`kind` is the class in words that journals keep; what follows from each is in `calls/treatment.py`.

Vendors' errors become these in one place, `vendor_errors.py`. Messages never contain a key, and end with the mend.
"""

from typing import ClassVar

from planaria.membrane.provider import Usage


class ProviderError(Exception):
    """A model call failed.

    Args:
        message: for people; complete, without secrets.
        retry: whether the same request may succeed later; None takes the class's own answer.
        retry_after: seconds the provider asked to wait, if it said so.
    Attributes:
        usage: tokens the provider said it had charged before it failed; None if it told nothing.
        written: characters of the answer that had come, arguments of calls included; None if none had begun, or if
            `usage` is the whole bill.
    """

    default_retry = False
    kind: ClassVar[str] = "failed"

    def __init__(self, message: str, retry: bool | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry = self.default_retry if retry is None else retry
        self.retry_after = retry_after
        self.usage: Usage | None = None
        self.written: int | None = None


class BadAddress(ProviderError):
    """The base URL is malformed, or plain http to a host that is neither here nor on a private network."""

    kind = "bad_address"


class AuthenticationFailed(ProviderError):
    """The provider wants another key."""

    kind = "authentication_failed"


class OutOfCredit(ProviderError):
    """The account is empty or over its quota."""

    kind = "out_of_credit"


class ModelNotFound(ProviderError):
    """No such model or provider."""

    kind = "model_not_found"


class ContextTooLong(ProviderError):
    """The prompt does not fit into the model's context."""

    kind = "context_too_long"


class RequestRefused(ProviderError):
    """The provider does not accept this request."""

    kind = "request_refused"


class RateLimited(ProviderError):
    """Too many requests; wait `retry_after` seconds if it is set."""

    kind = "rate_limited"
    default_retry = True


class Overloaded(ProviderError):
    """The provider failed or has no room now."""

    kind = "overloaded"
    default_retry = True


class Unreachable(ProviderError):
    """There was no connection."""

    kind = "unreachable"
    default_retry = True


class TimedOut(ProviderError):
    """The provider was silent for too long."""

    kind = "timed_out"
    default_retry = True


class StreamCut(ProviderError):
    """The answer began and broke off; what came before is not complete."""

    kind = "stream_cut"
    default_retry = True


class BadAnswer(ProviderError):
    """The answer is not HTTP, not JSON, or larger than allowed."""

    kind = "bad_answer"
    default_retry = True


class NotNow(ProviderError):
    """Nothing was sent: we do not ask this provider now."""

    default_retry = True


class QueueFull(NotNow):
    """As many of our own calls wait for this provider as may; one more is refused instead of waiting."""

    kind = "queue_full"


class HeldBack(NotNow):
    """The provider asked for time (`retry_after`), or a limit that was set for it is used up."""

    kind = "held_back"


class BreakerOpen(NotNow):
    """The provider failed too often lately."""

    kind = "breaker_open"


class BudgetExhausted(NotNow):
    """Whoever asks may not spend what the call may cost; the text says whose budget it is."""

    kind = "budget_exhausted"
    default_retry = False
