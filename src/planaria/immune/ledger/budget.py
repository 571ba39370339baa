"""Limits as people write them: the `budget:` of a record, `usd_per_day=1.5` at a command. Pure."""

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec

from planaria.config.budget import NO_LIMITS, Limits
from planaria.immune.ledger.spender import kind_of

LIMITS = Limits.__struct_fields__


class LimitsError(ValueError):
    """Limits that cannot be read; the text says which and what to write."""


def read_limits(given: object) -> Limits:
    """The limits a mapping describes, such as `{usd_per_day: 1.5}`.

    Raises:
        LimitsError: an unknown limit, or a value that is no number of zero or more.
    """
    if given is None:
        return NO_LIMITS
    if not isinstance(given, Mapping):
        raise LimitsError("budget must be a mapping; write `budget: {usd_per_day: 1.0}`")
    for name, value in given.items():
        if name not in LIMITS:
            near = difflib.get_close_matches(str(name), LIMITS, n=1)
            mend = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(LIMITS)}"
            raise LimitsError(f"there is no limit {name!r}; {mend}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
            raise LimitsError(f"{name} is {value!r}; write a number, 0 or more")
    try:
        return msgspec.convert(dict(given), Limits)
    except msgspec.ValidationError as error:
        raise LimitsError(
            f"{str(error).partition(' - at ')[0]} in {dict(given)!r}; write whole numbers"
        ) from error


def changed(before: Limits, words: Mapping[str, str]) -> Limits:
    """Limits after words such as `{"usd_per_day": "1.5", "tokens_per_day": "none"}`.

    Raises:
        LimitsError: as `read_limits`.
    """
    said: dict[str, Any] = before.given()
    for name, word in words.items():
        if word.lower() in ("none", "off", "unlimited"):
            if name not in LIMITS:
                read_limits({name: 0})
            said.pop(name, None)
            continue
        number = word.lstrip("$").replace("_", "")
        try:
            said[name] = int(number) if number.isdecimal() else float(number)
        except ValueError as error:
            raise LimitsError(f"{name} is {word!r}; write a number, or none for no limit") from error
    return read_limits(said)


def check_account(account: str) -> str:
    """A name of an account that limits can be set for.

    Raises:
        LimitsError: it is none.
    """
    if kind_of(account) in ("", "turn", "run") or len(account) > 300:
        raise LimitsError(
            f"{account!r} is no account with limits of its own; write garden, agent:NAME, room:NAME, "
            "provider:NAME or session:AGENT@ROOM"
        )
    return account
