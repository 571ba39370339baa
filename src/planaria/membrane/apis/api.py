"""One service described with OpenAPI: a process that reads the description and offers its operations as tools.

Its tools are `api.<service>.<operation>`. One that changes nothing by HTTP's promise (GET) needs `net.fetch` for the
service's host, any other `net.send`, which is dangerous: granted by a host and by nothing else. Started under the name
`api:<service>`. A description that cannot be read is tried again; meanwhile its tools are not there.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from planaria.config.apis import ApiSettings
from planaria.config.secret import Secret
from planaria.membrane.apis.calling import Service, call_operation
from planaria.membrane.apis.description import (
    LARGEST,
    SAFE,
    BadDescription,
    Description,
    Operation,
    read_description,
)
from planaria.membrane.capability import Touch
from planaria.membrane.gate.gate import Gate, ToolConflict
from planaria.membrane.schema_arguments import SchemaArguments
from planaria.membrane.structured import BadSchema
from planaria.membrane.tool import FAILED, Context, Outcome, Tool
from planaria.membrane.web.outbound import FetchFailed, WebRules, fetch
from planaria.membrane.web.outside import outside
from planaria.otp import (
    ChildSpec,
    Down,
    ExitSignal,
    GenServer,
    Task,
    TaskDone,
    call,
    child,
    reason_text,
    run_blocking,
    send_after,
    supervisor,
)
from planaria.otp.isolation.limits import Limits

FIRST_REST, LONGEST_REST = 5.0, 600.0
"""Seconds before a description that could not be read is tried again: doubled each time."""
LONGEST_DESCRIPTION = 1_000
PATIENCE = 30.0
"""Seconds for reading a description."""
LIMITS = Limits(memory="512 MB", cpu=30)


class ApiView(msgspec.Struct, frozen=True):
    """A service for people. `problems`: why there are no tools, and which operations are left out."""

    name: str
    title: str
    base_url: str
    tools: tuple[str, ...]
    problems: tuple[str, ...] = ()


class _Again(msgspec.Struct, frozen=True):
    """To itself: read the description."""


class _Data(msgspec.Struct, frozen=True):
    """The bytes of a description."""

    data: bytes


class _Late(msgspec.Struct, frozen=True):
    """To itself: reading has taken too long."""

    ref: Any


def api_name(service: str) -> str:
    """Registered name of a service's process, and the source of its tools in the gate."""
    return f"api:{service}"


