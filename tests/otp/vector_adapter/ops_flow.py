"""Operations on the executing process itself: its state, its time, its end, what its callback returns."""

import asyncio

from planaria.otp import Deferred, Exit, sleep

from .comparison import Json
from .interpreter import SILENT, Actor, Op, ReturnFromProc, Silent, execute_step, operation
from .values import VectorError, reason_from


@operation("note")
async def note(actor: Actor, op: Op) -> Silent:
    actor.record("note", v=op["v"])
    return SILENT


@operation("note_state")
async def note_state(actor: Actor, op: Op) -> Silent:
    actor.record("note", v=actor.state)
    return SILENT


@operation("put")
async def put(actor: Actor, op: Op) -> Silent:
    actor.state = op["v"]
    return SILENT


@operation("add")
async def add(actor: Actor, op: Op) -> Silent:
    actor.state = actor.state + op["n"]
    return SILENT


@operation("push")
async def push(actor: Actor, op: Op) -> Silent:
    actor.state = [*actor.state, op["v"]]
    return SILENT


@operation("sleep")
async def sleep_for(actor: Actor, op: Op) -> Silent:
    await sleep(op["ms"] / 1000)
    return SILENT


@operation("hang")
async def hang(actor: Actor, op: Op) -> Silent:
    await (
        asyncio.get_running_loop().create_future()
    )  # no kernel timer: the virtual clock cannot jump to its end
    return SILENT


@operation("batch")
async def batch(actor: Actor, op: Op) -> Json:
    return [await execute_step(actor, one) for one in op["ops"]]


@operation("exit")
async def exit_with(actor: Actor, op: Op) -> Silent:
    raise Exit(reason_from(op["reason"]))


@operation("raise")
async def raise_error(actor: Actor, op: Op) -> Silent:
    raise VectorError(op["what"])


@operation("return")
async def return_from_proc(actor: Actor, op: Op) -> Silent:
    raise ReturnFromProc


@operation("reply")
async def reply(actor: Actor, op: Op) -> Silent:
    actor.answer.reply = (op["value"],)
    return SILENT


@operation("reply_state")
async def reply_state(actor: Actor, op: Op) -> Silent:
    actor.answer.reply = (actor.state,)
    return SILENT


@operation("noreply")
async def noreply(actor: Actor, op: Op) -> Silent:
    actor.answer.noreply = True
    return SILENT


@operation("stop")
async def stop(actor: Actor, op: Op) -> Silent:
    actor.answer.stop = (reason_from(op["reason"]),)
    return SILENT


@operation("ignore")
async def ignore(actor: Actor, op: Op) -> Silent:
    actor.answer.ignore = True
    return SILENT


@operation("bad_return")
async def bad_return(actor: Actor, op: Op) -> Silent:
    actor.answer.bad_return = (op["value"],)
    return SILENT


@operation("timeout")
@operation("hibernate")
@operation("continue")
async def after(actor: Actor, op: Op) -> Silent:
    actor.answer.after = op
    return SILENT


@operation("save_from")
async def save_from(actor: Actor, op: Op) -> Silent:
    assert actor.defer is not None, "save_from outside a call"
    actor.recorder.callers[op["key"]] = actor.defer()
    return SILENT


@operation("reply_to")
async def reply_to(actor: Actor, op: Op) -> Silent:
    caller: Deferred[Json] = actor.recorder.callers[op["key"]]
    caller.reply(op["value"])
    return SILENT
