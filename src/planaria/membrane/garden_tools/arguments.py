"""What a tool of the garden's own takes: checked in the node by its schema, and once more by itself."""

from typing import Any

from planaria.membrane.schema_arguments import SchemaArguments

_WORDS = {"true": True, "false": False}


class OwnArguments(SchemaArguments):
    """The arguments of one tool, with the readings models need ("5" for 5) and defaults filled in."""

    def bind(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """See `Arguments`."""
        properties = self.schema["properties"]
        read = {name: _read(value, properties.get(name, {})) for name, value in arguments.items()}
        bound = super().bind(read)
        defaults = {name: each["default"] for name, each in properties.items() if "default" in each}
        return {**defaults, **bound}


def _read(value: Any, schema: dict[str, Any]) -> Any:
    if not isinstance(value, str):
        return value
    match schema.get("type"):
        case "integer" if value.strip().removeprefix("-").isdecimal() and value.isascii():
            return int(value)
        case "number":
            try:
                return float(value)
            except ValueError:
                return value
        case "boolean":
            return _WORDS.get(value.strip().lower(), value)
        case _:
            return value
