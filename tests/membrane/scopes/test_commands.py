from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planaria.membrane.scopes.commands import command_scope, command_text, read_command
from planaria.membrane.scopes.scope import Place, ScopeError, Unreadable

HERE = Place(Path("/"))


@pytest.mark.parametrize(
    ("scope", "words", "covered"),
    [
        ("git log *", ["git", "log"], True),
        ("git log *", ["git", "log", "-3", "--", "a b"], True),
        ("git log *", ["git", "push"], False),
        ("git log *", ["git"], False),
        ("git log", ["git", "log", "-3"], False),
        ("git *", ["/tmp/git", "log"], False),
        ("git *", ["git;rm", "x"], False),
        ("git *", ["sh", "-c", "git log"], False),
        ("/usr/bin/git *", ["/usr/bin/git"], True),
        ("cp * notes/*", ["cp", "a", "notes/b"], True),
        ("cp * notes/*", ["cp", "a", "b", "notes/b"], False),
        ("echo 'a b'", ["echo", "a b"], True),
        ("echo 'a b'", ["echo", "a", "b"], False),
        ("ls [a]", ["ls", "[a]"], True),
        ("ls [a]", ["ls", "a"], False),
        ("*", ["rm", "-rf", "/"], True),
        ("pytest --k=*", ["pytest", "--k=a\nb"], True),
    ],
)
def test_commands_are_compared_word_by_word(scope: str, words: list[str], covered: bool) -> None:
    assert command_scope(scope).covers(read_command(words, HERE)) is covered


@pytest.mark.parametrize("what", ["git log; rm -rf /", "git log", [], [""], ["a\0"], ["git", 3], None])
def test_a_text_for_a_shell_is_no_command(what: object) -> None:
    with pytest.raises(Unreadable):
        read_command(what, HERE)


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("rm *", ["/bin/rm", "-rf", "x"]),
        ("rm *", ["RM", "x"]),
        ("git push *", ["git", "-C", "there", "push", "origin"]),
        ("git push *", ["/usr/bin/git", "push"]),
    ],
)
def test_what_is_forbidden_is_meant_wherever_the_words_stand(scope: str, words: list[str]) -> None:
    assert command_scope(scope).concerns(read_command(words, HERE))


@given(
    st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5),
    st.lists(st.text(max_size=8), max_size=5),
)
def test_the_exact_scope_of_a_command_covers_no_other(words: list[str], other: list[str]) -> None:
    try:
        what = read_command(words, HERE)
        scope = command_scope(command_text(what))
    except (Unreadable, ScopeError):
        return
    assert scope.covers(what)
    if other and other != words and other[0] and not any("\0" in word for word in other):
        assert not scope.covers(read_command(other, HERE))


@pytest.mark.parametrize("text", ["", "   ", "git 'log", "a\0"])
def test_what_is_no_command_is_refused_with_a_mend(text: str) -> None:
    with pytest.raises(ScopeError):
        command_scope(text)
