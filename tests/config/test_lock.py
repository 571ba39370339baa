"""One node for one garden."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from planaria.config.lock import GardenInUse, GardenLock, PrivateFolderError, find_holder, private_folder

HOLD = """
import sys, pathlib
from planaria.config.lock import GardenLock
lock = GardenLock(pathlib.Path(sys.argv[1]))
lock.announce("http://127.0.0.1:4747")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_node(tmp_path):
    """Another operating-system process that holds the lock of `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_node_is_refused_with_the_pid_and_url_of_the_first(tmp_path, other_node):
    with pytest.raises(GardenInUse) as refused:
        GardenLock(tmp_path)
    assert refused.value.pid == other_node.pid
    assert refused.value.url == "http://127.0.0.1:4747"
    assert f"process {other_node.pid}, dashboard http://127.0.0.1:4747" in str(refused.value)


def test_a_lock_is_refused_within_one_process_too(tmp_path):
    with GardenLock(tmp_path), pytest.raises(GardenInUse):
        GardenLock(tmp_path)


def test_a_released_garden_can_be_taken_again(tmp_path):
    with GardenLock(tmp_path):
        pass
    with GardenLock(tmp_path):
        pass


def test_a_killed_node_holds_nothing(tmp_path, other_node):
    other_node.send_signal(signal.SIGKILL)
    other_node.wait()
    assert find_holder(tmp_path) is None
    with GardenLock(tmp_path):
        assert find_holder(tmp_path) is not None


def test_the_holder_can_be_found_and_is_none_when_nobody_holds(tmp_path):
    assert find_holder(tmp_path) is None
    with GardenLock(tmp_path, since=12.5) as lock:
        lock.announce("http://127.0.0.1:1")
        found = find_holder(tmp_path)
        assert found is not None
        assert (found.pid, found.url, found.since) == (os.getpid(), "http://127.0.0.1:1", 12.5)
    assert find_holder(tmp_path) is None


def test_a_shorter_text_leaves_nothing_of_a_longer_one(tmp_path):
    with GardenLock(tmp_path) as lock:
        lock.announce("http://127.0.0.1:4747/a/long/address")
        lock.announce("http://a")
        found = find_holder(tmp_path)
        assert found is not None
        assert found.url == "http://a"


def test_releasing_twice_is_harmless(tmp_path):
    lock = GardenLock(tmp_path)
    lock.release()
    lock.release()


def test_the_private_folder_and_the_lock_are_closed_to_others(tmp_path):
    (tmp_path / ".planaria").mkdir(mode=0o755)
    with GardenLock(tmp_path) as lock:
        assert stat.S_IMODE((tmp_path / ".planaria").stat().st_mode) == 0o700
        assert stat.S_IMODE(lock.file.stat().st_mode) == 0o600


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    target = tmp_path / "precious"
    target.write_text("keep")
    (private_folder(tmp_path) / "lock").symlink_to(target)
    with pytest.raises(PrivateFolderError):
        GardenLock(tmp_path)
    assert target.read_text() == "keep"


def test_a_private_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / ".planaria").write_text("a file in its place")
    with pytest.raises(PrivateFolderError, match=r"\.planaria"):
        GardenLock(tmp_path)


def test_a_private_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "garden").mkdir()
    (tmp_path / "garden" / ".planaria").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PrivateFolderError, match="it is a link"):
        private_folder(tmp_path / "garden")
