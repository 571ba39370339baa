import pytest

from planaria.cortex.durable.question import expected, fault, read_answer

OPTIONS = ("yes", "no", "yes, later")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("yes", ("yes", "")),
        ("  YES  ", ("yes", "")),
        ("2", ("no", "")),
        ("2: not today", ("no", "not today")),
        ("2 not today", ("no", "not today")),
        ("3.", ("yes, later", "")),
        ("no: I am\nasleep", ("no", "I am\nasleep")),
        ("yes, later", ("yes, later", "")),
        ("yes later", ("yes", "later")),
        ("yesterday", None),
        ("4", None),
        ("0", None),
        ("maybe", None),
        ("", None),
        ("22", None),
    ],
)
def test_an_option_is_named_by_number_or_words(said: str, answer: tuple[str, str] | None) -> None:
    assert read_answer(OPTIONS, said) == answer


def test_without_options_any_text_is_an_answer() -> None:
    assert read_answer((), " 12 of them ") == ("", "12 of them")
    assert read_answer((), "  ") is None


def test_people_are_told_what_can_be_answered() -> None:
    assert expected(("yes", "no")) == "1 yes, 2 no"
    assert expected(()) == "any text"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", ()),
        ("x" * 5000, ()),
        ("x", ("a", "A ")),
        ("x", ("a", "")),
        ("x", tuple("abcdefghijklmnopqrstuvwxyz")),
    ],
)
def test_what_nobody_could_answer_cannot_be_asked(text: str, options: tuple[str, ...]) -> None:
    assert fault(text, options)
