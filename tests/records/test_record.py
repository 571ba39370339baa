import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.records.errors import RecordError
from planaria.records.record import MAX_RECORD, Record, decode_record, parse_record, render_record

text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\0"), max_size=60)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**17), max_value=10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
fronts = st.dictionaries(text, values, max_size=5)


def problem(content: str) -> RecordError:
    with pytest.raises(RecordError) as caught:
        parse_record("notes/x.md", content)
    return caught.value


@given(fronts, text)
@settings(deadline=None)
def test_what_is_written_reads_back_the_same(front: dict[str, object], body: str) -> None:
    again = parse_record("notes/x.md", render_record(front, body))
    assert (again.front, again.body) == (front, body)


@given(fronts, fronts, text)
@settings(deadline=None)
def test_an_edited_record_reads_back_the_same(
    before: dict[str, object], after: dict[str, object], body: str
) -> None:
    old = parse_record("notes/x.md", render_record(before, "old"))
    again = parse_record("notes/x.md", render_record(after, body, old))
    assert (again.front, again.body) == (after, body)


@given(st.text(max_size=200))
@settings(deadline=None)
def test_any_front_matter_is_read_or_refused_with_a_line_in_it(content: str) -> None:
    refused: RecordError | None = None
    try:
        parse_record("x.md", f"---\n{content}\n---\n")
    except RecordError as error:
        refused = error
    if refused is not None:
        assert 1 <= refused.line <= content.count("\n") + 3
        assert refused.problem
        assert refused.mend


def test_a_file_without_front_matter_is_all_body() -> None:
    assert parse_record("a.md", "# Hello\n") == Record("a.md", {}, "# Hello\n")


def test_keys_know_their_lines() -> None:
    record = parse_record(
        "a.md", "---\n# note\nname: x\nsteps:\n  fetch:\n    tool: web\n  all:\n    - 1\n---\nhi"
    )
    assert record.front_lines["name"] == 3
    assert record.front_lines["steps.fetch.tool"] == 6
    assert record.front_lines["steps.all.0"] == 8
    assert record.line("steps.fetch.missing") == 5
    assert record.line("missing") == 1
    assert record.body_line == 10


def test_plain_words_dates_and_times_stay_text() -> None:
    record = parse_record("a.md", "---\na: no\nat: 12:30\nday: 2024-01-01\nzip: 007\non: {yes: end}\n---\n")
    assert record.front == {"a": "no", "at": "12:30", "day": "2024-01-01", "zip": "007", "on": {"yes": "end"}}


def test_numbers_booleans_and_null_are_values() -> None:
    record = parse_record("a.md", "---\na: 1\nb: -2.5\nc: true\nd:\ne: ~\nf: '1'\n---\n")
    assert record.front == {"a": 1, "b": -2.5, "c": True, "d": None, "e": None, "f": "1"}


def test_a_byte_order_mark_and_crlf_do_not_matter() -> None:
    record = decode_record("a.md", b"\xef\xbb\xbf---\r\na: 1\r\n---\r\nbody\r\n")
    assert (record.front, record.body) == ({"a": 1}, "body\n")


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("---\na: 1\n", 1, "never closed"),
        ("---\na:\n\tb: 1\n---\n", 3, "tab"),
        ("---\na: 1\nb: 2\na: 3\n---\n", 4, "stands twice, first in line 2"),
        ("---\na:\n  b: 1\n  b: 2\n---\n", 4, "stands twice"),
        ("---\n- a\n- b\n---\n", 2, "a list"),
        ("---\njust words\n---\n", 2, "bare text"),
        ("---\nok: 1\na: [1, 2\nb: 3\n---\n", 3, "not closed"),
        ("---\nok: 1\na: [\n---\n", 3, "not closed"),
        ("---\na: b: c\n---\n", 2, "second `:`"),
        ("---\nok: 1\na: 'x\n---\n", 3, "quotation mark"),
        ("---\nok: 1\na: \x01\n---\n", 3, "control character"),
        ("---\na: &x 1\nb: *x\n---\n", 2, "anchors"),
        ("---\na: !!python/object:os.system x\n---\n", 2, "tag"),
        ("---\na: " + "[" * 30_000 + "\n---\n", 2, "nesting"),
        ("---\n? [a]\n: b\n---\n", 2, "key is a list"),
    ],
)
def test_a_mistake_is_named_with_its_line(content: str, line: int, says: str) -> None:
    error = problem(content)
    assert error.line == line
    assert says in error.problem
    assert str(error).startswith(f"notes/x.md:{line}: ")


def test_a_file_that_is_not_utf8_is_refused_with_its_line() -> None:
    with pytest.raises(RecordError, match=r"a\.md:2: byte 0xff is not UTF-8"):
        decode_record("a.md", b"fine\n\xff\n")


def test_a_huge_file_is_refused() -> None:
    with pytest.raises(RecordError, match="larger than 1024 KiB"):
        decode_record("a.md", b"x" * (MAX_RECORD + 1))


def test_a_huge_front_matter_is_refused() -> None:
    assert "larger than 64 KiB" in problem("---\na: " + "x" * 70_000 + "\n---\n").problem


def test_an_edit_keeps_comments_and_wording_of_what_did_not_change() -> None:
    old = parse_record("a.md", "---\n# mine\nday: 2024-01-01   # a date\nn: 1\nlist: [a, b]\n---\nold")
    new = render_record({**old.front, "n": 2, "z": "yes"}, "new", old)
    assert new == "---\n# mine\nday: 2024-01-01   # a date\nn: 2\nlist: [a, b]\nz: 'yes'\n---\nnew"


def test_a_body_that_begins_like_front_matter_survives() -> None:
    assert parse_record("a.md", render_record({}, "---\na: 1\n---\n")).body == "---\na: 1\n---\n"


def test_front_matter_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(RecordError, match="cannot hold"):
        render_record({"a": object()}, "")
    with pytest.raises(RecordError, match="read back"):
        render_record({"a": float("inf")}, "")


def test_the_title_comes_from_front_matter_then_heading_then_name() -> None:
    assert parse_record("notes/a.md", "---\ntitle: T\n---\n# H").title == "T"
    assert parse_record("notes/a.md", "```\n# no\n```\n## H ##\n").title == "H"
    assert parse_record("notes/a.md", "text").title == "a"
