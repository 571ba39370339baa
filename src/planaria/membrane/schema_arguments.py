"""What a tool takes, where its JSON schema came from outside: an MCP server, an OpenAPI description.

The schema is kept as it is for models, and what they send is checked against it before a call leaves the node, as
`structured.py` checks a stranger's schema. See `Arguments` in `parameters.py`.
"""

from typing import Any

from planaria.membrane.parameters import ArgumentError
from planaria.membrane.provider import MALFORMED
from planaria.membrane.structured import BadSchema, check_schema, validate


class SchemaArguments:
    """The arguments of one tool.

    Args:
        tool: its name, for errors.
        schema: of type `object`.
    Raises:
        BadSchema: it is no JSON schema, or not one of an object.
    """

    def __init__(self, tool: str, schema: dict[str, Any]) -> None:
        if schema.get("type", "object") != "object":
            raise BadSchema(f"the arguments of {tool} must be an object, not {schema['type']!r}")
        self.tool = tool
        self._schema = {"type": "object", "properties": {}, **schema}
        if not isinstance(self._schema["properties"], dict):
            raise BadSchema(f"the properties of {tool} are no object")
        check_schema(self._schema)

    @property
    def schema(self) -> dict[str, Any]:
        """See `Arguments`."""
        return self._schema

    def bind(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as they came, if they fit.

        Raises:
            ArgumentError: naming each place that does not fit.
        """
        if MALFORMED in arguments:
            raise ArgumentError(
                f"the arguments for {self.tool} were not a JSON object: {arguments[MALFORMED]!r:.120}"
            )
        try:
            faults = validate(arguments, self._schema)
        except BadSchema as error:
            raise ArgumentError(f"{self.tool} cannot be called: {error}") from error
        if faults:
            takes = ", ".join(map(str, self._schema["properties"])) or "no arguments"
            raise ArgumentError(f"{self.tool}: {'; '.join(faults)}. It takes {takes}.")
        return arguments
