import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.cortex.event import Event
from planaria.nerve.trace.asides import SIDE
from planaria.nerve.trace.build import DEEPEST, build
from planaria.nerve.trace.shape import Doing, Trace
from tests.nerve.trace.story import GARDEN, SCOUT, Story, answered, whole_turn_with_everything

NOW = 2000.0


def lines(trace: Trace) -> list[str]:
    """The tree as `depth kind title state`."""
    return [f"{node.depth} {node.kind} {node.title} {node.state}" for node in trace.nodes]


def test_a_question_is_followed_from_message_to_reply():
    trace = build("T", answered().events, now=NOW)
    assert lines(trace) == [
        "0 message ada done",
        "1 turn scout done",
        "2 step step 1 done",
        "3 prompt prompt done",
        "3 model local/small done",
        "3 decision calls notes.search done",
        "3 tool notes.search done",
        "2 step step 2 done",
        "3 prompt prompt done",
        "3 model local/small done",
        "3 decision answers done",
        "2 message scout done",
    ]
    assert (trace.question, trace.asked_by, trace.answered_by) == ("what grew?", "ada", ("scout",))
    assert (trace.spent.tokens_in, trace.spent.tokens_out, trace.spent.cost_micro) == (201, 20, 240)
    assert trace.state == "done"


def test_a_prompt_says_what_it_was_made_of_and_what_stayed_the_same():
    prompts = [node.said for node in build("T", answered().events, now=NOW).nodes if node.kind == "prompt"]
    assert prompts == [
        "3 messages, instructions of 9 characters, 1 tool offered",
        "5 messages, instructions of 9 characters, 1 tool offered",
    ]


def test_a_turn_that_is_under_way_runs_since_its_last_step_began():
    story = Story().asked().taken_up().called()
    trace = build("T", story.events, now=story.now + 5, doing=[Doing(SCOUT, "scout thinks", 0.0)])
    model = next(node for node in trace.nodes if node.kind == "model")
    assert (trace.state, trace.ended, model.state) == ("running", None, "running")
    assert model.seconds(story.now + 5) == 5.0
    assert next(node for node in trace.nodes if node.kind == "turn").said == "scout thinks"


def test_what_no_process_goes_on_with_was_cut_off():
    story = Story().asked().taken_up().called()
    for doing in (None, [], [Doing(SCOUT, "scout thinks", 0.0, message="another")]):
        trace = build("T", story.events, now=NOW, doing=doing)
        turn = next(node for node in trace.nodes if node.kind == "turn")
        assert (trace.state, turn.state) == ("cut_off", "cut_off")


def test_who_was_asked_and_has_not_begun_waits():
    trace = build("T", Story().asked(to=("scout", "wren")).taken_up().events, now=NOW)
    assert "1 turn wren waiting" in lines(trace)


def test_a_model_call_made_again_after_a_crash_shows_both_tries():
    story = Story().asked().taken_up().called()
    story.add("process.killed", "node", None, process=SCOUT, trace="other", reason="killed")
    note = story.events.pop()
    story.called().answers().replied().over()
    story.events = [msgspec.structs.replace(e, seq=n) for n, e in enumerate(story.events, 1)]
    note = msgspec.structs.replace(note, seq=99)
    trace = build("T", story.events, now=NOW, notes=[note])
    assert [line for line in lines(trace) if "model" in line] == [
        "3 model local/small cut_off",
        "3 model local/small done",
    ]
    assert "2 side session:scout@garden was killed failed" in lines(trace)
    assert trace.spent.calls == 1


def test_a_call_made_again_under_its_key_is_parted_where_its_process_ended():
    story = Story().asked().taken_up().called()
    notes = []
    for kind, process in (("process.killed", SCOUT), ("process.killed", "<garden.7>")):
        story.add(kind, "node", None, process=process, trace="other", reason="killed", label="scout thinks")
        notes.append(story.events[-1])
    story.answers().replied().over()
    own = [event for event in story.events if event not in notes]
    trace = build("T", own, now=NOW, notes=notes)
    models = [node for node in trace.nodes if node.kind == "model"]
    assert [(node.state, [ref.kind for ref in node.events]) for node in models] == [
        ("cut_off", ["model.requested"]),
        ("done", ["model.responded"]),
    ]
    assert models[1].begun == notes[1].at
    assert trace.spent.calls == 1


