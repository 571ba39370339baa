"""Programs run by tools: what they see follows from the caller's grants."""

import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planaria.config.sandbox import SandboxSettings
from planaria.membrane.authority import Authority
from planaria.membrane.grants import read_grants
from planaria.membrane.sandbox import run
from planaria.membrane.sandbox.available import find_sandbox
from planaria.membrane.sandbox.policy import SandboxPolicy, basis_of
from planaria.tools.shell import words_of

from .conftest import Garden

pytestmark = [
    pytest.mark.subprocess,
    pytest.mark.skipif(find_sandbox().backend is None, reason="this machine has no sandbox"),
]


def grant(garden: Garden, **grants: Any) -> None:
    given, faults = read_grants(
        {name.replace("_", "."): value for name, value in grants.items()}, lambda name: name
    )
    assert not faults
    garden.authority = Authority("agent:scout", ["*"], given)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("git log -3", ("git", "log", "-3")),
        (["git", "log"], ("git", "log")),
        ("git log; rm -rf x", ("sh", "-c", "git log; rm -rf x")),
        ("git log $(id)", ("sh", "-c", "git log $(id)")),
        ("git log\nid", ("sh", "-c", "git log\nid")),
        ("A=1 git log", ("sh", "-c", "A=1 git log")),
        ("git log 'a b'", ("sh", "-c", "git log 'a b'")),
        ("", ("sh", "-c", "")),
    ],
)
def test_a_text_is_words_only_if_no_shell_would_read_it_otherwise(
    command: str | list[str], words: tuple[str, ...]
) -> None:
    assert words_of(command) == words


async def test_a_command_is_run_and_told(garden: Garden) -> None:
    grant(garden, shell_run=["*"])
    (garden.folder / "notes" / "a.md").write_text("hello\n")
    done = await garden.done(
        "shell.run", command="cat a.md; cat; echo oops >&2; exit 3", folder="notes", stdin="in\n"
    )
    assert (done.branch, done.value["exit_code"], done.value["stdout"], done.value["stderr"]) == (
        "error",
        3,
        "hello\nin\n",
        "oops\n",
    )
    assert "exit code 3\nhello\nin\nstderr:\noops" in (done.text or "")
    assert (done.text or "").startswith("<outside-content")
    (finished,) = [
        each for each in await garden.events("session:scout@garden") if each.kind == "tool.finished"
    ]
    assert finished.payload["outcome"]["value"]["sandbox"]["backend"] in ("bubblewrap", "landlock")


async def test_a_command_must_be_granted(garden: Garden) -> None:
    grant(garden, shell_run={"allow": ["echo *"], "deny": ["echo secret"]})
    assert (await garden.done("shell.run", command="echo hi")).value["stdout"] == "hi\n"
    for command in ("echo hi; id", "id", ["sh", "-c", "echo hi"], "/tmp/echo hi", "echo secret"):
        assert "shell.run" in (await garden.failed("shell.run", command=command)).error
    grant(garden)
    assert "shell.run is not granted" in (await garden.failed("shell.run", command="echo hi")).error


async def test_a_program_sees_what_its_caller_may_read_and_changes_what_he_may_write(garden: Garden) -> None:
    (garden.folder / "agents").mkdir()
    (garden.folder / "agents" / "scout.md").write_text("me\n")
    (garden.folder / ".planaria" / "journal.key").write_text("key")
    script = (
        "cat agents/scout.md; cat .planaria/journal.key; echo x > notes/x; echo x > agents/scout.md; ls -A"
    )
    grant(garden, shell_run=["*"], files_read=["agents/**"])
    done = await garden.done("shell.run", command=script)
    assert done.value["stdout"] == "me\nagents\n" and "key" not in done.value["stdout"]
    grant(garden, shell_run=["*"], files_write=["**"])
    done = await garden.done("shell.run", command=script.removesuffix("; ls -A"))
    assert done.value["stdout"] == "me\n"
    assert ((garden.folder / "notes/x").read_text(), (garden.folder / "agents/scout.md").read_text()) == (
        "x\n",
        "me\n",
    )


async def test_limits_are_told_in_words(garden: Garden) -> None:
    grant(garden, shell_run=["*"])
    garden.services[SandboxPolicy] = SandboxPolicy(output_bytes=1000, cpu_seconds=0.3)
    done = await garden.done("shell.run", command="yes", seconds=30)
    assert done.value["ended"] == "it was ended: it used more than 0.3 s of processor time"
    assert len(done.value["stdout"]) == 1000 and "beyond 1000 bytes was dropped" in (done.text or "")
    done = await garden.done("shell.run", command="sleep 50", seconds=1)
    assert "it took longer than 1 s" in (done.text or "")


