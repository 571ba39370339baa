"""Each thing that can be wrong with a transcript is found, and nothing else."""

from typing import Any

from tests.crash.verdict import Post, judge


def post(n: int, asked: int, accepted: int | None, seq: int | None = None) -> Post:
    return Post(f"c{n}", f"m{n}", asked, 1, accepted, f"id{n}", seq if seq is not None else n)


def said(n: int, id: str = "") -> dict[str, Any]:
    return {
        "author": "ada",
        "author_kind": "person",
        "text": f"m{n}",
        "id": id or f"id{n}",
        "seq": n,
        "cause_id": None,
    }


def answer(n: int, seq: int) -> dict[str, Any]:
    return {
        "author": "bot",
        "author_kind": "agent",
        "text": "ok",
        "id": f"a{seq}",
        "seq": seq,
        "cause_id": f"id{n}",
    }


POSTS = [post(1, 1, 2), post(2, 3, 4)]
RIGHT = [said(1), said(2), answer(1, 3), answer(2, 4)]


def faults(posts: list[Post], transcript: list[dict[str, Any]]) -> dict[str, list[str]]:
    return judge(posts, transcript, "ada").faults()


def test_a_right_transcript_has_no_faults() -> None:
    assert faults(POSTS, RIGHT) == {}


def test_an_unacknowledged_post_may_be_there_or_not() -> None:
    assert faults([*POSTS, post(3, 5, None)], RIGHT) == {}


def test_an_accepted_post_that_is_not_there_is_lost() -> None:
    assert faults(POSTS, [said(1), answer(1, 3)]) == {"lost": ["m2"]}


def test_a_text_said_twice_is_doubled() -> None:
    assert faults(POSTS, [*RIGHT, said(2, "other"), answer(2, 9) | {"cause_id": "other"}])["doubled"] == [
        "m2"
    ]


def test_a_post_with_another_id_than_was_told_is_misplaced() -> None:
    assert faults([post(1, 1, 2, seq=7)], [said(1), answer(1, 3)]) == {"misplaced": ["m1"]}


def test_a_later_post_placed_before_an_accepted_one_is_out_of_order() -> None:
    swapped = [post(1, 1, 2, seq=2), post(2, 3, 4, seq=1)]
    assert faults(swapped, RIGHT)["out_of_order"] == ["m2 before m1"]


def test_posts_under_way_together_have_no_order() -> None:
    assert "out_of_order" not in faults([post(1, 1, 3, seq=2), post(2, 2, 4, seq=1)], RIGHT)


def test_answers_are_counted() -> None:
    assert faults(POSTS, RIGHT[:3]) == {"unanswered": ["m2"]}
    assert faults(POSTS, [*RIGHT, answer(2, 5)]) == {"answered_twice": ["m2"]}
    assert faults(POSTS, [*RIGHT, answer(9, 5)]) == {"answers_to_nothing": ["id9"]}


def test_answers_come_in_the_order_of_the_messages() -> None:
    assert set(faults(POSTS, [said(1), said(2), answer(2, 3), answer(1, 4)])) == {"answers_out_of_order"}
