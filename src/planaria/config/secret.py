"""A string that does not show itself: API keys and tokens.

`repr`, `str`, formatting and tracebacks show `Secret(***)`; it refuses to be pickled. `reveal()` is the one way in,
so every place that touches a key can be listed. Does badly: a memory dump shows it.
"""

import hmac
from typing import Never, final

HIDDEN = "***"


@final
class Secret:
    """A secret text. Equal to another `Secret` with the same text, and to nothing else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        # Keys copied from a terminal or a file often carry a newline, which must never reach a header.
        self._text = text.strip()

    def reveal(self) -> str:
        """The secret itself. Never log, journal or format the answer."""
        return self._text

    def scrub(self, text: str) -> str:
        """The text without the secret, for words that came from outside and may quote it."""
        return text.replace(self._text, HIDDEN) if self._text else text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> Never:
        raise TypeError("a Secret is not pickled: hand on the name of its environment variable instead")
