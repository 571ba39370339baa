"""What events say was spent, on hand-off notes too."""

from typing import Any

from planaria.cortex.event import Event
from planaria.immune.ledger.bill import bill_of


def handed_off(**payload: Any) -> Event:
    session = "session:scout@garden"
    return Event(1, "id", 0.0, "trace", "turn", "node", "process", session, "session.handed_off", payload, 1)


def test_a_note_that_a_model_wrote_is_on_the_bill():
    usage = {"input_tokens": 900, "output_tokens": 100}
    bill = bill_of(handed_off(by="model", provider="local", usage=usage, cost_micro=7))
    assert bill is not None
    assert (bill.turn, bill.provider, bill.amount.tokens, bill.amount.micro_usd) == ("turn", "local", 1000, 7)


def test_a_note_that_was_put_together_is_not():
    assert bill_of(handed_off(by="mechanical")) is None
