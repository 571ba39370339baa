"""Python files in `workflows/` are watched; a real file system tells."""

import asyncio
from pathlib import Path, PurePath

import pytest

from planaria.otp import GenServer, Node, cast, child, task_child
from planaria.workflows.watch import is_definition, watch


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("workflows/digest.py", True),
        ("workflows/_shared.py", False),
        ("workflows/.digest.py", False),
        ("workflows/digest.md", False),
        ("workflows/old/digest.py", False),
        ("tools/digest.py", False),
        ("digest.py", False),
    ],
)
def test_python_files_of_the_workflows_folder_concern_us(place, expected):
    assert is_definition(PurePath(place)) is expected


class Listener(GenServer):
    """Stands where `Workflows` would."""

    def init(self, told: "asyncio.Queue[str]") -> None:
        self.told = told

    @cast
    def changed(self, path: str) -> None:
        """As `Workflows.changed`."""
        self.told.put_nowait(path)


@pytest.mark.subprocess
async def test_a_file_that_is_saved_is_told(tmp_path: Path):
    (tmp_path / "workflows").mkdir()
    told: asyncio.Queue[str] = asyncio.Queue()

    async def save_until_told() -> str:
        """The watch begins some time after its process; saving again is harmless."""
        for turn in range(100):
            (tmp_path / "workflows" / "note.md").write_text(str(turn))
            (tmp_path / "workflows" / "digest.py").write_text(f"x = {turn}")
            try:
                return await asyncio.wait_for(told.get(), 0.2)
            except TimeoutError:
                continue
        raise AssertionError("nothing was told")

    async with Node("watching") as node:
        await node.start(child(Listener, told, name="listener"))
        await node.start(task_child(watch, tmp_path, "listener", 50, name="watch"))
        assert await save_until_told() == "workflows/digest.py"
