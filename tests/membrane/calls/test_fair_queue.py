"""A bounded queue in which a busy flow does not starve a quiet one."""

import random
from collections import Counter

from planaria.membrane.calls.fair_queue import FairQueue


def drain(queue: FairQueue[str], number: int | None = None) -> list[str]:
    return [queue.pop().item for _ in range(len(queue) if number is None else number)]


def test_within_a_flow_first_come_is_first_served():
    queue: FairQueue[str] = FairQueue(10)
    for item in ("1", "2", "3"):
        queue.push("a", 1, item)
    assert drain(queue) == ["1", "2", "3"]


def test_one_that_comes_late_to_a_long_line_of_another_flow_is_served_next():
    queue: FairQueue[str] = FairQueue(100)
    for number in range(50):
        queue.push("busy", 1, f"busy{number}")
    drain(queue, 10)
    queue.push("quiet", 1, "quiet")
    assert "quiet" in drain(queue, 2)


def test_flows_get_equal_shares_of_cost_not_of_calls():
    queue: FairQueue[str] = FairQueue(1000)
    for _ in range(100):
        queue.push("large", 100, "large")
        queue.push("small", 10, "small")
    served = Counter(drain(queue, 110))
    assert served["small"] == 100 and 9 <= served["large"] <= 11


def test_a_full_queue_refuses_the_newcomer_or_takes_the_place_from_the_longest_flow():
    queue: FairQueue[str] = FairQueue(3)
    for item in ("a1", "a2", "a3"):
        assert queue.push("a", 1, item) is None
    refused = queue.push("a", 1, "a4")
    assert refused is not None and refused.item == "a4"
    refused = queue.push("b", 1, "b1")
    assert refused is not None and refused.item == "a3"  # its last one
    refused = queue.push("b", 1, "b2")
    assert refused is not None and refused.item == "b2"  # two against one: nobody has too much
    assert sorted(drain(queue)) == ["a1", "a2", "b1"]


def test_what_gives_up_leaves_the_line_in_order():
    queue: FairQueue[str] = FairQueue(10)
    for item in ("a1", "b1", "a2", "b2"):
        queue.push(item[0], 1, item)
    assert [ticket.item for ticket in queue.remove(lambda item: item.startswith("a"))] == ["a1", "a2"]
    assert drain(queue) == ["b1", "b2"] and queue.flows == {}


def test_it_remembers_nothing_of_flows_that_are_gone():
    queue: FairQueue[int] = FairQueue(10_000)
    queue.push("stays", 1e12, 0)
    chance = random.Random(7)
    for number in range(5000):
        queue.push(f"flow{number}", chance.randint(1, 9), number)
        if queue.first() is not None and len(queue) > 20:
            queue.pop()
    assert len(queue._last) <= 2 * len(queue) + 20


def test_new_flows_without_end_do_not_hold_up_one_that_waits():
    queue: FairQueue[str] = FairQueue(10_000)
    for item in ("a1", "a2", "a3"):
        queue.push("a", 5, item)
    served: list[str] = []
    for number in range(100):
        queue.push(f"new{number}", 5, "new")
        served.append(queue.pop().item)
    assert [served.index(item) for item in ("a1", "a2", "a3")] <= [0, 4, 12]


def test_no_flow_waits_for_more_than_its_turn():
    """Whatever comes in which order, between two calls of a waiting flow no other one gets more than its share."""
    chance = random.Random(11)
    for _ in range(50):
        queue: FairQueue[str] = FairQueue(10_000)
        for number in range(5):
            for _ in range(chance.randint(1, 60)):
                queue.push(f"f{number}", 1, f"f{number}")
        queue.push("mine", 1, "mine")
        before = drain(queue, [t.item for t in queue].index("mine"))
        assert max(Counter(before).values(), default=0) <= 1
