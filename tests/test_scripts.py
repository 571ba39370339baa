"""The set-up finds a Python that runs, on machines where some do not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parent.parent / "scripts" / "setup"
BROKEN = "#!/bin/sh\necho 'the shim knows no such version' >&2\nexit 127\n"


@pytest.fixture
def machine(tmp_path):
    """An almost empty PATH and home; `python(name, text)` puts a program there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "dirname", "env", "sh"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)

    def python(place: str, text: str | None = None) -> Path:
        file = Path(tmp_path, place)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text or f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        file.chmod(0o755)
        return file

    return python


def which(tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Ask the set-up which Python it would take."""
    env = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), **environ}
    return subprocess.run([SETUP, "--which"], env=env, capture_output=True, text=True, check=False)


pytestmark = pytest.mark.subprocess


def test_a_shim_that_fails_when_run_is_passed_over(machine, tmp_path):
    machine("bin/python3.13", BROKEN)
    machine("bin/python3")
    assert os.path.samefile(which(tmp_path).stdout.strip(), sys.executable)


def test_a_version_kept_by_pyenv_is_found_where_the_shims_fail(machine, tmp_path):
    for name in ("python3.13", "python3.12", "python3"):
        machine(f"bin/{name}", BROKEN)
    machine(".pyenv/versions/3.13.9/bin/python3")
    assert os.path.samefile(which(tmp_path).stdout.strip(), sys.executable)
    machine("elsewhere/versions/3.12.3/bin/python3")
    shutil.rmtree(tmp_path / ".pyenv")
    assert os.path.samefile(
        which(tmp_path, PYENV_ROOT=str(tmp_path / "elsewhere")).stdout.strip(), sys.executable
    )


def test_an_old_python_is_not_taken(machine, tmp_path):
    machine("bin/python3", f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.exit(1)"\n')
    assert which(tmp_path).returncode == 1


def test_no_python_at_all_is_said_with_three_ways_out(machine, tmp_path):
    result = which(tmp_path)
    assert result.returncode == 1
    for way in ("apt-get install", "pyenv install", "PLANARIA_PYTHON"):
        assert way in result.stderr


def test_a_python_named_by_hand_comes_first(machine, tmp_path):
    machine("bin/python3", BROKEN)
    assert os.path.samefile(which(tmp_path, PLANARIA_PYTHON=sys.executable).stdout.strip(), sys.executable)
