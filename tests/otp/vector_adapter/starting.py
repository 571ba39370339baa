"""How each kind of worker is started: always through a child specification, by a supervisor or by `start` itself."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from planaria.otp import (
    ChildSpec,
    DynamicSupervisor,
    Exit,
    Groups,
    Ignore,
    Pid,
    Supervisor,
    child,
    spawn,
    spawn_link,
)
from planaria.otp.supervision.supervisor import Flags

from .comparison import Json
from .interpreter import Actor, NotOffered, World, run_program
from .machine import VectorMachine, VectorMachineByState
from .values import VectorError, reason_from
from .workers import VectorServer, Worker, proc

DEFAULT_INTENSITY = 1
DEFAULT_PERIOD = 5


class VectorSupervisor(Supervisor):
    """A supervisor that records its start and whose `init` may decline."""

    async def init(self, world: World, worker: Worker, flags: Flags, specs: Sequence[ChildSpec]) -> None:  # type: ignore[override]
        await begin(world, self.pid, worker)
        await super().init(flags, specs)


class VectorDynamicSupervisor(DynamicSupervisor):
    """A dynamic supervisor that records its start and remembers the template of its children."""

    async def init(self, world: World, worker: Worker, max_restarts: int, within: float) -> None:  # type: ignore[override]
        await begin(world, self.pid, worker)
        world.templates[self.pid] = worker["children"][0]
        super().init(max_restarts, within, auto_shutdown=worker.get("auto_shutdown", "never"))


async def begin(world: World, pid: Pid, worker: Worker) -> None:
    """What the `init` of both kinds of supervisor records and runs first."""
    actor = Actor(world, pid)
    world.recorder.label(pid, worker["as"])
    actor.record("init")
    await run_program(actor, worker.get("init", ()))
    if actor.answer.ignore:
        raise Ignore


def worker_spec(
    world: World, worker: Worker, *, id: object = None, timeout: float | None = None
) -> ChildSpec:
    """The specification of a worker as a permanent child."""
    name = worker.get("name")
    match worker["kind"]:
        case "proc":
            return ChildSpec(id, proc_start(world, worker))
        case "broken":
            return ChildSpec(id, broken_start(worker))
        case "gen_server":
            return child(VectorServer, world, worker, id=id, name=name, start_timeout=timeout)
        case "gen_statem":
            machine = VectorMachineByState if worker.get("mode") == "state_functions" else VectorMachine
            return child(machine, world, worker, id=id, name=name, start_timeout=timeout)
        case "supervisor" if worker.get("strategy") == "simple_one_for_one":
            budget = (worker.get("intensity", DEFAULT_INTENSITY), float(worker.get("period", DEFAULT_PERIOD)))
            return child(
                VectorDynamicSupervisor, world, worker, *budget, id=id, name=name, start_timeout=timeout
            )
        case "supervisor":
            flags = Flags(
                worker.get("strategy", "one_for_one"),
                worker.get("intensity", DEFAULT_INTENSITY),
                float(worker.get("period", DEFAULT_PERIOD)),
                worker.get("auto_shutdown", "never"),
            )
            specs = [child_spec(world, one) for one in worker.get("children", ())]
            arguments = (world, worker, flags, specs)
            return child(VectorSupervisor, *arguments, id=id, name=name, start_timeout=timeout)
        case kind:
            raise NotOffered(f"worker kind {kind!r}")


def child_spec(world: World, spec: Mapping[str, Json]) -> ChildSpec:
    """A vector's child specification, with OTP's defaults."""
    kind = spec.get("type", "worker")
    shutdown: Json = spec.get("shutdown", "infinity" if kind == "supervisor" else 5000)
    return replace(
        worker_spec(world, spec["worker"], id=spec["id"]),
        restart=spec.get("restart", "permanent"),
        shutdown=shutdown / 1000 if isinstance(shutdown, int) else shutdown,
        kind=kind,
        significant=spec.get("significant", False),
    )


def proc_start(world: World, worker: Worker) -> Callable[..., Awaitable[Pid]]:
    """Start a `proc`: it exists and has its trap flag when the start returns."""

    async def start(*, link: bool = True) -> Pid:
        ready = asyncio.Event()
        pid = (spawn_link if link else spawn)(proc, world, worker, ready)
        await ready.wait()
        return pid

    return start


def broken_start(worker: Worker) -> Callable[..., Awaitable[None]]:
    """A start function that raises instead of starting anything."""

    async def start(*, link: bool = True) -> None:
        raise Exit(reason_from(worker["exit"])) if "exit" in worker else VectorError(worker["raise"])

    return start


class VectorScope(Groups):
    """A scope of process groups that gets its label before anything else."""

    def init(self, world: World, label: str) -> None:  # type: ignore[override]
        world.recorder.label(self.pid, label)
        super().init()
