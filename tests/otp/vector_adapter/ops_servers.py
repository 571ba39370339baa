"""Operations on servers: start any kind of worker, call, cast, stop from outside."""

from planaria.otp import Exit, NoProcess, StartFailed, stop
from planaria.otp.servers.start_monitor import watch_started

from .comparison import Json
from .interpreter import SILENT, Actor, Op, Silent, operation
from .starting import worker_spec
from .values import reason_from
from .workers import VectorServer


@operation("start")
async def start(actor: Actor, op: Op) -> Json:
    world = actor.world
    limit = op["timeout"] / 1000 if "timeout" in op else None
    spec = worker_spec(world, op["worker"], timeout=limit)
    link = op.get("link", False) or op["worker"]["kind"] == "supervisor"
    try:
        pid = await spec.start(link=link)
    except StartFailed as failure:
        return {"error": world.translation.reason(failure.reason)}
    if pid is None:
        return "ignore"
    if "monitor" in op:
        actor.recorder.set_reference(op["monitor"], watch_started(pid))
    return {"ok": world.translation.pid(pid)}


@operation("call")
async def call_server(actor: Actor, op: Op) -> Json:
    limit = op.get("timeout", 5000)
    ask = VectorServer.ask.within(None if limit == "infinity" else limit / 1000)
    return await ask(actor.find(op["to"]), op["msg"])


@operation("cast")
async def cast_server(actor: Actor, op: Op) -> Silent:
    VectorServer.tell(actor.find(op["to"]), op["msg"])
    return SILENT


@operation("stop_server")
async def stop_server(actor: Actor, op: Op) -> Json:
    limit = op.get("timeout", 5000)
    reason = reason_from(op.get("reason", "normal"))
    try:
        await stop(actor.find(op["to"]), reason, timeout=None if limit == "infinity" else limit / 1000)
    except NoProcess as error:
        raise Exit("noproc") from error
    except TimeoutError as error:
        raise Exit("timeout") from error
    return "ok"
