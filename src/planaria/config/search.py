"""`[search]` of `planaria.toml`: the service that `web.search` asks. Without it the tool is not offered.

[search]
service = "searxng"                       # your own SearXNG, with JSON among its `search.formats`
base_url = "http://127.0.0.1:8888"        # may be in this machine's own network

[search]
service = "brave"                         # api.search.brave.com
key_env = "BRAVE_API_KEY"                 # or seal it in the garden: `planaria tools key web.search`
"""

from typing import Annotated, Literal

import msgspec

BRAVE_URL = "https://api.search.brave.com"
UNSET = (
    "this node has no search service; write [search] into planaria.toml: "
    'service = "searxng" with base_url, or service = "brave" with key_env'
)


class SearchSettings(msgspec.Struct, frozen=True):
    """Which service is asked.

    Attributes:
        service: how it is spoken to; None: there is none.
        base_url: where it is; by default Brave's own address, SearXNG has none.
        key_env: the variable with its key; sent to `base_url` alone.
        safe: how much unfit for children is left out.
        language: asked for where a call names none, such as `de`.
        seconds: it may take to answer.
    """

    service: Literal["searxng", "brave"] | None = None
    base_url: str | None = None
    key_env: str | None = None
    safe: Literal["off", "moderate", "strict"] = "moderate"
    language: str | None = None
    seconds: Annotated[float, msgspec.Meta(ge=1.0, le=120.0)] = 20.0

    @property
    def url(self) -> str:
        """Where it is asked, without a slash at the end; empty without a service."""
        known = BRAVE_URL if self.service == "brave" else ""
        return (self.base_url or known).rstrip("/")
