"""The guides run: each block of Python, one after the other in one namespace, prints what the page shows below it."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from planaria.testing.node import running_node

GUIDES = Path(__file__).parent.parent / "docs" / "guides"
RUN = ("otp-for-python.md",)
"""Guides whose blocks make one program; in each block `work` is what runs, as a process."""
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<printed>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)


async def run_to_its_end(work: Callable[[], Awaitable[object]]) -> None:
    """Run `work` as a process while virtual time jumps from one timer to the next."""
    async with running_node() as node:
        running = asyncio.ensure_future(node.run(work))
        while not running.done():
            await asyncio.sleep(0)
            if not running.done() and not await node.virtual_clock.jump():
                await asyncio.wait([running], timeout=0.01)  # it waits for the outside
        await running


@pytest.mark.parametrize("guide", RUN)
def test_a_guide_prints_what_it_promises(guide, capsys):
    page = (GUIDES / guide).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(page))
    assert blocks
    names: dict[str, Any] = {"__name__": "guide"}
    for block in blocks:
        names.pop("work", None)
        lines_above = page[: block.start()].count("\n") + 1
        exec(compile("\n" * lines_above + block["code"], guide, "exec"), names)
        if "work" in names:
            asyncio.run(run_to_its_end(names["work"]))
        assert capsys.readouterr().out == (block["printed"] or ""), f"{guide}:{lines_above}"
