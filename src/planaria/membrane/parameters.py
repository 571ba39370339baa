"""What a tool takes, derived from its signature: the JSON schema models see, and the check of what they send.

The signature becomes a msgspec struct, so schema and check cannot disagree. A value is first taken strictly,
then with the readings models need ("5" for 5, "true" for true). Pure; no process.
"""

import inspect
import re
from collections.abc import Callable
from copy import deepcopy
from difflib import get_close_matches
from typing import Annotated, Any, Protocol, get_type_hints

import msgspec

from planaria.membrane.docstring import read_docstring
from planaria.membrane.provider import MALFORMED

_PLACE = re.compile(r" - at `\$(?:\.(?P<name>\w+))?(?P<rest>[^`]*)`\Z")
_SHOWN = 120


class ToolDefinitionError(Exception):
    """A function that cannot be a tool as it is written; the message says what to write."""


class ArgumentError(Exception):
    """Arguments a tool cannot take; the message names the argument, the nearest valid one and the expected shape."""


class Arguments(Protocol):
    """What a tool takes: a JSON schema, and the check of what is sent. `Parameters` is one, made of a signature."""

    @property
    def schema(self) -> dict[str, Any]:
        """A JSON schema of type `object`, with `properties`."""
        ...

    def bind(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as the function takes them, defaults filled in.

        Raises:
            ArgumentError: for a model or a workflow's author to read.
        """
        ...


class Parameters:
    """The arguments of one tool.

    Attributes:
        struct: the msgspec struct arguments are checked against. Its schema is closed (`additionalProperties: false`).
    """

    def __init__(self, tool: str, struct: type[msgspec.Struct]) -> None:
        self.tool = tool
        self.struct = struct
        self._schema = _schema(struct)

    @property
    def schema(self) -> dict[str, Any]:
        """See `Arguments`."""
        return self._schema

    def bind(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as the function takes them, defaults filled in.

        Raises:
            ArgumentError: for a model or a workflow's author to read.
        """
        if MALFORMED in arguments:
            raise ArgumentError(
                f"the arguments for {self.tool} were not a JSON object: {_short(arguments[MALFORMED])}"
            )
        known = self.schema["properties"]
        for name in arguments:
            if name not in known:
                near = get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f", did you mean {near[0]!r}?" if near else "."
                raise ArgumentError(f"{self.tool} takes no argument {name!r}{hint} {self.described()}")
        for name in self.schema.get("required", ()):
            if name not in arguments:
                raise ArgumentError(
                    f"{self.tool} needs the argument {name!r} ({_shape(known[name])}). {self.described()}"
                )
        try:
            value = msgspec.convert(arguments, self.struct, strict=True)
        except msgspec.ValidationError:
            try:
                value = msgspec.convert(arguments, self.struct, strict=False)
            except msgspec.ValidationError as error:
                raise ArgumentError(self._said(error, arguments)) from error
        return {name: getattr(value, name) for name in self.struct.__struct_fields__}

    def described(self) -> str:
        """All arguments in one line: `It takes url (string), limit (integer, optional).`"""
        required = self.schema.get("required", ())
        parts = [
            f"{name} ({_shape(schema)}{'' if name in required else ', optional'})"
            for name, schema in self.schema["properties"].items()
        ]
        return f"It takes {', '.join(parts)}." if parts else "It takes no arguments."

    def _said(self, error: msgspec.ValidationError, arguments: dict[str, Any]) -> str:
        text = str(error)
        place = _PLACE.search(text)
        name = place.group("name") if place else None
        if place is None or name is None:
            return f"{self.tool}: {text}"
        schema = self.schema["properties"][name]
        given = arguments[name]
        rest = place.group("rest")
        within = f", at {name}{rest}: {text[: place.start()]}" if rest else ""
        said = f"the argument {name!r} of {self.tool} must be {_shape(schema)}, not {_short(given)}"
        return said + _near(given, schema) + within


def derive(tool: str, function: Callable[..., Any]) -> tuple[str, Parameters]:
    """Description and parameters of a function: `async def name(context: Context, ...)`.

    Raises:
        ToolDefinitionError: if annotations or docstring are missing or do not match the signature.
    """
    if not inspect.iscoroutinefunction(function):
        raise ToolDefinitionError(f"tool {tool}: write `async def`")
    signature = inspect.signature(function)
    names = list(signature.parameters)
    if names[:1] != ["context"]:
        raise ToolDefinitionError(f"tool {tool}: the first parameter must be `context: Context`")
    docstring = read_docstring(function.__doc__)
    if not docstring.summary:
        raise ToolDefinitionError(f"tool {tool}: write a docstring; it is what models are told")
    _same_names(tool, names[1:], list(docstring.arguments))
    hints = get_type_hints(function, include_extras=True)
    fields = [
        _field(tool, parameter, hints, docstring.arguments)
        for parameter in list(signature.parameters.values())[1:]
    ]
    struct = msgspec.defstruct(
        f"{function.__name__}_arguments", fields, kw_only=True, forbid_unknown_fields=True
    )
    try:
        return docstring.summary, Parameters(tool, struct)
    except TypeError as error:
        raise ToolDefinitionError(f"tool {tool}: {error}") from error


def _field(
    tool: str, parameter: inspect.Parameter, hints: dict[str, Any], described: dict[str, str]
) -> tuple[str, Any] | tuple[str, Any, Any]:
    name = parameter.name
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise ToolDefinitionError(f"tool {tool}: `*{name}` has no schema; name the arguments")
    if name not in hints:
        raise ToolDefinitionError(f"tool {tool}: annotate the argument {name!r}")
    meta = msgspec.Meta(description=described[name])
    kind: Any = Annotated[hints[name], meta]  # a type made at run time
    default = parameter.default
    if default is inspect.Parameter.empty:
        return name, kind
    try:
        msgspec.convert(msgspec.to_builtins(default), hints[name])
    except (msgspec.ValidationError, TypeError) as error:
        raise ToolDefinitionError(
            f"tool {tool}: the default of {name!r} does not fit its annotation: {error}"
        ) from error
    if isinstance(default, list | dict | set):
        return name, kind, msgspec.field(default_factory=lambda: deepcopy(default))
    return name, kind, default


def _same_names(tool: str, taken: list[str], told: list[str]) -> None:
    for name in taken:
        if name not in told:
            raise ToolDefinitionError(
                f"tool {tool}: describe the argument {name!r} under `Args:` in the docstring"
            )
    for name in told:
        if name not in taken:
            near = get_close_matches(name, taken, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise ToolDefinitionError(
                f"tool {tool}: the docstring describes {name!r}, which is no argument{hint}"
            )


def _schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of a struct, without titles, references of the outermost level resolved."""
    (top,), components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    body = dict(components.pop(top["$ref"].rpartition("/")[2]))
    body.pop("title", None)
    if not body.get("required"):
        body.pop("required", None)
    if components:
        body["$defs"] = components
    return body


def _shape(schema: dict[str, Any]) -> str:
    """A schema in words: `string`, `one of "a", "b"`, `list of integer`."""
    match schema:
        case {"enum": choices}:
            return "one of " + ", ".join(
                f'"{each}"' if isinstance(each, str) else str(each) for each in choices
            )
        case {"anyOf": options}:
            return " or ".join(_shape(each) for each in options)
        case {"type": "array", "items": dict() as items} if items:
            return f"list of {_shape(items)}"
        case {"type": "array"}:
            return "list"
        case {"type": str() as kind}:
            return kind
        case {"$ref": str() as name}:
            return name.rpartition("/")[2]
        case _:
            return "any value"


def _near(given: object, schema: dict[str, Any]) -> str:
    choices = [each for each in schema.get("enum", ()) if isinstance(each, str)]
    near = get_close_matches(given, choices, n=1) if isinstance(given, str) else []
    return f", did you mean {near[0]!r}?" if near else ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