def test_a_node_that_starts_again_parts_the_call_that_was_under_way():
    story = Story().asked().taken_up().called()
    story.add("node.started", "node", None, process="node", trace="other", after=60.0)
    note = story.events.pop()
    trace = build("T", story.events, now=story.now + 1, doing=[Doing(SCOUT, "", 0.0)], notes=[note])
    assert [node.state for node in trace.nodes if node.kind == "model"] == ["cut_off", "running"]
    assert [node.title for node in trace.nodes if node.kind == "side"] == ["the node started"]


def test_a_tool_call_made_again_shows_both_tries():
    story = Story().asked().taken_up().called().wants("notes.search").tool_begins()
    story.add("tool.repeated", call_id="M/0/0", tool="notes.search", number=1, why="retry")
    story.add("tool.finished", call_id="M/0/0", tool="notes.search", branch="ok", outcome={"text": "two"})
    trace = build("T", story.events, now=NOW)
    tools = [line for line in lines(trace) if " tool " in line]
    assert tools == ["3 tool notes.search cut_off", "3 tool notes.search, try 2 done"]


def test_a_message_delivered_again_is_a_second_attempt_below_it():
    story = Story().asked().taken_up().over("failed")
    story.add("room.redelivered", GARDEN, "M", message="M", agent="scout", attempt=2)
    story.add("turn.started", message="M", author="ada", attempt=2)
    story.add("turn.finished", turn="M~2", outcome="answered")
    trace = build("T", story.events, now=NOW)
    assert [line for line in lines(trace) if " turn " in line] == [
        "1 turn scout failed",
        "1 turn scout, attempt 2 done",
    ]


def test_a_tool_that_was_refused_before_it_ran_is_there():
    story = Story().asked().taken_up().called().wants("weather")
    story.add(
        "tool.finished", call_id="M/0/0", tool="weather", branch="failed", error="there is no tool 'weather'"
    )
    tool = next(node for node in build("T", story.events, now=NOW).nodes if node.kind == "tool")
    assert (tool.state, tool.said) == ("failed", "there is no tool 'weather'")


def test_a_run_hangs_below_the_tool_call_that_started_it():
    trace = build("T", whole_turn_with_everything().events, now=NOW)
    run = next(node for node in trace.nodes if node.kind == "run")
    above = trace.node(run.parent or "")
    assert above is not None and (above.kind, above.title) == ("tool", "workflow.run")


def test_kinds_nobody_knows_stand_below_their_cause():
    trace = build("T", whole_turn_with_everything().events, now=NOW)
    mystery = next(node for node in trace.nodes if node.title == "mystery.happened")
    assert mystery.said == "size=3"
    assert mystery.parent is not None


def test_what_a_person_does_about_a_letter_later_is_no_part_of_how_long_it_took():
    story = Story().asked().taken_up()
    story.add(
        "dead.lettered", "dead", "M", id="L", letter="room.message", target="room:garden/M/scout", reason="x"
    )
    story.over("failed")
    story.add("dead.dropped", "dead", "L", by="ada", after=5000.0)
    trace = build("T", story.events, now=NOW)
    assert trace.seconds(NOW) < 1
    assert [node.title for node in trace.nodes if node.kind == "dead"] == [
        "given up, for a person to look at",
        "a person lets it be",
    ]


def test_deferred_work_is_one_line_whatever_became_of_it():
    events = whole_turn_with_everything().events
    jobs = [event for event in events if event.kind.startswith("work.")]
    assert [node.state for node in build("T", events, now=NOW).nodes if node.kind == "job"] == ["done"]
    for upto, state in ((1, "waiting"), (2, "running"), (3, "waiting"), (4, "running"), (5, "done")):
        (job,) = build("T", jobs[:upto], now=NOW, doing=[]).nodes
        assert (job.title, job.state, len(job.events)) == ("remind ada", state, upto)
    assert build("T", jobs[:2], now=NOW).nodes[0].state == "waiting"  # no node runs, and it will be done


def test_events_whose_content_is_gone_keep_their_place():
    for state in ("erased", "pruned"):
        gone = [msgspec.structs.replace(e, payload={}, state=state) for e in answered().events]
        trace = build("T", gone, now=NOW)
        assert trace.state == "done"
        assert [node.kind for node in trace.nodes if node.kind in ("turn", "step", "model", "tool")] == [
            *("turn", "step", "model", "tool", "step", "model")
        ]


