"""An OpenAPI description read into operations. Pure.

Versions 3.0 and 3.1, JSON or YAML. Does badly: `$ref` to other files, callbacks, links, XML and form bodies; an
operation that needs one of them is left out, and said.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
import yaml

METHODS = ("get", "head", "put", "post", "delete", "patch", "options")
SAFE = frozenset({"get", "head", "options"})
"""Those that change nothing, by HTTP's own promise."""
LARGEST = 5_000_000
"""Bytes of a description."""
MOST_OPERATIONS = 500
DEEPEST = 40
BODY = "body"
"""The argument that is the body of a request."""

type Where = Literal["path", "query", "header"]


class Parameter(msgspec.Struct, frozen=True):
    """One argument: its name on the wire, and where it goes."""

    name: str
    where: Where
    schema: dict[str, Any]
    required: bool = False
    explode: bool = True


class Operation(msgspec.Struct, frozen=True):
    """One thing that can be done.

    Attributes:
        name: a word for a tool's name.
        path: with `{names}` of its path parameters.
        arguments: a JSON schema of type `object`: parameters by name, and `body`.
    """

    name: str
    method: str
    path: str
    description: str
    parameters: tuple[Parameter, ...]
    arguments: dict[str, Any]
    has_body: bool = False


class Description(msgspec.Struct, frozen=True):
    """What a service says of itself; `left_out` says which operations cannot be offered, and why."""

    title: str
    servers: tuple[str, ...]
    operations: tuple[Operation, ...]
    left_out: tuple[str, ...] = ()


class BadDescription(ValueError):
    """It is no OpenAPI description this program can read; the message says why."""


def read_description(data: bytes) -> Description:
    """Read a description.

    Raises:
        BadDescription: with the place and the mend.
    """
    if len(data) > LARGEST:
        raise BadDescription(f"the description has {len(data)} bytes, at most {LARGEST} are read")
    try:
        text = data.decode("utf-8-sig")
        top = (
            msgspec.json.decode(text)
            if text.lstrip()[:1] in ("{", "[")
            else yaml.load(text, yaml.CSafeLoader)
        )
    except (UnicodeDecodeError, msgspec.DecodeError, yaml.YAMLError, RecursionError) as error:
        raise BadDescription(f"the description is neither JSON nor YAML: {error}") from error
    if not isinstance(top, dict) or not str(top.get("openapi", "")).startswith("3."):
        raise BadDescription("the description has no `openapi: 3.x`; convert it (version 2 is not read)")
    reader = _Reader(top)
    operations: list[Operation] = []
    left_out: list[str] = []
    taken: set[str] = set()
    for path, method, item, operation in _each(top):
        if len(operations) >= MOST_OPERATIONS:
            left_out.append(f"more than {MOST_OPERATIONS} operations")
            break
        try:
            read = reader.operation(path, method, item, operation)
        except BadDescription as error:
            left_out.append(f"{method.upper()} {path}: {error}")
            continue
        if read.name in taken:
            left_out.append(f"{method.upper()} {path}: the name {read.name!r} is taken")
            continue
        taken.add(read.name)
        operations.append(read)
    info = top.get("info") if isinstance(top.get("info"), dict) else {}
    servers = tuple(
        str(each["url"]) for each in _list(top.get("servers")) if isinstance(each, dict) and each.get("url")
    )
    return Description(str((info or {}).get("title", "")), servers, tuple(operations), tuple(left_out))


