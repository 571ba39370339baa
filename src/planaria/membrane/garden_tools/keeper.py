"""The keeper of a garden's own tools: `tools/*.py`, each file in an OS process of its own, followed as it changes.

```
own_tools (rest_for_one)
├── tool_workers   dynamic: for each good file its process
├── user_tools     this
└── tool_files     watches the folder
```

Started under the name `user_tools`. A changed file is loaded beside the old version; if it is good its tools take the
place of the old ones, which end when their calls have. A broken one is reported with its line, and the old version
stays. A process that ends is started again after a rest that grows; if the file is broken by then, with the text that
was accepted last. New tools are granted to nobody: `*` in a record does not name them.
Does badly: a tool is the owner's own code and has the rights of the node; its process keeps faults apart, not
attackers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from planaria.membrane.garden_tools.desk import OpenCall, used
from planaria.membrane.garden_tools.home import Home
from planaria.membrane.garden_tools.offer import FOLDER, Broken, Offered
from planaria.membrane.garden_tools.running import ANSWERS, Post, tool_of
from planaria.membrane.garden_tools.tool_file import ToolFile
from planaria.membrane.gate.gate import Gate, ToolConflict
from planaria.membrane.structured import BadSchema
from planaria.membrane.tool import Done, Failed, Outcome
from planaria.otp import (
    CallError,
    Deferred,
    Down,
    DynamicSupervisor,
    ExitSignal,
    Pid,
    Ref,
    StartFailed,
    Task,
    TaskDone,
    call,
    cast,
    child,
    exit_signal,
    monitor,
    now,
    reason_text,
    run_blocking,
    send_after,
    sleep,
)
from planaria.otp.isolation.limits import Limits, Worker
from planaria.records.errors import Problem
from planaria.records.library import Library

NAME, WORKERS = "user_tools", "tool_workers"
LIMITS = Limits(memory="1 GB")
LOADING = 20.0
"""Seconds a file may take to load."""
DRAINING = 600.0
"""Seconds the calls of an old version have to end."""
LONGEST_FILE = 1_000_000
FIRST_REST, LONGEST_REST = 1.0, 60.0
"""Seconds until a process that ended is started again: doubled each time, from the start after a minute of life."""


class Loaded(msgspec.Struct, frozen=True):
    """A file was tried.

    Attributes:
        text: what was read; None: the file is gone.
        pid: what runs it, if the offer is good.
        offer: None: it is as it was.
    """

    path: str
    text: str | None
    pid: Pid | None = None
    offer: Offered | Broken | None = None


class Again(msgspec.Struct, frozen=True):
    """To itself: start the process of a file once more."""

    path: str


class OwnFile:
    """One file as it stands.

    Attributes:
        text: the version that was accepted last.
        stale: what it imports has changed.
        rest: seconds until the next start.
        behind: it changed while it was being loaded.
    """

    def __init__(self, post: Post) -> None:
        self.post = post
        self.text: str | None = None
        self.stale = False
        self.since = 0.0
        self.rest = FIRST_REST
        self.task: Ref | None = None
        self.behind = False


class UserTools(Home):
    """Keeps the tools of a garden's own folder."""

    trap_exit: ClassVar[bool] = True

    async def init(self, garden: Path, gate: Gate, services: Mapping[type, object]) -> None:
        """Load what there is, each file in its turn, so that agents find their tools.

        Args:
            services: what tools find that are called by tools.
        """
        self.garden = garden
        self.gate = gate
        self.services = services
        self.calls: dict[str, OpenCall] = {}
        self.files: dict[str, OwnFile] = {}
        self.tasks: dict[Ref, str] = {}
        self.workers: dict[Ref, str] = {}
        self.uses: dict[Ref, Deferred[Outcome]] = {}
        for info in await DynamicSupervisor.which_children(WORKERS):
            if info.process is not None:
                await DynamicSupervisor.terminate_child(WORKERS, info.process)
        for source in {tool.source for tool in gate.tools() if tool.source.startswith(f"{FOLDER}/")}:
            gate.put(source, [])
        for path in await run_blocking(own_files, garden):
            self._take(await self._load(path))

    # --- for others --------------------------------------------------------------------------------------------------

    @cast
    def changed(self, path: str) -> None:
        """A file has changed, or is gone; one whose name begins with `_` concerns all. Without a path: look at all."""
        name = path.rpartition("/")[2]
        if not path:
            for other in {*self.files, *own_files(self.garden)}:
                self._try(other)
        elif name.startswith("_"):
            for each in self.files.values():
                each.stale = True
            for other in list(self.files):
                self._try(other)
        elif name.endswith(".py") and not name.startswith("."):
            self._try(path)

    @call
    def use(self, token: str, tool: str, arguments: dict[str, Any]) -> Deferred[Outcome]:
        """See `Home`."""
        answer: Deferred[Outcome] = self.defer()
        opened = self.calls.get(token)
        if opened is None:
            answer.reply(Failed("the call this belongs to is over"))
            return answer
        opened.made += 1
        label = f"{opened.tool.name} calls {tool}"
        task = Task.start_link(
            *(used, self.gate, tool, arguments, opened, opened.made, self.services), label=label
        )
        self.uses[task] = answer
        return answer

    # --- files -------------------------------------------------------------------------------------------------------

    def handle_info(self, message: Any) -> None:
        match message:
            case TaskDone(ref=ref, value=Loaded() as loaded) if ref in self.tasks:
                self._take(loaded)
                self._over(ref)
            case Down(ref=ref, reason=reason) if ref in self.tasks:
                broken = Broken(1, f"it could not be loaded: {reason_text(reason)}", "save it again")
                self._report(self.tasks[ref], broken)
                self._over(ref)
            case TaskDone(ref=ref, value=Done() | Failed() as outcome) if ref in self.uses:
                self.uses.pop(ref).reply(outcome)
            case Down(ref=ref, reason=reason) if ref in self.uses:
                self.uses.pop(ref).reply(Failed(f"the call broke off: {reason_text(reason)}"))
            case Down(ref=ref) if ref in self.workers:
                self._ended(self.workers.pop(ref), ref)
            case Again(path=path) if path in self.files:
                self._try(path)
            case TaskDone() | Down() | ExitSignal() | Again():
                pass  # of tasks that have said how it went, of files that are gone
            case _:
                super().handle_info(message)

    def terminate(self, reason: object) -> None:
        """Its tools are on offer no longer."""
        for path in self.files:
            self.gate.put(path, [])

    def _file(self, path: str) -> OwnFile:
        return self.files.setdefault(path, OwnFile(Post(self.calls)))

    def _try(self, path: str) -> None:
        known = self._file(path)
        if known.task is not None:
            known.behind = True
            return
        known.task = Task.start_link(self._load, path, label=f"{path} is loaded")
        self.tasks[known.task] = path

    def _over(self, ref: Ref) -> None:
        path = self.tasks.pop(ref)
        known = self.files.get(path)
        if known is not None:
            known.task, behind, known.behind = None, known.behind, False
            if behind:
                self._try(path)

    async def _load(self, path: str) -> Loaded:
        """Read a file, and load it in a process of its own unless the same runs already."""
        text = await run_blocking(read_tools, self.garden, path)
        if text is None:
            return Loaded(path, None)
        known = self.files.get(path)
        runs = known is not None and known.post.pid is not None
        if isinstance(text, Broken):
            loaded = Loaded(path, "", None, text)
        elif runs and known is not None and known.text == text and not known.stale:
            return Loaded(path, text)
        else:
            loaded = await self._start(path, text)
        if isinstance(loaded.offer, Broken) and known is not None and not runs and known.text is not None:
            self._report(path, loaded.offer)
            return await self._start(path, known.text)
        return loaded

    async def _start(self, path: str, text: str) -> Loaded:
        spec = child(
            *(ToolFile, str(self.garden), path, text, self.pid),
            label=f"tools {path}",
            restart="temporary",
            isolation=Worker(LIMITS),
        )
        try:
            pid = await DynamicSupervisor.start_child(WORKERS, spec)
        except (CallError, StartFailed) as error:
            broken = Broken(1, f"its process could not be started: {error}", "save it again")
            return Loaded(path, text, None, broken)
        assert pid is not None
        offer: Offered | Broken
        try:
            said = await ToolFile.load.within(LOADING)(pid)
            assert isinstance(said, Offered | Broken)
            offer = said
        except CallError as error:
            offer = Broken(1, f"loading it ended: {error}", f"let it load within {LOADING:g} s")
        if isinstance(offer, Broken):
            exit_signal(pid, "kill")
            pid = None
        return Loaded(path, text, pid, offer)

    def _take(self, loaded: Loaded) -> None:
        path = loaded.path
        known = self._file(path)
        match loaded.offer:
            case Broken() as broken:
                self._report(path, broken)
                if known.text is None:
                    known.rest = FIRST_REST  # nothing of it runs: the next change is looked at
            case Offered() as offered:
                self._accept(known, loaded, offered)
            case None if loaded.text is None:
                Library.clear("library", path)
                self.gate.put(path, [])
                self._retire(known.post.pid)
                del self.files[path]
            case None:
                Library.clear("library", path)  # it was broken, and is what it was before that

    def _accept(self, known: OwnFile, loaded: Loaded, offered: Offered) -> None:
        path, pid = loaded.path, loaded.pid
        assert pid is not None
        post = Post(self.calls, pid)
        try:
            self.gate.put(path, [tool_of(each, path, post) for each in offered.tools])
        except (ToolConflict, BadSchema) as error:
            exit_signal(pid, "kill")
            self._report(path, Broken(1, str(error), "rename the function or the file"))
            return
        if loaded.text != known.text or known.post.pid is not None:
            Library.clear("library", path)
        self._retire(known.post.pid)
        known.post, known.text, known.since, known.stale = post, loaded.text, now(), False
        self.workers[monitor(pid)] = path

    def _ended(self, path: str, ref: Ref) -> None:
        """The process of a file has ended: it is started again after a rest, unless another has its place."""
        known = self.files.get(path)
        if known is None or known.post.pid is None or known.post.pid.alive:
            return
        known.post.pid = None
        if now() - known.since > LONGEST_REST:
            known.rest = FIRST_REST
        send_after(known.rest, self.pid, Again(path))
        known.rest = min(2 * known.rest, LONGEST_REST)

    def _retire(self, pid: Pid | None) -> None:
        if pid is not None:
            Task.start_link(retire, pid, label="an old version ends")

    def _report(self, path: str, broken: Broken) -> None:
        Library.clear("library", path)
        Library.report("library", Problem(path, broken.line, broken.problem, broken.mend))


async def retire(pid: Pid) -> None:
    """End the process of an old version when its calls are over."""
    end = now() + DRAINING
    try:
        while now() < end and await ToolFile.busy.within(ANSWERS)(pid):
            await sleep(1.0)
    except CallError:
        pass  # it is gone, or stuck
    exit_signal(pid, "kill")


def own_files(garden: Path) -> list[str]:
    """The files that may hold tools, relative to the garden; those that begin with `_` are for import."""
    folder = garden / FOLDER
    return sorted(f"{FOLDER}/{file.name}" for file in folder.glob("[!_.]*.py") if file.is_file())


def read_tools(garden: Path, path: str) -> str | Broken | None:
    """The text of a file; None if it is gone."""
    try:
        data = (garden / path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Broken(1, f"it cannot be read: {error.strerror}", "check its permissions")
    if len(data) > LONGEST_FILE:
        return Broken(1, f"it has more than {LONGEST_FILE} bytes", "split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Broken(1, f"it is no UTF-8: {error.reason}", "save it as UTF-8")
