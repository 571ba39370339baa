"""A trace in percent of a time axis."""

import pytest

from planaria.nerve.trace.build import build
from planaria.nerve.trace.shape import Doing, Trace
from planaria.nerve.web.timeline import axis, round_up, rows, trace_url
from tests.nerve.trace.story import SCOUT, Story, answered


def of(story: Story, now: float = 2000.0, doing: list[Doing] | None = None) -> Trace:
    return build("T", story.events, now=now, doing=doing)


def test_bars_begin_and_end_where_things_did():
    trace = of(answered())
    shown = axis(trace, 2000.0)
    lanes = [row.lane for row in rows(trace, shown, 2000.0, "")]
    assert lanes[0] is not None and (lanes[0].begin, lanes[0].end) == ("0.00%", "100.00%")
    assert lanes[3] is None  # a prompt is no work
    for lane in lanes:
        assert lane is None or 0 <= float(lane.begin[:-1]) <= float(lane.end[:-1]) <= 100


def test_the_axis_of_a_running_trace_ends_at_a_round_time_ahead():
    story = Story().asked().taken_up().called()
    for seconds, length in ((0.3, 0.5), (1.5, 2.0), (3.0, 5.0), (70.0, 120.0)):
        now = story.events[0].at + seconds
        shown = axis(of(story, now, [Doing(SCOUT, "", 0.0)]), now)
        assert shown.end - shown.begin == pytest.approx(length)


def test_zoomed_to_a_node_what_lies_outside_is_left_out():
    trace = of(answered())
    step = next(node for node in trace.nodes if node.title == "step 2")
    shown = axis(trace, 2000.0, step)
    first = next(row for row in rows(trace, shown, 2000.0, step.id) if row.title == "step 1")
    assert first.lane is not None and first.lane.out
    assert f"zoom={'step'}" in first.href


@pytest.mark.parametrize(
    ("seconds", "up"), [(0.0009, 0.001), (0.3, 0.5), (1.0, 1.0), (7.0, 10.0), (11.0, 20.0)]
)
def test_steps_are_round(seconds, up):
    assert round_up(seconds) == pytest.approx(up)


def test_a_moment_has_an_axis_too():
    story = Story().asked(to=())
    trace = of(story)
    assert axis(trace, 2000.0).ticks[0].text == "0"
    assert len(rows(trace, axis(trace, 2000.0), 2000.0, "")) == 1


def test_any_id_makes_an_address():
    assert trace_url("a/b?c", "x y", "") == "/traces/a%2Fb%3Fc?node=x%20y"
