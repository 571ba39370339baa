"""What a person writes of a provider, `limits.queue=20`, made into settings, or words about what is wrong. Pure."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from planaria.config.providers import LimitSettings, ModelDetails, ProviderSettings
from planaria.membrane.errors import BadAddress
from planaria.membrane.models.catalogue import OFFLINE, TIERS
from planaria.membrane.models.changes import split_path
from planaria.membrane.wire.address import parse_address

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LISTS = frozenset({"models", "abilities", "tiers"})
YES, NO = frozenset({"yes", "on", "true"}), frozenset({"no", "off", "false"})


class BadChange(ValueError):
    """What is wrong with a change, and the mend."""

    def __init__(self, problem: str, mend: str) -> None:
        super().__init__(f"{problem}: {mend}")
        self.problem = problem
        self.mend = mend


class Change(msgspec.Struct, frozen=True):
    """What is said now, and of what nothing is said any more."""

    said: ProviderSettings
    unset: tuple[str, ...] = ()


def change_of(words: Mapping[str, str]) -> Change:
    """The change that fields and their values mean.

    Args:
        words: `{"priority": "5", "limits.queue": "20", "about.some-model.tiers": "light, medium"}`; an empty value
            unsays the field.
    Raises:
        BadChange: an unknown field, or a value that cannot be.
    """
    plain: dict[str, Any] = {}
    unset: list[str] = []
    for path, text in words.items():
        kind = _kind_of(path)
        if not text.strip():
            unset.append(path)
            continue
        if kind is None:
            raise BadChange(f"{path!r} is a group", f"write what of it, as in {path}.tiers=light")
        steps = split_path(path)
        place = plain
        for step in steps[:-1]:
            place = place.setdefault(step, {})
        place[steps[-1]] = msgspec.to_builtins(_value(path, steps[-1], text.strip(), kind))
    said = msgspec.convert(plain, ProviderSettings)
    _check(said)
    return Change(said, tuple(unset))


def check_name(name: str) -> None:
    """Raises `BadChange` for what cannot be the name of a provider."""
    if not NAME.fullmatch(name):
        raise BadChange(
            f"{name!r} is no name for a provider", "use a-z, 0-9, - and _, beginning with a letter or digit"
        )
    if name == OFFLINE or name in TIERS:
        raise BadChange(f"the name {name!r} is taken", "choose another")


def _check(said: ProviderSettings) -> None:
    if said.base_url is not None:
        try:
            parse_address(said.base_url)
        except BadAddress as error:
            raise BadChange("this address cannot be used", str(error)) from error
    if said.api_key_env is not None and not VARIABLE.fullmatch(said.api_key_env):
        # What was written may be the key itself, so it is not shown.
        mend = "write the variable's name; a key itself goes to `planaria provider key NAME`"
        raise BadChange("api_key_env is not the name of a variable", mend)


def _kind_of(path: str) -> Any:
    """The type of a field; None for a group of them, which can only be unsaid."""
    steps = split_path(path)
    match steps:
        case ["limits" | "about"]:
            return None
        case ["limits", name]:
            struct: type[msgspec.Struct] = LimitSettings
        case ["about", _]:
            return None
        case ["about", _, name]:
            struct = ModelDetails
        case [name]:
            struct = ProviderSettings
        case _:
            raise _unknown(path)
    known = {field.name: field.type for field in msgspec.structs.fields(struct)}
    if name not in known:
        raise _unknown(path)
    return known[name]


def _unknown(path: str) -> BadChange:
    near = difflib.get_close_matches(path, fields(), n=1)
    mend = f"did you mean {near[0]!r}?" if near else f"fields: {', '.join(fields())}"
    return BadChange(f"there is no field {path!r}", mend)


def fields() -> list[str]:
    """All fields that can be written, as they are written."""
    plain = [name for name in ProviderSettings.__struct_fields__ if name not in ("about", "limits")]
    limits = [f"limits.{name}" for name in LimitSettings.__struct_fields__]
    return [*plain, *limits, *(f"about.MODEL.{name}" for name in ModelDetails.__struct_fields__)]


def _value(path: str, name: str, text: str, kind: Any) -> Any:
    value: Any = text
    if name in LISTS:
        value = [item.strip() for item in text.split(",") if item.strip()]
    elif text.lower() in YES | NO:
        value = text.lower() in YES
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        wanted = str(error).split(" - at ", 1)[0].replace("`", "").replace(" | null", "")
        raise BadChange(f"{path} cannot be {text!r}", wanted[:1].lower() + wanted[1:]) from error
