"""Looking into a program that was prepared for nothing: needs Python 3.14; what can be tried without is tried."""

import subprocess
import sys

import pytest

from planaria.otp import Node, receive
from planaria.otp.observe.remote import Unreachable, look_into_program, script_for, why_not

PREPARED_FOR_NOTHING = """
import time
def waiting_here():
    print("up", flush=True)
    while True:
        time.sleep(0.01)
waiting_here()
"""


@pytest.mark.skipif(why_not() is not None, reason=f"{why_not()}")
def test_a_program_is_looked_into_from_outside():
    with subprocess.Popen([sys.executable, "-c", PREPARED_FOR_NOTHING], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        try:
            assert "waiting_here" in look_into_program(program.pid)
        finally:
            program.kill()


@pytest.mark.skipif(why_not() is None, reason="this Python can")
def test_an_older_python_says_what_is_needed():
    with pytest.raises(Unreachable, match="needs Python 3"):
        look_into_program(1)


async def test_the_script_tells_threads_and_processes_and_leaves_nothing_behind(tmp_path):
    async def waits_for_ever() -> None:
        await receive()

    names: dict[str, object] = {}
    async with Node("prepared_for_nothing") as node:
        node.spawn(waits_for_ever)
        await node.settle()
        exec(script_for(str(tmp_path / "answer")), names)
    text = (tmp_path / "answer").read_text()
    assert "node prepared_for_nothing, 1 processes" in text
    assert f"{__file__}:" in text
    assert "waits_for_ever" in text
    assert "Traceback" not in text
    assert set(names) <= {"__builtins__"}
