"""New code for a server that runs: its state moves along, bad code is refused or given up, the way back stays open.

Run it: `.venv/bin/python examples/otp/upgrade_while_running.py`
"""

import asyncio
import contextlib
import importlib
import sys
import tempfile
from pathlib import Path

from planaria.otp import CallError, Node, child, supervisor, upgrade

FIRST = """
from planaria.otp import GenServer, call, upgrade

class Till(GenServer):
    def init(self):
        self.euros = 0

    @call
    def take(self, euros):
        self.euros += euros
        return f"{self.euros} euros"
"""
SECOND = """
from planaria.otp import GenServer, call, upgrade

class Till(GenServer):
    can_downgrade = True
    def init(self):
        self.cents = 0

    @call
    def take(self, euros):
        self.cents += round(euros * 100)
        return f"{self.cents} cents"

    def code_change(self, old_version, extra):
        if isinstance(old_version, upgrade.Downgrade):
            self.euros = self.cents / 100
        else:
            self.cents = round(self.euros * 100)
"""


async def main(file: Path) -> None:
    def save(text: str) -> None:
        file.write_text(text)

    save(FIRST)
    shop = importlib.import_module("shop")
    async with Node() as node:
        await node.start(supervisor(child(shop.Till, name="till"), max_restarts=10))
        till = node["till"]
        print(await shop.Till.take(till, 5))

        save(SECOND)
        report = await upgrade.load("shop", node=node)
        print(f"version {report.version}: {report.moved} process moved")
        print(await shop.Till.take(till, 0.5))  # the same process, its state in cents now

        await upgrade.rollback("shop", node=node)
        print(await shop.Till.take(till, 1), "with version 1 again")

        save(SECOND.replace("def take", "def grab"))
        try:
            await upgrade.load("shop", node=node)
        except upgrade.UpgradeRefused as refused:
            print(refused.problems[0].partition(",")[0])  # nothing has changed

        save(SECOND.replace("self.cents +=", "self.cent +="))  # only running it tells
        await upgrade.load("shop", node=node, min_crashes=2)
        for _ in range(2):
            with contextlib.suppress(CallError):
                await shop.Till.take(node["till"], 1)
            await node.settle()
        print(f"two crashes, and version {upgrade.versions('shop')[0].number} is back")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        asyncio.run(main(Path(folder) / "shop.py"))
