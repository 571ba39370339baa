import pytest
from hypothesis import given
from hypothesis import strategies as st

from planaria.membrane.wire.sse import EventParser, EventTooLong, ServerEvent


def parse(*parts: bytes, finish: bool = False) -> list[ServerEvent]:
    parser = EventParser()
    events = [event for part in parts for event in parser.feed(part)]
    return events + parser.finish() if finish else events


def data_of(*parts: bytes, finish: bool = False) -> list[bytes]:
    return [event.data for event in parse(*parts, finish=finish)]


def test_an_event_ends_with_a_blank_line():
    assert parse(b"event: ping\ndata: {}\n\n") == [ServerEvent("ping", b"{}")]


def test_an_event_without_a_name_is_a_message():
    assert parse(b"data: x\n\n") == [ServerEvent("message", b"x")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_in_any_of_three_ways(end):
    assert data_of(end.join([b"data: a", b"data: b", b"", b"data: c", b"", b""])) == [b"a\nb", b"c"]


def test_several_data_lines_are_one_event():
    assert data_of(b"data: a\ndata\ndata:b\n\n") == [b"a\n\nb"]


def test_only_one_blank_after_the_colon_is_taken():
    assert data_of(b"data:  a\n\n") == [b" a"]


def test_comments_and_unknown_fields_are_skipped():
    assert data_of(b": OPENROUTER PROCESSING\n\nretry: 3\nfoo: bar\ndata: x\n\n") == [b"x"]


def test_an_event_without_data_is_not_handed_on():
    assert parse(b"event: ping\n\ndata: x\n\n") == [ServerEvent("message", b"x")]


def test_a_byte_order_mark_at_the_beginning_is_skipped():
    assert data_of(b"\xef\xbb\xbfdata: x\n\n") == [b"x"]


def test_the_last_id_stays_for_later_events():
    assert [e.id for e in parse(b"id: 7\ndata: x\n\ndata: y\n\n")] == ["7", "7"]


def test_a_split_crlf_is_one_line_end():
    assert data_of(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [b"a\nb"]


def test_what_was_begun_is_handed_on_at_a_clean_end():
    assert data_of(b"data: a\n\ndata: [DONE]") == [b"a"]
    assert data_of(b"data: a\n\ndata: [DONE]", finish=True) == [b"a", b"[DONE]"]


@pytest.mark.parametrize("endless", [b"x" * 100, b"data: " + b"x" * 50 + b"\n", b"data\n", b"data:\n"])
def test_an_endless_event_is_refused(endless):
    parser = EventParser(max_event=1000)

    def feed_on():
        for _ in range(2000):
            parser.feed(endless)

    with pytest.raises(EventTooLong):
        feed_on()


def test_endless_comments_take_no_memory_and_are_no_event():
    parser = EventParser(max_event=1000)
    for _ in range(2000):
        assert parser.feed(b": still here\n\n") == []
    assert parser.feed(b"data: x\n\n") == [ServerEvent("message", b"x")]


lines = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data",
        b"data: \xf0\x9f\x90\x9b",
        b"event: e",
        b": c",
        b"id: 1",
        b"",
        b"",
        b"x",
        b"data: ",
    ]
)
streams = st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=30).map(
    lambda parts: b"".join(line + end for line, end in parts)
)


@given(st.one_of(streams, st.binary(max_size=200)), st.data())
def test_a_stream_means_the_same_however_it_is_split(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = parse(stream, finish=True)
    assert parse(*parts, finish=True) == whole
    assert parse(*[stream[i : i + 1] for i in range(len(stream))], finish=True) == whole
