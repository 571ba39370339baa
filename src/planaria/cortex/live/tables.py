"""Reading the tables of the live store, from anywhere in the node: nobody is asked."""

from collections.abc import Callable, Mapping
from typing import Any

from planaria.cortex.live.table import LiveError, Table
from planaria.otp import Node
from planaria.otp.kernel.table import read_table


class LiveTables:
    """The tables, by name: for whoever wants to read them without asking."""

    def __init__(self, tables: Mapping[str, Table[Any]], catch_up: Callable[[], None]) -> None:
        self._tables = tables
        self._catch_up = catch_up

    def __getitem__(self, name: str) -> Table[Any]:
        self._catch_up()
        table = self._tables.get(name)
        if table is None:
            raise LiveError(f"no table {name!r}; tables: {', '.join(self._tables)}")
        return table

    def names(self) -> list[str]:
        """All of them."""
        return list(self._tables)


def tables_of(node: Node, name: str = "live") -> LiveTables:
    """The tables of the live store of a node, read at once: nobody is asked.

    Raises:
        NoProcess: it does not run now.
    """
    return read_table(name, node.whereis(name), LiveTables)
