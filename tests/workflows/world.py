"""A garden with everything the workflow processes need around them, and one tool whose outcomes a test decides."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.store import Draft, Fence
from planaria.cortex.store import Outcome as Written
from planaria.membrane.gate.gate import Gate
from planaria.membrane.tool import Context, Done, Failed, Outcome, Tool, tool
from planaria.otp import child, supervisor
from planaria.records.library import Library
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode, running_node
from planaria.workflows.definition import Workflow
from planaria.workflows.engine import Workflows
from planaria.workflows.tree import tree
from planaria.workflows.views import RunView


class SlowStore(MemoryStore):
    """A store whose commits can be held back, and that says when one begins and when it is done."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.kind = ""
        self.point: Callable[[str], None] = lambda session: None

    def hold_commits(self, kind: str) -> asyncio.Event:
        """Let commits with an event of this kind wait until the answer is set."""
        self.kind = kind
        return self.gate

    async def append(
        self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None] = ()
    ) -> list[Written]:
        session = batch[0][0].session
        self.point(session)
        if any(draft.kind == self.kind for drafts in batch for draft in drafts):
            await self.gate.wait()
        written = await super().append(batch, fences)
        self.point(session)
        return written


class World:
    """Calls made, outcomes to give, and the processes around them."""

    def __init__(self, node: TestNode, garden: Path, store: SlowStore) -> None:
        self.node, self.garden, self.store = node, garden, store
        self.calls: list[Context] = []
        self.arguments: list[dict[str, Any]] = []
        self.decide: Callable[[Context, str], Outcome] = lambda context, step: Done(step)
        self.held: dict[str, asyncio.Event] = {}
        self.left: list[str] = []  # steps whose held calls have ended

    def hold(self, step: str) -> asyncio.Event:
        """Let calls of a step wait until the event is set."""
        self.held[step] = asyncio.Event()
        return self.held[step]

    def tool(self) -> Tool:
        @tool(name="test.step", branches=("ok", "other"), idempotent=True)
        async def stepping(context: Context, step: str, item: int | None = None) -> Done | Failed:
            """A step.

            Args:
                step: which.
                item: of a list.
            """
            self.calls.append(context)
            self.arguments.append({"step": step, "item": item})
            if step in self.held:
                try:
                    await self.held[step].wait()
                finally:
                    self.left.append(step)
            return self.decide(context, step)

        return stepping

    async def begin(self) -> None:
        """Start the processes; also after `die`."""
        spec = supervisor(
            child(Journal, lambda: self.store, name="journal"),
            child(Library, self.garden, name="library"),
            tree(Gate([self.tool()]), self.garden, zone="UTC", watching=False),
            strategy="rest_for_one",
            name="node",
        )
        await self.node.start(spec)
        await self.node.settle()

    async def start(self, name: str, **arguments: Any) -> str:
        run_id = await Workflows.start_run(self.node["workflows"], name, "hand", arguments)
        assert isinstance(run_id, str), run_id
        return run_id

    async def view(self, run_id: str) -> RunView:
        view = await Workflows.show(self.node["workflows"], run_id)
        assert view is not None
        return view

    async def finished(self, run_id: str) -> RunView:
        """Let time pass until a run is over."""
        for _ in range(2000):
            await self.node.settle()
            view = await self.view(run_id)
            if view.status != "running":
                return view
            await self.node.advance(1.0)
        raise AssertionError(f"run {run_id} does not end")

    async def events(self, *kinds: str, session: str | None = None) -> list[Event]:
        return await Journal.read(self.node["journal"], Query(session=session, kinds=kinds))

    def write(self, name: str, text: str) -> None:
        (self.garden / "workflows" / name).write_text(text, encoding="utf-8")

    async def changed(self, name: str) -> None:
        Library.changed(self.node["library"], f"workflows/{name}")
        await self.node.settle()


@asynccontextmanager
async def world(
    folder: Path, seed: int | None = None, store: SlowStore | None = None
) -> AsyncIterator[World]:
    """A world whose processes are not started yet."""
    (folder / "workflows").mkdir(parents=True, exist_ok=True)
    async with running_node(seed=seed) as node:
        yield World(node, folder, store or SlowStore())


def as_markdown(workflow: Workflow, **front: Any) -> str:
    """The Markdown form of a workflow."""
    head = {"class": "workflow", **front}
    parts = [
        "---",
        *(f"{key}: {msgspec.json.encode(value).decode()}" for key, value in head.items()),
        "---",
        "",
    ]
    for step in workflow.steps.values():
        keys: dict[str, Any] = {"tool": step.tool, "with": step.arguments, "on": step.routes}
        keys |= {"retry": step.retry, "backoff": step.backoff, "timeout": step.timeout}
        if step.each is not None:
            keys["each"] = step.each
        if step.max_visits is not None:
            keys["max_visits"] = step.max_visits
        rows = [f"{key}: {msgspec.json.encode(value).decode()}" for key, value in keys.items()]
        parts += [f"## {step.id}", "", "```yaml", *rows, "```", ""]
    return "\n".join(parts)
