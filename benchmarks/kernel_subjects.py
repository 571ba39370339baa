"""Who is measured: our kernel, pure and compiled, the BEAM, the peers; how each is started, or why it is not there."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.subject import ROOT, Absent, Subject

PEERS = ("asyncio", "pykka", "thespian", "xoscar", "autogen_core", "ray")
PEERS_PLACE = Path(os.environ.get("PLANARIA_PEERS", ROOT / ".venv-peers"))
MOST_PROCESSES = "4000000"

type Start = Callable[[], Subject]


def ours() -> Subject:
    """The kernel as it stands in the source tree."""
    return _python(sys.executable, "planaria_kernel", ROOT / "src")


def compiled(folder: Path) -> Start:
    """The kernel of the platform wheel in `dist/`, unpacked below `folder`.

    Raises:
        Absent: there is none for this Python, or it was built from other sources.
    """
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    wheels = sorted(
        (ROOT / "dist").glob(f"planaria-*-{tag}-{tag}-*.whl"), key=lambda path: path.stat().st_mtime
    )
    if not wheels:
        raise Absent("no platform wheel in dist/: make wheels")
    with zipfile.ZipFile(wheels[-1]) as wheel:
        other = stale(wheel, ROOT / "src")
        if other is not None:
            raise Absent(f"{wheels[-1].name} was built from other sources ({other}): make wheels")
        wheel.extractall(folder)
    return lambda: _python(sys.executable, "planaria_kernel", folder)


def stale(wheel: zipfile.ZipFile, sources: Path) -> str | None:
    """A kernel file of the wheel that reads otherwise in `sources`, if there is one; what the build made is its own."""
    for name in wheel.namelist():
        made = name.endswith("_interpreted.py")
        if name.startswith("planaria/otp/") and name.endswith(".py") and not made:
            source = sources / name
            if not source.exists() or source.read_bytes() != wheel.read(name):
                return name
    return None


def beam(folder: Path) -> Start:
    """The BEAM on one core, its module compiled into `folder`.

    Raises:
        Absent: Erlang is not installed.
    """
    if shutil.which("erl") is None or shutil.which("erlc") is None:
        raise Absent("no erl: apt-get install erlang-base")
    source = ROOT / "benchmarks" / "peers" / "kernel_bench.erl"
    subprocess.run(["erlc", "-o", str(folder), str(source)], check=True)
    command = [
        "erl",
        "+S",
        "1:1",
        "+P",
        MOST_PROCESSES,
        "-noshell",
        "-pa",
        str(folder),
        "-s",
        "kernel_bench",
        "main",
    ]
    return lambda: Subject(command)


def peer(name: str) -> Start:
    """One of `PEERS`; asyncio needs nothing, the others `scripts/setup-peers`."""
    if name == "asyncio":
        return lambda: _python(sys.executable, "asyncio_tasks", ROOT / "src")
    python = PEERS_PLACE / "bin" / "python"

    def start() -> Subject:
        if not python.exists():
            raise Absent("not installed: scripts/setup-peers")
        module = "autogen-core" if name == "autogen_core" else name
        known = subprocess.run(
            [str(python), "-c", f"import importlib.metadata as m; m.version({module!r})"],
            capture_output=True,
            check=False,
        )
        if known.returncode:
            raise Absent("does not install here: scripts/setup-peers says why")
        return _python(str(python), name, ROOT)

    return start


def _python(python: str, module: str, source: Path) -> Subject:
    environment = {"PYTHONPATH": os.pathsep.join([str(source), str(ROOT)]), "PYTHONHASHSEED": "0"}
    return Subject([python, "-m", f"benchmarks.peers.{module}"], environment)
