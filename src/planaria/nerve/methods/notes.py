"""Methods about notes."""

import msgspec

from planaria.nerve.methods.method import Channel, Services
from planaria.records.fulltext import Hit
from planaria.records.index import Index


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to find, and how many at most."""

    query: str
    limit: int = 10


async def search(params: Search, services: Services, channel: Channel) -> list[Hit]:
    """The notes that match, best first."""
    return await Index.search("index", params.query, params.limit)
