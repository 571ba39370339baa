"""A chat: each member is a process in a group, and who leaves or crashes is gone from it without a word to anybody.

`join` puts the running process into a group; the group is whoever is in it and alive at this moment.
"""

import asyncio

from planaria.otp import GenServer, Node, call, cast, exit_signal, join, leave, members, wait_down


class Member(GenServer):
    """One person in the room: hears the others, and says things to everybody in the group but itself."""

    def init(self, name: str, room: str) -> None:
        self.name = name
        self.room = room
        self.heard: list[str] = []
        join(room)

    @call
    def say(self, text: str) -> int:
        """How many heard it."""
        others = [pid for pid in members(self.room) if pid != self.pid]
        for pid in others:
            Member.hear(pid, f"{self.name}: {text}")
        return len(others)

    @cast
    def hear(self, line: str) -> None:
        self.heard.append(line)

    @call
    def log(self) -> list[str]:
        return self.heard

    @call
    def go(self) -> None:
        leave(self.room)


async def work() -> None:
    ada = await Member.start_link("ada", "garden")
    grace = await Member.start_link("grace", "garden")
    edsger = await Member.start("edsger", "garden")  # not linked: its end is its own affair

    print("heard by", await Member.say(ada, "is the moss dry?"))
    exit_signal(edsger, "kill")
    await wait_down(edsger)
    print("heard by", await Member.say(grace, "I will water it."))
    await Member.go(grace)
    print("heard by", await Member.say(ada, "thank you!"))
    print(await Member.log(ada))
    print(await Member.log(grace))


async def main() -> None:
    async with Node() as node:
        await node.run(work)


if __name__ == "__main__":
    asyncio.run(main())
