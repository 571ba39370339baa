"""What goes on now, from the command line: top, sessions, live."""

import json

import pytest

from planaria.cli.live_draw import money, number, session_line

ROW = {
    "agent": "scout",
    "room": "garden",
    "status": "acting",
    "doing": "runs web.fetch()",
    "since": 100.0,
    "turn": "m",
    "author": "ada",
    "asked": "How much\nrain?",
    "saying": "It rained " * 40,
    "queue": 2,
    "turns": 3,
    "tokens_in": 12_345,
    "tokens_out": 67,
    "cost_micro": 4_200,
    "last_error": "web.fetch: no such page",
}


def test_a_session_is_told_in_words():
    first, asked, saying, error, spent = session_line(ROW, 130.0)
    assert first == "scout@garden  acting: runs web.fetch(), for 30 s, 2 waiting"
    assert asked.strip() == "answers ada “How much rain?”"
    assert saying.strip().startswith("writes “…") and len(saying) < 200
    assert error.strip() == "last error: web.fetch: no such page"
    assert spent.strip() == "so far 3 turns, 12.3k → 67 tokens, $0.0042"


@pytest.mark.parametrize(
    ("micro", "text"), [(0, ""), (12, "$0.000012"), (4_200, "$0.0042"), (12_500_000, "$12.50")]
)
def test_money_is_dollars(micro: int, text: str):
    assert money(micro) == text


def test_numbers_are_short():
    assert [number(value) for value in (999, 9_999, 12_345, 4_100_000, 2e9)] == [
        *("999", "9999", "12.3k", "4.1M", "2.0G"),
    ]


def test_top_once_draws_the_node_and_as_json_gives_its_tables(live):
    output = live.run("top", "--once").output
    assert "processes" in output and "busiest process" in output
    view = live.json("top", "--once")
    assert {"sessions", "providers", "breakers", "runs", "processes", "lost"} <= set(view)
    assert "counter" in {row["key"] for row in view["processes"]} and view["lost"] == {}


def test_the_tables_are_listed(live):
    assert {table["name"] for table in live.json("live")["tables"]} >= {"sessions", "processes"}
    assert "what guards a way out" in live.run("live").output


def test_rows_are_asked_for_by_pattern_and_label(live):
    rows = live.json("live", "processes", "--match", "count*", "--where", "kind=Counter")
    assert [row["key"] for row in rows] == ["counter"]
    assert live.json("live", "processes", "--where", "kind=Nothing") == []


def test_a_message_gives_its_addressee_a_row_with_a_queue(live):
    live.run("chat", "--json", "--as", "ada", "-m", "hello", "--wait", "20")
    (row,) = live.json("sessions", "parrot")
    assert row["key"] == "session:parrot@garden" and row["queue"] == 0
    assert "parrot@garden" in live.run("sessions").output


def test_what_cannot_be_asked_is_said_with_what_can(live):
    result = live.run("live", "birds", "--json")
    assert result.exit_code == 6 and "tables: sessions" in json.loads(result.stderr)["error"]["message"]
    assert "labels: agent" in live.run("live", "sessions", "--where", "colour=red").stderr
    assert "no LABEL=VALUE" in live.run("live", "sessions", "--where", "colour").stderr
