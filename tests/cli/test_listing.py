"""The help: every command is in it once, in a section, with its whole first sentence."""

import click
import pytest
from click.testing import CliRunner

from planaria.cli import COMMANDS, SECTIONS, main


def test_the_help_lists_every_command_in_its_section():
    text = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    places = [text.index(f"\n{title}:\n") for title in SECTIONS]
    assert places == sorted(places)
    assert all(text.count(f"\n  {name} ") == 1 for name in COMMANDS)


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch):
    @click.command()
    def coloured() -> None:
        click.secho("red", fg="red")

    monkeypatch.setitem(main.commands, "coloured", coloured)
    monkeypatch.setattr(main, "get_command", lambda context, name: coloured)
    monkeypatch.setitem(COMMANDS, "coloured", "")
    for value, shown in (("1", "red\n"), ("", "\x1b[31mred\x1b[0m\n")):
        assert CliRunner(env={"NO_COLOR": value}).invoke(main, ["coloured"], color=True).output == shown


def test_no_sentence_of_the_help_is_cut_off():
    for arguments in (["--help"], ["journal", "--help"], ["questions", "--help"]):
        text = CliRunner().invoke(main, arguments, terminal_width=60).output
        assert "..." not in text.partition("]...\n")[2]
