"""Questions, dead letters and planned work from the terminal."""

from functools import partial

from planaria.cortex.durable.job import submission
from planaria.cortex.durable.letters import letter
from planaria.cortex.durable.questions import Questions
from planaria.cortex.journal import Journal


def ask(live, text="Deploy now?", **settings):
    asking = {"options": ("yes", "no"), "by": "agent:scout", "room": "garden", **settings}
    return live.tell(partial(Questions.ask, text, key=text, **asking))


def die(live, target="a", **settings):
    dead = letter("riddle", "nobody knows", target=target, evidence={"why": "rust"}, **settings)
    live.tell(partial(Journal.append, "journal", [dead.new()]))


def test_open_questions_are_shown_with_how_to_answer_them(live):
    ask(live)
    output = live.run("questions").output
    assert output.startswith("#1  agent:scout in garden, ")
    assert "    Deploy now?\n    1 yes\n    2 no\n    planaria questions answer 1 1" in output
    (question,) = live.json("questions", "list")
    assert (question["number"], question["options"]) == (1, ["yes", "no"])


def test_a_question_is_answered_by_number_and_once(live):
    ask(live)
    result = live.run("questions", "answer", "1", "2:", "not", "today", "--as", "ada")
    assert result.output == "#1 answered: no: not today\n"
    again = live.run("questions", "answer", "1", "yes")
    assert again.exit_code == 6
    assert "#1 was answered by ada: no: not today" in again.stderr
    assert live.json("questions", "list") == []
    closed = live.json("questions", "list", "--all")["closed"]
    assert [(each["how"], each["by"], each["via"]) for each in closed] == [("answered", "ada", "terminal")]


def test_an_answer_that_is_no_option_says_what_is(live):
    ask(live)
    result = live.run("questions", "answer", "1", "perhaps")
    assert result.exit_code == 6
    assert "#1 takes: 1 yes, 2 no" in result.stderr


def test_a_question_can_be_withdrawn(live):
    question = ask(live)
    assert live.json("questions", "withdraw", question, "--why", "no need") == {"withdrawn": True}
    assert "nobody is asked anything now" in live.run("questions").stderr


def test_dead_letters_are_listed_shown_replayed_and_dropped(live):
    die(live)
    die(live, "b")
    assert live.run("dead", "list").output.splitlines()[1].startswith("#1\t")
    shown = live.run("dead", "show", "1").output
    assert "reason    nobody knows" in shown
    assert "  why     rust" in shown
    assert "planaria dead replay 1" in shown
    assert set(live.json("dead", "replay", "1", "--as", "ada")) == {"work"}
    view = live.json("dead", "show", "1")
    assert (view["letter"]["state"], view["letter"]["by"]) == ("replayed", "ada")
    assert live.json("dead", "drop", "2", "--why", "stale") == {"dropped": True}
    result = live.run("dead", "drop", "2")
    assert result.exit_code == 6
    assert "#2 was dropped already" in result.stderr
    states = {each["number"]: each["state"] for each in live.json("dead", "list", "--all")}
    assert (states[1], states[2]) == ("replayed", "dropped")


def test_no_dead_letters_and_no_plans_say_so(live):
    assert "no dead letters" in live.run("dead", "list").stderr
    assert "nothing is planned" in live.run("work").stderr
    assert "no dead letter '9'" in live.run("dead", "show", "9").stderr


def test_planned_work_is_listed_and_cancelled(live):
    job = submission("room.say", {"room": "garden"}, at=4_000_000_000.0, label="say: tea", by="agent:scout")
    live.tell(partial(Journal.append, "journal", [job]))
    assert f"{job.id}\t" in live.run("work").output
    (planned,) = live.json("work", "list")
    assert (planned["id"], planned["label"], planned["by"]) == (job.id, "say: tea", "agent:scout")
    assert live.json("work", "cancel", job.id) == {"cancelled": True}
    assert live.json("work", "cancel", job.id) == {"cancelled": False}
