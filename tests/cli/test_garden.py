"""Which garden a command is about, and making a new one."""

import pytest

from planaria.cli.errors import CliError
from planaria.cli.garden import find_garden
from planaria.records.errors import RecordError
from planaria.records.scan import scan

from .conftest import planaria


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    monkeypatch.delenv("PLANARIA_GARDEN", raising=False)


def test_a_named_garden_comes_first(garden, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANARIA_GARDEN", str(tmp_path / "other"))
    assert find_garden(garden.path) == garden.path


def test_the_variable_comes_before_the_folder_one_is_in(garden, tmp_path, monkeypatch):
    other = tmp_path / "other"
    planaria("init", str(other))
    monkeypatch.chdir(other)
    monkeypatch.setenv("PLANARIA_GARDEN", str(garden.path))
    assert find_garden(None) == garden.path


def test_the_nearest_folder_upwards_is_found(garden, monkeypatch):
    monkeypatch.chdir(garden.path / "notes")
    assert find_garden(None) == garden.path


def test_no_garden_is_said_with_two_ways_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = planaria("tree")
    assert result.exit_code == 3
    assert "--garden DIR" in result.stderr
    assert "planaria init DIR" in result.stderr


@pytest.mark.parametrize("made", [True, False])
def test_a_folder_without_settings_is_no_garden(tmp_path, made):
    folder = tmp_path / "plain"
    if made:
        folder.mkdir()
    with pytest.raises(CliError) as refused:
        find_garden(folder)
    assert refused.value.exit_code == 3


def test_a_new_garden_has_its_parts_and_none_is_broken(garden):
    for name in (
        "planaria.toml",
        "agents/scout.md",
        "notes/welcome.md",
        "contract.md",
        "SOUL.md",
        "USER.md",
        "MEMORY.md",
    ):
        assert (garden.path / name).is_file()
    assert list((garden.path / "workflows").iterdir())
    assert not [found for found in scan(garden.path).values() if isinstance(found, RecordError)]


def test_what_is_there_is_never_overwritten(garden):
    (garden.path / "SOUL.md").write_text("mine")
    (garden.path / "USER.md").unlink()
    result = planaria("init", str(garden.path))
    assert (garden.path / "SOUL.md").read_text() == "mine"
    assert f"made  {garden.path / 'USER.md'}" in result.output
    assert f"kept  {garden.path / 'SOUL.md'}" in result.output


def test_a_place_that_cannot_hold_a_garden_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    result = planaria("init", str(tmp_path / "file"))
    assert result.exit_code == 3
    assert str(tmp_path / "file") in result.stderr


def test_an_unknown_command_is_answered_with_the_nearest():
    result = planaria("tre")
    assert result.exit_code == 2
    assert "did you mean 'tree'?" in result.stderr


def test_every_command_has_a_word_of_help():
    from planaria.cli import COMMANDS

    for name in COMMANDS:
        result = planaria(name, "--help")
        assert result.exit_code == 0
        assert "Usage:" in result.output


def test_every_line_of_the_help_says_something():
    lines = planaria("--help").output.partition("Commands:\n")[2].splitlines()
    assert all(len(line.split()) > 2 for line in lines)
