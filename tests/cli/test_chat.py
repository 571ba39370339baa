"""Talking in a room from the terminal. A parrot answers there, in pieces, with the model "offline"."""

import json


def test_a_message_is_answered_live_with_author_and_model(live):
    result = live.run("chat", "-m", "hello", "--as", "ada")
    assert result.exit_code == 0
    assert result.output == "parrot: you said hello\n  parrot · offline\n"


def test_the_answer_is_in_the_transcript_after_its_question(live):
    live.run("chat", "garden", "-m", "hello", "--as", "ada")
    (room,) = live.json("rooms")
    assert room["name"] == "garden"
    assert room["members"] == ["parrot"]
    assert room["last"]["text"] == "you said hello"
    assert "parrot: you said hello" in live.run("rooms").output


def test_each_line_of_a_pipe_is_a_message(live):
    result = live.run("chat", "--as", "ada", input="one\n\ntwo\n")
    assert [line for line in result.output.splitlines() if "said" in line] == [
        "parrot: you said one",
        "parrot: you said two",
    ]


def test_each_stretch_of_an_answer_has_its_own_line(live):
    result = live.run("chat", "-m", "twice", "--as", "ada")
    assert result.output.splitlines() == [
        "parrot: one moment",
        "parrot: you said twice",
        "  parrot · offline",
    ]


def test_with_json_every_event_is_a_line(live):
    result = live.run("chat", "-m", "hello", "--as", "ada", "--json")
    events = [json.loads(line) for line in result.output.splitlines()]
    assert [event["type"] for event in events] == ["message", "delta", "delta", "message", "answered"]
    assert events[0]["value"]["author"] == "ada"
    assert events[-1]["value"]["to"] == ["parrot"]


def test_a_message_for_a_stranger_is_said_to_reach_nobody(live):
    result = live.run("chat", "-m", "@crow hello", "--as", "ada")
    assert result.exit_code == 0
    assert "nobody here is asked to answer" in result.stderr


def test_an_unknown_room_is_answered_with_those_there_are(live):
    result = live.run("chat", "attic", "-m", "hello")
    assert result.exit_code == 6
    assert "rooms: garden" in result.stderr


def test_a_room_can_be_opened(live):
    assert live.run("rooms", "open", "attic").exit_code == 0
    assert [room["name"] for room in live.json("rooms")] == ["attic", "garden"]
    assert live.run("rooms", "open", "No Good").exit_code == 6


def test_a_name_and_text_cannot_drive_the_terminal(live):
    result = live.run("chat", "-m", "a\x1b[2Jb", "--as", "ada")
    assert "\x1b" not in result.output


def test_what_was_said_is_in_the_journal(live):
    live.run("chat", "-m", "hello", "--as", "ada")
    kinds = [event["kind"] for event in live.json("journal", "tail", "--session", "room:garden")]
    assert kinds == ["room.joined", "room.message", "room.message"]
    (latest,) = live.json("journal", "tail", "-n", "1")
    assert latest["payload"]["text"] == "you said hello"
    assert "you said hello" in live.run("journal", "tail").output


def test_notes_are_found_by_their_words(live):
    (note,) = live.json("notes", "search", "garden", "folder", "plain")
    assert note["path"] == "notes/welcome.md"
    assert "notes/welcome.md" in live.run("notes", "search", "welcome").output
    assert "nothing found" in live.run("notes", "search", "xyzzy").stderr


def test_a_message_that_is_too_long_is_refused_with_the_reason(live):
    result = live.run("chat", "-m", "x" * 200_001, "--as", "ada")
    assert result.exit_code == 6
    assert "at most 200000 characters" in result.stderr
