"""How quickly does a node start, what does it hold while idle, and what does it add to a message and to an answer?

Cases: `start` (command given to everything running, ms), `idle` (resident set of the example garden's node, MB;
`anon_mb` is what it shares with nobody), `command` (`planaria status` from start to end, ms), `accepted` (message sent
to message durable, ms), `first_word` (message sent to the first piece of the answer at the client, without the model's
own time, ms; `to_model` and `from_model` are its two parts).
The node runs as a program in a venv with the core dependencies only, as a user's does; clients talk to it over the
control socket. The model is an OpenAI-compatible server on this machine that answers at once.
`python -m benchmarks.bench_node [--venv DIR] [--runs 5] [--messages 200]`, one JSON line a case. DIR is made if it is
missing and kept; without it the venv is made anew, which takes a minute or two.
"""

import argparse
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from planaria.cli.client import Client

ROOT = Path(__file__).parents[1]
SETTLE = 10.0
"""Seconds after the start at which an idle node is weighed."""
START_TIME = 60.0
"""Seconds after which a start that is not done has failed."""
# No keys: the node must find the model of the benchmark, or none.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not re.search(r"_(KEY|TOKEN|HOST)$", name)
}


def core_venv(folder: Path) -> Path:
    """The `planaria` command of a venv with the core dependencies only."""
    environ = {**os.environ, "PLANARIA_VENV": str(folder), "PLANARIA_EXTRAS": ""}
    subprocess.run([ROOT / "scripts" / "setup"], env=environ, check=True, stdout=sys.stderr)
    return folder / "bin" / "planaria"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def example_garden(folder: Path, settings: str = "") -> Path:
    """A copy of the example garden on a port of its own."""
    garden = folder / "garden"
    shutil.copytree(ROOT / "examples" / "garden", garden, ignore=shutil.ignore_patterns(".planaria"))
    file = garden / "planaria.toml"
    file.write_text(f"{file.read_text()}\n[web]\nport = {free_port()}\n{settings}")
    return garden


@contextmanager
def node(planaria: Path, garden: Path) -> Generator[tuple[int, float]]:
    """A running node: its process id, and the ms from the command to everything running."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [planaria, "up", "--garden", garden], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdout is not None
    late = threading.Timer(START_TIME, process.kill)  # else a start that hangs would hang the benchmark
    late.start()
    try:
        for line in process.stdout:
            if line.startswith("dashboard"):
                late.cancel()
                yield process.pid, (time.perf_counter() - began) * 1000
                return
        raise RuntimeError(f"the node of {garden.name} ended with exit code {process.wait()}")
    finally:
        late.cancel()
        process.terminate()
        process.communicate(timeout=60)


def start_times(planaria: Path, runs: int) -> list[float]:
    """The first start makes the databases; it is not counted."""
    with tempfile.TemporaryDirectory() as scratch:
        garden = example_garden(Path(scratch))
        times = []
        for _ in range(runs + 1):
            with node(planaria, garden) as (_, took):
                times.append(took)
    return times[1:]


def idle(planaria: Path) -> dict[str, float]:
    """Memory of a node that has nothing to do, after its first workflows have run."""
    with tempfile.TemporaryDirectory() as scratch:
        garden = example_garden(Path(scratch))
        with node(planaria, garden) as (pid, _):
            time.sleep(SETTLE)
            before = cpu_seconds(pid)
            time.sleep(SETTLE)
            used = cpu_seconds(pid) - before
            status = Path(f"/proc/{pid}/status").read_text()
            with Client(garden) as client:
                processes = client.ask("status")["processes"]
    kilobytes = dict(re.findall(r"(VmRSS|RssAnon):\s+(\d+) kB", status))
    return {
        "rss_mb": round(int(kilobytes["VmRSS"]) * 1024 / 1e6, 1),
        "anon_mb": round(int(kilobytes["RssAnon"]) * 1024 / 1e6, 1),
        "processes": processes,
        "cpu_percent": round(used / SETTLE * 100, 2),
    }


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command_times(planaria: Path, runs: int) -> list[float]:
    """`planaria status` as a person runs it."""
    with tempfile.TemporaryDirectory() as scratch:
        garden = example_garden(Path(scratch))
        times = []
        with node(planaria, garden):
            for _ in range(runs + 1):
                began = time.perf_counter()
                command = [str(planaria), "status", "--garden", str(garden)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
                times.append((time.perf_counter() - began) * 1000)
    return times[1:]


class Model(ThreadingHTTPServer):
    """Answers at once, and notes when it was asked and when its first word left. One question at a time."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked = 0.0
        self.answered = 0.0


