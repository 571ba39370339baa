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
└── BadAnswer                 what came is not what was agreed: garbage, too long
```

Vendors' errors become these in one place, `vendor_errors.py`. Messages never contain a key, and end with the mend.
"""


class ProviderError(Exception):
    """A model call failed.

    Args:
        message: for people; complete, without secrets.
        retry: whether the same request may succeed later; None takes the class's own answer.
        retry_after: seconds the provider asked to wait, if it said so.
    """

    default_retry = False

    def __init__(self, message: str, retry: bool | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry = self.default_retry if retry is None else retry
        self.retry_after = retry_after


class BadAddress(ProviderError):
    """The base URL is malformed, or plain http to a host that is neither here nor on a private network."""


class AuthenticationFailed(ProviderError):
    """The provider wants another key."""


class OutOfCredit(ProviderError):
    """The account is empty or over its quota."""


class ModelNotFound(ProviderError):
    """No such model or provider."""


class ContextTooLong(ProviderError):
    """The prompt does not fit into the model's context."""


class RequestRefused(ProviderError):
    """The provider does not accept this request."""


class RateLimited(ProviderError):
    """Too many requests; wait `retry_after` seconds if it is set."""

    default_retry = True


class Overloaded(ProviderError):
    """The provider failed or has no room now."""

    default_retry = True


class Unreachable(ProviderError):
    """There was no connection."""

    default_retry = True


class TimedOut(ProviderError):
    """The provider was silent for too long."""

    default_retry = True


class StreamCut(ProviderError):
    """The answer began and broke off; what came before is not complete."""

    default_retry = True


class BadAnswer(ProviderError):
    """The answer is not HTTP, not JSON, or larger than allowed."""
