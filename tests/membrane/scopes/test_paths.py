"""No argument passes a scope it is outside of: with links, climbing, case and dots, in a real folder."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planaria.membrane.scopes.paths import PathScope, path_scope, path_text, read_path
from planaria.membrane.scopes.scope import Place, ScopeError, Unreadable

PIECES = (
    *(
        "notes",
        "secret",
        "a.md",
        "deep",
        "in",
        "out",
        "up",
        "here",
        "loop",
        "..",
        ".",
        "",
        ".env",
        ".planaria",
    ),
    *("NOTES", "agents", "scout.md", "tools", "Tools", "plans", "é", "é"),
)


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A garden with links of every kind: into a scope, out of it, out of the garden, up, round."""
    top = tmp_path_factory.mktemp("world").resolve()
    folder = top / "garden"
    for name in ("notes/deep", "secret", ".planaria", "agents", "tools", "plans"):
        (folder / name).mkdir(parents=True)
    (top / "outside").mkdir()
    (top / "outside/a.md").write_text("not ours")
    for name in ("notes/a.md", "notes/deep/a.md", "secret/a.md", "agents/scout.md", ".env", "notes/.env"):
        (folder / name).write_text(name)
    (folder / "notes/out").symlink_to(top / "outside")
    (folder / "notes/in").symlink_to(folder / "secret")
    (folder / "notes/up").symlink_to("..")
    (folder / "secret/here").symlink_to(folder / "notes/deep")
    (folder / "notes/loop").symlink_to(folder / "notes/loop")
    (folder / "plans/agents").symlink_to(folder / "agents")
    return folder


def touched(garden: Path, scope: PathScope, path: str) -> bool:
    try:
        return scope.covers(read_path(path, Place(garden)))
    except Unreadable:
        return False


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6), st.booleans())
def test_whatever_path_is_covered_leads_into_the_scope(
    garden: Path, pieces: list[str], absolute: bool
) -> None:
    path = "/".join(pieces)
    if absolute:
        path = f"{garden}/{path}"
    allowed = garden / "notes"
    if touched(garden, path_scope("notes/**"), path):
        real = os.path.realpath(path if absolute else garden / path)
        assert real == str(allowed) or real.startswith(f"{allowed}/")
        assert ".env" not in real
    if touched(garden, path_scope("**", writes=True), path):
        real = os.path.realpath(path if absolute else garden / path)
        first = os.path.relpath(real, garden).split("/")[0].casefold()
        assert first not in ("..", "agents", "tools", ".planaria")


@pytest.mark.parametrize(
    ("scope", "path", "covered"),
    [
        ("notes/**", "notes", True),
        ("notes/**", "notes/new/deeper.md", True),
        ("notes/**", "secret/here/a.md", True),  # the file itself is in the scope
        ("notes/**", "notes/in/a.md", False),
        ("notes/**", "notes/out/a.md", False),
        ("notes/**", "notes/up/secret/a.md", False),
        ("notes/**", "notes/../secret/a.md", False),
        ("notes/**", "notes/loop", False),
        ("notes/**", "notesx/a.md", False),
        ("notes/**", "NOTES/a.md", False),
        ("notes/**", "notes/.env", False),
        ("notes/.*", "notes/.env", True),
        ("**", "notes/a.md\n", False),
        ("**", "~/a.md", False),
        ("**", "notes\\a.md", False),
        ("**", "/etc/passwd", False),
        ("**", ".planaria/journal.key", False),
        (".planaria/**", ".planaria/journal.key", False),
        ("**/.PLANARIA/**", ".Planaria/journal.key", False),
        ("notes/*.md", "notes/a.md", True),
        ("notes/*.md", "notes/deep/a.md", False),
        ("/etc/**", "/etc/hosts", True),
        ("/**", "/etc/hosts", True),
        ("notes/a.md", "notes/a.md", True),
        ("**", "notes/\u202eterces", False),
    ],
)
def test_a_scope_covers_what_it_says(garden: Path, scope: str, path: str, covered: bool) -> None:
    assert touched(garden, path_scope(scope), path) is covered


@pytest.mark.parametrize(
    ("scope", "path", "covered"),
    [
        ("**", "notes/a.md", True),
        ("**", "agents/scout.md", False),
        ("**", "Agents/scout.md", False),
        ("**", "plans/agents/scout.md", False),
        ("**", "planaria.toml", False),
        ("**", "SOUL.md", False),
        ("*.md", "memory.md", False),
        ("USER.md", "USER.md", True),
        ("*/**", "tools/mine.py", False),
        ("agents/**", "agents/scout.md", True),
    ],
)
def test_what_governs_agents_is_written_only_where_it_is_named(
    garden: Path, scope: str, path: str, covered: bool
) -> None:
    assert touched(garden, path_scope(scope, writes=True), path) is covered


@pytest.mark.parametrize(
    "path", ["secret/a.md", "SECRET/a.md", "secret", "notes/in/a.md", "secret/here/a.md"]
)
def test_what_is_denied_is_denied_under_any_name(garden: Path, path: str) -> None:
    assert path_scope("secret").concerns(read_path(path, Place(garden)))


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5))
def test_the_exact_scope_of_a_file_covers_it_and_nothing_beside_it(garden: Path, pieces: list[str]) -> None:
    try:
        what = read_path("/".join(pieces), Place(garden))
        scope = path_scope(path_text(what))
    except (Unreadable, ScopeError):
        return
    if ".planaria" not in what.real and ".planaria" not in what.named:
        assert scope.covers(what)
    assert not scope.covers(read_path("notes/other.md", Place(garden)))


@pytest.mark.parametrize("text", ["", "../x", "~/x", "notes/**.md", "a\\b", " notes", "notes\n"])
def test_what_is_no_path_is_refused_with_a_mend(text: str) -> None:
    with pytest.raises(ScopeError):
        path_scope(text)
