"""The kinds of workers (README section 6) on the kernel's own building blocks: what runs in their processes.

`proc` is a plain function, `gen_server` a `GenServer`. They are started by the `start` operation and by supervisors
(`starting.py`), and run the programs of one scenario.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from planaria.otp import GenServer, Ignore, Stop, call, cast, receive, self_, trap_exits

from .comparison import Json
from .interpreter import Actor, Answer, ReturnFromProc, World, is_program, run_callback, run_program
from .upgrades import changed

type Worker = Mapping[str, Json]


async def proc(world: World, worker: Worker, ready: asyncio.Event | None = None) -> None:
    """A plain process: its program first, then one message after the other."""
    actor = Actor(world, self_(), worker.get("state"))
    world.recorder.label(actor.pid, worker["as"])
    trap_exits(worker.get("trap", False))
    if ready is not None:
        ready.set()
    try:
        await run_program(actor, worker.get("run", ()))
        while True:
            message = await receive()
            if is_program(message):
                await run_program(actor, message["run"])
            else:
                actor.record("msg", msg=world.translation.message(message))
    except ReturnFromProc:
        return


class VectorServer(GenServer):
    """A generic server whose callbacks do what programs tell."""

    async def init(self, world: World, worker: Worker) -> None:
        self.worker = worker
        self.actor = Actor(world, self.pid, worker.get("state"), defer=self.defer)
        world.recorder.label(self.pid, worker["as"])
        trap_exits(worker.get("trap", False))
        self.actor.record("init", **({"arg": worker["arg"]} if "arg" in worker else {}))
        answer = await self._run_program(worker.get("init", ()))
        if answer.bad_return is not None:
            raise Stop({"bad_return_value": answer.bad_return[0]})
        if answer.ignore:
            raise Ignore
        if answer.stop is not None:
            raise Stop(answer.stop[0])
        self._go_on(answer)

    @call
    async def ask(self, message: Json) -> Json:
        if not is_program(message):
            self.actor.record("call", msg=message)
            return message
        answer = await self._run_program(message["run"])
        self._refuse_nonsense(answer)
        if answer.stop is not None:
            self.stop(answer.stop[0])
        else:
            self._go_on(answer)
        unanswered = answer.noreply if answer.stop is None else answer.reply is None
        if unanswered:
            return self.defer()
        return "ok" if answer.reply is None else answer.reply[0]

    @cast
    async def tell(self, message: Json) -> None:
        await self._handle("cast", message)

    async def handle_info(self, message: object) -> None:
        await self._handle("info", message)

    async def handle_timeout(self) -> None:
        self.actor.record("timeout")

    async def handle_continue(self, what: Any) -> None:
        self.actor.record("continue")
        self._finish(await self._run_program(what))

    async def terminate(self, reason: object) -> None:
        self.actor.record("terminate", reason=self.actor.world.translation.reason(reason))
        await self._run_program(self.worker.get("terminate", ()))

    def get_state(self) -> Json:
        return self.actor.state

    def set_state(self, state: Json) -> None:
        self.actor.state = state

    def code_change(self, old_version: object, extra: object) -> None:
        self.actor.record("code_change", vsn=old_version, state=self.actor.state, extra=extra)
        self.actor.state = changed(self.actor.state, self.worker.get("code_change", {}))

    async def _handle(self, event: str, message: Any) -> None:
        if is_program(message):
            self._finish(await self._run_program(message["run"]))
        else:
            self.actor.record(event, msg=self.actor.world.translation.message(message))

    async def _run_program(self, program: Json) -> Answer:
        return await run_callback(self.actor, program)

    def _finish(self, answer: Answer) -> None:
        self._refuse_nonsense(answer)
        if answer.stop is not None:
            self.stop(answer.stop[0])
        else:
            self._go_on(answer)

    def _refuse_nonsense(self, answer: Answer) -> None:
        # A Python handler's return value is its answer, so there is no nonsense to return; stopping with OTP's
        # reason is what a handler that noticed would do (docs/otp-differences.md).
        if answer.bad_return is not None:
            self.actor.state = answer.state_before
            raise Stop({"bad_return_value": answer.bad_return[0]})

    def _go_on(self, answer: Answer) -> None:
        match answer.after:
            case {"op": "continue", "run": program}:
                self.continue_with(program)
            case {"op": "timeout", "ms": milliseconds}:
                self.timeout_after(milliseconds / 1000)
            case _:  # hibernate, or nothing asked for
                pass
