"""Inside the class, and on an instance, a handler is the plain method it was written as."""

from collections.abc import Coroutine
from typing import Any, assert_type

from planaria.otp import GenServer, call, cast


class Counter(GenServer):
    def init(self) -> None:
        self.count = 0

    @call
    def add(self, by: int = 1) -> int:
        self.count += by
        return self.count

    @call
    async def add_slowly(self, by: int) -> int:
        return self.add(by)

    @cast
    def reset(self) -> None:
        self.count = 0

    @call
    async def add_twice(self, by: int) -> int:
        assert_type(self.add(by), int)
        assert_type(await self.add_slowly(by), int)
        self.reset()
        return self.add(by=by)

    @call
    def misuse(self) -> int:
        self.add("one")  # error
        self.add(self.pid, 1)  # error
        return self.add_slowly(1)  # error


def unbound(counter: Counter) -> None:
    assert_type(counter.add(2), int)
    coroutine: Coroutine[Any, Any, int] = counter.add_slowly(2)
    coroutine.close()
    counter.reset()
    counter.reset(1)  # error
