"""All turns of a session in one line each: where they stand in the journal, and what they cost. Pure.

Folded from a session's stream, so that one turn out of thousands is found without reading the others. Holds no text,
so erasing what somebody said needs no look at it. Kept as the snapshot `turns`.
"""

import msgspec

from planaria.agents.turn.events import ModelFailed, ModelResponded, TurnFinished, TurnStarted
from planaria.agents.turn.turn import message_of_turn
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch

LEDGER_KINDS = (TurnStarted.kind, ModelResponded.kind, ModelFailed.kind, TurnFinished.kind)
SNAPSHOT = "turns"
SNAPSHOT_VERSION = 1


class TurnRow(msgspec.Struct, array_like=True):
    """One turn.

    Attributes:
        turn: its id.
        first_seq, last_seq: of its events in `LEDGER_KINDS`; between them lie its others.
        kept: answers it took over from the session it branched off.
        answers: all model answers, those kept included.
        cost_micro: millionths of a US dollar; of the calls whose price is known.
        outcome: as in `TurnFinished`; empty while it goes on, `erased` or `pruned` if that cannot be read.
    """

    turn: str
    trace_id: str
    at: float
    first_seq: int
    last_seq: int
    kept: int = 0
    answers: int = 0
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro: int = 0
    unpriced: int = 0
    outcome: str = ""

    @property
    def message(self) -> str:
        """Id of the message."""
        return message_of_turn(self.turn)[0]

    @property
    def steps(self) -> int:
        """Steps as people count them: the message, and each answer."""
        return 1 + self.answers


class Ledger(msgspec.Struct):
    """The turns of a session, in order; `seq` is the last event taken in."""

    seq: int = 0
    rows: list[TurnRow] = []

    def take(self, event: Event) -> None:
        """Take one event of the session in."""
        if event.kind not in LEDGER_KINDS:
            return
        self.seq = event.seq
        turn = event.cause_id or ""
        row = self._row(turn)
        if row is None:
            row = TurnRow(turn, event.trace_id, event.at, event.seq, event.seq)
            self.rows.append(row)
        row.last_seq = event.seq
        try:
            self._count(row, event)
        except EventMismatch:
            row.outcome = event.state if event.state != "whole" else row.outcome

    def _row(self, turn: str) -> TurnRow | None:
        # The end of a turn may be written after the beginning of the next.
        for row in reversed(self.rows[-3:]):
            if row.turn == turn:
                return row
        return None

    def _count(self, row: TurnRow, event: Event) -> None:
        if event.kind == TurnStarted.kind:
            row.kept = TurnStarted.of(event).kept
            row.answers += row.kept
        elif event.kind == ModelResponded.kind:
            row.answers += 1  # also of one that cannot be read: the steps keep their numbers
            said = ModelResponded.of(event)
            row.input_tokens += said.usage.input_tokens
            row.output_tokens += said.usage.output_tokens
            if said.cost_micro is None:
                row.unpriced += 1
            else:
                row.cost_micro += said.cost_micro
        elif event.kind == ModelFailed.kind:
            row.failures += 1
            failed = ModelFailed.of(event)
            if failed.usage is not None:
                row.input_tokens += failed.usage.input_tokens
                row.output_tokens += failed.usage.output_tokens
            row.cost_micro += failed.cost_micro or 0
        else:
            row.outcome = TurnFinished.of(event).outcome

    @property
    def steps(self) -> int:
        """Steps of all turns."""
        return sum(row.steps for row in self.rows)

    def find(self, number: int) -> tuple[int, int] | None:
        """Where a step is: the position of its turn, and the steps before that turn. None: there is no such step."""
        before = 0
        for position, row in enumerate(self.rows):
            if number <= before + row.steps:
                return (position, before) if number > before else None
            before += row.steps
        return None
