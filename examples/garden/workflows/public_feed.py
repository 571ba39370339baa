"""A public feed, watched politely: it needs the network, and without one it says so once and then stays quiet.

The trick is a note as memory: `notes.write` answers `unchanged` when the note says the same already, and only a
change is told to the room.
"""

from planaria.workflows.python import WorkflowDefinition, end, step

URL = "https://github.com/python/cpython/releases.atom"
STATE = "notes/inbox/public-feed.md"


class PublicFeed(WorkflowDefinition):
    """Keeps new releases of Python as notes; tells the room once when the feed cannot be reached, once when it can."""

    schedule = "17 * * * *"
    first_run = "now"
    room = "garden"

    fetch = step(
        "feed.fetch",
        url=URL,
        limit=5,
        retry=1,
        backoff=5.0,
        on={"new": "keep", "unchanged": "well", "failed": "out"},
    )
    keep = step(
        "notes.write",
        each="{{ steps.fetch.value.items }}",
        path="notes/inbox/{{ item.title | slug }}.md",
        front={"title": "{{ item.title }}", "source": "{{ item.link }}", "tags": ["inbox"]},
        text="# {{ item.title }}\n\n{{ item.summary | truncate(600) }}\n\nFrom {{ item.link }}\n",
        on={"*": "digest"},
    )
    digest = step(
        "room.say",
        text="New in {{ steps.fetch.value.title }}:\n{{ steps.fetch.value.items | map(attribute='title') | lines }}",
        on={"*": "well"},
    )
    well = step(
        "notes.write",
        path=STATE,
        text=f"The public feed {URL} can be reached.\n",
        on={"updated": "say_back", "*": end},
    )
    say_back = step("room.say", text=f"The public feed can be reached again: {URL}", on={"*": end})
    out = step(
        "notes.write",
        path=STATE,
        text=f"The public feed {URL} cannot be reached.\n",
        on={"created": "say_out", "updated": "say_out", "unchanged": end, "failed": "say_out"},
    )
    say_out = step(
        "room.say",
        text=(
            f"I cannot reach the public feed {URL} now: "
            "{{ steps.fetch.error }}. "
            "I look again every hour and stay quiet until it works; everything else goes on."
        ),
        on={"*": end},
    )
