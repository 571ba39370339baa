"""Programs that stay: run in the sandbox by somebody else, who speaks with them over their standard streams.

    async with staying(["server"], policy) as held:
        ...                                  # run `held.command`, in any folder, with `held.environment`
        held.why()                           # once it has ended: what the sandbox has to say about that

What the program may reach lasts as long as the block.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from planaria.membrane.sandbox.available import find_sandbox
from planaria.membrane.sandbox.held import PLAN, REPORT
from planaria.membrane.sandbox.plan import Plan, read_report, write_plan
from planaria.membrane.sandbox.policy import SandboxPolicy, check
from planaria.membrane.sandbox.proxy import Attempt, reach_of
from planaria.membrane.sandbox.run import SOURCES, choose, plan_of, serving
from planaria.otp import run_blocking

ALWAYS = 1e9
"""Seconds: longer than any program stays."""
SHOWN = 3
"""Refused hosts that are told of."""


@dataclass(frozen=True, slots=True)
class Held:
    """How to run a program in the sandbox.

    Attributes:
        command, environment: of the program that holds it; what it holds has the environment of its policy.
        folder: where they meet; gone with the block.
        attempts: its tries to reach hosts.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    folder: Path
    attempts: Sequence[Attempt] = ()

    def why(self) -> str:
        """What the sandbox has to say about its end, such as a limit or hosts that were refused; empty if nothing."""
        refused = dict.fromkeys(attempt.why for attempt in self.attempts if attempt.why)
        return "; ".join([*filter(None, [self._reported()]), *list(refused)[:SHOWN]])

    def _reported(self) -> str:
        try:
            report = read_report(os.open(self.folder / REPORT, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return ""
        if report is None:
            return ""
        ended = f"the sandbox ended it over its limit of {report.killed_by}" if report.killed_by else ""
        return report.refused or report.broken or ended


@asynccontextmanager
async def staying(argv: Sequence[str], policy: SandboxPolicy) -> AsyncGenerator[Held]:
    """What to run instead of a program, so that the sandbox holds it.

    Raises:
        PolicyRefused: the policy cannot be granted; says what to change.
        NoSandbox: this machine has none; says what to install.
    """
    check(policy)
    found = await run_blocking(find_sandbox)
    chosen = choose(found, policy.backend)
    reach = reach_of(policy.hosts) if policy.hosts else None
    folder = Path(await run_blocking(tempfile.mkdtemp, "", "planaria-held-"))
    try:
        async with serving(reach) as (proxy, socket):
            plan = await run_blocking(plan_of, list(argv), policy, found, chosen, socket)
            await run_blocking(_write, folder / PLAN, plan)
            module = "planaria.membrane.sandbox.held"
            command = (sys.executable, "-S", "-s", "-P", "-m", module, str(folder))
            environment = {"PYTHONPATH": str(SOURCES), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
            yield Held(command, environment, folder, proxy.attempts if proxy else ())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, plan: Plan) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(write_plan(plan))
