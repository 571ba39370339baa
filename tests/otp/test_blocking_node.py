"""A node for plain blocking code."""

import pytest

from planaria.otp import GenServer, Node, StartFailed, call, child, whereis
from planaria.otp.blocking_node import BlockingNode


class Counter(GenServer):
    def init(self, start: int) -> None:
        if start < 0:
            raise ValueError("below zero")
        self.count = start

    @call
    def add(self) -> int:
        self.count += 1
        return self.count


def test_processes_live_from_one_question_to_the_next() -> None:
    with BlockingNode(Node("garden")) as node:
        node.start(child(Counter, 5, name="counter"))
        assert [node.run(Counter.add, "counter") for _ in range(3)] == [6, 7, 8]


def test_what_is_raised_is_raised_here_and_a_start_that_fails_too() -> None:
    async def fail() -> None:
        assert whereis("counter") is None
        raise LookupError("nothing")

    with BlockingNode(Node("garden")) as node:
        with pytest.raises(LookupError, match="nothing"):
            node.run(fail)
        with pytest.raises(StartFailed, match="below zero"):
            node.start(child(Counter, -1))
