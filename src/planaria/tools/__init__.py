"""The built-in tools, one file a family: what agents, workflows and people can have done."""
