"""State machines: typed client functions, transitions and events."""

from typing import assert_type

from planaria.otp import (
    Call,
    Deferred,
    End,
    Event,
    Keep,
    Next,
    Pid,
    Reply,
    StateMachine,
    StateTimeout,
    Timeout,
    Transition,
    call,
    cast,
    child,
    multi_call,
    sys,
)
from planaria.otp.kernel.ambient import Server
from planaria.otp.kernel.process import Monitor


class Door(StateMachine):
    def init(self, code: str) -> Next:
        self.code = code
        return Next(self.locked, Timeout("alarm").after(60.0))

    @call
    def unlock(self, code: str) -> Deferred[bool]:
        return self.by_state()

    @call
    def hint(self) -> int:
        return len(self.code)

    @cast
    def push(self, hard: bool = False) -> None: ...

    def locked(self, event: Event) -> Transition | None:
        match event:
            case Call("unlock", (code,)) if code == self.code:
                return Next("open", StateTimeout().after(1), reply=True)
            case Call() as asked:
                return Keep(Reply(False, to=asked))
            case _:
                return End("done")


async def use(pid: Pid) -> None:
    assert_type(await Door.unlock(pid, "1"), bool)
    assert_type(await Door.unlock.within(1.0)(pid, code="1"), bool)
    assert_type(await Door.hint("door"), int)
    Door.push(pid, hard=True)
    assert_type(await Door.start_monitor("1"), tuple[Pid, Monitor])
    answers, failures = await multi_call(Door.unlock, [pid, "door"], "1")
    assert_type(answers, list[tuple[Server, bool]])
    assert_type(failures, list[tuple[Server, object]])
    assert_type((await sys.get_status(pid)).suspended, bool)
    child(Door, "1234", name="door")


async def misuse(pid: Pid) -> None:
    await Door.unlock(pid, 1)  # error
    await Door.unlock(pid)  # error
    Door.push(pid, "hard")  # error
    Keep("postpone")  # error
    Next("open", Keep())  # error
    StateTimeout().after("soon")  # error
    await multi_call(Door.unlock, [pid], 1)  # error
    child(int)  # error
    await sys.replace_state(pid, 5)  # error
