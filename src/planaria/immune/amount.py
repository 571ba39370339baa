"""An amount: money, tokens, calls and seconds together."""

import msgspec


class Amount(msgspec.Struct, frozen=True):
    """What one or many calls cost.

    Attributes:
        micro_usd: millionths of a US dollar.
        tokens: of prompt and answer.
        calls: of models and tools.
        seconds: they took.
    """

    micro_usd: int = 0
    tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
