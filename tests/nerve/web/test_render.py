"""How times, counts and colours are written."""

import pytest

from planaria.nerve.web.live import event
from planaria.nerve.web.markdown import to_html
from planaria.nerve.web.render import Renderer, count, hue, in_url, initial, process_url, span
from planaria.nerve.web.site import Waiting

NOON = 1_763_726_400.0  # 2025-11-21 12:00 UTC


@pytest.fixture
def renderer():
    return Renderer("Europe/Berlin", lambda: NOON)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0004, "0 ms"),
        (0.42, "420 ms"),
        (3.14, "3.1 s"),
        (42.0, "42 s"),
        (182, "3 min 2 s"),
        (7200, "2 h"),
        (446400, "5 d 4 h"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds, text):
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9999, "9999"), (12345, "12.3k"), (4_100_000, "4.1M"), (2_500_000_000, "2.5G")],
)
def test_a_large_number_is_told_short(number, text):
    assert count(number) == text


@pytest.mark.parametrize(
    ("back", "text"),
    [(0, "13:00"), (86400, "yesterday 13:00"), (-86400, "tomorrow 13:00"), (3 * 86400, "18 Nov 13:00")],
)
def test_a_time_is_told_in_the_garden_s_zone(renderer, back, text):
    assert renderer.when(NOON - back) == text
    assert renderer.clock(NOON) == "13:00:00"


def test_a_name_always_has_the_same_colour():
    assert hue("scout") == hue("scout")
    assert {hue(str(number)) for number in range(100)} == set(range(6))


def test_any_name_has_a_face():
    assert initial("scout") == "S"
    assert initial("@élan") == "É"
    assert initial("!?") == "?"


def test_a_process_name_is_quoted_in_its_address():
    assert process_url("session:scout@garden") == "/processes/session:scout@garden"
    assert process_url('a"b/c d?') == "/processes/a%22b%2Fc%20d%3F"


def test_values_are_escaped_in_templates(renderer):
    html = renderer.text("_headline.html", {"waiting": Waiting(), "troubles": (), "node_name": "<script>"})
    assert "&lt;script&gt; is well" in html


def test_an_event_keeps_its_lines_and_no_line_can_end_it():
    assert event("a\n\nb\r\nc\rd") == "data: a\ndata: \ndata: b\ndata: c\ndata: d\n\n"


def test_a_text_that_is_not_utf_8_is_escaped_wherever_it_is_drawn(renderer):
    values = {"told": "broken \udcff name", "tone": "alarm"}
    assert rb"broken \udcff name" in renderer.response("_told.html", values).body
    assert event("broken \udcff name") == "data: broken \\udcff name\n\n"
    assert to_html("broken \udcff [[\udcff]]").isascii()
    assert process_url("x\udcff") == "/processes/x%5Cudcff"
    assert in_url("a b/\udcff") == "a%20b/%5Cudcff"
    assert renderer.environment.filters["urlencode"] is in_url
