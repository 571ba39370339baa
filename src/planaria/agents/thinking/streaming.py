"""An answer on its way into the room, piece by piece; secrets are masked before anybody sees them.

What was shown of an answer that then breaks off is taken back aloud (`ReplyDelta.again`): the one that counts is said
whole in the end.
"""

from planaria.agents.desk import Desk
from planaria.agents.thinking.meter import Meter
from planaria.agents.turn.estimate import Estimate
from planaria.agents.turn.turn import Turn
from planaria.cortex.redact import Flow
from planaria.immune.guards.likeness import spins
from planaria.membrane.errors import BadAnswer
from planaria.membrane.provider import (
    Delta,
    ModelRequest,
    ModelResponse,
    Provider,
    ReasoningDelta,
    push,
)
from planaria.otp import now
from planaria.rooms.message import room_name
from planaria.rooms.room import Room

LOOK_EVERY = 4000
"""Characters after which it is looked whether the answer goes round and round."""
METER_EVERY = 1000
"""Characters after which the accounts are told what it may have cost so far."""
PIECE = 24
"""Characters of a streamed answer that are sent on together, at least."""
RESUMED = "it was interrupted"
"""Why an answer begins again that a killed process had begun."""


class Streaming:
    """One answer.

    Args:
        step: which model call of the turn.
        again: why it begins again, if people may have seen a piece of one before it.
        meter: told of what comes.
    Attributes:
        shown: what was sent into the room of it.
        written: all of it that is written, also what waits to be sent; not its last word, which may be half a secret.
        model: what writes it, `provider/model`; empty before it is asked.
        first: seconds to its first piece, 0.0 before; `whole`: to its last.
        characters: that came, thinking included.
    """

    def __init__(
        self, desk: Desk, turn: Turn, step: int, again: str = "", meter: Meter | None = None
    ) -> None:
        self.meter = meter
        self.characters = self._metered = 0
        self.shown = self.model = ""
        self.first = self.whole = 0.0
        self._room = "" if desk.child is not None else room_name(desk.room)
        self._agent = desk.agent
        self._cause = turn.message.id
        self._step = step
        self._again = again
        # What it says after its tools, or once more after a failure or a kill, begins a new paragraph.
        self._held = "\n\n" if step or again or turn.failures else ""
        self._raw = ""  # what of it is not masked yet: that is done for some words at once, since it costs
        self._tail: list[str] = []
        self._unlooked = 0  # characters of it that came since the last look
        self._flow: Flow = desk.flow()
        desk.drafts.streaming = self
        self._begun = now()

    @property
    def written(self) -> str:
        """See the class."""
        self._mask()
        return self.shown + self._held

    @property
    def unbilled(self) -> Estimate | None:
        """See `Written`."""
        if self.meter is None or not self.characters or self.whole:
            return None
        return self.meter.estimate(self.characters, now() - self._begun)

    async def run(self, provider: Provider, request: ModelRequest) -> ModelResponse:
        """Ask, and hand the answer on while it is written.

        Raises:
            ProviderError: as in `Provider.stream`.
        """
        self._begun = now()
        self.model = f"{provider.name}/{request.model}"
        response = await push(provider, request, self._take)
        self.whole = now() - self._begun
        self.first = self.first or self.whole
        self._mask()
        self._held += self._flow.rest()
        if self._held.strip():
            self._send()
        return response

    def broken(self, why: str) -> None:
        """The answer is not coming: what was shown of it does not count."""
        self.whole = now() - self._begun
        if self.shown and self._room:
            Room.delta(self._room, self._agent, self._cause, "", why, self._step)

    def _take(self, piece: Delta) -> None:
        self.first = self.first or now() - self._begun
        self._tail.append(piece.text)
        self._unlooked += len(piece.text)
        self.characters += len(piece.text)
        if self.meter is not None and self.characters - self._metered >= METER_EVERY:
            self._metered = self.characters
            self.meter.tell(self.characters)
        if self._unlooked >= LOOK_EVERY:
            self._look()
        if isinstance(piece, ReasoningDelta):
            return
        self._raw += piece.text
        # The first words go at once, to be seen; later ones in handfuls.
        if len(self._raw) >= PIECE or not self.shown:
            self._mask()
            if self._held.strip():
                self._send()

    def _mask(self) -> None:
        if self._raw:
            self._held += self._flow.take(self._raw)
            self._raw = ""

    def _look(self) -> None:
        """A model may say or think one thing over and over, without end: such an answer is none.

        Raises:
            BadAnswer: it does.
        """
        said = spins("".join(self._tail))
        self._tail, self._unlooked = [], 0
        if said:
            raise BadAnswer(f"the model repeated {said[:60]!r} over and over")

    def _send(self) -> None:
        if self._room:
            Room.delta(self._room, self._agent, self._cause, self._held, self._again, self._step)
        self.shown += self._held
        self._held = self._again = ""
