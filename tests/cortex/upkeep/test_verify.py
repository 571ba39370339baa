"""Verifying: each way of tampering is named at the first place where it shows."""

import msgspec
import pytest

from planaria.cortex.codec.chain import START, link, payload_hash
from planaria.cortex.query import Query
from planaria.cortex.store import Draft, SessionRow, Stored
from planaria.cortex.upkeep.verify import Break, Head, verify


class Rows:
    """A journal that can be tampered with."""

    def __init__(self) -> None:
        self.rows: list[Stored] = []
        self.ends: dict[str, SessionRow] = {}

    def add(self, session: str, payload: bytes) -> None:
        last = self.ends.get(session)
        seq = len(self.rows) + 1
        draft = Draft(f"id-{seq}", 1000.0 + seq, "t", None, "n", "p", session, "test.done", payload)
        digest = link(START if last is None else last.digest, draft)
        fields = msgspec.structs.asdict(draft)
        del fields["contents"], fields["header"]
        self.rows.append(Stored(seq=seq, digest=digest, **fields))
        first, events = (seq, 1) if last is None else (last.first_seq, last.events + 1)
        self.ends[session] = SessionRow(session, events, first, seq, draft.at, digest)

    def change(self, seq: int, **fields: object) -> None:
        self.rows = [msgspec.structs.replace(row, **fields) if row.seq == seq else row for row in self.rows]

    def remove(self, *seqs: int) -> None:
        self.rows = [row for row in self.rows if row.seq not in seqs]

    def swap(self, one: int, other: int) -> None:
        places = {one: other, other: one}
        moved = [msgspec.structs.replace(row, seq=places.get(row.seq, row.seq)) for row in self.rows]
        self.rows = sorted(moved, key=lambda row: row.seq)

    async def read(self, query: Query) -> list[Stored]:
        found = [
            row
            for row in self.rows
            if row.seq > query.after_seq
            and (query.session is None or row.session == query.session)
            and (query.before_seq is None or row.seq < query.before_seq)
        ]
        return (found[::-1] if query.newest_first else found)[: query.limit]

    async def sessions(self, prefix: str = "", limit: int | None = None) -> list[SessionRow]:
        return [row for name, row in self.ends.items() if name.startswith(prefix)]


@pytest.fixture
def rows() -> Rows:
    rows = Rows()
    for number in range(1, 11):  # odd places: one, even places: two
        rows.add("one" if number % 2 else "two", b'{"n":%d}' % number)
    return rows


async def only(rows: Rows, session: str | None = None, heads: dict[str, Head] | None = None) -> Break:
    (found,) = (await verify(rows, session, heads)).breaks
    return found


async def test_an_untouched_journal_is_whole_and_says_its_heads(rows: Rows) -> None:
    told: list[tuple[int, int]] = []
    verdict = await verify(rows, progress=lambda events, seq: told.append((events, seq)))
    assert (verdict.breaks, verdict.events, verdict.sessions) == ((), 10, 2)
    assert verdict.heads["two"] == Head(10, rows.ends["two"].digest.hex())
    assert told == [(10, 10)]


async def test_a_stripped_payload_breaks_nothing(rows: Rows) -> None:
    rows.change(4, payload=payload_hash(b'{"n":4}'), stripped=True)
    verdict = await verify(rows)
    assert (verdict.breaks, verdict.stripped) == ((), 1)


@pytest.mark.parametrize(
    "field", [{"payload": b'{"n":5000}'}, {"at": 1.0}, {"kind": "test.undone"}, {"subject": "person:eve"}]
)
async def test_a_changed_event_is_named_whatever_was_changed(rows: Rows, field: dict[str, object]) -> None:
    rows.change(5, **field)
    found = await only(rows)
    assert (found.session, found.what, found.seq, found.id) == ("one", "changed", 5, "id-5")


async def test_removed_events_are_named_by_their_places(rows: Rows) -> None:
    rows.remove(3, 5)
    found = await only(rows)
    assert (found.session, found.what, found.seq) == ("one", "removed", 7)
    assert "places 3, 5" in found.detail
    assert (await only(rows, "one")).what == "removed"


async def test_a_session_whose_beginning_was_removed_is_named(rows: Rows) -> None:
    rows.remove(1)
    found = await only(rows)
    assert (found.session, found.what, found.seq) == ("one", "removed", 3)