async def test_without_a_sandbox_nothing_is_run(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    from planaria.membrane.sandbox import run
    from planaria.membrane.sandbox.available import Found

    monkeypatch.setattr(run, "find_sandbox", lambda: Found(None, why="bubblewrap is not installed"))
    grant(garden, shell_run=["*"], python_run=["sandbox"])
    for name, arguments in (("shell.run", {"command": "id"}), ("python.run", {"code": "1"})):
        failed = await garden.failed(name, **arguments)
        assert "nothing is run: bubblewrap is not installed; install bubblewrap" in failed.error


async def test_a_link_swapped_for_a_granted_folder_is_refused(garden: Garden) -> None:
    grant(garden, shell_run=["*"], files_read=["code/**"], files_write=["code/**"])
    (garden.folder / "code").symlink_to(garden.folder.parent)
    done = await garden.done("shell.run", command="ls code; echo x > code/x")
    assert "No such file" in done.value["stderr"] or "denied" in done.value["stderr"]
    assert not (garden.folder.parent / "x").exists()


async def test_python_prints_and_has_a_value(garden: Garden) -> None:
    grant(garden, python_run=["sandbox"])
    (garden.folder / "notes" / "n.json").write_text("[1, 2]")
    done = await garden.done(
        "python.run", code="import json\nprint('hi')\nx = json.load(open('notes/n.json'))\nsum(x), {'a': x}"
    )
    assert (done.branch, done.value["stdout"], done.value["value"]) == ("ok", "hi\n", [3, {"a": [1, 2]}])
    assert 'value: [3,{"a":[1,2]}]' in (done.text or "")
    done = await garden.done("python.run", code="object")
    assert done.value["repr"] == "<class 'object'>"


async def test_python_that_raises_is_told_with_its_line(garden: Garden) -> None:
    grant(garden, python_run=["sandbox"])
    done = await garden.done("python.run", code="def f():\n    return 1 / 0\n\nf()\n")
    assert done.branch == "error"
    assert 'File "<code>", line 4' in done.value["stderr"] and "ZeroDivisionError" in done.value["stderr"]
    assert "_python_main" not in done.value["stderr"]
    done = await garden.done("python.run", code="x = = 1")
    assert "SyntaxError" in done.value["stderr"]
    done = await garden.done("python.run", code="import sys; sys.exit(4)")
    assert done.value["exit_code"] == 4


async def test_python_cannot_fake_more_than_its_own_answer(garden: Garden) -> None:
    grant(garden, python_run=["sandbox"])
    for junk in ("b'{'", "b'[1]'", "b'x' * 10_000_000", 'b\'{"exit_code": 5, "value": 1}\''):
        done = await garden.done("python.run", code=f"import os\nos.write(3, {junk})\nos._exit(0)")
        assert done.value["exit_code"] == 0 and done.value.get("value") in (None, 1)


def git(folder: Path, *arguments: str) -> str:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(garden: Garden) -> Path:
    code = garden.folder / "code"
    code.mkdir()
    git(code, "init", "-q", "-b", "main")
    (code / "a.txt").write_text("one\n")
    git(code, "add", ".")
    git(code, "commit", "-q", "-m", "First")
    grant(garden, git_write=["code/**"])
    return code


async def test_git_tells_what_is_changed_and_commits_it(garden: Garden, repository: Path) -> None:
    assert (await garden.done("git.status", path="code")).branch == "clean"
    assert (await garden.done("git.diff", path="code")).branch == "none"
    (repository / "a.txt").write_text("two\n")
    (repository / "ä b.txt").write_text("new\n")
    status = await garden.done("git.status", path="code")
    assert (status.value["branch"], status.value["files"]) == (
        "main",
        [{"state": "M", "path": "a.txt"}, {"state": "??", "path": "ä b.txt"}],
    )
    assert "-one\n+two" in (await garden.done("git.diff", path="code")).value["text"]
    done = await garden.done("git.commit", path="code", message="Second", files=["."])
    assert done.branch == "committed" and done.value["commit"] == git(repository, "rev-parse", "HEAD")
    assert git(repository, "log", "-1", "--format=%an <%ae> %s") == "scout <scout@planaria.invalid> Second"
    assert git(repository, "status", "--porcelain") == ""
    assert (await garden.done("git.commit", path="code", message="Third", files=["."])).branch == "nothing"
    assert "+two" in (await garden.done("git.show", path="code")).value["text"]
    assert (await garden.done("git.show", path="code", revision="HEAD~1", file="a.txt")).value[
        "text"
    ] == "one\n"
    assert "-one" in (await garden.done("git.diff", path="code", since="HEAD~1", until="HEAD")).value["text"]


async def test_a_repository_runs_no_program_on_this_machine(garden: Garden, repository: Path) -> None:
    sprung = garden.folder.parent / "sprung"
    trap = repository / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {sprung} {repository}/sprung\ncat\n")
    trap.chmod(0o755)
    for hook in ("pre-commit", "commit-msg", "post-commit", "post-index-change"):
        (repository / ".git" / "hooks" / hook).write_text(trap.read_text())
        (repository / ".git" / "hooks" / hook).chmod(0o755)
    for key in (
        "core.pager",
        "core.fsmonitor",
        "gpg.program",
        "diff.external",
        "core.editor",
        "core.sshCommand",
    ):
        git(repository, "config", key, str(trap))
    for key in ("filter.x.clean", "filter.x.smudge", "diff.x.textconv", "diff.x.command"):
        git(repository, "config", key, str(trap))
    git(repository, "config", "commit.gpgSign", "true")
    (repository / ".gitattributes").write_text("*.txt filter=x diff=x\n")
    (repository / "a.txt").write_text("three\n")
    for name, more in (
        ("git.status", {}),
        ("git.diff", {}),
        ("git.commit", {"message": "x", "files": ["."]}),
        ("git.show", {}),
        ("git.log", {}),
    ):
        await garden.done(name, path="code", **more)
    assert not sprung.exists() and not (repository / "sprung").exists()


async def test_git_sees_its_repository_alone(garden: Garden, repository: Path) -> None:
    elsewhere = garden.folder.parent / "other"
    elsewhere.mkdir()
    git(elsewhere, "init", "-q")
    git(elsewhere, "commit", "-q", "--allow-empty", "-m", "Elsewhere")
    pointed = garden.folder / "pointed"
    pointed.mkdir()
    (pointed / ".git").write_text(f"gitdir: {elsewhere}/.git\n")
    linked = garden.folder / "linked"
    linked.mkdir()
    (linked / ".git").symlink_to(elsewhere / ".git")
    for tool in ("git.log", "git.status", "git.diff", "git.show"):
        assert "outside of the garden" in (await garden.failed(tool, path="pointed")).error
        assert "is a link" in (await garden.failed(tool, path="linked")).error
    (repository / ".git" / "objects" / "info" / "alternates").write_text(f"{elsewhere}/.git/objects\n")
    head = git(elsewhere, "rev-parse", "HEAD")
    assert (await garden.failed("git.show", path="code", revision=head)).error


async def test_the_whole_repository_must_be_granted(garden: Garden, repository: Path) -> None:
    (repository / "inner").mkdir()
    grant(garden, git_read=["code/inner/**"])
    assert "'code'" in (await garden.failed("git.status", path="code/inner")).error
    assert (
        "git.write" in (await garden.failed("git.commit", path="code/inner", message="x", files=["."])).error
    )


async def test_a_linked_work_tree_in_the_garden_is_read(garden: Garden, repository: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "side", str(garden.folder / "side"))
    assert (await garden.done("git.status", path="side")).value["branch"] == "side"


async def test_the_settings_limit_every_program(garden: Garden, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "data").write_text("extra\n")
    settings = SandboxSettings(memory_mb=64, processes=8, seconds=1.0, read=(str(extra),))
    garden.services[SandboxPolicy] = basis_of(settings)
    grant(garden, shell_run=["*"])
    done = await garden.done(
        "shell.run", command=f"cat {extra}/data; echo x > {extra}/data; true", seconds=500
    )
    assert done.value["stdout"] == "extra\n" and (extra / "data").read_text() == "extra\n"
    slow = await garden.done("shell.run", command=["sleep", "30"], seconds=500)
    assert "longer than 1 s" in slow.value["ended"]
    words = "import sys; x = bytearray(200_000_000); print(len(x))"
    large = await garden.done("shell.run", command=["python3", "-c", words])
    assert large.value["exit_code"] != 0 and "200000000" not in large.value["stdout"]


async def test_nothing_is_run_where_what_the_settings_name_is_not_there(
    garden: Garden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant(garden, shell_run=["*"])
    garden.services[SandboxPolicy] = basis_of(SandboxSettings(read=(str(tmp_path / "nowhere"),)))
    refused = await garden.failed("shell.run", command="true")
    assert f"{tmp_path}/nowhere cannot be granted" in refused.error
    garden.services[SandboxPolicy] = basis_of(SandboxSettings(backend="landlock"))
    found = find_sandbox()
    monkeypatch.setattr(run, "find_sandbox", lambda: msgspec.structs.replace(found, landlock=0))
    refused = await garden.failed("shell.run", command="true")
    assert "nothing is run: this kernel has Landlock version 0" in refused.error