class Api(GenServer):
    """One service."""

    trap_exit: ClassVar[bool] = True

    async def init(
        self, name: str, settings: ApiSettings, garden: Path, gate: Gate, key: Secret | None
    ) -> None:
        """Begin to read."""
        self.name = name
        self.settings = settings
        self.garden = garden
        self.gate = gate
        self.key = key
        self.title = self.base_url = ""
        self.problems: list[str] = ["the description is being read"]
        self.rest = FIRST_REST
        self.reading: Any = None
        self._begin()

    @call
    def view(self) -> ApiView:
        """How it stands."""
        tools = tuple(each.name for each in self.gate.tools() if each.source == api_name(self.name))
        return ApiView(self.name, self.title, self.base_url, tools, tuple(self.problems))

    def handle_info(self, message: Any) -> None:
        match message:
            case TaskDone(ref=ref, value=_Data(data=data)) if ref is self.reading:
                # A stranger's YAML can be made to take hours: it is read where it can be ended.
                self.reading = Task.start_link(read_description, data, isolation="worker", limits=LIMITS)
                send_after(PATIENCE, self.pid, _Late(self.reading))
            case _Late(ref=ref) if ref is self.reading:
                self.reading.cancel()
                self._failed(f"the description took more than {PATIENCE:g} s to read")
            case TaskDone(ref=ref, value=Description() as description) if ref is self.reading:
                self.reading = None
                self._offer(description)
            case TaskDone(ref=ref, value=str() as problem) if ref is self.reading:
                self._failed(problem)
            case Down(ref=ref, reason=reason) if ref is self.reading:
                self._failed(reason_text(reason))
            case _Again() if self.reading is None:
                self._begin()
            case ExitSignal():
                pass  # of the task, whose end is told otherwise
            case _:
                super().handle_info(message)

    def terminate(self, reason: object) -> None:
        """Its tools are on offer no longer."""
        self.gate.put(api_name(self.name), [])

    def _begin(self) -> None:
        self.reading = Task.start_link(
            _read, self.settings, self.garden, label=f"the description of {self.name}"
        )

    def _failed(self, problem: str) -> None:
        self.reading = None
        self.problems = [problem]
        send_after(self.rest, self.pid, _Again())
        self.rest = min(self.rest * 2, LONGEST_REST)

    def _offer(self, description: Description) -> None:
        self.title, self.problems = description.title, list(description.left_out)
        first = next((each for each in description.servers if each.startswith(("https://", "http://"))), "")
        self.base_url = self.settings.base_url or first
        if not self.base_url:
            self.problems = ["the description names no absolute server: write base_url in planaria.toml"]
            return
        if self.key is not None and not self.settings.base_url:
            # Whoever writes the description must not choose where the key goes.
            self.problems = ["a key is sent to an address you name only: write base_url beside key_env"]
            return
        service = Service(
            self.name,
            self.base_url,
            self.settings.header,
            self.settings.prefix,
            self.key,
            self.settings.private,
        )
        try:
            self.gate.put(api_name(self.name), list(self._tools(service, description)))
        except ToolConflict as error:
            self.problems.append(str(error))

    def _tools(self, service: Service, description: Description) -> Iterator[Tool]:
        for operation in description.operations:
            if not any(fnmatchcase(operation.name, pattern) for pattern in self.settings.operations):
                continue
            try:
                yield _tool(service, operation)
            except BadSchema as error:
                self.problems.append(f"{operation.method.upper()} {operation.path}: {error}")


def _tool(service: Service, operation: Operation) -> Tool:
    full = f"api.{service.name}.{operation.name}"
    safe = operation.method in SAFE
    needs = "net.fetch" if safe else "net.send"
    words = outside(operation.description[:LONGEST_DESCRIPTION], api_name(service.name))
    touched = (Touch(needs, service.base_url),)

    def touches(bound: Mapping[str, Any]) -> tuple[Touch, ...]:
        return touched

    async def function(context: Context, /, **arguments: Any) -> Outcome:
        return await call_operation(service, operation, context, arguments)

    return Tool(
        full,
        f"{operation.method.upper()} {operation.path} of {service.name}. It describes itself:\n{words}",
        SchemaArguments(full, operation.arguments),
        ("ok", FAILED),
        frozenset({needs}),
        function,
        "retry" if safe else "ask",
        touches=touches,
        source=api_name(service.name),
        breaker=api_name(service.name),
    )


async def _read(settings: ApiSettings, garden: Path) -> _Data | str:
    """The description as it came; a text is why not."""
    try:
        return _Data(await _data(settings, garden))
    except (BadDescription, FetchFailed) as error:
        return str(error)
    except OSError as error:
        return f"{settings.description} cannot be read: {error.strerror}; write a file below the garden"


async def _data(settings: ApiSettings, garden: Path) -> bytes:
    where = settings.description
    if where.startswith(("https://", "http://")):
        page = await fetch(where, WebRules(allow_private=settings.private, max_bytes=LARGEST))
        if page.status >= 400:
            raise BadDescription(f"{where} answered {page.status}")
        return page.body
    return await run_blocking((garden / where).read_bytes)


def tree(
    apis: Mapping[str, ApiSettings], garden: Path, gate: Gate, environ: Mapping[str, str]
) -> list[ChildSpec]:
    """One supervisor for all services; none if there are none."""
    children = []
    for name, given in apis.items():
        key = environ.get(given.key_env or "", "")
        children.append(
            child(Api, name, given, garden, gate, Secret(key) if key else None, name=api_name(name))
        )
    return [supervisor(*children, name="apis", max_restarts=20, within=60.0)] if children else []