def test_agents_that_answer_each_other_for_ever_do_not_nest_for_ever():
    story = Story().asked()
    cause = "M"
    for number in range(200):
        agent = ("scout", "wren")[number % 2]
        session = f"session:{agent}@garden"
        story.add("turn.started", session, cause, message=cause)
        said = story.add("room.message", GARDEN, cause, author=agent, author_kind="agent", text="and you?")
        story.add("turn.finished", session, cause, turn=cause, outcome="answered")
        cause = said.id
    trace = build("T", story.events, now=NOW)
    assert max(node.depth for node in trace.nodes) <= DEEPEST
    assert len(trace.nodes) == 401


# --- whatever the stream is -------------------------------------------------------------------------------------------

TOLD = whole_turn_with_everything().events
KINDS = sorted(
    {event.kind for event in TOLD} | {"workflow.run.resumed", "tool.repeated", "room.redelivered", "x.y"}
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**6)
    | st.floats(allow_nan=True)
    | st.sampled_from(["M", "R", "", "ok"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "run", "text"]), inner, max_size=2)
    ),
    max_leaves=4,
)
FIELDS = sorted({name for event in TOLD for name in event.payload})
WILD = st.builds(
    Event,
    seq=st.integers(1, 60),
    id=st.sampled_from(["M", "R0", "Q", *(f"e{n}" for n in range(8))]),
    at=st.floats(900, 1100),
    trace_id=st.just("T"),
    cause_id=st.none() | st.sampled_from(["M", "Q", "R0", *(f"e{n}" for n in range(8))]),
    node=st.just("garden"),
    process=st.just("p"),
    session=st.sampled_from([SCOUT, GARDEN, "run:R", "", "questions", "session:wren@garden"]),
    kind=st.sampled_from(KINDS),
    payload=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6),
    state=st.sampled_from(["whole", "whole", "erased", "pruned"]),
)


def check(trace: Trace, events: list[Event]) -> None:
    told = [ref.seq for node in trace.nodes for ref in node.events]
    assert sorted(told) == sorted({event.seq for event in events})
    places = {node.id: place for place, node in enumerate(trace.nodes)}
    assert len(places) == len(trace.nodes)
    for node in trace.nodes:
        assert node.parent is None or places[node.parent] < places[node.id]
    roots = [node for node in trace.nodes if node.parent is None]
    assert sum(node.total.tokens_in for node in roots) == trace.spent.tokens_in
    assert sum(node.total.cost_micro for node in roots) == trace.spent.cost_micro
    assert sum(node.own.calls for node in trace.nodes) == trace.spent.calls


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_event_of_a_cut_off_stream_appears_once_and_the_totals_add_up(data):
    kept = data.draw(st.lists(st.sampled_from(TOLD), unique_by=lambda event: event.seq))
    order = data.draw(st.permutations(kept))
    trace = build("T", order, now=NOW, doing=data.draw(st.sampled_from([None, [Doing(SCOUT, "x", 0.0)]])))
    check(trace, kept)
    spent = [event.payload for event in kept if event.kind == "model.responded"]
    assert trace.spent.cost_micro == sum(payload["cost_micro"] for payload in spent)
    assert (
        trace == build("T", kept, now=NOW, doing=None if not trace.open else [Doing(SCOUT, "x", 0.0)])
        or trace.open
    )


NOTES = st.builds(
    Event,
    seq=st.integers(61, 90),
    id=st.integers(1, 99).map(lambda n: f"n{n}"),
    at=st.floats(900, 1100),
    trace_id=st.just("other"),
    cause_id=st.none(),
    node=st.just("garden"),
    process=st.sampled_from([SCOUT, "<garden.7>", "journal", "tasks:scout@garden"]),
    session=st.just("node"),
    kind=st.sampled_from(sorted(SIDE)),
    payload=st.dictionaries(
        st.sampled_from(["label", "reason", "child"]), st.sampled_from(["scout thinks", SCOUT, "x"])
    ),
)


@given(
    st.lists(WILD, max_size=25, unique_by=lambda event: event.seq),
    st.lists(NOTES, max_size=4, unique_by=lambda event: event.seq),
)
@settings(max_examples=120, deadline=None)
def test_every_event_of_a_wild_stream_appears_once(events, notes):
    check(build("T", events, now=NOW, notes=notes), [*events, *notes])
