"""What a model call is taken to have cost that was cut off before its provider had counted it."""

import msgspec

from planaria.membrane.provider import Usage


class Estimate(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cost of one attempt, as far as nobody has told it. The accounts go by it until its real usage is known.

    Attributes:
        step, attempt: which attempt of the turn; the same one, made again under its key, has the same numbers.
        usage: what the provider had told, the rest estimated: the prompt and what had come of the answer, by the
            characters of a token.
        cost_micro: millionths of a US dollar; None if the price is not known.
        duration_ms: that it took.
    """

    step: int
    attempt: int
    provider: str
    model: str
    usage: Usage
    cost_micro: int | None = None
    duration_ms: float = 0.0
