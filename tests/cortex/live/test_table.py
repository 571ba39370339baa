from typing import ClassVar

import pytest

from planaria.cortex.live.table import ALL, LiveError, Row, Select, Table


class Bird(Row, frozen=True):
    labels: ClassVar[tuple[str, ...]] = ("colour", "caged")
    colour: str = ""
    caged: bool = False
    weight: float | None = None


def birds(limit: int = 10) -> Table[Bird]:
    return Table("birds", Bird, limit, "a bird")


def test_rows_are_found_by_pattern_label_order_and_limit():
    table = birds()
    table.put(Bird("bird:wren@wood", "brown", weight=9.0))
    table.put(Bird("bird:robin@wood", "red", weight=18.0))
    table.put(Bird("bird:robin@garden", "red", True, None))
    keys = lambda select: [row.key for row in table.select(select)]  # noqa: E731
    assert keys(Select("bird:robin@*")) == ["bird:robin@garden", "bird:robin@wood"]
    assert keys(Select(where={"colour": "red", "caged": "false"})) == ["bird:robin@wood"]
    assert keys(Select(order="-weight", limit=2)) == ["bird:robin@wood", "bird:wren@wood"]
    assert keys(Select(order="weight"))[0] == "bird:robin@garden"
    assert keys(Select(limit=1)) == ["bird:robin@garden"]


def test_a_label_or_field_nobody_has_is_refused_with_those_there_are():
    with pytest.raises(LiveError, match="labels: colour, caged"):
        birds().select(Select(where={"color": "red"}))
    with pytest.raises(LiveError, match="fields: key, colour"):
        birds().select(Select(order="-size"))


def test_a_full_table_lets_go_of_the_row_changed_longest_ago_and_counts_it():
    table = birds(limit=2)
    gone: list[str] = []
    table.forget = gone.append
    table.put(Bird("a"))
    table.put(Bird("b"))
    table.put(Bird("a", "blue"))
    table.put(Bird("c"))
    assert [row.key for row in table.select(ALL)] == ["c", "a"]
    assert (table.evicted, gone) == (1, ["b"])


def test_a_touched_row_is_made_when_somebody_looks():
    table = birds()
    made: list[str] = []

    def build(key: str) -> Bird | None:
        made.append(key)
        return Bird(key) if key != "gone" else None

    table.build = build
    for _ in range(5):
        table.touch("a")
    table.touch("gone")
    assert made == []
    assert len(table) == 1 and table.get("a") == Bird("a") and made == ["a", "gone"]


def test_looking_up_changes_only_what_differs():
    table = birds()
    changed: list[str] = []
    table.changed = changed.append
    table.replace_all({"a": Bird("a"), "b": Bird("b")})
    table.replace_all({"a": Bird("a"), "c": Bird("c")})
    assert changed == ["a", "b", "b", "c"]
