"""The control socket: how the `planaria` command talks to a running node.

Started by the node as `task_child(serve_control, services, label="control")`. Listens on `.planaria/control.sock`,
which only the user who runs the node can open; that is its whole access control. Speaks the lines of `protocol.py`;
what can be asked is the table in `methods/`. Each request runs in a process of its own, so a crash answers that
request and hurts nothing else, and a slow one holds up nobody.
Does badly: a client that closes its sending side at once gets no answer; keep it open until the answer is there.
"""

import difflib
import functools
from pathlib import Path

import msgspec

from planaria.config.lock import private_folder
from planaria.nerve.methods import METHODS, Channel, Services
from planaria.nerve.protocol import (
    LONGEST_LINE,
    ControlError,
    Fault,
    Reply,
    Request,
    place_socket,
    remove_pointer,
)
from planaria.otp import (
    CallError,
    CallTimeout,
    Exit,
    ExitSignal,
    Pid,
    exit_signal,
    reason_text,
    receive,
    self_,
    send,
    spawn_link,
    trap_exits,
)
from planaria.otp.io.streams import Stream, serve_unix
from planaria.rooms.room import RoomUnavailable

MOST_REQUESTS = 16
"""Requests under way on one connection."""
PATIENCE = 10.0
"""Seconds a client may take to read what it was sent."""


class _Line(msgspec.Struct, frozen=True):
    """A line came in."""

    text: bytes


class _End(msgspec.Struct, frozen=True):
    """Nothing more will come; `fault` says so to the client, if there is one."""

    fault: Fault | None = None


class _More(msgspec.Struct, frozen=True):
    """The reader may read on."""


async def serve_control(services: Services) -> None:
    """Serve the control socket of a garden until told to exit."""
    folder = private_folder(services.garden)
    path = place_socket(folder)
    try:
        await serve_unix(path, functools.partial(converse, services))
    finally:
        remove_pointer(folder)


async def converse(services: Services, stream: Stream) -> None:
    """Serve one connection. Runs in a process of its own, as do its reader and each request."""
    trap_exits(True)
    reader = spawn_link(_read, self_(), stream, label="control reader")
    talk = _Conversation(services, stream, reader)
    try:
        while True:
            match await receive():
                case _Line(text):
                    talk.take(text)
                    send(reader, _More())
                case _End(fault):
                    if fault is not None:
                        talk.write(Reply(None, error=fault))
                    return
                case Reply() as reply:
                    talk.write(reply)
                case ExitSignal(sender, reason):
                    talk.ended(sender, reason)
                case _:
                    continue
            await stream.drain(PATIENCE)
    except (OSError, TimeoutError):
        return  # the client is gone, or does not read
    finally:
        for pid in (reader, *talk.running.values()):
            exit_signal(pid, "kill")


