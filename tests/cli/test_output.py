"""What reaches the terminal."""

import pytest

from planaria.cli.output import clean, print_json_line, print_table, seconds


def test_text_from_outside_cannot_drive_the_terminal():
    assert clean("\x1b[2Jred\x07\r\x9b31m\u202egnp") == "[2Jred31mgnp"
    assert clean("two\nlines\tand a tab, ünïcode 蠕虫") == "two\nlines\tand a tab, ünïcode 蠕虫"


def test_half_a_character_is_left_out_of_text_and_escaped_in_json(capsys):
    assert clean("a\udc80b") == "ab"
    print_json_line({"name": "\udc80", "other": "ü"})
    assert capsys.readouterr().out == '{"name": "\\udc80", "other": "\\u00fc"}\n'


def test_a_cell_cannot_break_its_row(capsys):
    print_table(["a", "b"], [["one\ttwo\nthree", 4]])
    assert capsys.readouterr().out == "one two three\t4\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.2 s"), (42, "42 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (90000, "1 d 1 h")],
)
def test_spans_of_time_are_for_people(value, text):
    assert seconds(value) == text
