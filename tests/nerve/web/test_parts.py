"""Only what changed is sent."""

import re

from planaria.nerve.web.parts import Part, Picture, dom_id


def part(id: str, key: object, *inner: Part) -> Part:
    return Part(id, "t.html", {}, key, inner)


def changed(picture: Picture, *parts: Part) -> list[str]:
    return [part.id for part in picture.changes(parts)]


def test_the_first_look_sends_everything_outermost():
    assert changed(Picture(), part("a", 1, part("b", 1)), part("c", 1)) == ["a", "c"]


def test_an_unchanged_page_sends_nothing():
    picture = Picture()
    changed(picture, part("a", 1, part("b", 1)))
    assert changed(picture, part("a", 1, part("b", 1))) == []


def test_a_change_inside_sends_the_inner_part_alone():
    picture = Picture()
    changed(picture, part("a", 1, part("b", 1), part("c", 1)))
    assert changed(picture, part("a", 1, part("b", 2), part("c", 1))) == ["b"]


def test_a_change_outside_sends_the_inside_once():
    picture = Picture()
    changed(picture, part("a", 1, part("b", 1)))
    assert changed(picture, part("a", 2, part("b", 2))) == ["a"]
    assert changed(picture, part("a", 2, part("b", 2))) == []


def test_a_part_that_went_away_is_forgotten():
    picture = Picture()
    changed(picture, part("a", 1))
    changed(picture, part("b", 1))
    assert set(picture.shown) == {"b"}


def test_an_id_made_of_any_text_is_safe_in_a_selector():
    for text in ('"><script>', "room:garden", "a b", "\ud800", ""):
        assert re.fullmatch(r"r-[0-9a-f]{16}", dom_id("r", text))
    assert dom_id("r", "a") != dom_id("r", "b")