class _Conversation:
    """The requests under way on one connection."""

    def __init__(self, services: Services, stream: Stream, reader: Pid) -> None:
        self.services = services
        self.stream = stream
        self.reader = reader
        self.running: dict[int | str, Pid] = {}
        self.started: set[Pid] = {reader}

    def write(self, reply: Reply) -> None:
        """Send one line to the client."""
        if reply.event is msgspec.UNSET and reply.id is not None:
            self.running.pop(reply.id, None)
        self.stream.write(msgspec.json.encode(reply) + b"\n")

    def take(self, line: bytes) -> None:
        """Begin what a line asks for, or say at once why not."""
        if not line.strip():
            return
        try:
            request = msgspec.json.decode(line, type=Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            mend = 'send one object a line: {"id": 1, "method": "status", "params": {}}'
            self.write(Reply(None, error=Fault("bad_request", f"not a request: {error}", mend)))
            return
        if request.method == "cancel":
            self.cancel(request)
        elif request.method not in METHODS:
            self.write(Reply(request.id, error=unknown_method(request.method)))
        elif request.id in self.running:
            fault = Fault(
                "bad_request", f"request {request.id!r} is under way", "give each request its own id"
            )
            self.stream.write(msgspec.json.encode(Reply(request.id, error=fault)) + b"\n")
        elif len(self.running) >= MOST_REQUESTS:
            fault = Fault("too_many", f"{MOST_REQUESTS} requests are under way", "wait for an answer first")
            self.write(Reply(request.id, error=fault))
        else:
            label = f"control {request.method}"
            pid = spawn_link(_perform, self_(), self.services, request, label=label)
            self.running[request.id] = pid
            self.started.add(pid)

    def cancel(self, request: Request) -> None:
        """End a request under way; it gets no answer."""
        pid = self.running.pop(request.params.get("request", ""), None)
        if pid is not None:
            exit_signal(pid, "kill")
        self.write(Reply(request.id, result={"cancelled": pid is not None}))

    def ended(self, sender: Pid, reason: object) -> None:
        """A linked process ended: a request that crashed is answered, and the end of the server is ours."""
        if sender not in self.started:
            raise Exit(reason)
        self.started.discard(sender)
        crashed = [id_ for id_, pid in self.running.items() if pid is sender]
        for id_ in crashed:  # one that has answered is not there any more
            what = self.services.redactor.text(reason_text(reason))
            mend = "this is a fault of the program; `planaria journal tail` shows what happened around it"
            self.write(Reply(id_, error=Fault("crashed", what, mend)))
        if sender is self.reader and reason != "normal":
            raise Exit(reason)


async def _read(owner: Pid, stream: Stream) -> None:
    """Hand the lines of a stream to `owner`, the next when the last was taken."""
    end = _End()
    try:
        while line := await stream.read_line(LONGEST_LINE):
            send(owner, _Line(line))
            await receive(_More)
    except ValueError:
        end = _End(Fault("too_long", f"a line of more than {LONGEST_LINE} bytes", "send less at a time"))
    except OSError:
        pass  # the connection broke, which is its end
    send(owner, end)


async def _perform(owner: Pid, services: Services, request: Request) -> None:
    """Run one request and send its reply to `owner`. What is not foreseen here crashes this process only."""
    method = METHODS[request.method]
    channel = Channel(lambda event: send(owner, Reply(request.id, event=_plain(event))))
    try:
        params = msgspec.convert(request.params, method.params)
        result = await method.function(params, services, channel)
    except msgspec.ValidationError as error:
        reply = Reply(request.id, error=bad_parameters(request.method, method.params, error))
    except ControlError as error:
        reply = Reply(request.id, error=error.fault)
    except CallError as error:
        reply = Reply(request.id, error=no_answer(error))
    else:
        reply = Reply(request.id, result=_plain(result))
    send(owner, reply)


def _plain(value: object) -> msgspec.Raw:
    """The value as JSON, made in the process of the request: what cannot be encoded crashes there, and only there."""
    return msgspec.Raw(to_json(value))


def to_json(value: object) -> bytes:
    """A result as it goes to a client."""
    return msgspec.json.encode(value, enc_hook=_encode)


def _encode(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} is not for the wire")


def unknown_method(method: str) -> Fault:
    """Names the nearest method there is."""
    near = difflib.get_close_matches(method, METHODS, n=1, cutoff=0.4)
    mend = f"did you mean {near[0]!r}?" if near else f"methods: {', '.join(sorted(METHODS))}"
    return Fault("unknown_method", f"unknown method {method!r}", mend)


def bad_parameters(method: str, params: type[msgspec.Struct], error: Exception) -> Fault:
    """Says which parameters a method takes."""
    known = ", ".join(
        field.name + ("" if field.required else "?") for field in msgspec.structs.fields(params)
    )
    problem = str(error).replace("`", "'")
    return Fault(
        "bad_request", f"{method}: {problem}", f"parameters: {known}" if known else "it takes no parameters"
    )


def no_answer(error: CallError) -> Fault:
    """A part of the node did not answer."""
    if isinstance(error, CallTimeout):
        return Fault("timeout", str(error), "it is busy: `planaria tree` shows what it does")
    if isinstance(error, RoomUnavailable):
        return Fault("unavailable", f"not accepted: {error}", "`planaria status` says when it works again")
    return Fault(
        "unavailable", str(error), "`planaria tree` shows what runs; its supervisor may restart it just now"
    )
