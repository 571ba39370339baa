"""Each example runs as its reader would run it, and prints what it promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

PRINTED = {
    "otp/counter.py": "15\n16\n1\n",
    "otp/bank.py": (
        "done\n"
        "not enough money\n"
        "the teller crashed: ValueError: too many values to unpack (expected 3)\n"
        "ledger restarted 0 times\n"
        "teller restarted 1 times\n"
        "done\n"
        "ada has 75\n"
    ),
    "otp/chat.py": (
        "heard by 2\nheard by 1\nheard by 0\n['grace: I will water it.']\n['ada: is the moss dry?']\n"
    ),
    "otp/door.py": (
        "welcome\n"
        "wrong - asked while it was open, answered once it was locked\n"
        "wrong wrong\n"
        "too late after 3 mistakes\n"
        "locked again: welcome\n"
    ),
    "otp/rate_limiter.py": "at once: 5\nafter a second: 15\nafter two: 25\nmade in advance: 4\n",
    "otp/supervisor.py": (
        "2.0\ncrashed: ZeroDivisionError: division by zero\ndivider restarted 1 time\n4.0\n"
    ),
    "otp/tasks_and_deadlines.py": (
        "the page about moss\n"
        "nothing: ValueError: there is no such page\n"
        "gave up: 0.05 s\n"
        "still answers; busy with 1\n"
    ),
    "otp/two_nodes.py": (
        "here: south - the station: north\n"
        "by its name, from here: None\n"
        "told to listeners in the north: 0\n"
        "told to listeners in the south: 1 -> -3.5\n"
        "its end is seen from here: True RuntimeError: too cold\n"
    ),
    "otp/upgrade_while_running.py": (
        "5 euros\n"
        "version 2: 1 process moved\n"
        "550 cents\n"
        "6.5 euros with version 1 again\n"
        "it lacks shop.Till.take\n"
        "two crashes, and version 1 is back\n"
    ),
    "otp/worker_isolation.py": (
        "words: 3\n"
        "in the node's own OS process: False\n"
        "bomb: out_of_memory\n"
        "endless: cpu_limit\n"
        "exit: its worker exited with status 3\n"
        "words: 3\n"
        "primes: 168\n"
    ),
    "agent.py": (
        "ada: What do the notes say about moss?\n"
        "scout: From the garden, for 'moss':\n"
        "\n"
        "- notes/moss.md (Moss): # **Moss** **Moss** has no roots; it drinks with its leaves.\n"
        "\n"
        "(Quoted by rules, not understood: no language model is configured.)\n"
        "answered by the process that took its place: True\n"
    ),
}


def test_every_example_has_its_promise_here():
    assert {
        path.relative_to(EXAMPLES).as_posix()
        for folder in (EXAMPLES, EXAMPLES / "otp")
        for path in folder.glob("*.py")
    } == set(PRINTED)


@pytest.mark.subprocess
@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_what_it_promises(name):
    ran = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{name}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", PRINTED[name])


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_is_a_screenful(name):
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 85
