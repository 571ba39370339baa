"""Calls, casts and deadlines: what a type checker knows about a server reached through its class."""

from typing import assert_type

from planaria.otp import GenServer, Pid, call, cast


class Counter(GenServer):
    async def init(self, start: int = 0) -> None:
        self.count = start

    @call
    def add(self, by: int = 1) -> int:
        self.count += by
        return self.count

    @call
    async def describe(self, prefix: str, *, loud: bool = False) -> str:
        return f"{prefix}{self.count}{'!' if loud else ''}"

    @cast
    def reset(self) -> None:
        self.count = 0

    @cast
    async def put(self, value: int) -> None:
        self.count = value


async def use(pid: Pid) -> None:
    assert_type(await Counter.add(pid), int)
    assert_type(await Counter.add(pid, 5), int)
    assert_type(await Counter.add(pid, by=5), int)
    assert_type(await Counter.add("counter", by=5), int)
    assert_type(await Counter.add.within(0.2)(pid, by=5), int)
    assert_type(await Counter.add.within(None)("counter"), int)
    assert_type(await Counter.describe(pid, "n="), str)
    assert_type(await Counter.describe(pid, "n=", loud=True), str)
    Counter.reset(pid)
    Counter.put("counter", 3)
    assert_type(Counter.put(pid, value=3), None)


async def misuse(pid: Pid) -> None:
    await Counter.add(pid, "five")  # error
    await Counter.add(pid, by="five")  # error
    await Counter.add(pid, amount=5)  # error
    await Counter.add(pid, 1, 2)  # error
    await Counter.add()  # error
    await Counter.add(7)  # error
    await Counter.describe(pid)  # error
    await Counter.add.within("soon")(pid)  # error
    await Counter.add.within(0.2)(pid, by="five")  # error
    Counter.put(pid)  # error
    Counter.put(pid, "three")  # error
    await Counter.subtract(pid)  # error
    wrong: str = await Counter.add(pid)  # error
    print(wrong)