class _Reader:
    """Reads operations of one document."""

    def __init__(self, top: Mapping[str, Any]) -> None:
        self.top = top
        self.defs: dict[str, Any] = {}  # what the schemas of the operation in hand refer to

    def operation(
        self, path: str, method: str, item: Mapping[str, Any], given: Mapping[str, Any]
    ) -> Operation:
        self.defs = {}
        parameters: dict[tuple[str, str], Parameter] = {}
        for raw in (*_list(item.get("parameters")), *_list(given.get("parameters"))):
            parameter = self.parameter(raw)
            if parameter is not None:
                parameters[parameter.name, parameter.where] = parameter
        names = [parameter.name for parameter in parameters.values()]
        if len(set(names)) < len(names) or BODY in names:
            raise BadDescription("two of its arguments have one name")
        wanted = set(re.findall(r"\{([^{}]+)\}", path))
        if wanted != {each.name for each in parameters.values() if each.where == "path"}:
            raise BadDescription("its path and its path parameters do not agree")
        properties = {each.name: each.schema for each in parameters.values()}
        required = [each.name for each in parameters.values() if each.required]
        body = self.body(given.get("requestBody"))
        if body is not None:
            properties[BODY], must = body
            required += [BODY] if must else []
        arguments: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        if required:
            arguments["required"] = required
        if self.defs:
            arguments["$defs"] = self.defs
        said = str(given.get("summary") or ""), str(given.get("description") or "")
        words = "\n".join(each.strip() for each in said if each.strip()) or f"{method.upper()} {path}"
        return Operation(
            _name(given.get("operationId"), method, path),
            method,
            path,
            words,
            tuple(parameters.values()),
            arguments,
            body is not None,
        )

    def parameter(self, raw: Any) -> Parameter | None:
        given = self.resolved(raw)
        name, where = given.get("name"), given.get("in")
        if not isinstance(name, str) or not name:
            raise BadDescription("a parameter has no name")
        if where == "cookie" or (where == "header" and name.lower() in _NOT_OURS):
            if given.get("required") and where == "cookie":
                raise BadDescription(f"it needs the cookie {name!r}")
            return None
        if where not in ("path", "query", "header"):
            raise BadDescription(f"the parameter {name!r} is in {where!r}")
        if "schema" not in given:
            raise BadDescription(f"the parameter {name!r} has no schema")
        schema = self.schema(given["schema"])
        if given.get("description") and "description" not in schema:
            schema = {**schema, "description": str(given["description"])[:500]}
        required = where == "path" or bool(given.get("required"))
        return Parameter(name, where, schema, required, bool(given.get("explode", where == "query")))

    def body(self, raw: Any) -> tuple[dict[str, Any], bool] | None:
        if raw is None:
            return None
        given = self.resolved(raw)
        content = given.get("content") if isinstance(given.get("content"), dict) else {}
        assert isinstance(content, dict)
        for kind, media in content.items():
            if re.match(r"application/(?:[\w.+-]+\+)?json\b", str(kind)) and isinstance(media, dict):
                return self.schema(media.get("schema", {})), bool(given.get("required"))
        if given.get("required"):
            raise BadDescription(f"its body is {', '.join(map(str, content)) or 'of no kind'}, not JSON")
        return None

    def resolved(self, value: Any) -> Mapping[str, Any]:
        for _ in range(DEEPEST):
            if not isinstance(value, dict):
                raise BadDescription("a part of it is no object")
            target = value.get("$ref")
            if target is None:
                return value
            value = self.find(target)
        raise BadDescription("its references go in a circle")

    def find(self, target: Any) -> Any:
        if not isinstance(target, str) or not target.startswith("#/"):
            raise BadDescription(f"it refers to {target!r}, which is in another file")
        value: Any = self.top
        for part in target[2:].split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(value, dict) or part not in value:
                raise BadDescription(f"it refers to {target!r}, which is not there")
            value = value[part]
        return value

    def schema(self, value: Any) -> dict[str, Any]:
        """A schema; what it refers to goes to the `$defs` of the arguments it becomes a part of."""
        made = self._copied(value, 0)
        if not isinstance(made, dict):
            made = {} if made is True else {"not": {}}
        return made

    def _copied(self, value: Any, depth: int) -> Any:
        if depth > DEEPEST:
            raise BadDescription("a schema is nested too deep")
        defs = self.defs
        match value:
            case {"$ref": target}:
                name = re.sub(r"[^A-Za-z0-9_.-]", "_", str(target).removeprefix("#/components/schemas/"))
                if name not in defs:
                    defs[name] = {}
                    defs[name] = self._copied(self.find(target), depth + 1)
                return {"$ref": f"#/$defs/{name}"}
            case dict():
                copied = {str(key): self._copied(each, depth + 1) for key, each in value.items()}
                # 3.0 says `nullable`, JSON Schema a type of its own.
                if copied.pop("nullable", False) is True and isinstance(copied.get("type"), str):
                    copied["type"] = [copied["type"], "null"]
                for word in ("exclusiveMinimum", "exclusiveMaximum"):
                    if isinstance(copied.get(word), bool):
                        bound = "minimum" if word == "exclusiveMinimum" else "maximum"
                        if copied.pop(word) and bound in copied:
                            copied[word] = copied.pop(bound)
                return copied
            case list():
                return [self._copied(each, depth + 1) for each in value]
            case _:
                return value


_NOT_OURS = frozenset({"accept", "content-type", "authorization", "host", "cookie", "content-length"})
"""Headers an argument never sets."""


def _each(top: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    paths = top.get("paths")
    if not isinstance(paths, dict):
        raise BadDescription("the description has no `paths`")
    for path, item in paths.items():
        if isinstance(item, dict) and str(path).startswith("/"):
            for method in METHODS:
                if isinstance(item.get(method), dict):
                    yield str(path), method, item, item[method]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(given: Any, method: str, path: str) -> str:
    """`listPets` as `list_pets`; without an id from method and path."""
    words = str(given) if given else f"{method} {path}"
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:60] or method
