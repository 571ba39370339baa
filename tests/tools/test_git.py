import os
import shutil
import subprocess
from pathlib import Path

import pytest

from planaria.membrane.authority import Authority
from planaria.membrane.grants import read_grants

from .conftest import Garden

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "GIT_AUTHOR_DATE": "2024-05-01T10:00:00+02:00",
        "GIT_COMMITTER_DATE": "2024-05-01T10:00:00+02:00",
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "commit", "--allow-empty", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(garden: Garden) -> Path:
    git(garden.folder, "init", "-q", "-b", "main")
    commit(garden.folder, "First\n\nWith a body.")
    return garden.folder


async def test_commits_are_told_once(garden: Garden, repository: Path) -> None:
    done = await garden.done("git.log")
    assert done.branch == "new"
    (first,) = done.value["commits"]
    assert (first["author"], first["subject"], first["body"]) == ("Ada", "First", "With a body.")
    assert first["date"] == "2024-05-01T10:00:00+02:00"
    assert (await garden.done("git.log")).branch == "unchanged"
    second = commit(repository, "Zweiter: Käfer")
    done = await garden.done("git.log")
    assert [each["id"] for each in done.value["commits"]] == [second]
    assert "Zweiter: Käfer" in (done.text or "")
    assert [event.payload["head"] for event in await garden.events("git:.")] == [first["id"], second]


async def test_a_starting_point_can_be_given(garden: Garden, repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "tag", "v1")
    commit(repository, "Second")
    for since in (first, "v1", "main~1"):
        done = await garden.done("git.log", since=since)
        assert [each["subject"] for each in done.value["commits"]] == ["Second"]
    assert len((await garden.done("git.log", since="2024-01-01")).value["commits"]) == 2
    assert (await garden.done("git.log", since="2030-01-01")).branch == "unchanged"


@pytest.mark.parametrize("since", ["nowhere", "--output=/tmp/x", "-n1", "a;b", "$(id)", "HEAD --all"])
async def test_a_starting_point_that_is_none_is_refused(garden: Garden, repository: Path, since: str) -> None:
    assert "is no commit" in (await garden.failed("git.log", since=since)).error


async def test_more_than_the_limit_is_counted(garden: Garden, repository: Path) -> None:
    await garden.done("git.log")
    for number in range(5):
        commit(repository, f"c{number}")
    done = await garden.done("git.log", limit=2)
    assert [each["subject"] for each in done.value["commits"]] == ["c4", "c3"]
    assert done.value["left"] == 3


async def test_a_rewritten_history_is_told_anew(garden: Garden, repository: Path) -> None:
    await garden.done("git.log")
    git(repository, "commit", "-q", "--amend", "--allow-empty", "-m", "Rewritten")
    done = await garden.done("git.log")
    assert [each["subject"] for each in done.value["commits"]] == ["Rewritten"]


async def test_a_folder_of_the_garden_may_be_its_own_repository(garden: Garden, repository: Path) -> None:
    inner = garden.folder / "notes" / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    commit(inner, "Inner")
    done = await garden.done("git.log", path="notes/inner")
    assert [each["subject"] for each in done.value["commits"]] == ["Inner"]


async def test_a_repository_around_the_garden_is_read(garden: Garden) -> None:
    git(garden.folder.parent, "init", "-q")
    commit(garden.folder.parent, "Around")
    assert (await garden.done("git.log")).branch == "new"


@pytest.mark.parametrize("path", ["..", "/", "../other", "~", "missing"])
async def test_a_place_that_is_not_in_the_garden_is_refused(
    garden: Garden, repository: Path, path: str
) -> None:
    assert (await garden.failed("git.log", path=path)).retry is False


async def test_an_empty_repository_and_none_at_all_are_told_apart(garden: Garden) -> None:
    assert "not in a git repository" in (await garden.failed("git.log")).error
    git(garden.folder, "init", "-q")
    assert (await garden.done("git.log")).branch == "unchanged"


async def test_programs_a_repository_configures_are_not_run(garden: Garden, repository: Path) -> None:
    trap = repository / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {repository}/sprung\n")
    trap.chmod(0o755)
    for key in ("core.pager", "core.fsmonitor", "gpg.program", "diff.external", "core.sshCommand"):
        git(repository, "config", key, str(trap))
    git(repository, "config", "log.showSignature", "true")
    assert (await garden.done("git.log")).branch == "new"
    assert not (repository / "sprung").exists()


async def test_a_folder_that_is_not_there_is_not_taken_for_a_missing_program(
    garden: Garden, repository: Path
) -> None:
    assert "no folder 'notes/nowhere'" in (await garden.failed("git.log", path="notes/nowhere")).error


async def test_a_folder_that_points_to_a_repository_elsewhere_is_judged_by_that(garden: Garden) -> None:
    secret, code = garden.folder / "secret", garden.folder / "code"
    secret.mkdir()
    code.mkdir()
    git(secret, "init", "-q", "-b", "main")
    commit(secret, "Hidden")
    (code / ".git").write_text("gitdir: ../secret/.git\n")
    both = {"allow": ["code/**"]}
    grants = read_grants({"git.read": both, "git.write": both})[0]
    garden.authority = Authority("agent:scout", ["git.*"], grants)
    for failed in (
        await garden.failed("git.log", path="code"),
        await garden.failed("git.show", path="code"),
        await garden.failed("git.commit", path="code", message="x", files=["."]),
    ):
        assert "'secret', for which git" in failed.error


async def test_a_repository_that_holds_something_denied_is_not_read(garden: Garden, repository: Path) -> None:
    (repository / "secret").mkdir()
    (repository / "secret" / "key").write_text("hidden\n")
    git(repository, "add", "secret")
    commit(repository, "Second")
    for deny in ("secret/**", "*/key"):
        grants = read_grants({"git.read": {"allow": ["**"], "deny": [deny]}})[0]
        garden.authority = Authority("agent:scout", ["git.*"], grants)
        for name in ("git.show", "git.log", "git.diff"):
            assert "git.read is not granted" in (await garden.failed(name)).error
