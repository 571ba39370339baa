"""What one scenario's adapter remembers: events, labels, references, saved callers, deaths.

One `Recorder` per scenario, shared by the test process and all workers of its node. It is written by whoever
executes operations and read by the scenario loop between steps. No kernel calls are made here.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from planaria.otp import Deferred, Pid

from .comparison import Json

TEST = "test"


@dataclass
class Recorder:
    """The tables of README section 10.1: events, labels, references and saved callers."""

    events: list[Json] = field(default_factory=list)
    exits: dict[str, Json] = field(default_factory=dict)
    callers: dict[str, Deferred[Any]] = field(default_factory=dict)
    _labelled: dict[str, list[Pid]] = field(default_factory=lambda: defaultdict(list))
    _names: dict[Pid, str] = field(default_factory=dict)
    _references: dict[str, Any] = field(default_factory=dict)

    def set_test(self, pid: Pid) -> None:
        self._names[pid] = TEST
        self._labelled[TEST].append(pid)

    def label(self, pid: Pid, label: str) -> str:
        """Give a process the next number of its label; answers with `label#number`."""
        self._labelled[label].append(pid)
        name = f"{label}#{len(self._labelled[label])}"
        self._names[pid] = name
        return name

    def number(self, pid: Pid) -> int:
        """Which incarnation of its label a process is, from 1; 1 for the test process."""
        _, _, number = self._names[pid].rpartition("#")
        return int(number) if number.isdigit() else 1

    def name_of(self, pid: Pid) -> str:
        """`label#number`, or a text that no vector contains for a process nobody labelled."""
        return self._names.get(pid, f"unlabelled {pid}")

    def knows(self, pid: Pid) -> bool:
        return pid in self._names

    def find(self, target: str) -> Pid:
        """The process a target without `@` refers to: `w` is the newest one, `w#1` exactly that."""
        label, separator, number = target.rpartition("#")
        if separator and number.isdigit() and label in self._labelled:
            return self._labelled[label][int(number) - 1]
        return self._labelled[target][-1]

    def labelled(self) -> list[Pid]:
        """All processes that ever had a label, without the test process."""
        return [pid for pid, name in self._names.items() if name != TEST]

    def set_reference(self, name: str, reference: object) -> None:
        self._references[name] = reference

    def reference(self, name: str) -> Any:
        return self._references[name]

    def reference_name(self, reference: object) -> str:
        for name, known in self._references.items():
            if known == reference:
                return name
        return f"unnamed {reference}"

    def record(self, pid: Pid, event: str, **details: Json) -> None:
        self.events.append({"p": self.name_of(pid), "ev": event, **details})

    def died(self, pid: Pid, reason: Json) -> None:
        if self.knows(pid) and self._names[pid] != TEST:
            self.exits[self._names[pid]] = reason

    def collect(self) -> dict[str, Json]:
        """Take what was recorded since the last time: `events` and `exits`, each absent if empty."""
        taken: dict[str, Json] = {}
        if self.events:
            taken["events"] = self.events
        if self.exits:
            taken["exits"] = self.exits
        self.events, self.exits = [], {}
        return taken
