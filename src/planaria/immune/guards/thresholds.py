"""When a guard speaks up: the limits of one agent, with defaults that are on. Pure.

guards: {repeats: 4, no_news: 10, context: 0.7}     # in the agent's record
guards: off
"""

from collections.abc import Mapping

import msgspec


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the guards; 0 turns one off.

    Attributes:
        repeats: steps in a row with the same calls and the same results.
        failures: steps in a row in which the same call fails, whatever it says.
        cycles: rounds of a cycle of two or three steps; of four or five, one less.
        paraphrase: from which likeness, 0 to 1, steps that say the same in other words count as repeated.
        no_news: steps in a row that bring nothing new: no new result, no tool not used before.
        stall_seconds: seconds in which a turn comes to nothing, waiting for people and for moments not counted.
        calls_per_step: tool calls in one answer of the model.
        calls_per_turn: tool calls in one turn.
        children: sub-agents one turn may start; `depth`: their generations.
        context: the share of the model's context, 0 to 1, from which a session hands off.
        echoes: turns in a row with the same message, of no person, and the same answer.
        rounds: turns in a row that the session's own turns have led to, no person having said a word since.
        polling: authors whose messages are meant to come again and again: `timer`, the name of a sub-agent.
    """

    repeats: int = 3
    failures: int = 4
    cycles: int = 3
    paraphrase: float = 0.6
    no_news: int = 6
    stall_seconds: float = 600.0
    calls_per_step: int = 32
    calls_per_turn: int = 250
    children: int = 20
    depth: int = 4
    context: float = 0.8
    echoes: int = 4
    rounds: int = 12
    polling: tuple[str, ...] = ()


OFF = Thresholds(0, 0, 0, 0.0, 0, 0.0, 0, 0, 0, 0, 0.0, 0, 0)
"""No guard speaks up."""


def read_thresholds(value: object) -> Thresholds:
    """Limits as a record declares them: a mapping of some of them, or `off`.

    Raises:
        ValueError: it is neither; the text says what to write.
    """
    if value is False or value == "off":
        return OFF
    if not isinstance(value, Mapping):
        raise ValueError("guards must be a mapping such as {repeats: 4, context: 0.7}, or `off`")
    given = {key: 0 if each is False else each for key, each in value.items()}
    try:
        found = msgspec.convert(given, Thresholds, strict=True)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}; known: {', '.join(Thresholds.__struct_fields__)}") from error
    for name in Thresholds.__struct_fields__:
        if name != "polling" and getattr(found, name) < 0:
            raise ValueError(f"{name} must be 0 (off) or more")
    if found.context > 1 or found.paraphrase > 1:
        raise ValueError("context and paraphrase are shares from 0 to 1")
    if 1 in (found.repeats, found.cycles, found.no_news, found.echoes, found.rounds):
        raise ValueError(
            "repeats, cycles, no_news, echoes and rounds are 0 (off) or at least 2: once is no repetition"
        )
    return found
