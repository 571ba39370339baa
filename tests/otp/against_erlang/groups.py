"""Random joins, leaves, deaths and watches: what Erlang's pg does beside what the kernel's scopes do."""

import asyncio
import random
from collections import defaultdict
from typing import Any

from planaria.otp import Crash, GroupChanged, Groups, Pid, exit_signal, receive, sleep, spawn
from planaria.otp.kernel.process import Monitor
from planaria.testing.node import running_node

from .erl import run_erlang, term

NAMES = "abcd"
OPERATIONS = 14


def draw(chance: random.Random, number: int, in_batch: bool = False) -> Any:
    """One operation; `number` names the watch it may make."""
    who = chance.choice(NAMES) if chance.random() < 0.5 else chance.choices(NAMES, k=chance.randint(1, 3))
    group = chance.choice("gh")
    kinds = {
        "join": 27,
        "leave": 25,
        "members": 8,
        "groups": 6,
        "monitor": 8,
        "monitor_scope": 5,
        "demonitor": 5,
    }
    if not in_batch:  # in a batch nothing settles, so a death would be a race
        kinds |= {"kill": 8, "batch": 8}
    match chance.choices(list(kinds), list(kinds.values()))[0]:
        case "batch":
            return ("batch", [draw(chance, number + 100 * part, True) for part in (1, 2, 3)])
        case "groups":
            return "groups"
        case "kill":
            return ("kill", chance.choice(NAMES))
        case "members":
            return ("members", group)
        case "monitor":
            return ("monitor", group, f"m{number}")
        case "monitor_scope":
            return ("monitor_scope", f"m{number}")
        case "demonitor":
            return ("demonitor", f"m{chance.randint(0, number % 100)}")
        case kind:
            return (kind, group, who)


class Player:
    """Does the operations of one case in a process of the kernel."""

    def __init__(self) -> None:
        self.pids: dict[str, Pid] = {}
        self.refs: dict[Monitor, str] = {}
        self.results: list[Any] = []

    async def run(self, operations: list[Any]) -> None:
        await Groups.start_link(name="sc")
        self.pids = {name: spawn(_idle) for name in NAMES}
        for operation in operations:
            answer = await self._do(operation)
            await sleep(1)
            self.results.append([answer, await self._inbox()])

    async def _do(self, operation: Any) -> Any:
        match operation:
            case ("join", group, who):
                await Groups.join("sc", group, self._who(who))
                return "ok"
            case ("leave", group, who):
                return "ok" if await Groups.leave("sc", group, self._who(who)) else "not_joined"
            case ("members", group):
                return self._names(Groups.members("sc", group))
            case "groups":
                return sorted(map(str, Groups.which_groups("sc")))
            case ("kill", who):
                exit_signal(self.pids[who], "kill")
                return "ok"
            case ("monitor", group, name):
                ref, pids = await Groups.monitor("sc", group)
                self.refs[ref] = name
                return self._names(pids)
            case ("monitor_scope", name):
                ref, groups = await Groups.monitor_scope("sc")
                self.refs[ref] = name
                return sorted([str(group), self._names(pids)] for group, pids in groups.items())
            case ("demonitor", name):
                for ref, known in self.refs.items():
                    if known == name:
                        return "ok" if await Groups.demonitor("sc", ref) else "false"
                return "none"
            case (_, operations):
                return [await self._do(one) for one in operations]

    def _who(self, who: str | list[str]) -> Pid | list[Pid]:
        return self.pids[who] if isinstance(who, str) else [self.pids[name] for name in who]

    def _names(self, pids: Any) -> list[str]:
        return sorted(name for pid in pids for name, known in self.pids.items() if known is pid)

    async def _inbox(self) -> list[Any]:
        found: list[Any] = []
        while True:
            try:
                message = await receive(GroupChanged, timeout=0)
            except TimeoutError:
                return found
            found.append([self.refs[message.ref], message.event, message.group, self._names(message.pids)])


async def _idle() -> None:
    while True:
        await receive()


async def play(operations: list[Any], seed: int) -> list[Any]:
    """The answers and messages of one case."""
    async with running_node(seed=seed) as node:
        player = Player()
        process = node.spawn(player.run, operations)
        await node.advance(10 * len(operations))
        if isinstance(process.reason, Crash):
            raise process.reason.error
        return player.results


def by_watch(results: list[Any]) -> list[Any]:
    """The messages of each watch in their order; which of several watches is told first is nobody's promise."""
    found = []
    for answer, messages in results:
        told: dict[str, list[Any]] = defaultdict(list)
        for name, *message in messages:
            told[name].append(message)
        found.append([answer, dict(told)])
    return found


def differences(number: int, start: int) -> tuple[int, list[str]]:
    """How many operations were compared, and what differs."""
    chance = random.Random(start)
    cases = [[draw(chance, at) for at in range(OPERATIONS)] for _ in range(number)]
    found = []
    for at, real in enumerate(run_erlang("groups", [term((at, case)) for at, case in enumerate(cases)])):
        ours = asyncio.run(play(cases[at], at))
        if by_watch(real) != by_watch(ours):
            found.append(f"{cases[at]}\n  Erlang {real}\n  kernel {ours}")
    return number * OPERATIONS, found
