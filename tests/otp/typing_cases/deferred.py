"""A handler that answers later: callers see the value, not the `Deferred`."""

from typing import assert_type

from planaria.otp import Deferred, GenServer, Pid, call, cast


class Desk(GenServer):
    def init(self) -> None:
        self.waiting: list[Deferred[int]] = []

    @call
    def later(self) -> Deferred[int]:
        self.waiting.append(deferred := self.defer())
        return deferred

    @call
    async def much_later(self, ticket: str) -> Deferred[str]:
        return self.defer()

    @cast
    def answer(self, value: int) -> None:
        for deferred in self.waiting:
            deferred.reply(value)

    @cast
    def answer_wrongly(self) -> None:
        for deferred in self.waiting:
            deferred.reply("five")  # error


async def use(pid: Pid) -> None:
    assert_type(await Desk.later(pid), int)
    assert_type(await Desk.later.within(None)(pid), int)
    assert_type(await Desk.much_later(pid, "a"), str)
    Desk.answer(pid, 5)


async def misuse(pid: Pid) -> None:
    wrong: Deferred[int] = await Desk.later(pid)  # error
    await Desk.much_later(pid, 7)  # error
    print(wrong)