class Answering(BaseHTTPRequestHandler):
    """One request to the model."""

    server: Model
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else head and body are 40 ms apart, and they are not the node's

    def do_GET(self) -> None:
        self._send(b'{"object": "list", "data": [{"id": "quick", "object": "model"}]}', "application/json")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked = time.perf_counter()
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "quick"}
        choices: list[dict[str, Any]] = [
            {"index": 0, "delta": {"role": "assistant", "content": "Word."}, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": "stop"},
        ]
        lines = [f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n" for choice in choices]
        body = "".join([*lines, "data: [DONE]\n\n"]).encode()
        self.server.answered = time.perf_counter()
        self._send(body, "text/event-stream")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def talk(planaria: Path, messages: int) -> tuple[list[float], dict[str, list[float]]]:
    """Messages that nobody answers, then messages that the model answers; ms of each."""
    model = Model()
    threading.Thread(target=model.serve_forever, daemon=True).start()
    settings = (
        '[models]\ndefault = "bench/quick"\n[models.providers.bench]\n'
        f'base_url = "http://127.0.0.1:{model.server_address[1]}/v1"\nmodels = ["quick"]\n'
    )
    accepted: list[float] = []
    answered: dict[str, list[float]] = {"first_word": [], "to_model": [], "from_model": []}
    with tempfile.TemporaryDirectory() as scratch:
        garden = example_garden(Path(scratch), settings)
        with node(planaria, garden), Client(garden) as client:
            client.ask("room.open", room="bench")
            for number in range(messages):
                began = time.perf_counter()
                client.ask("room.post", room="bench", author="bench", text=f"message {number}")
                accepted.append((time.perf_counter() - began) * 1000)
            for number in range(messages // 4):
                first = 0.0
                began = time.perf_counter()
                asked = client.follow(
                    "room.ask", room="garden", author="bench", text=f"@scout question {number}"
                )
                for event in asked:
                    if event["type"] == "delta" and not first:
                        first = time.perf_counter()
                to_model, from_model = model.asked - began, first - model.answered
                answered["to_model"].append(to_model * 1000)
                answered["from_model"].append(from_model * 1000)
                answered["first_word"].append((to_model + from_model) * 1000)
    model.shutdown()
    return accepted[messages // 10 :], {name: values[5:] for name, values in answered.items()}


def summary(values: list[float]) -> dict[str, float]:
    """Median, p99 and number of the values."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {"p50_ms": round(statistics.median(ordered), 2), "p99_ms": round(p99, 2), "n": len(ordered)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--venv", type=Path, help="a venv with the core dependencies, made if missing and kept"
    )
    parser.add_argument("--runs", type=int, default=5, help="starts and commands to time")
    parser.add_argument(
        "--messages", type=int, default=200, help="messages to send; a quarter as many questions"
    )
    options = parser.parse_args()

    def tell(case: str, figures: dict[str, float]) -> None:
        here = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
        print(json.dumps({"bench": "node", "case": case, **figures, **here}), flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        planaria = core_venv(options.venv.absolute() if options.venv else Path(scratch) / "venv")
        tell("start", summary(start_times(planaria, options.runs)))
        tell("idle", idle(planaria))
        tell("command", summary(command_times(planaria, options.runs)))
        accepted, answered = talk(planaria, options.messages)
        tell("accepted", summary(accepted))
        for case, values in answered.items():
            tell(case, summary(values))


if __name__ == "__main__":
    main()
