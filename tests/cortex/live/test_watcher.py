"""What one who follows a table is told, whatever it has missed."""

from typing import Any, ClassVar

from planaria.cortex.live.table import Row, Select, Table
from planaria.cortex.live.watcher import MOST_PENDING, Watcher

NOBODY: Any = None  # the process is only kept


class Bird(Row, frozen=True):
    labels: ClassVar[tuple[str, ...]] = ("kind",)
    kind: str


def test_who_got_all_rows_anew_is_told_which_of_them_are_gone_later():
    table: Table[Bird] = Table("birds", Bird, 3000, "seen")
    watcher = Watcher(1, NOBODY, NOBODY, "birds", Select(where={"kind": "wren"}))
    for number in range(MOST_PENDING + 1):
        table.put(Bird(str(number), "wren" if number < 2 else "crow"))
    watcher.note(str(number) for number in range(MOST_PENDING + 1))
    whole = watcher.take(table)
    assert whole is not None and whole.whole and {row.key for row in whole.rows} == {"0", "1"}
    table.remove("0")
    table.remove("5")
    watcher.note(("0", "5"))
    later = watcher.take(table)
    assert later is not None and (later.rows, later.gone, later.whole) == ([], ["0"], False)
