"""The server the tests run ends with them, however they end."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import Postgres

ROOT = Path(__file__).parents[1]

USER_OF_IT = """
import sys
from tests.postgres import the_server
server = the_server()
print(server.pid, server.folder, flush=True)
sys.stdin.read()
"""


def test_each_test_has_a_database_of_its_own(postgres: Postgres) -> None:
    postgres.sql("CREATE TABLE here (x int)")
    other = Postgres(postgres.server)
    assert other.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'here'") == "0"
    other.drop()


@pytest.mark.subprocess
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_the_program_that_started_it(how: signal.Signals) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", USER_OF_IT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with program:
        assert program.stdout is not None
        pid, folder = program.stdout.readline().split()
        watched = os.pidfd_open(int(pid))
        program.send_signal(how)
    ended, _, _ = select.select([watched], [], [], 30)
    os.close(watched)
    assert ended
    while Path(folder).exists():  # the guard removes it right after
        pass
