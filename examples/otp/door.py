"""A state machine: what a door answers depends on the state it is in, and time is an event like any other.

A code tried while the door is open is put off until it has closed (`postpone`); three wrong ones raise an alarm; and
`planaria.otp.sys` looks inside, holds the door and lets it go on, with no word about that in the class.
"""

import asyncio

from planaria.otp import (
    Call,
    Deferred,
    Event,
    Keep,
    Next,
    Node,
    StateMachine,
    StateTimeout,
    Transition,
    call,
    sys,
)


class Door(StateMachine):
    """Locked, open for a moment, or sounding its alarm."""

    def init(self, code: str) -> Next:
        self.code = code
        self.wrong = 0
        return Next(self.locked)

    @call
    def unlock(self, code: str) -> Deferred[str]:
        """Try a code. Every state answers in its own way."""
        return self.by_state()

    @call
    def mistakes(self) -> int:
        """Wrong codes so far: the same answer in all states."""
        return self.wrong

    def locked(self, event: Event) -> Transition | None:
        match event:
            case Call("unlock", (code,)) if code == self.code:
                return Next(self.open, StateTimeout().after(0.05), reply="welcome")
            case Call("unlock"):
                self.wrong += 1
                return Next(self.alarm if self.wrong == 3 else self.locked, reply="wrong")
            case _:
                return None

    def open(self, event: Event) -> Transition | None:
        match event:
            case StateTimeout():
                return Next(self.locked)
            case Call("unlock"):
                return Keep(postpone=True)
            case _:
                return None

    def alarm(self, event: Event) -> Transition | None:
        return Keep(reply="too late") if isinstance(event, Call) and event.name == "unlock" else None


async def work() -> None:
    door = await Door.start_link("1234")
    print(await Door.unlock(door, "1234"))
    print(await Door.unlock(door, "0000"), "- asked while it was open, answered once it was locked")
    print(await Door.unlock(door, "1111"), await Door.unlock(door, "2222"))
    print(await Door.unlock(door, "1234"), "after", await Door.mistakes(door), "mistakes")

    await sys.suspend(door)
    await sys.replace_state(door, lambda now: now._replace(state="locked", data=now.data | {"wrong": 0}))
    await sys.resume(door)
    print((await sys.get_state(door)).state, "again:", await Door.unlock(door, "1234"))


async def main() -> None:
    async with Node() as node:
        await node.run(work)


if __name__ == "__main__":
    asyncio.run(main())
