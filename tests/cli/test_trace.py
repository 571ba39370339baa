"""Traces in the terminal: drawings as people see them, and the commands on a running node."""

import io
import json

import msgspec
from rich.console import Console

from planaria.cli.trace_draw import draw
from planaria.nerve.trace.build import build
from planaria.nerve.trace.shape import Doing
from tests.nerve.trace.story import SCOUT, Story, answered

ANSWERED = """\
trace T  done  900 ms  201 → 20  $0.0002  room:garden
ada: what grew?                                                   ━━━━━━━━━━━━━━━━━━━━━━━━ 900 ms 201 → 20 $0.0002
└─ scout                                                            ━━━━━━━━━━━━━━━━━━━━━  800 ms 201 → 20 $0.0002
   ├─ step 1                                                           ━━━━━━━━            300 ms 100 → 10 $0.0001
   │  ├─ prompt  3 messages, instructions of 9 characters, 1 too…
   │  ├─ local/small  first word after 40 ms                           ━━━                 100 ms 100 → 10 $0.0001
   │  ├─ calls notes.search
   │  └─ notes.search query="beds"  → two notes                             ━━━            100 ms
   ├─ step 2                                                                      ━━━      100 ms 101 → 10 $0.0001
   │  ├─ prompt  5 messages, instructions of 9 characters, 1 too…
   │  ├─ local/small  first word after 40 ms                                      ━━━      100 ms 101 → 10 $0.0001
   │  └─ answers  Tomatoes.
   └─ scout: Tomatoes.                                                                 ·
"""

RUNNING = """\
trace T  running  2.2 s  room:garden
ada: what grew?                                                           ━━━━━━━━━━━━━━━━━━━━━━━━  2.2 s
└─ scout  running  scout thinks, waits in read at http.py:8                ━━━━━━━━━━━━━━━━━━━━━━━  2.1 s
   └─ step 1  running                                                       ━━━━━━━━━━━━━━━━━━━━━━  2.0 s
      ├─ prompt  3 messages, instructions of 9 characters, 1 tool offered
      ├─ local/small  cut off                                               ━                      100 ms
      └─ local/small  running                                                ━━━━━━━━━━━━━━━━━━━━━  1.9 s
"""


def drawn(story: Story, width: int, now: float = 0.0, doing: list[Doing] | None = None) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False)
    trace = build("T", story.events, now=now, doing=doing)
    console.print(draw(trace, now, None, width), soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def test_an_answered_question_is_drawn_with_bars_tokens_and_cost():
    assert drawn(answered(), 115) == ANSWERED


def test_a_running_turn_shows_both_tries_and_what_it_waits_for():
    story = Story().asked().taken_up().called().called()
    now = story.now + 1.9
    doing = [Doing(SCOUT, "scout thinks, waits in read at http.py:8", 0.0)]
    assert drawn(story, 110, now, doing) == RUNNING


def test_no_line_is_wider_than_the_terminal():
    story = Story().asked("why " * 300).taken_up().called().answers("so " * 500).replied("so " * 500).over()
    for width in (70, 90, 130):
        assert max(len(line) for line in drawn(story, width).splitlines()[1:]) <= width


def test_what_others_wrote_cannot_drive_the_terminal():
    story = Story().asked("\x1b[31mred\x1b]0;title\x07 \u202eback").taken_up().over()
    text = drawn(story, 100)
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_the_commands_show_a_question_of_a_running_node(live):
    assert live.run("chat", "-m", "hello there", "--as", "ada").exit_code == 0
    result = live.run("trace")
    assert result.exit_code == 0, result.output
    assert "ada: hello there" in result.output
    (row,) = [line.split("\t") for line in live.run("traces").output.splitlines()]
    assert row[2:4] == ["ada", "hello there"]
    trace = live.json("trace", row[0])
    assert trace["question"] == "hello there"
    assert trace["id"].endswith(row[0])
    assert live.json("traces")[0]["id"] == trace["id"]
    assert live.json("traces", "--failed") == []


def test_opening_a_trace_in_full_shows_the_words(live):
    live.run("chat", "-m", "hello there", "--as", "ada")
    output = live.run("trace", "--full").output
    assert "text (11 characters, outside content)" in output
    view = live.json("trace", "--full")
    assert next(s["text"] for detail in view["details"] for s in detail["sections"]) == "hello there"


def test_an_unknown_trace_is_an_error_with_what_comes_near(live):
    live.run("chat", "-m", "hello there", "--as", "ada")
    trace = live.json("trace")["id"]
    result = live.run("trace", trace[:-1] + ("A" if trace[-1] != "A" else "B"), "--json")
    assert result.exit_code == 6
    error = json.loads(result.stderr)["error"]
    assert trace in error["mend"]


def test_a_prompt_that_is_not_there_is_an_error(live):
    live.run("chat", "-m", "hello there", "--as", "ada")
    result = live.run("trace", "--prompt", "1")
    assert result.exit_code == 6
    assert "no model was asked" in result.stderr


def test_following_a_trace_ends_when_it_is_over(live):
    live.run("chat", "-m", "hello there", "--as", "ada")
    result = live.run("trace", "--follow", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout.splitlines()[-1])["state"] == "done"


def test_a_stopped_garden_is_read_too(garden):
    result = garden.run("traces")
    assert result.exit_code == 0, result.output
    assert "nothing was asked yet" in result.stderr
    assert msgspec.json.decode(garden.run("traces", "--json").stdout) == []
