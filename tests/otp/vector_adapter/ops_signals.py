"""Operations on processes: exit signals, links, monitors, messages, names, timers."""

from planaria.otp import (
    NoProcess,
    cancel_timer,
    demonitor,
    exit_signal,
    link,
    monitor,
    read_timer,
    register,
    send,
    send_after,
    start_timer,
    trap_exits,
    unlink,
    unregister,
)

from .comparison import Json
from .interpreter import SILENT, Actor, Op, Silent, operation
from .values import VectorError, reason_from


@operation("signal")
async def signal(actor: Actor, op: Op) -> Silent:
    exit_signal(actor.find_process(op["to"]), reason_from(op["reason"]))
    return SILENT


@operation("trap")
async def trap(actor: Actor, op: Op) -> Silent:
    trap_exits(op["on"])
    return SILENT


@operation("link")
async def link_to(actor: Actor, op: Op) -> Silent:
    try:
        link(actor.find_process(op["to"]))
    except NoProcess as error:
        raise VectorError("noproc") from error
    return SILENT


@operation("unlink")
async def unlink_from(actor: Actor, op: Op) -> Silent:
    unlink(actor.find_process(op["to"]))
    return SILENT


@operation("monitor")
async def monitor_process(actor: Actor, op: Op) -> Silent:
    actor.recorder.set_reference(op["as"], monitor(actor.find(op["to"])))
    return SILENT


@operation("demonitor")
async def demonitor_process(actor: Actor, op: Op) -> Json:
    active = demonitor(actor.recorder.reference(op["ref"]), flush=op.get("flush", False))
    return active if op.get("info") else True


@operation("send")
async def send_message(actor: Actor, op: Op) -> Silent:
    try:
        send(actor.find(op["to"]), op["msg"])
    except NoProcess as error:
        raise VectorError("badarg") from error
    return SILENT


@operation("register")
async def register_name(actor: Actor, op: Op) -> Silent:
    try:
        register(op["name"], actor.find_process(op.get("to", "self")))
    except (NoProcess, ValueError) as error:
        raise VectorError("badarg") from error
    return SILENT


@operation("unregister")
async def unregister_name(actor: Actor, op: Op) -> Silent:
    try:
        unregister(op["name"])
    except (NoProcess, ValueError) as error:
        raise VectorError("badarg") from error
    return SILENT


@operation("whereis")
async def whereis_name(actor: Actor, op: Op) -> Json:
    holder = actor.world.node.whereis(op["name"])
    return "undefined" if holder is None else actor.world.translation.pid(holder)


@operation("alive")
async def alive(actor: Actor, op: Op) -> Json:
    return actor.find_process(op["to"]).alive


@operation("send_after")
async def send_later(actor: Actor, op: Op) -> Silent:
    timer = send_after(op["ms"] / 1000, actor.find(op.get("to", "self")), op["msg"])
    if "as" in op:
        actor.recorder.set_reference(op["as"], timer)
    return SILENT


@operation("start_timer")
async def start_named_timer(actor: Actor, op: Op) -> Silent:
    timer = start_timer(op["ms"] / 1000, actor.find(op.get("to", "self")), op["msg"])
    actor.recorder.set_reference(op["as"], timer)
    return SILENT


@operation("cancel_timer")
async def cancel(actor: Actor, op: Op) -> Json:
    return "left" if cancel_timer(actor.recorder.reference(op["ref"])) is not None else False


@operation("read_timer")
async def read(actor: Actor, op: Op) -> Json:
    return "left" if read_timer(actor.recorder.reference(op["ref"])) is not None else False
