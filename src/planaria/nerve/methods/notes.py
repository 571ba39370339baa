"""Methods about notes."""

import msgspec

from planaria.nerve.methods.method import Channel, Services
from planaria.records.fulltext import marked
from planaria.records.index import Index


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to find, and how many at most."""

    query: str
    limit: int = 10


class FoundNote(msgspec.Struct, frozen=True):
    """A note that matches; a higher score is better."""

    path: str
    title: str
    snippet: str
    score: float


async def search(params: Search, services: Services, channel: Channel) -> list[FoundNote]:
    """The notes that match, best first."""
    hits = await Index.search("index", params.query, params.limit)
    return [
        FoundNote(hit.path, hit.title, " ".join(marked(hit.snippet, "", "").split()), hit.score)
        for hit in hits
    ]
