"""What two nodes in two OS processes know of each other: pids, requests and references by number, and how to ship.

Each end keeps the processes it has *shown* to the other (`shown`) and a stand-in for each process the other has shown
(`stand_ins`). A stand-in is an ordinary process whose body ships what it gets; it dies when its original does, since
the end that shows a process also tells of its death. Links across are kept by the home end alone, monitors where they
were made. Numbers of processes are unique across both ends: a worker counts from its own base.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Coroutine
from functools import partial
from typing import Any

from planaria.otp.isolation.bulk import Piece
from planaria.otp.isolation.channel import CONTROL, FAIL, MESSAGE, REPLY, Channel, Frame
from planaria.otp.isolation.codec import decode, encode, explain, sealed
from planaria.otp.isolation.errors import NotAdmitted, WorkerBroken
from planaria.otp.isolation.refs import Refs
from planaria.otp.isolation.wording import in_words, named_arguments
from planaria.otp.kernel.introspection import message_text, safe_repr
from planaria.otp.kernel.mailbox import deliver
from planaria.otp.kernel.message import Envelope, ExitSignal
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import DEAD, Process, Request, new_process, new_request
from planaria.otp.kernel.reason import NoProcess
from planaria.otp.kernel.signals import die
from planaria.otp.servers.system import SystemMessage, Terminate

GONE = 10_000
"""Processes that have ended and are still known again when they are named, newest kept."""

type Work = Coroutine[Any, Any, None]


class StandIn:
    """The body of a process that stands for one of the other side."""

    __slots__ = ("bridge", "process")

    def __init__(self, bridge: Bridge, process: Process) -> None:
        self.bridge = bridge
        self.process = process

    def handle(self, envelope: Envelope) -> Work | None:
        """Ship it."""
        return self.bridge.ship(self.process, envelope)


class Bridge:
    """One end. `HomeBridge` and `WorkerBridge` say what each end does with what comes.

    Args:
        node: whose processes are shown.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.channel: Channel
        self.shown: dict[int, Process] = {}
        self.stand_ins: dict[int, Process] = {}
        self.requests: dict[int, Request] = {}  # of this end, to be answered over there
        self.theirs: dict[Request, int] = {}  # requests of the other end, answered here
        self._pruned = 1024
        self._count = 0
        refs = Refs(self.number)
        self.ref_token = refs.token
        self.ref_of = refs.of
        self.gone: OrderedDict[int, Process] = OrderedDict()
        self.over = False

    # --- for the two ends -----------------------------------------------------------------------------------

    def owns(self, number: int) -> bool:
        """Whether a process of that number lives, or lived, on this end."""
        raise NotImplementedError

    def find_class(self, module: str, name: str) -> Any:
        """A class or function named in a message."""
        raise NotImplementedError

    def adopt(self, stand_in: Process) -> None:
        """A new stand-in was made."""

    def control(self, what: str, *args: Any) -> None:
        """A word of the other end."""
        raise NotImplementedError

    def refused(self, error: Exception, what: str, sender: Process | None) -> None:
        """A message without an answer could not be sent, or not be let in."""
        raise NotImplementedError

    # --- numbers --------------------------------------------------------------------------------------------

    def number(self) -> int:
        """A new number for a request."""
        self._count += 1
        return self._count

    def process_token(self, process: Process) -> tuple[int, str, str | None]:
        """How a process is named in a message; shows it if it is this end's."""
        number = process.id
        if number not in self.stand_ins and number not in self.shown and process.status != DEAD:
            self.show(process)
        return number, process.label, process.name

    def show(self, process: Process) -> None:
        """Let the other end know of a process, and of its death when it comes."""
        self.shown[process.id] = process
        if process.on_death is None:
            process.on_death = []
        process.on_death.append(self._shown_died)

    def _shown_died(self, process: Process) -> None:
        if self.shown.pop(process.id, None) is not None and not self.over:
            self._remember(process)
            self.tell("dead", process.id, sealed(process.reason))

    def _remember(self, process: Process) -> None:
        self.gone[process.id] = process
        if len(self.gone) > GONE:
            self.gone.popitem(last=False)

    def process_of(self, number: int, label: str, name: str | None) -> Process:
        """The process a token stands for."""
        found = self.shown.get(number) or self.stand_ins.get(number) or self.gone.get(number)
        if found is not None:
            return found
        if not isinstance(number, int) or not isinstance(label, str):
            raise pickle.UnpicklingError("no pid")
        if self.owns(number):
            found = self.node.table.get(number)
            if found is not None:
                self.show(found)
                return found
        process = new_process(self.node, label)
        process.id = number
        if self.owns(number) or self.over:
            process.status = DEAD
            process.reason = "noproc"
            return process
        if isinstance(name, str):
            process.name = name
        process.body = StandIn(self, process)
        process.trap_exit = True  # signals are for the original: they are shipped
        process.on_death = [self._stand_in_died]
        self.stand_ins[number] = process
        self.adopt(process)
        return process

    def _stand_in_died(self, process: Process) -> None:
        if self.stand_ins.pop(process.id, None) is not None and not self.over:
            self._remember(process)
            self.tell("kill", process.id)  # killed on this end: nothing else ends a stand-in

    def request_token(self, request: Request) -> tuple[bool, int, str]:
        """How the right to answer a call travels."""
        number = self.theirs.get(request)
        if number is not None:
            return True, number, request.handler
        number = self.number()
        self.requests[number] = request
        return False, number, request.handler

    def request_of(self, ours: bool, number: int, handler: str) -> Request:
        """The request a token stands for."""
        if ours:
            known = self.requests.get(number)
            if known is not None:
                return known
        request = new_request(str(handler), (), {}, None, self.node.origin)
        if ours:
            request.done = True  # answered meanwhile
        else:
            self.expect(request, number)
        return request

    # --- sending --------------------------------------------------------------------------------------------

    def tell(self, what: str, *args: object) -> None:
        """Send a word to the other end. What cannot be pickled in it is sent as its `repr`."""
        if self.over:
            return
        try:
            data, pieces = encode((what, *args), self)
        except Exception:  # noqa: BLE001  whatever a user's reason or state raises
            data, pieces = encode((what, *(a if _plain(a) else safe_repr(a) for a in args)), self)
        self.channel.send(CONTROL, 0, data, pieces)

    def ship(self, target: Process, envelope: Envelope) -> Work | None:
        """Send one message to the original of `target`; a coroutine if it has to wait for room."""
        kind, body, sender, number, trace, cause, _, _ = envelope
        call = 0
        content = body
        request: Request | None = None
        if kind == "call":
            call_body: Request = body
            if call_body.done:
                return None  # the caller has given up
            request = call_body
            content = (call_body.handler, call_body.args, call_body.kwargs)
        elif kind == "exit":
            content = (body.sender, sealed(body.reason), body.sender is target.parent)
        elif kind == "system":
            if type(body) is Terminate:
                content = sealed(body.reason)
                body.taken = True  # as far as this end can tell
            elif isinstance(body, SystemMessage):
                request = body.request
                content = (body.operation, body.argument)
            else:
                return None  # a timer of this end's own
        try:
            data, pieces = encode((target.id, kind, content, sender, number, trace, cause), self)
        except Exception as error:  # noqa: BLE001  whatever a user's __reduce__ raises
            self._unsendable(error, target, envelope)
            return None
        if pieces:
            self.forget_bulk(envelope)
        if request is not None:
            call = self.await_answer(request)
        return self.send_message(call, data, pieces)

    def send_message(self, call: int, data: bytes, pieces: list[Piece]) -> Work | None:
        """Send an encoded message; a coroutine if that takes time."""
        self.channel.send(MESSAGE, call, data, pieces)
        return None

    def forget_bulk(self, envelope: Envelope) -> None:
        """Let the node remember in words that this message was handled, not its megabytes."""
        recent = self.node.recent
        for index in range(len(recent) - 1, -1, -1):
            known = recent[index]
            if known is envelope:
                recent[index] = (known[0], in_words(known[1]), *known[2:])
                break

    def _unsendable(self, error: Exception, target: Process, envelope: Envelope) -> None:
        kind, body, sender = envelope[0], envelope[1], envelope[2]
        if isinstance(body, SystemMessage):
            what = f"sys.{body.operation}() of {target.label}"
            body.request.fail(explain(error, body.argument, what, self, "argument"))
            return
        if isinstance(body, Request):
            what = f"{body.handler}() of {target.label}"
            content: object = named_arguments(body.args, body.kwargs)
            reason = explain(error, content, f"a call of {what}", self, "arguments")
            body.fail(reason)
            return
        if kind == "cast":
            content, what = named_arguments(body[1], body[2]), f"a cast {body[0]}() to {target.label}"
            reason = explain(error, content, what, self, "arguments")
        else:
            what = f"the message {message_text(kind, body, 80)} to {target.label}"
            reason = explain(error, body, what, self, "message")
        self.refused(reason, what, sender)

    def await_answer(self, request: Request) -> int:
        """Note that `request` is answered by the other end; its number."""
        number = self.number()
        self.requests[number] = request
        target = request.target
        if target.calls is None:
            target.calls = set()
        target.calls.add(request)
        if len(self.requests) > self._pruned:  # callers that gave up long ago
            self.requests = {n: r for n, r in self.requests.items() if not r.done}
            self._pruned = 1024 + 2 * len(self.requests)
        return number

    def expect(self, request: Request, number: int) -> None:
        """Send the answer of `request` to the other end when it is there."""
        self.theirs[request] = number
        request.notify = partial(self._answered, request, number)

    def _answered(self, request: Request, number: int) -> None:
        self.theirs.pop(request, None)
        error, value = request.error, request.value
        # It has done its work and knows itself: without this its megabytes would wait for the garbage collector.
        request.notify = request.value = None
        request.args = ()
        if error is not None:
            self.answer(FAIL, number, error, request)
        else:
            self.answer(REPLY, number, value, request)

    def answer(self, operation: int, number: int, value: object, request: Request) -> None:
        """Send an answer; one that cannot be pickled becomes an error at the caller."""
        if self.over:
            return
        try:
            data, pieces = encode(value, self)
        except Exception as error:  # noqa: BLE001  whatever a user's __reduce__ raises
            what = f"the answer of {request.handler}()"
            operation, pieces = FAIL, []
            data, _ = encode(explain(error, value, what, self, "answer"), self)
        self.channel.send(operation, number, data, pieces)

    # --- receiving ------------------------------------------------------------------------------------------

    def receive(self, frame: Frame) -> None:
        """Take one frame.

        Raises:
            WorkerBroken: it is no frame of ours.
        """
        if self.over:
            return
        try:
            value = decode(frame.pickle, frame.pieces, self)
        except NotAdmitted as error:
            self._not_admitted(frame, error)
            return
        except MemoryError:
            raise
        except Exception as error:
            if frame.operation == FAIL or frame.operation == REPLY:
                self._finish(frame, WorkerBroken(f"the answer cannot be read: {error!r}"), None)
            raise WorkerBroken(f"a message that cannot be read: {type(error).__name__}: {error}") from error
        match frame.operation, value:
            case 1, (int() as target, str() as kind, content, sender, int() as number, trace, int() as cause):
                if not (sender is None or isinstance(sender, Process)) or not (
                    trace is None or isinstance(trace, str)
                ):
                    raise WorkerBroken("a message from nobody")
                self._message(frame.number, target, kind, content, sender, number, trace, cause)
            case 2, _:
                self._finish(frame, None, value)
            case 3, BaseException():
                self._finish(frame, value, None)
            case 4, (str() as what, *args):
                try:
                    self.control(what, *args)
                except (TypeError, ValueError, AttributeError, KeyError) as error:
                    raise WorkerBroken(f"{what!r} with the wrong arguments: {error}") from error
            case _:
                raise WorkerBroken(f"a frame that says nothing: {safe_repr(value)[:100]}")

    def _finish(self, frame: Frame, error: BaseException | None, value: object) -> None:
        request = self.requests.pop(frame.number, None)
        if request is None or request.done:
            return
        if frame.pieces:
            for envelope in self.node.recent:
                if envelope[1] is request:
                    self.forget_bulk(envelope)
                    break
        if error is not None:
            request.fail(error)
        else:
            request.reply(value)

    def _not_admitted(self, frame: Frame, error: NotAdmitted) -> None:
        if frame.operation in (REPLY, FAIL):
            self._finish(frame, error, None)
        elif frame.operation == MESSAGE and frame.number:
            data, _ = encode(error, self)
            self.channel.send(FAIL, frame.number, data)
        else:
            self.refused(error, "a message", None)

    def _message(
        self,
        call: int,
        number: int,
        kind: str,
        content: Any,
        sender: Process | None,
        id: int,
        trace: str | None,
        cause: int,
    ) -> None:
        target = self.shown.get(number)
        if target is None and self.owns(number):
            target = self.node.table.get(number)
        if target is None or target.status == DEAD:
            if call:
                data, _ = encode(NoProcess(f"<{self.node.name}.{number}>"), self)
                self.channel.send(FAIL, call, data)
            self.tell("dead", number, "noproc")
            return
        envelope: Envelope
        now = self.node.clock.now()
        match kind, content:
            case "call", (str() as handler, tuple() as args, dict() as kwargs):
                request = new_request(handler, args, kwargs, None, target)
                self.expect(request, call)
                envelope = ("call", request, sender, id, trace, cause, now, target)
            case "cast", (str(), tuple(), dict()):
                envelope = ("cast", content, sender, id, trace, cause, now, target)
            case "info", _:
                envelope = ("info", content, sender, id, trace, cause, now, target)
            case "exit", (Process() as source, reason, from_parent):
                if from_parent:
                    target.parent = source
                self.exit_signal(target, source, reason)
                return
            case "system", (str() as operation, argument) if call:
                request = new_request("sys", (operation,), {}, None, target)
                self.expect(request, call)
                message = SystemMessage(operation, argument, request)  # type: ignore[arg-type]
                envelope = ("system", message, sender, id, trace, cause, now, target)
            case "system", _:
                envelope = ("system", Terminate(content), sender, id, trace, cause, now, target)
            case _:
                raise WorkerBroken(f"a message of the kind {kind!r}")
        deliver(target, envelope)

    def exit_signal(self, target: Process, source: Process, reason: object) -> None:
        """An exit signal arrived: the same as if `source` were here."""
        if target.trap_exit:
            deliver(
                target,
                (
                    "exit",
                    ExitSignal(source, reason),
                    source,
                    self.node.next_id(),
                    None,
                    0,
                    self.node.clock.now(),
                    target,
                ),
            )
        elif reason != "normal":
            die(target, reason)

    def their_death(self, number: int, reason: object) -> None:
        """The other end tells that one of its processes has ended."""
        stand_in = self.stand_ins.pop(number, None)
        if stand_in is not None:
            self._remember(stand_in)
            die(stand_in, reason)

    # --- the end --------------------------------------------------------------------------------------------

    def close(self, reason: object) -> None:
        """The other end is gone: its processes end with `reason`, and nothing is told any more."""
        if self.over:
            return
        self.over = True
        self.channel.close()
        for process in self.shown.values():
            if process.on_death is not None and self._shown_died in process.on_death:
                process.on_death.remove(self._shown_died)
        self.shown.clear()
        stand_ins, self.stand_ins = self.stand_ins, {}
        for process in stand_ins.values():
            die(process, reason)
        requests, self.requests = self.requests, {}
        for request in requests.values():
            if not request.done:
                request.fail(self.node.call_failure(request, request.target, reason))
        self.theirs.clear()
        self.gone.clear()


def _plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool | Process)
