"""The edge to the outside: models, tools, and the gate every tool call goes through."""
