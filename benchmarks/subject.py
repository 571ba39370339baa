"""One program that is measured: started once, asked row by row, so that several can take turns.

Protocol, on standard input and output: a first line of the subject about itself; then `row n` in, figures out,
separated by spaces; `! why` in place of figures if there are none.
"""

import os
import select
import signal
import subprocess
from pathlib import Path
from time import monotonic, sleep
from typing import Self

ROOT = Path(__file__).parents[1]
START_LIMIT = 60.0
"""Seconds a subject has for its first line."""
PATIENCE = 10.0
"""Seconds it has to end by itself when it is no longer asked."""


class Absent(Exception):
    """There is no figure; the text says why."""


class Subject:
    """A running subject.

    Args:
        command: what starts it, in the repository's root.
        environment: variables beside those of this process.
    Raises:
        Absent: it does not start.
    """

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self._text = b""
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what it starts ends with it
        )
        self.about = self._line(START_LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, row: str, n: int, limit: float) -> list[float]:
        """The figures of one row, measured now; see `words`."""
        return [float(value) for value in self.words(row, n, limit).split()]

    def words(self, row: str, n: int, limit: float) -> str:
        """The answer to one request.

        Args:
            limit: seconds; a subject that takes longer is ended.
        Raises:
            Absent: no figures, or not in time.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{row} {n}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise Absent("it ended") from error
        line = self._line(limit)
        if line.startswith("!"):
            raise Absent(line[1:].strip())
        return line

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.returncode is None

    def close(self) -> None:
        """End it and what it started."""
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass
        deadline = monotonic() + PATIENCE
        # Not reaped yet, so that its number, which is its group's, cannot be anybody else's when the group is killed.
        while self._process.returncode is None and monotonic() < deadline:
            if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                break
            sleep(0.005)
        self._kill()

    def _kill(self) -> None:
        if self._process.returncode is not None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _line(self, limit: float) -> str:
        assert self._process.stdout is not None
        deadline = monotonic() + limit
        while b"\n" not in self._text:
            left = deadline - monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                self._kill()
                raise Absent(f"took longer than {limit:.0f} s")
            piece = os.read(self._process.stdout.fileno(), 1 << 20)
            if not piece:
                self._kill()
                raise Absent(f"ended with exit code {self._process.returncode}")
            self._text += piece
        line, _, self._text = self._text.partition(b"\n")
        return line.decode(errors="replace")
