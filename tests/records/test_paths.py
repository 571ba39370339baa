import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planaria.records.errors import PathRefused
from planaria.records.paths import inside, read_file, writable, write_file

steps = st.sampled_from(
    ["..", ".", "", "notes", "a.md", "out", "in", "~", ".planaria", "planaria.toml", "x", "/"]
)
odd = st.text(max_size=12) | st.lists(steps, max_size=6).map("/".join)


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    garden = tmp_path / "garden"
    (garden / "notes").mkdir(parents=True)
    (garden / ".planaria").mkdir()
    (garden / "planaria.toml").write_text("")
    (tmp_path / "secret.md").write_text("secret")
    (garden / "out").symlink_to(tmp_path)
    (garden / "in").symlink_to(garden / "notes")
    return garden


@given(path=odd)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_no_path_leads_out_of_the_garden_or_into_what_is_private(garden: Path, path: str) -> None:
    try:
        place = inside(garden, path)
    except PathRefused:
        return
    real = (garden / place).resolve()
    assert real.is_relative_to(garden.resolve())
    assert ".planaria" not in real.relative_to(garden.resolve()).parts[:1]


@given(path=odd)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_only_markdown_outside_of_hidden_places_is_written(garden: Path, path: str) -> None:
    try:
        place = writable(garden, path)
    except PathRefused:
        return
    assert place.suffix == ".md"
    assert not any(part.startswith(".") for part in place.parts)


@pytest.mark.parametrize(
    "path",
    [
        "",
        " a.md",
        "/etc/passwd",
        "../secret.md",
        "notes/../../secret.md",
        "out/secret.md",
        "~/a.md",
        "C:\\a.md",
        "notes\\a.md",
        "a\0.md",
        ".planaria/journal.db",
        ".Planaria/x",
        "notes/" + "x" * 300 + ".md/y",
    ],
)
def test_a_path_that_is_not_ours_is_refused_with_a_mend(garden: Path, path: str) -> None:
    with pytest.raises(PathRefused) as caught:
        read_file(garden, inside(garden, path), 100)
    assert caught.value.mend


@pytest.mark.parametrize(
    "path",
    ["planaria.toml", "Planaria.TOML", "tools/a.py", "notes/.hidden.md", ".git/hooks.md", "x/.git/a.md"],
)
def test_settings_programs_and_hidden_files_are_never_written(garden: Path, path: str) -> None:
    with pytest.raises(PathRefused):
        writable(garden, path)


def test_a_link_to_a_protected_file_is_no_way_to_write_it(garden: Path) -> None:
    (garden / "notes" / "a.md").symlink_to(garden / "planaria.toml")
    with pytest.raises(PathRefused):
        writable(garden, "notes/a.md")


def test_a_link_within_the_garden_is_followed_to_its_real_place(garden: Path) -> None:
    assert inside(garden, "in/a.md") == PurePosixPath("notes/a.md")


def test_a_folder_swapped_for_a_link_after_the_check_leads_nowhere(garden: Path, tmp_path: Path) -> None:
    place = writable(garden, "notes/secret.md")
    (garden / "notes").rename(tmp_path / "moved")
    (garden / "notes").symlink_to(tmp_path)
    with pytest.raises(PathRefused):
        write_file(garden, place, b"taken over")
    assert (tmp_path / "secret.md").read_text() == "secret"


def test_a_write_replaces_the_file_at_once_and_leaves_nothing_behind(garden: Path) -> None:
    place = writable(garden, "notes/deep/a.md")
    write_file(garden, place, b"one")
    (garden / place).chmod(0o600)
    write_file(garden, place, b"two")
    assert (garden / place).read_bytes() == b"two"
    assert (garden / place).stat().st_mode & 0o777 == 0o600
    assert os.listdir(garden / "notes" / "deep") == ["a.md"]


def test_a_pipe_is_refused_rather_than_waited_for(garden: Path) -> None:
    os.mkfifo(garden / "notes" / "pipe.md")
    with pytest.raises(PathRefused, match="not a plain file"):
        read_file(garden, inside(garden, "notes/pipe.md"), 100)


def test_reading_stops_one_byte_past_the_limit(garden: Path) -> None:
    (garden / "notes" / "a.md").write_bytes(b"x" * 100)
    assert len(read_file(garden, inside(garden, "notes/a.md"), 10)) == 11
