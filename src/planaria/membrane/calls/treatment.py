"""What a failed model call means for the next attempt. Pure: one table, and the order it puts candidates in.

A failure says three things: how much of the provider it speaks of (one model, or all of them), whether the same
candidate may be asked once more, and whether another one may do better. Which error is which: `TREATMENTS`.
Source: the retry advice of OpenAI and Anthropic for their status codes. Differs: a broken or refused answer goes to
another provider too, since what one refuses another may take.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from planaria.config.breakers import FailureClass

MOST_TRIES = 3
"""Times one candidate is asked for one answer."""
MOST_ATTEMPTS = 8
"""Times all candidates together are asked for one answer."""
LONGEST_WAIT = 60.0
"""Seconds until the next attempt that are waited for; when every candidate asks for more, the call is given up."""

type Then = Literal["other", "again", "stop"]


class Treatment(msgspec.Struct, frozen=True):
    """What follows from one kind of failure.

    Attributes:
        whole: it speaks of the provider, not only of the model that was asked.
        again: the same candidate may be asked once more, after a pause.
        other: another candidate may do better.
        fault: how it counts at the breaker.
        why: in words.
    """

    whole: bool
    again: bool
    other: bool
    fault: FailureClass
    why: str


TREATMENTS: dict[str, Treatment] = {
    "failed": Treatment(False, True, True, "failed", "nobody knows what it was: another may not have it"),
    "bad_address": Treatment(
        True, False, True, "refused", "the address is written wrong: no call gets through"
    ),
    "authentication_failed": Treatment(
        True, False, True, "auth", "the key is refused: for every model of the provider"
    ),
    "out_of_credit": Treatment(
        True, False, True, "credit", "the account is empty: for every model of the provider"
    ),
    "model_not_found": Treatment(
        False, False, True, "refused", "this model is not there, others of the provider may be"
    ),
    "context_too_long": Treatment(False, False, True, "refused", "a model with a larger context may take it"),
    "request_refused": Treatment(False, False, True, "refused", "what one provider refuses another may take"),
    "rate_limited": Treatment(
        True, True, True, "rate_limit", "limits mostly hold for the account; time mends it"
    ),
    "overloaded": Treatment(True, True, True, "overload", "the provider has no room or fails; time mends it"),
    "unreachable": Treatment(
        True, True, True, "unreachable", "no connection to the provider; it may come back"
    ),
    "timed_out": Treatment(
        True, True, True, "timeout", "silence: whoever else is asked there is likely to hang as well"
    ),
    "stream_cut": Treatment(
        False, True, True, "broken", "the answer broke off; the next one may come through"
    ),
    "bad_answer": Treatment(
        False, True, True, "broken", "what came cannot be read; the next answer may be sound"
    ),
    "queue_full": Treatment(True, True, True, "refused", "too many of ours wait there already"),
    "held_back": Treatment(
        True, True, True, "refused", "it asked for time, or its limit for today is used up"
    ),
    "breaker_open": Treatment(True, True, True, "refused", "it failed too often lately"),
    "budget_exhausted": Treatment(False, False, False, "refused", "there is no money for any of them"),
    "unwritable": Treatment(
        False, False, False, "refused", "the answer was paid for; asking again would end the same"
    ),
    "no_candidate": Treatment(False, False, False, "refused", "there is nobody left to ask"),
}
"""By `ProviderError.kind`; a kind that is not here is treated as `failed`."""


class Tried(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt that failed.

    Attributes:
        kind: of the error, see `TREATMENTS`.
        attempt: its number, from 1; 0 if nothing was sent.
        retry: whether the error itself says that the same may work later.
        until: unix seconds before which the provider asked not to be asked again; 0 if it did not.
    """

    provider: str
    model: str
    kind: str = ""
    attempt: int = 0
    retry: bool = True
    until: float = 0.0

    @property
    def treatment(self) -> Treatment:
        """What follows from it; the error's own word on retrying the same counts where it says no."""
        found = TREATMENTS.get(self.kind, TREATMENTS["failed"])
        return found if self.retry else msgspec.structs.replace(found, again=False)


class Place(msgspec.Struct, frozen=True):
    """One candidate in the order in which to ask.

    Attributes:
        number: which of the candidates that were given.
        failures: how often it, or all of its provider, has failed already.
        until: unix seconds before which it is not to be asked; 0 if it may be asked now.
    """

    number: int
    failures: int = 0
    until: float = 0.0


def places(candidates: Sequence[tuple[str, str]], tried: Sequence[Tried]) -> list[Place]:
    """The candidates that may still be asked: those that failed least first, else in the order given.

    Args:
        candidates: provider and model of each.
        tried: the attempts that failed so far, oldest first.
    """
    if not tried:
        return [Place(number) for number in range(len(candidates))]
    if len(tried) >= MOST_ATTEMPTS or any(
        not one.treatment.other and not one.treatment.again for one in tried
    ):
        return []
    found: list[Place] = []
    for number, (provider, model) in enumerate(candidates):
        about = [
            one for one in tried if one.provider == provider and (one.treatment.whole or one.model == model)
        ]
        mine = sum(one.model == model for one in about)
        if mine >= MOST_TRIES or any(not one.treatment.again for one in about):
            continue
        until = max((one.until for one in about), default=0.0)
        found.append(Place(number, len(about), until))
    return sorted(found, key=lambda place: place.failures)


class Verdict(msgspec.Struct, frozen=True):
    """What to do after a failure: ask one who has not failed yet, at once; ask once more after `wait` seconds; stop."""

    then: Then
    wait: float = 0.0


def verdict(candidates: Sequence[tuple[str, str]], tried: Sequence[Tried], at: float) -> Verdict:
    """What to do after the last of `tried`.

    Args:
        at: unix seconds now.
    """
    for place in places(candidates, tried):
        if not place.failures:
            return Verdict("other")
        if place.until - at <= LONGEST_WAIT:
            return Verdict("again", pause(place.failures, place.until, at))
    return Verdict("stop")


def pause(failures: int, until: float, at: float) -> float:
    """Seconds before a candidate that has failed so often is asked once more."""
    return max(2.0 ** (failures - 1) if failures else 0.0, until - at, 0.0)
