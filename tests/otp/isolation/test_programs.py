"""Programs as people start them: scripts, modules, what is typed in."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.subprocess
ROOT = Path(__file__).parents[3]

SCRIPT = """
import asyncio, os
from dataclasses import dataclass
from planaria.otp import *

@dataclass
class Point:
    x: int

class Inner(GenServer):
    @call
    def where(self): return os.getpid()

class Outer(GenServer):
    async def init(self):
        self.inner = await child(Inner, name="inner", isolation="worker").start()
    @call
    async def both(self): return Point(os.getpid()), await Inner.where("inner")
    @call
    def find(self, name): return whereis(name)

async def main():
    async with Node("n") as node:
        await node.start(supervisor(child(Outer, name="outer", isolation="worker")))
        async def work():
            point, inner = await Outer.both("outer")
            print(len({os.getpid(), point.x, inner}), type(point).__name__)
            register("late")
            print(await Inner.where(whereis("inner")) == inner, await Outer.find("outer", "late") is self_())
        await node.run(work)
"""
GUARDED = SCRIPT + "\nif __name__ == '__main__':\n    asyncio.run(main())\n"
BARE = SCRIPT + "\nasyncio.run(main())\n"


def run(*command: str, folder: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, *command],
        env=environ,
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", [["script.py"], ["-m", "script"]])
def test_classes_of_a_script_run_in_workers_and_in_workers_of_workers(tmp_path, command):
    (tmp_path / "script.py").write_text(GUARDED)
    ran = run(*command, folder=tmp_path)
    assert (ran.stdout, ran.stderr) == ("3 Point\nTrue True\n", "")


def test_a_script_without_a_guard_is_told_to_have_one(tmp_path):
    (tmp_path / "script.py").write_text(BARE)
    ran = run("script.py", folder=tmp_path)
    assert "Put what starts the program below `if __name__ == '__main__':`" in ran.stderr
    assert ran.returncode == 1


def test_what_is_typed_in_is_refused_with_a_word_what_to_do(tmp_path):
    ran = run("-", folder=tmp_path, stdin=GUARDED)
    assert "put it into a module that can be imported" in ran.stderr
    assert ran.returncode == 1


AWKWARD = """
import asyncio, os, shutil, threading
from planaria.otp import *
from planaria.otp.isolation.pool import worker_pool

class Server(GenServer):
    @call
    def answer(self): return 42

async def main():
    async with Node("n") as node:
        worker_pool(node, warm=0)
        print(await Server.answer(await node.start(child(Server, isolation="worker"))))
        shutil.rmtree(os.getcwd())
        print(await Server.answer(await node.start(child(Server, isolation="worker"))))

if __name__ == "__main__":
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1030)]
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join()
"""


def test_an_archive_with_a_node_in_a_thread_with_many_files_open_in_a_folder_that_goes(tmp_path):
    with zipfile.ZipFile(tmp_path / "an archive.pyz", "w") as archive:
        archive.writestr("__main__.py", AWKWARD)
    (tmp_path / "folder").mkdir()
    # In the working folder, but not where the program's modules are: workers must not import it either.
    (tmp_path / "folder" / "json.py").write_text("raise SystemExit('imported from the working folder')")
    ran = run(str(tmp_path / "an archive.pyz"), folder=tmp_path / "folder")
    assert (ran.stdout, ran.stderr) == ("42\n42\n", "")


RENEWED = """
import asyncio, importlib, os
from planaria.otp import *
import broken, shop

async def main():
    async with Node("n") as node:
        await node.start(supervisor(child(shop.Till, name="till", isolation="worker")))
        async def work():
            print(await shop.Till.price("till"))
            open("shop.py", "a").write("\\n\\n# changed\\n")
            importlib.reload(shop)  # the class of the specification is no longer the one of that name
            exit_signal(whereis("till"), "kill")
            while whereis("till") is None:
                await sleep(0.01)
            print(await shop.Till.price("till"))
        await node.run(work)
        os.rename("broken.py", "elsewhere.py")
        await node.start(child(broken.Server, isolation="worker"))

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_restart_takes_the_class_a_worker_can_import_by_that_name_and_says_if_there_is_none(tmp_path):
    (tmp_path / "script.py").write_text(RENEWED)
    (tmp_path / "broken.py").write_text("from planaria.otp import GenServer\nclass Server(GenServer): ...\n")
    (tmp_path / "shop.py").write_text(
        "from planaria.otp import GenServer, call\n\n"
        "class Till(GenServer):\n    @call\n    def price(self):\n        return 5\n"
    )
    ran = run("script.py", folder=tmp_path)
    assert ran.stdout == "5\n5\n"
    assert "Server did not start: ModuleNotFoundError: No module named 'broken'" in ran.stderr