async def test_an_event_put_in_is_named(rows: Rows) -> None:
    forged = msgspec.structs.replace(rows.rows[2], id="forged", payload=b'{"n":0}')
    rows.rows = [msgspec.structs.replace(row, seq=row.seq + (row.seq > 2)) for row in rows.rows]
    rows.ends = {
        name: msgspec.structs.replace(row, last_seq=row.last_seq + 1) for name, row in rows.ends.items()
    }
    rows.rows.insert(2, forged)
    found = await only(rows)
    assert (found.session, found.what, found.seq, found.id) == ("one", "inserted", 3, "forged")


async def test_events_that_changed_places_are_named(rows: Rows) -> None:
    rows.swap(3, 5)
    found = await only(rows)
    assert (found.session, found.what, found.seq, found.id) == ("one", "reordered", 3, "id-5")
    assert "id-3 at 5" in found.detail


async def test_a_removed_end_shows_by_the_digest_kept_apart(rows: Rows) -> None:
    rows.remove(9)
    found = await only(rows)
    assert (found.session, found.what, found.seq) == ("one", "cut", 7)


async def test_a_session_removed_as_a_whole_shows_by_its_places(rows: Rows) -> None:
    rows.remove(2, 4, 6, 8, 10)
    del rows.ends["two"]
    breaks = (await verify(rows)).breaks
    assert {(found.session, found.what) for found in breaks} == {("", "removed")}


async def test_a_cut_that_hides_its_traces_shows_only_against_a_remembered_head(rows: Rows) -> None:
    heads = (await verify(rows)).heads
    rows.remove(9, 10)
    for name, seq in (("one", 7), ("two", 8)):
        last = rows.rows[seq - 1]
        rows.ends[name] = msgspec.structs.replace(
            rows.ends[name], events=4, last_seq=seq, last_at=last.at, digest=last.digest
        )
    assert (await verify(rows)).breaks == ()
    breaks = (await verify(rows, heads=heads)).breaks
    assert [(found.session, found.what, found.seq) for found in breaks] == [
        ("one", "cut", 7),
        ("two", "cut", 8),
    ]


async def test_a_journal_written_anew_shows_only_against_a_remembered_head(rows: Rows) -> None:
    heads = (await verify(rows)).heads
    anew = Rows()
    for number in range(1, 11):
        anew.add("one" if number % 2 else "two", b'{"n":%d}' % (number if number != 3 else 3000))
    assert (await verify(anew)).breaks == ()
    found = await only(anew, heads=heads)
    assert (found.session, found.what, found.seq) == ("one", "rewritten", 9)


@pytest.mark.parametrize("field", [{"events": 4}, {"first_seq": 3}, {"last_at": 1.0}])
async def test_a_list_of_sessions_that_does_not_fit_is_named(rows: Rows, field: dict[str, object]) -> None:
    rows.ends["one"] = msgspec.structs.replace(rows.ends["one"], **field)
    found = await only(rows)
    assert (found.session, found.what, found.seq) == ("one", "miscounted", 9)


async def test_an_end_that_was_set_back_is_named(rows: Rows) -> None:
    digest = rows.rows[4].digest
    rows.ends["one"] = msgspec.structs.replace(
        rows.ends["one"], events=3, last_seq=5, last_at=1005.0, digest=digest
    )
    found = await only(rows)
    assert (found.session, found.what, found.seq) == ("one", "miscounted", 7)
    del rows.ends["one"]
    found = await only(rows)
    assert (found.session, found.what, found.seq) == ("one", "miscounted", 1)


async def test_what_cannot_be_read_is_named_though_its_chain_holds(rows: Rows) -> None:
    async def read(query: Query) -> str | None:
        return "a text is missing" if query.after_seq < 6 < (query.before_seq or 7) else None

    verdict = await verify(rows, read=read)
    (found,) = verdict.breaks
    assert (found.session, found.what, found.seq, found.detail) == (
        "two",
        "unreadable",
        6,
        "a text is missing",
    )
    rows.change(8, payload=b"{}")
    assert [each.seq for each in (await verify(rows, read=read)).breaks] == [6]
    rows.change(4, payload=b"{}")
    assert [each.seq for each in (await verify(rows, read=read)).breaks] == [4]


async def test_what_was_appended_since_the_heads_were_remembered_is_well(rows: Rows) -> None:
    heads = (await verify(rows)).heads
    rows.add("one", b"{}")
    assert (await verify(rows, heads=heads)).breaks == ()
