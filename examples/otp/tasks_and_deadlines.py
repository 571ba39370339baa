"""A server that stays awake while slow work goes on: tasks do the waiting, answers come later, callers set deadlines.

A handler never awaits the outside. It starts a task, defers its answer, and is free for the next message.
"""

import asyncio

from planaria.otp import (
    CallTimeout,
    Deferred,
    Down,
    GenServer,
    Node,
    Task,
    TaskDone,
    TaskRef,
    call,
    child,
    dynamic,
    reason_text,
    sleep,
    supervisor,
)


async def fetch(what: str, seconds: float) -> str:
    await sleep(seconds)  # stands for a network or a model
    if what == "nonsense":
        raise ValueError("there is no such page")
    return f"the page about {what}"


class Fetcher(GenServer):
    def init(self) -> None:
        self.waiting: dict[TaskRef, Deferred[str]] = {}

    @call
    def get(self, what: str, seconds: float) -> Deferred[str]:
        ref = Task.start(fetch, what, seconds, under="fetches")
        self.waiting[ref] = answer = self.defer()
        return answer

    @call
    def busy(self) -> int:
        return len(self.waiting)

    def handle_info(self, message: object) -> None:
        match message:
            case TaskDone(ref=TaskRef() as ref, value=str() as page):
                self.waiting.pop(ref).reply(page)
            case Down(ref=TaskRef() as ref, reason=reason):
                self.waiting.pop(ref).reply(f"nothing: {reason_text(reason)}")


async def work() -> None:
    print(await Fetcher.get("fetcher", "moss", 0.01))
    print(await Fetcher.get("fetcher", "nonsense", 0.01))  # the task crashed, the server did not
    try:
        await Fetcher.get.within(0.05)("fetcher", "glaciers", 60.0)
    except CallTimeout as error:
        print("gave up:", error.seconds, "s")
    print("still answers; busy with", await Fetcher.busy("fetcher"))


async def main() -> None:
    async with Node() as node:
        # The tasks' supervisor first: it ends last, and with it whatever they were doing.
        await node.start(supervisor(dynamic(name="fetches"), child(Fetcher, name="fetcher")))
        await node.run(work)


if __name__ == "__main__":
    asyncio.run(main())
