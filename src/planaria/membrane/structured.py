"""Answers that have to fit a JSON schema: the JSON found in a text, checked, and words for one more try. Pure.

    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    read("Sure! ```json\\n{\\"city\\": 7}\\n```", schema)
    # Unfit(faults=("at city: 7 is not of type 'string'",), text=...)

Providers ask the model in the way their dialect has for it, which not every server keeps; so the answer is checked
here, whoever gave it. Does badly: broken JSON is not mended by guessing; the model is told what is wrong with it.

A schema is mostly a stranger's: a model's, an MCP server's. So what can be made to run for hours is told to the model
and not checked (regular expressions, and what goes by the properties they name), and a check has so many steps and no
more.
"""

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from itertools import islice
from typing import Any

import msgspec

MOST_FAULTS = 8
"""Faults that are named at once."""
MOST_QUOTED = 160
"""Characters of one fault."""
MOST_STARTS = 64
"""Places in a text where JSON is looked for."""
LARGEST_SCHEMA = 200_000
"""Bytes of a schema."""
MOST_STEPS = 40_000
"""Rules that are looked at for one value: a few lines can ask for more of them than there are atoms."""
_UNCHECKED = ("pattern", "patternProperties", "unevaluatedProperties", "unevaluatedItems")
_STEPS: ContextVar[list[int]] = ContextVar("steps")


class Fit(msgspec.Struct, frozen=True):
    """The answer fits; `value` is it, decoded."""

    value: Any


class Unfit(msgspec.Struct, frozen=True):
    """The answer does not fit; `faults`, at least one, say where and why."""

    faults: tuple[str, ...]
    text: str


class NotJson(ValueError):
    """There is no JSON in a text; the message says what was found instead."""


class BadSchema(ValueError):
    """The schema itself is no JSON schema; the message says where."""


def read(text: str, schema: Mapping[str, Any]) -> Fit | Unfit:
    """Find the JSON in a model's answer and check it.

    Raises:
        BadSchema: the schema is none.
    """
    try:
        value = extract(text)
    except NotJson as error:
        check_schema(schema)
        return Unfit((str(error),), text)
    faults = validate(value, schema)
    return Unfit(faults, text) if faults else Fit(value)


def extract(text: str) -> Any:
    """The JSON value in a text: the text itself, what stands in a code fence, or the first object or array in it.

    Raises:
        NotJson: there is none, or it breaks off.
    """
    stripped = text.strip().removeprefix("\ufeff")
    if not stripped:
        raise NotJson("the answer is empty where JSON was due")
    problem = ""
    for candidate in _candidates(stripped):
        try:
            return msgspec.json.decode(candidate)
        except (msgspec.DecodeError, RecursionError) as error:
            problem = problem or str(error)
    raise NotJson(f"the answer is not JSON: {problem}")


