"""What a dialect makes of one call: the bytes to send, and an answer read from what comes back."""

from collections.abc import Sequence
from typing import Protocol

from planaria.membrane.provider import Delta, ModelResponse, Usage
from planaria.membrane.wire.sse import ServerEvent


class Reading(Protocol):
    """One answer while it comes. Knows no socket: a value that events are fed to."""

    @property
    def done(self) -> bool:
        """Whether the answer has said that it is over; what follows is not read."""
        ...

    @property
    def charged(self) -> Usage | None:
        """What the provider has said so far that it counts; None if nothing."""
        ...

    @property
    def written(self) -> int | None:
        """Characters of the answer so far; None if it has not begun, or `charged` is the whole bill."""
        ...

    def take(self, event: ServerEvent) -> Sequence[Delta]:
        """Add one event; the pieces of text and thinking it brings.

        Raises:
            ProviderError: it is an error, or cannot be read.
        """
        ...

    def whole(self, data: bytes) -> Sequence[Delta]:
        """An answer in one piece, from a server that does not stream.

        Raises:
            ProviderError: as `take`.
        """
        ...

    def response(self) -> ModelResponse:
        """The whole answer, after the last event.

        Raises:
            StreamCut: it was not over.
        """
        ...
