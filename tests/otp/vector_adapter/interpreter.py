"""Executes operations (README section 7), for the test process and for all workers alike.

`Actor` is the executing process as operations see it. The operations themselves live in the `ops_*` files and
register here by name, so that workers can run programs without knowing what operations there are.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from planaria.otp import Deferred, Exit, Node, Pid, Server

from .comparison import Json
from .recorder import Recorder
from .values import Translation, VectorError

type Op = Mapping[str, Json]


class Silent:
    """The outcome of an operation that yields no value."""


SILENT: Final = Silent()

type Operation = Callable[["Actor", Op], Awaitable[Json | Silent]]

_operations: dict[str, Operation] = {}


class NotOffered(Exception):
    """The kernel has nothing that this operation or kind of worker could stand on."""


class ReturnFromProc(Exception):
    """`{"op": "return"}`: the plain process ends by running off its end."""


@dataclass
class World:
    """One scenario's node and tables."""

    node: Node
    recorder: Recorder
    translation: Translation
    templates: dict[Pid, Json] = field(default_factory=dict)
    """The child specification of each dynamic supervisor, as the scenario gives it."""


@dataclass
class Answer:
    """What a program took note of for its callback to return; one per callback."""

    state_before: Json = None
    """The state that stays if the callback raises or returns nonsense: Erlang's callbacks return their new state."""
    bad_return: tuple[Json] | None = None
    ignore: bool = False
    stop: tuple[object] | None = None
    reply: tuple[Json] | None = None
    noreply: bool = False
    after: Op | None = None
    """The last `timeout`, `hibernate` or `continue`."""


@dataclass
class Actor:
    """A process that executes operations."""

    world: World
    pid: Pid
    state: Json = None
    answer: Answer = field(default_factory=Answer)
    defer: Callable[[], Deferred[Json]] | None = None
    """How the caller of the message in hand is put off; None where no call is handled."""

    @property
    def recorder(self) -> Recorder:
        return self.world.recorder

    def record(self, event: str, **details: Json) -> None:
        self.recorder.record(self.pid, event, **details)

    def find(self, target: str) -> Server:
        """A target as the kernel wants it: a pid, or a name to be looked up by the kernel at each use."""
        return target[1:] if target.startswith("@") else self.find_process(target)

    def find_process(self, target: str) -> Pid:
        """The process a target means now.

        Raises:
            VectorError: `badarg`, if the target is a name that nobody has.
        """
        if target == "self":
            return self.pid
        if target.startswith("@"):
            holder = self.world.node.whereis(target[1:])
            if holder is None:
                raise VectorError("badarg")
            return holder
        return self.recorder.find(target)


def operation(name: str) -> Callable[[Operation], Operation]:
    """Register the operation called `name`."""

    def register(function: Operation) -> Operation:
        _operations[name] = function
        return function

    return register


async def execute(actor: Actor, op: Op) -> Json | Silent:
    """Execute one operation in the running process, which is the actor's."""
    function = _operations.get(op["op"])
    if function is None:
        raise NotOffered(f"operation {op['op']!r}")
    return await function(actor, op)


async def run_callback(actor: Actor, program: Iterable[Op]) -> Answer:
    """Run a program for a callback: what it noted. A state that it changed before it raised is lost, as in Erlang."""
    answer = actor.answer = Answer(state_before=actor.state)
    try:
        await run_program(actor, program)
    except (Exit, VectorError):
        actor.state = answer.state_before
        raise
    return answer


async def run_program(actor: Actor, program: Iterable[Op]) -> None:
    """Execute the operations of a worker's program in order; what one raises and does not catch ends it."""
    for op in program:
        if "only" in op and actor.recorder.number(actor.pid) not in op["only"]:
            continue
        try:
            value = await execute(actor, op)
        except (Exit, VectorError) as error:
            if not op.get("catch"):
                raise
            value = actor.world.translation.raised(error)
        if value is SILENT and op.get("catch"):
            value = "ok"
        if value is not SILENT:
            actor.record("result", op=op["op"], value=value)


async def execute_step(actor: Actor, op: Op) -> Json:
    """Execute a step of the test process: its value, `"ok"` for a silent one, or what it raised."""
    try:
        value = await execute(actor, op)
    except (Exit, VectorError) as error:
        return actor.world.translation.raised(error)
    return "ok" if value is SILENT else value


def is_program(message: object) -> bool:
    """Whether a message is `{"run": [...]}`."""
    return isinstance(message, Mapping) and set(message) == {"run"}
