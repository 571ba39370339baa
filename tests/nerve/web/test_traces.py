"""The pages of traces: the list, one as a tree, its parts, and how it grows."""

from planaria.cortex.event import Event, NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.live.store import Live
from planaria.cortex.live.table import Table
from planaria.nerve.live.projected import Projected
from planaria.nerve.live.sessions import SessionRow
from planaria.otp import Node, child, supervisor
from tests.nerve.trace.story import SCOUT, Story, answered
from tests.nerve.web.garden import read_until, visiting

EVIL = '"><script>alert(1)</script>'


async def write(node: Node, events: list[Event]) -> list[Event]:
    """Put the events of a story into the node's journal."""
    new = [
        NewEvent(e.kind, e.payload, session=e.session, trace_id=e.trace_id, cause_id=e.cause_id, id=e.id)
        for e in events
    ]
    written: list[Event] = await Journal.append(node["journal"], new)
    return written


async def test_the_list_has_questions_with_who_answered_and_what_it_cost(tmp_path):
    async with visiting(tmp_path) as visit:
        await write(visit.node, answered().events)
        html = (await visit.get("/traces")).text
        failed = (await visit.get("/traces?failed=1")).text
    for text in ("what grew?", "ada", "in garden", "scout", "201 → 20", "$0.0002", 'href="/traces/T"'):
        assert text in html
    assert "what grew?" not in failed


async def test_a_trace_is_a_tree_with_times_tokens_and_links(tmp_path):
    async with visiting(tmp_path) as visit:
        await write(visit.node, answered().events)
        html = (await visit.get("/traces/T")).text
    for text in (
        "step 2",
        "local/small",
        "calls notes.search",
        "instructions of 9 characters",
        "201 → 20",
        "its journal",
    ):
        assert text in html
    assert html.count('class="trace-row') == 12


async def test_a_piece_of_an_id_leads_to_the_whole_and_a_wrong_one_to_what_is_near(tmp_path):
    story = answered()
    async with visiting(tmp_path) as visit:
        trace = "01K0000000000000000000AAAA"
        story.trace = trace
        await write(visit.node, Story(trace).asked().events)
        piece = await visit.get("/traces/0AAAA")
        wrong = await visit.get("/traces/01K0000000000000000000AAAB")
    assert (piece.status_code, piece.headers["location"]) == (303, f"/traces/{trace}")
    assert wrong.status_code == 404
    assert trace in wrong.text


async def test_a_part_is_opened_beside_the_tree_with_or_without_scripts(tmp_path):
    async with visiting(tmp_path) as visit:
        await write(visit.node, answered().events)
        for path in ("/traces/T", "/trace-node/T"):
            html = (await visit.get(f"{path}?node=tool%3Asession%3Ascout%40garden%7CM%2F0%2F0%7C0")).text
            assert "two notes" in html
            assert "outside content" in html
            assert 'href="/journal?trace=T#e-' in html
        assert "no such part" in (await visit.get("/traces/T?node=nonsense")).text


async def test_what_people_models_and_tools_wrote_is_text(tmp_path):
    story = Story().asked(EVIL).taken_up().called().wants(EVIL)
    story.tool(EVIL, "M/0/0", EVIL).called(1).answers(EVIL, 1).replied(EVIL).over()
    async with visiting(tmp_path) as visit:
        await write(visit.node, story.events)
        paths = ["/traces", "/traces/T"]
        paths += [
            f"/traces/T?node={node}"
            for node in ("message%3AM", "tool%3Asession%3Ascout%40garden%7CM%2F0%2F0%7C0")
        ]
        for path in paths:
            html = (await visit.get(path)).text
            assert "<script>alert" not in html
            assert "alert(1)" in html


async def test_a_trace_grows_before_the_reader_s_eyes(tmp_path):
    whole = answered().events
    async with visiting(tmp_path) as visit:
        await write(visit.node, whole[:4])
        async with visit.stream("/live/traces/T") as pieces:
            html = await read_until(pieces, "calls notes.search")
            assert "two notes" not in html
            await write(visit.node, whole[4:])
            await read_until(pieces, "two notes")
            # What is over stands still, so that its page is quiet.


async def test_the_list_grows_too(tmp_path):
    async with visiting(tmp_path) as visit, visit.stream("/live/traces") as pieces:
        await read_until(pieces, "Nothing here yet")
        await write(visit.node, answered().events)
        await read_until(pieces, "what grew?")


async def test_erased_events_keep_their_place_in_the_journal_page(tmp_path):
    async with visiting(tmp_path) as visit:
        await write(visit.node, answered().events)
        html = (await visit.get("/journal?trace=T")).text
    assert 'href="/traces/T"' in html
    assert 'name="trace" value="T"' in html


async def test_a_session_s_process_page_is_there_without_a_live_store(tmp_path):
    async with visiting(tmp_path) as visit:
        html = (await visit.get(f"/processes/{SCOUT}")).text
    assert 'id="session-now"' in html


KEY = "sk-" + "a1b2c3d4e5f6" * 3


async def test_the_overview_tells_what_each_agent_does_and_masks_what_it_is_writing(tmp_path):
    row = SessionRow(
        key=SCOUT,
        agent="scout",
        room="garden",
        status="thinking",
        doing="asks local/small, step 2",
        since=1000.0,
        turn="M",
        author="ada",
        asked=EVIL,
        saying=f"the key is {KEY}",
        queue=2,
        tokens_in=12345,
        tokens_out=6,
        cost_micro=1500,
        trace_id="T",
    )
    async with visiting(tmp_path) as visit:
        await visit.node.start(supervisor(child(Live, lambda node: [Rows(row)], name="live"), name="beside"))
        html = (await visit.get("/")).text
        page = (await visit.get(f"/processes/{SCOUT}")).text
    for text in (
        "asks local/small, step 2",
        "2 wait",
        "12.3k → 6 tokens",
        "$0.0015",
        'href="/traces/T"',
        "its thoughts now",
    ):
        assert text in html
    assert KEY not in html + page
    assert "the trace of its turn, as it grows" in page


class Rows(Projected):
    """A table of sessions with one row."""

    def __init__(self, row: SessionRow) -> None:
        super().__init__()
        self.table: Table[SessionRow] = Table("sessions", SessionRow, 10, "for tests")
        self.table.put(row)
