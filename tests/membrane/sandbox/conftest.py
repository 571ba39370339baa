"""A garden with something to steal, and a way to run programs in the sandbox."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from planaria.membrane.sandbox.available import find_sandbox
from planaria.membrane.sandbox.policy import SandboxPolicy
from planaria.membrane.sandbox.run import SandboxResult, run_sandboxed
from planaria.membrane.sandbox.strength import Backend
from planaria.otp import Node

type Run = Callable[..., Awaitable[SandboxResult]]

QUICK = SandboxPolicy(wall_seconds=60.0)


@pytest.fixture(params=["bubblewrap", "landlock"])
def backend(request: pytest.FixtureRequest) -> Backend:
    found = find_sandbox()
    if not found.has(request.param):
        pytest.skip(f"this machine has no {request.param}: {found.why}")
    backend: Backend = request.param
    return backend


@pytest.fixture
def bubblewrap() -> str:
    found = find_sandbox()
    if not found.program:
        pytest.skip(found.why)
    return "bubblewrap"


@pytest.fixture
async def node_() -> AsyncIterator[Node]:
    async with Node("test") as node:
        yield node


@pytest.fixture
def boxed(node_: Node) -> Run:
    """Run a program, or a text by `sh`, in the sandbox."""

    async def run(
        command: list[str] | str, policy: SandboxPolicy = QUICK, *args: Any, **named: Any
    ) -> SandboxResult:
        argv = ["sh", "-c", command] if isinstance(command, str) else command
        result = await node_.run(lambda: run_sandboxed(argv, policy, *args, **named))
        assert isinstance(result, SandboxResult)
        return result

    return run


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    """`outside/secret` lies beside the garden; `notes` has links to it, planted by an earlier program."""
    folder = tmp_path / "garden"
    for name in (".planaria", "notes", "library", "agents"):
        (folder / name).mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("the secret")
    (folder / ".planaria" / "journal.key").write_text("the key")
    (folder / "agents" / "scout.md").write_text("---\nclass: agent\n---\n")
    (folder / "notes" / "link").symlink_to(outside / "secret")
    library = folder / "library"
    for name in ("file", "empty", ".env"):
        (library / name).write_text(name if name != "empty" else "")
    (library / "up").symlink_to(outside)
    os.chmod(outside / "secret", 0o600)
    return folder
