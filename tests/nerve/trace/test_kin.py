"""Children and asides in a trace."""

from planaria.nerve.trace.build import build
from tests.nerve.trace.story import SCOUT, Story

CHILD = f"{SCOUT}/1f2e"


def family() -> Story:
    story = Story().asked().taken_up().called().wants("agents.ask", "agents.ask")
    story.tool_begins("agents.ask", "M/0/0").tool_begins("agents.ask", "M/0/1")
    story.add(
        "child.asked",
        CHILD,
        "M",
        id="C",
        agent="helper",
        by="scout",
        task="count",
        call="M/0/1",
        parent=SCOUT,
    )
    story.add("turn.started", CHILD, "C", message="C", author="scout")
    story.add("model.requested", CHILD, "C", turn="C", step=0, provider="local", model="small")
    story.add(
        *("model.responded", CHILD, "C"),
        turn="C",
        step=0,
        text="7",
        usage={"input_tokens": 40, "output_tokens": 2},
        provider="local",
        model="small",
    )
    return story


def test_a_child_hangs_below_the_call_that_asked_for_it_and_what_it_spent_counts_there():
    story = family()
    story.add("child.finished", CHILD, "C", child=CHILD, outcome="answered", text="7")
    story.add("turn.finished", CHILD, "C", turn="C", outcome="answered")
    nodes = {node.id: node for node in build("T", story.events, now=2000.0).nodes}
    child = next(node for node in nodes.values() if node.title == "helper, a child")
    assert (child.said, child.state, child.total.tokens_in) == ("count", "done", 40)
    call = nodes[child.parent or ""]
    assert (call.kind, call.title) == ("tool", "agents.ask")
    assert [ref.kind for ref in call.events] == ["tool.started"]
    assert call.id.endswith("M/0/1|0") and call.total.tokens_in == 40
    assert not [node for node in nodes.values() if node.title.startswith("child.")]


def test_a_child_that_came_to_nothing_says_so():
    story = family()
    story.add("child.finished", CHILD, "C", child=CHILD, outcome="invalid", text="no JSON")
    story.add("turn.finished", CHILD, "C", turn="C", outcome="failed")
    child = next(n for n in build("T", story.events, now=2000.0).nodes if n.title == "helper, a child")
    assert (child.said, child.state) == ("count → invalid: no JSON", "failed")


def test_what_was_said_to_a_turn_on_its_way_stands_in_it():
    story = Story().asked().taken_up()
    story.add("turn.steered", turn="M", step=0, message="N", author="bob", text="and the beds", how="collect")
    story.called().wants("notes.search").tool()
    story.add("turn.steered", turn="M", step=1, message="O", author="ada", text="only the north")
    story.add("turn.limited", turn="M", step=1, limit="tool_calls", reached=5, allowed=5)
    story.add("turn.checked", turn="M", step=2, problem="n is missing")
    told = [(n.title, n.said) for n in build("T", story.events, now=2000.0).nodes if n.kind == "event"]
    assert told == [
        ("bob, waiting with it", "and the beds"),
        ("ada, meanwhile", "only the north"),
        ("limit reached: tool calls", "5 of 5; one last call may say what was found"),
        ("the answer does not fit its schema", "n is missing"),
    ]


def test_what_was_erased_of_them_says_only_that():
    import msgspec

    story = family()
    gone = [msgspec.structs.replace(event, payload={}, state="erased") for event in story.events]
    trace = build("T", gone, now=2000.0)
    assert sum(len(node.events) for node in trace.nodes) == len(gone)
