"""Links between notes, found in a text that may be anything."""

import time

import pytest

from planaria.records.links import MOST_LINKS, note_links


def test_links_are_found_once_each_by_the_name_they_mean():
    assert note_links("[[a]] [[b|shown]] and [[notes/c/d.md#part]], again [[ a ]]") == ["a", "b", "c/d"]


def test_links_in_code_are_no_links():
    assert note_links("[[a]] and `[[b]]` and ``x ` [[c]]`` `[[d]]\n\n    [[e]]\n\n[[f]]") == ["a", "d", "f"]
    assert note_links("```\n[[a]]\n~~~\n```\n[[b]]\n~~~~ x\n[[c]]\n~~~\n[[d]]") == ["b"]


def test_links_in_a_list_are_links():
    assert note_links("- [[a]]\n\n    - [[b]]\n\n      [[c]]\n\ntext\n    [[d]]") == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "text", ["[[]]", "[[ ]]", "[[a\nb]]", "[[a[b]]", "[a]", "[[#part]]", "[[" + "x" * 301 + "]]"]
)
def test_what_is_no_link_is_none(text):
    assert note_links(text) == []


def test_of_one_note_only_so_many_links_are_kept():
    assert len(note_links(" ".join(f"[[n{number}]]" for number in range(2 * MOST_LINKS)))) == MOST_LINKS


@pytest.mark.parametrize(
    "piece", ["[[x", "[", "[[", "]]", "[[x|", "`", "` ``", "[[x]", "|a", " ", "\t", "```\n", "[[a]]", "1" * 9]
)
def test_a_hostile_note_costs_no_more_than_its_length(piece):
    text = piece * (1_000_000 // len(piece))
    before = time.process_time()
    note_links(text)
    assert time.process_time() - before < 5.0  # about 0.1 s; what grows faster takes minutes
