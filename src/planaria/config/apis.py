"""`[apis.NAME]` of `planaria.toml`: services that describe themselves with OpenAPI; their operations become tools.

[apis.tracker]
description = "apis/tracker.yaml"       a file of the garden, or an https address
base_url = "https://tracker.example.org/api"
key_env = "TRACKER_KEY"
operations = ["list_*", "get_*"]
"""

import msgspec


class ApiSettings(msgspec.Struct, frozen=True):
    """One service.

    Attributes:
        description: a file below the garden, or an address that is read at the start of the node.
        base_url: where it is asked; by default the first server it names, if that is an absolute address.
        key_env: the variable with its key; it goes to `base_url` alone.
        header, prefix: how the key is sent.
        operations: names or patterns of those that are offered.
        private: whether it may be in this machine's own network.
    """

    description: str
    base_url: str | None = None
    key_env: str | None = None
    header: str = "Authorization"
    prefix: str = "Bearer "
    operations: tuple[str, ...] = ("*",)
    private: bool = False
