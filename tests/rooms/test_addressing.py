"""Who is to answer."""

import pytest

from planaria.rooms.addressing import addressed, arrivals_asked, mentions, strangers

HERE = ("scout", "keeper")


def test_names_after_an_at_sign_are_mentions_in_order_and_once():
    assert mentions("@Scout, ask @keeper. And @scout: be quick") == ("scout", "keeper")


@pytest.mark.parametrize(
    "text", ["ada@scout.org", "a/@scout", "@@scout", "`@scout`", "```py\n@scout\n```", "@ scout"]
)
def test_addresses_paths_and_code_are_no_mentions(text: str):
    assert mentions(text) == ()


def test_punctuation_around_a_name_is_not_part_of_it():
    assert mentions("(@scout-- or @keeper_!)") == ("scout", "keeper")


def test_who_is_named_answers():
    assert addressed("@keeper please", HERE, "scout") == ("keeper",)


def test_several_may_be_named():
    assert addressed("@keeper and @Scout", HERE, "scout") == ("keeper", "scout")


def test_all_means_everybody():
    assert addressed("@all hello", HERE, "scout") == HERE


def test_the_host_answers_what_is_addressed_to_nobody():
    assert addressed("hello", HERE, "scout") == ("scout",)


def test_nobody_answers_where_there_is_no_host():
    assert addressed("hello", (), None) == ()


def test_who_names_only_strangers_gets_nobody():
    assert addressed("@ghost hello", HERE, "scout") == ()
    assert strangers("@ghost, @scout and @all", HERE) == ("ghost",)


def test_a_long_message_full_of_marks_is_read_at_once():
    assert mentions("`@a``b" * 30_000 + "```") == ("a",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/steer look at the roof", ("steer", "look at the roof")),
        (" /Interrupt: @scout stop that", ("interrupt", "@scout stop that")),
        ("/collect\nand this", ("collect", "and this")),
        ("/steer", ("", "/steer")),
        ("/steering is hard", ("", "/steering is hard")),
        ("we /steer on", ("", "we /steer on")),
    ],
)
def test_a_message_may_say_what_becomes_of_it_with_those_at_work(text: str, said: tuple[str, str]):
    assert arrivals_asked(text) == said
