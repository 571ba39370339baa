"""Applications: parts of a program, started in the order of their needs and stopped in reverse. OTP's application.

```python
class Store(Application):
    env: ClassVar = {"path": "store.db"}

    def start(self) -> ChildSpec:
        return supervisor(child(Disk, self.get_env("path")), name="store")

class Web(Application):
    needs: ClassVar = (Store,)
    ...

await node.start(applications(Web, env={Store: {"path": "/data/store.db"}}))   # Store first, then Web
```

The applications of a node stand below one process, `applications`, which plays the parts of OTP's application
controller and masters: it starts what an application needs before it, watches the root of each, and when one ends
decides by its kind what becomes of the rest. As OTP, it never restarts one: that is for the supervisors inside.
Source: application(3): start, ensure_all_started, stop, which_applications, get_env, set_env, prep_stop, start types.
Differs: start phases and included applications are missing; a needed application that is temporary may end without
ending those that need it, exactly as in OTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, ClassVar, Literal

from planaria.otp.kernel.ambient import Server, resolve, spawn, wait_down
from planaria.otp.kernel.message import ExitSignal
from planaria.otp.kernel.process import Process
from planaria.otp.kernel.reason import StartFailed, Stop
from planaria.otp.kernel.table import publish, read_table
from planaria.otp.servers.gen_server import GenServer, start_server
from planaria.otp.servers.handler import Deferred, call
from planaria.otp.supervision.child import ChildSpec, ShutdownTime
from planaria.otp.supervision.shutdown import stop_child
from planaria.otp.supervision.supervisor import start_of

type Kind = Literal["permanent", "transient", "temporary"]
type Env = Mapping[str, Any]

CONTROLLER = "applications"
"""The name under which the controller is registered."""


class Application:
    """Subclass it: say what it needs and how its tree begins.

    Class attributes:
        name: unique in the node; the class's name by default.
        needs: applications that run before this one starts.
        env: its configuration with default values; others are given to `applications` or `start`.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[tuple[type[Application], ...]] = ()
    env: ClassVar[Env] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def start(self) -> ChildSpec | Awaitable[ChildSpec]:
        """The root of its tree; may be async. What it raises refuses the start (start/2)."""
        raise NotImplementedError(f"{type(self).__name__}.start must answer with the root of its tree")

    def prep_stop(self) -> Any:
        """Called before its tree is stopped, in a process of its own; may be async. What it raises stops nothing.

        The controller waits for it and for `stop`: a call to it from there is answered only when its time is up.
        """

    def stop(self) -> Any:
        """Called when its tree has ended, however, in a process of its own; may be async (stop/1)."""

    def get_env(self, key: str, default: Any = None) -> Any:
        """One of its settings as of now."""
        return self.settings.of(type(self)).get(key, default)


class Settings:
    """The configuration of all applications of a node; read past the controller's mailbox."""

    def __init__(self, given: Mapping[type[Application], Env]) -> None:
        self.given: dict[type[Application], dict[str, Any]] = {}
        for application, values in given.items():
            self.set(application, values)

    def of(self, application: type[Application]) -> dict[str, Any]:
        """The settings of one application, defaults included."""
        return {**application.env, **self.given.get(application, {})}

    def set(self, application: type[Application], values: Env) -> None:
        """Change settings.

        Raises:
            ValueError: a key that the application's `env` does not have.
        """
        for key in values:
            if key not in application.env:
                known = ", ".join(sorted(application.env)) or "none"
                raise ValueError(f"application {application.name} has no setting {key!r}; it has: {known}")
        self.given.setdefault(application, {}).update(values)


@dataclass(frozen=True, slots=True)
class ApplicationInfo:
    """One line of `which_applications`."""

    name: str
    kind: Kind
    process: Process


@dataclass(frozen=True, slots=True)
class ApplicationEnded:
    """Why the node's applications ended: `name`, which they could not do without, ended for `reason`."""

    name: str
    reason: object


class _Running:
    """An application that runs."""

    __slots__ = ("application", "kind", "process", "shutdown")

    def __init__(self, application: Application, kind: Kind, process: Process, spec: ChildSpec) -> None:
        self.application = application
        self.kind: Kind = kind
        self.process = process
        self.shutdown: ShutdownTime = spec.shutdown