def validate(value: Any, schema: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with a value, place by place; empty if it fits. `$ref` is followed inside the schema only.

    Raises:
        BadSchema: the schema is none, or points outside itself.
    """
    # 60 ms to load, for the few who ask for a schema.
    unresolvable = import_module("referencing.exceptions").Unresolvable
    checked = check_schema(schema)
    steps = _STEPS.set([0])
    try:
        found = list(map(_fault, islice(checked.iter_errors(value), MOST_FAULTS + 1)))
    except unresolvable as error:
        raise BadSchema(f"the schema points outside itself: {error}") from error
    except RecursionError as error:
        raise BadSchema(
            "the schema refers to itself without end, or the value is nested too deep for it"
        ) from error
    except ArithmeticError as error:
        found = [f"a number in it is too large to be checked: {error}"]
    finally:
        _STEPS.reset(steps)
    if len(found) > MOST_FAULTS:
        found[MOST_FAULTS:] = ["and more"]
    return tuple(found)


def check_schema(schema: Mapping[str, Any]) -> Any:
    """A validator of the schema's own draft, 2020-12 if it names none.

    Raises:
        BadSchema: it is no schema, or too much of one.
    """
    jsonschema, registry = import_module("jsonschema"), import_module("referencing")
    try:
        size = len(msgspec.json.encode(schema))
        if size > LARGEST_SCHEMA:
            raise BadSchema(f"no JSON schema that is read: it has {size} bytes, more than {LARGEST_SCHEMA}")
        if not isinstance(schema.get("$schema", ""), str):
            raise BadSchema("no JSON schema: its $schema is no text")
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise BadSchema(f"no JSON schema, {_fault(error)}") from error
    except RecursionError as error:
        raise BadSchema("no JSON schema that is read: it is nested too deep") from error
    # An empty registry: nothing is ever fetched.
    return _bounded(kind)(schema, registry=registry.Registry())


@cache
def _bounded(kind: Any) -> Any:
    """A draft's validator whose work has an end."""
    rules = {name: _counted(rule) for name, rule in kind.VALIDATORS.items() if name not in _UNCHECKED}
    rules["uniqueItems"] = _counted(_unique)
    rules["additionalProperties"] = _counted(_without_named(kind.VALIDATORS["additionalProperties"]))
    return import_module("jsonschema").validators.create(
        kind.META_SCHEMA,
        rules,
        type_checker=kind.TYPE_CHECKER,
        format_checker=kind.FORMAT_CHECKER,
        id_of=kind.ID_OF,
    )


def _counted(rule: Callable[..., Any]) -> Callable[..., Any]:
    def counted(validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
        steps = _STEPS.get()
        steps[0] += 1
        if steps[0] > MOST_STEPS:
            raise BadSchema(f"checking it takes more than {MOST_STEPS} steps: references go to and fro in it")
        return rule(validator, wanted, value, schema)

    return counted


def _without_named(rule: Callable[..., Any]) -> Callable[..., Any]:
    """The rule about other properties, where no regular expression says which those are."""

    def others(validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
        return () if "patternProperties" in schema else rule(validator, wanted, value, schema)

    return others


def _unique(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[Any]:
    """The library compares each item with each."""
    if wanted and validator.is_type(value, "array"):
        if len({msgspec.json.encode(each, order="sorted") for each in value}) < len(value):
            yield import_module("jsonschema").ValidationError("its items are not all different")


def instruction(schema: Mapping[str, Any]) -> str:
    """What a model is told that has no other way to be given a schema."""
    text = msgspec.json.encode(schema, order="sorted").decode()
    return f"Answer with one JSON value and nothing else. It has to fit this JSON schema:\n{text}"


def repair(unfit: Unfit, schema: Mapping[str, Any]) -> str:
    """What to tell a model (as a user's message behind its answer) so that its next answer fits."""
    faults = "\n".join(f"- {fault}" for fault in unfit.faults)
    return f"That answer does not fit what was asked for:\n{faults}\n\n{instruction(schema)}"


def _candidates(text: str) -> Iterator[str]:
    yield text
    rest = text
    while (start := rest.find("```")) >= 0:
        word, newline, rest = rest[start + 3 :].partition("\n")
        if not newline:
            break
        inside, end, behind = rest.partition("```")
        # A fence inside a string of the JSON: what is tried first may end too early, the next step tries further.
        if word.strip().lower() in ("", "json") and inside.strip():
            yield inside.strip()
        rest = behind if end else ""
    for n, start in enumerate(_starts(text)):
        if n == MOST_STARTS:
            return
        if stop := _end_of(text, start):
            yield text[start:stop]


def _starts(text: str) -> Iterator[int]:
    """Where an object or an array may begin: not inside one that was tried already."""
    at = 0
    while at < len(text):
        places = [found for found in (text.find("{", at), text.find("[", at)) if found >= 0]
        if not places:
            return
        yield min(places)
        at = max(_end_of(text, min(places)), min(places) + 1)


def _end_of(text: str, start: int) -> int:
    """Behind the bracket that closes the one at `start`; 0 if none does."""
    depth, quoted, escaped = 0, False, False
    for at in range(start, len(text)):
        character = text[at]
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if depth == 0:
                return at + 1
    return 0


def _fault(error: Any) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    words = error.message
    words = words if len(words) <= MOST_QUOTED else words[:MOST_QUOTED] + "..."
    return f"at {place}: {words}" if place else words
