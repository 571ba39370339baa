"""One call to many servers."""

import pytest

from planaria.otp import (
    Crash,
    GenServer,
    NotAProcess,
    Pid,
    Server,
    bounded,
    call,
    exit_signal,
    multi_call,
    send,
    sleep,
)
from planaria.otp.kernel.bounded import Letter
from planaria.testing.node import TestNode
from tests.otp.support import Boom, Counter


class Node(GenServer):
    """Answers, crashes or takes its time."""

    def init(self, answer: object) -> None:
        self.answer = answer

    @call
    async def ask(self, plus: int) -> object:
        if isinstance(self.answer, float):
            await sleep(self.answer)
        if isinstance(self.answer, int):
            return self.answer + plus
        raise Boom


async def test_answers_and_failures_stand_in_the_order_of_the_servers(node: TestNode) -> None:
    async def work() -> None:
        one = await Node.start(1)
        dead = await Node.start(2)
        exit_signal(dead, "kill")
        broken = await Node.start("broken")
        slow = await Node.start(9.0)
        named = await Node.start(5, name="five")
        servers: list[Server] = [slow, one, dead, broken, "five", "nobody"]
        answers, failed = await multi_call(Node.ask.within(2.0), servers, 10)
        assert answers == [(one, 11), ("five", 15)]
        assert [server for server, _ in failed] == [slow, dead, broken, "nobody"]
        reasons = [reason for _, reason in failed]
        assert reasons[0] == "timeout"
        assert reasons[1] == reasons[3] == "noproc"
        assert isinstance(reasons[2], Crash)
        assert named.alive
        done.append(True)

    done: list[bool] = []
    node.spawn(work)
    await node.advance(2.0)
    assert done == [True]


async def test_the_time_is_for_all_together(node: TestNode) -> None:
    async def work() -> None:
        servers: list[Pid] = [await Node.start(3.0) for _ in range(5)]
        begun = node.clock.now()
        await multi_call(Node.ask.within(2.0), servers, 1)
        took.append(node.clock.now() - begun)

    took: list[float] = []
    node.spawn(work)
    await node.advance(20.0)
    assert took == [2.0]


async def test_a_caller_that_is_one_of_them_fails_and_the_others_are_asked(node: TestNode) -> None:
    class Asking(Node):
        @call
        async def everybody(self, others: list[Pid]) -> object:
            return await multi_call(Node.ask, [self.pid, *others], 1)

    async def work() -> None:
        other = await Node.start(1)
        me = await Asking.start(1)
        assert await Asking.everybody(me, [other]) == ([(other, 2)], [(me, "calling_self")])

    await node.run(work)


async def test_it_acts_as_the_running_process() -> None:
    with pytest.raises(NotAProcess):
        await multi_call(Node.ask, [], 1)


async def test_a_mailbox_that_cannot_rank_the_call_fails_alone(node: TestNode) -> None:
    def rank(letter: Letter) -> float:
        raise Boom

    async def work() -> None:
        well, ill = await Counter.start(), await Counter.start(mailbox=bounded(1, "shed", priority=rank))
        send(ill, "one waits, and nobody asks for its rank")
        answers, failures = await multi_call(Counter.add, [well, ill], 2)
        assert answers == [(well, 2)]
        assert [(server, type(why)) for server, why in failures] == [(ill, Boom)]

    await node.run(work)