class Applications(GenServer):
    """The controller; described by `applications(...)`."""

    trap_exit: ClassVar[bool] = True
    call_timeout: ClassVar[float | None] = None  # an application may take long to start or stop

    async def init(self, wanted: tuple[type[Application], ...], kind: Kind, settings: Settings) -> None:
        """Start the applications, each after what it needs; the first failure stops those started."""
        self.settings = settings
        self.running: dict[type[Application], _Running] = {}  # in the order of their start
        publish(self.pid, settings)
        for application in wanted:
            try:
                await self._start_all(application, kind)
            except StartFailed as error:
                await self._stop_all()
                raise Stop(error.reason) from error

    # --- requests ------------------------------------------------------------------------------------------------

    @call
    async def start_application(
        self, application: type[Application], kind: Kind = "temporary", env: Env | None = None
    ) -> list[str] | Deferred[list[str]]:
        """Start an application after what it needs and does not run yet (application:ensure_all_started).

        Args:
            kind: what its end means for the others: `permanent` ends all, `transient` ends all unless it is `normal`,
                `temporary` ends nobody.
            env: settings that replace its defaults.
        Returns:
            The names of those started, in order; empty if it runs already.
        Raises:
            StartFailed: one of them did not start; those started before it by this request are stopped again.
            ValueError: a setting it does not have, an unknown kind, applications that need each other.
            TypeError: it is no application.
        """
        if not _is_application(application):
            return self.refuse(
                TypeError(f"{application!r} is no application: give a subclass of Application")
            )
        if kind not in ("permanent", "transient", "temporary"):
            return self.refuse(ValueError(f"kind={kind!r}: it is 'permanent', 'transient' or 'temporary'"))
        before = list(self.running)
        try:
            self.settings.set(application, env or {})
            await self._start_all(application, kind)
        except (StartFailed, ValueError) as error:
            for started in reversed([one for one in self.running if one not in before]):
                await self._stop(started)
            return self.refuse(error)
        return [one.name for one in self.running if one not in before]

    @call
    async def stop_application(self, application: type[Application]) -> bool:
        """Stop one application, not those that need it (application:stop/1); False if it does not run."""
        if application not in self.running:
            return False
        await self._stop(application)
        return True

    @call
    def which_applications(self) -> list[ApplicationInfo]:
        """Those that run, in the order of their start."""
        return [
            ApplicationInfo(each.application.name, each.kind, each.process) for each in self.running.values()
        ]

    @call
    def set_env(self, application: type[Application], env: Env) -> Deferred[None] | None:
        """Change settings while it runs; who looks next sees them.

        Raises:
            ValueError: a setting it does not have.
        """
        try:
            self.settings.set(application, env)
        except ValueError as error:
            return self.refuse(error)
        return None

    # --- ends ----------------------------------------------------------------------------------------------------

    async def handle_info(self, message: Any) -> None:
        """The end of an application's root."""
        if not isinstance(message, ExitSignal):
            super().handle_info(message)
            return
        for application, running in self.running.items():
            if running.process is message.sender:
                del self.running[application]
                await _finish(running.application.stop)
                if running.kind == "permanent" or (
                    running.kind == "transient" and message.reason != "normal"
                ):
                    self.stop(ApplicationEnded(application.name, message.reason))
                return

    async def terminate(self, reason: object) -> None:
        """Stop all applications, last first."""
        await self._stop_all()

    def children_now(self) -> list[tuple[object, Process | None, int]]:
        """(id, process, restarts) of the applications in order, for those who look."""
        return [(each.application.name, each.process, 0) for each in self.running.values()]

    async def _start_all(self, application: type[Application], kind: Kind) -> None:
        for each in in_order(application):
            if each not in self.running:
                await self._start(each, kind)

    async def _start(self, application: type[Application], kind: Kind) -> None:
        instance: Application | None = None
        spec: ChildSpec | None = None

        async def begin(*, link: bool = True) -> Process | None:
            nonlocal instance, spec
            instance = application(self.settings)
            found: Any = instance.start()
            spec = await found if isawaitable(found) else found
            if not isinstance(spec, ChildSpec):
                answered, spec = spec, None
                raise TypeError(
                    f"{application.name}.start answered {answered!r}: it answers child(...) or supervisor(...)"
                )
            return await spec.start(link=link)

        try:
            process = await start_of(ChildSpec(application.name, begin))
        except StartFailed as error:
            raise StartFailed(application.name, error.reason) from error
        if process is None or spec is None or instance is None:
            raise StartFailed(application.name, "ignore")
        self.running[application] = _Running(instance, kind, process, spec)

    async def _stop(self, application: type[Application]) -> None:
        running = self.running.pop(application)
        await _finish(running.application.prep_stop)
        await stop_child(running.process, running.shutdown)
        await _finish(running.application.stop)

    async def _stop_all(self) -> None:
        for application in reversed(list(self.running)):
            await self._stop(application)


def in_order(application: type[Application]) -> list[type[Application]]:
    """An application and all it needs, each after what it needs itself.

    Raises:
        ValueError: applications that need each other.
    """
    found: list[type[Application]] = []

    def visit(one: type[Application], above: tuple[type[Application], ...]) -> None:
        if one in above:
            circle = " needs ".join(each.name for each in (*above[above.index(one) :], one))
            raise ValueError(f"these applications need each other: {circle}")
        if one not in found:
            for needed in one.needs:
                visit(needed, (*above, one))
            found.append(one)

    visit(application, ())
    return found


def applications(
    *wanted: type[Application],
    kind: Kind = "permanent",
    env: Mapping[type[Application], Env] | None = None,
    name: str = CONTROLLER,
) -> ChildSpec:
    """The controller with the applications it starts: a root for `Node.start`, or a child.

    Args:
        wanted: started in this order, each after what it needs.
        kind: of all of them, see `Applications.start_application`; others can be started with another later.
        env: settings that replace defaults, by application.
        name: the controller's; more than one in a node need names of their own.
    Raises:
        ValueError: a setting an application does not have, or applications that need each other.
    """
    settings = Settings(env or {})
    for application in wanted:
        in_order(application)

    async def start(*, link: bool = True) -> Process | None:
        return await start_server(
            Applications, (wanted, kind, settings), {}, name=name, label=name, link=link
        )

    return ChildSpec(name, start, "permanent", "infinity", "supervisor")


def get_env(
    application: type[Application], key: str, default: Any = None, *, controller: Server = CONTROLLER
) -> Any:
    """A setting of an application, from any process; works while the application starts, too (application:get_env/3).

    Raises:
        NoProcess: no applications run in this node.
    """
    return read_table(controller, resolve(controller), Settings).of(application).get(key, default)


def _is_application(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, Application)


async def _finish(callback: Callable[[], Any]) -> None:
    """Run a callback of an application's end in a process of its own: its crash must not keep others from stopping."""
    await wait_down(spawn(callback))
