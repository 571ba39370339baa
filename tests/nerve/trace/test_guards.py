"""Guards and stops in a trace."""

from planaria.nerve.trace.build import build
from planaria.nerve.trace.shape import TraceNode
from tests.nerve.trace.story import Story


def nodes(story: Story) -> dict[str, TraceNode]:
    return {node.title: node for node in build("T", story.events, now=2000.0).nodes}


def test_what_a_guard_saw_and_what_was_changed_stand_in_the_turn():
    story = Story().asked().taken_up().called()
    tripped = story.add("session.tripped", turn="M", number=1, words="It called a 3 times in a row.")
    tripped.payload["cause"] = "loop"  # the story means another by this word
    story.add(
        "session.handed_off",
        turn="M",
        number=1,
        text="## Goal\nmoss",
        by="model",
        model="small",
        provider="local",
        usage={"input_tokens": 90, "output_tokens": 10},
        cost_micro=5,
    )
    story.add("restart.chosen", turn="M", number=1, mode="fresh", why="restart 2 of 3 for loop")
    found = nodes(story)
    guard, note = found["guard: loop"], found["hand-off note by small"]
    assert (guard.state, guard.said) == ("failed", "It called a 3 times in a row.")
    assert (note.total.tokens_in, note.total.cost_micro) == (90, 5)
    chosen = found["begins afresh from a hand-off note"]
    assert chosen.said == "restart 2 of 3 for loop"
    assert guard.parent == note.parent == chosen.parent == found["scout"].id
    assert found["local/small"].state == "cut_off"


def test_a_stop_cuts_off_what_was_under_way():
    story = Story().asked().taken_up().called().wants("work.run")
    story.tool_begins("work.run", "M/0/0")
    story.add("turn.stopped", turn="M", by="ada", why="too slow", partial="half an")
    story.add("turn.finished", turn="M", outcome="stopped")
    found = nodes(story)
    assert found["stopped by ada"].said == "too slow: half an"
    assert found["work.run"].state == "cut_off"
    assert found["scout"].state == "done"


def test_events_that_were_erased_stand_there_too():
    story = Story().asked().taken_up()
    for kind in ("session.tripped", "restart.chosen", "session.handed_off", "turn.guided", "turn.stopped"):
        story.add(kind)
    assert len(nodes(story)) >= 6
