"""Starting, supervising and running: arguments are checked, results are known."""

from typing import assert_type

from planaria.otp import GenServer, Node, Pid, call, child, dynamic, self_, spawn, supervisor


class Counter(GenServer):
    async def init(self, start: int = 0) -> None:
        self.count = start

    @call
    def read(self) -> int:
        return self.count


async def double(value: int) -> int:
    return 2 * value


async def use(node: Node) -> None:
    assert_type(await Counter.start_link(10), Pid)
    assert_type(await Counter.start_link(10, name="counter"), Pid)
    assert_type(await node.run(double, 2), int)
    assert_type(self_(), Pid)
    assert_type(spawn(double, 2), Pid)
    assert_type(node.whereis("counter"), Pid | None)
    tree = supervisor(
        child(Counter, 10, name="counter", restart="transient", shutdown=1.0),
        dynamic(name="workers"),
        strategy="rest_for_one",
        max_restarts=3,
        within=5.0,
    )
    assert_type(await node.start(tree), Pid)


def misuse() -> None:
    supervisor(child(Counter), strategy="one_for_two")  # error
    child(Counter, restart="sometimes")  # error
    child(Counter, shutdown="later")  # error
    supervisor(Counter)  # error
