"""What tools remember in the journal: one class for each kind of event.

A memory is in a stream of its own (`feed:<address>`, `git:<folder>`), committed together with the end of the call it
comes from.
"""

from typing import ClassVar

from planaria.cortex.event_type import EventType


class FeedFetched(EventType, frozen=True, omit_defaults=True):
    """What a fetch of a feed found new.

    Attributes:
        etag, modified: what the next fetch asks with; empty while items are left over.
        new_ids: items that were handed on, or taken as seen by the first fetch.
        count: items in the feed.
        ids: with new ones: those that were seen before and are still listed, so that looking back stays bounded.
    """

    kind: ClassVar[str] = "feed.fetched"
    etag: str = ""
    modified: str = ""
    new_ids: tuple[str, ...] = ()
    count: int = 0
    call_id: str = ""
    ids: tuple[str, ...] | None = None


class GitSeen(EventType, frozen=True):
    """The latest commit that a look at a repository saw."""

    kind: ClassVar[str] = "git.seen"
    head: str
    count: int = 0
    call_id: str = ""
