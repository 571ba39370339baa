"""From grants to what a program sees."""

from pathlib import Path

import pytest

from planaria.membrane.authority import Authority
from planaria.membrane.grants import read_grants
from planaria.membrane.sandbox.granted import policy_of, reach_of_caller
from planaria.membrane.sandbox.policy import SandboxPolicy
from planaria.membrane.scopes.scope import Place

from .conftest import Run


def authority(**grants: object) -> Authority:
    given, faults = read_grants(
        {name.replace("_", "."): value for name, value in grants.items()}, lambda name: "a.md"
    )
    assert not [fault for fault in faults if not fault.mere]
    return Authority("agent:scout", ["*"], given)


def seen(who: Authority | None, garden: Path) -> tuple[list[str], list[str]]:
    policy = policy_of(who, garden, SandboxPolicy())
    assert garden / ".planaria" in policy.hidden and not policy.dotted
    read, write = ([str(path.relative_to(garden)) for path in each] for each in (policy.read, policy.write))
    return read, write


@pytest.mark.parametrize(
    ("read", "write", "expected"),
    [
        (None, None, (["."], [])),
        (["notes/**"], ["notes/**"], (["notes"], ["notes"])),
        (["notes/**"], ["**"], (["notes"], [])),
        (["**"], ["**", "agents/**"], (["."], [".", "agents"])),
        (["library/file", "notes/*.md", "library/*/x/**"], [], (["library/file"], [])),
        (["nowhere/**", "notes/link", "notes"], [], ([], [])),
        ({"allow": ["**"], "deny": ["library/**"]}, [], (["."], [])),
        ({"allow": ["notes/**", "library/**"], "deny": ["library/*.env"]}, [], (["notes"], [])),
        ({"allow": ["notes/**"], "ask": ["library/**"]}, ["library/**"], (["notes"], [])),
    ],
)
def test_whole_folders_and_single_files_are_seen(
    garden: Path, read: object, write: object, expected: tuple[list[str], list[str]]
) -> None:
    grants = {
        name: value for name, value in (("files_read", read), ("files_write", write)) if value is not None
    }
    assert seen(authority(**grants), garden) == expected


def test_nobody_sees_nothing(garden: Path) -> None:
    assert seen(None, garden) == ([], [])


def test_what_is_handed_on_is_no_more_than_both_have(garden: Path) -> None:
    one = authority(files_read=["notes/**", "library/**"], files_write=["**"])
    other = authority(files_read=["**"], files_write=["notes/**"])
    for both in (one.narrowed(other), other.narrowed(one)):
        assert seen(both, garden) == (["library", "notes"], ["notes"])
    governing = authority(files_read=["**"], files_write=["agents/**"])
    assert seen(one.narrowed(governing), garden) == (["library", "notes"], [])


async def test_denied_and_dotted_names_are_hidden_and_what_governs_is_kept(
    boxed: Run, backend: str, garden: Path
) -> None:
    who = authority(files_read={"allow": ["**"], "deny": ["library/up", "library/file"]}, files_write=["**"])
    (garden / "library" / ".secrets").mkdir()
    (garden / "library" / ".secrets" / "key").write_text("k")
    script = """
cat library/file library/.env library/.secrets/key .planaria/journal.key; cat agents/scout.md
for each in agents/x tools library/file planaria.toml; do touch $each && echo "wrote $each"; done
touch notes/own/new && echo made
"""
    (garden / "notes" / "own").mkdir()
    policy = policy_of(who, garden, SandboxPolicy(folder=garden))
    done = await boxed(script, policy, backend=backend)
    assert done.stdout.decode() == "---\nclass: agent\n---\nmade\n"
    assert (garden / "notes" / "own" / "new").exists()
    assert sorted(each.name for each in garden.iterdir()) == [".planaria", "agents", "library", "notes"]


@pytest.mark.parametrize("there", [True, False])
async def test_plans_of_agents_are_read_and_not_written(
    boxed: Run, backend: str, garden: Path, there: bool
) -> None:
    plans = garden / "notes" / "plans"
    if there:
        plans.mkdir()
        (plans / "scout-garden.md").write_text("- [ ] mine\n")
    who = authority(files_read=["**"], files_write=["notes/**"])
    script = """
cat notes/plans/scout-garden.md
echo x > notes/plans/scout-garden.md; echo x > notes/plans/mole.md; mkdir notes/plans; rm -rf notes/plans
mv notes/plans notes/gone; mv notes notes2; ln -s /tmp notes/plans; touch notes/new && echo made
"""
    policy = policy_of(who, garden, SandboxPolicy(folder=garden))
    done = await boxed(script, policy, backend=backend)
    text = "- [ ] mine\n" if there else ""
    # Landlock cannot hold a folder inside of one that can be written, so nothing new is made beside it.
    assert done.stdout.decode() == text + ("made\n" if backend == "bubblewrap" else "")
    assert {each.name: each.read_text() for each in plans.iterdir()} == (
        {"scout-garden.md": text} if there else {}
    )
    named = authority(files_read=["**"], files_write=["notes/**", "notes/plans/**"])
    await boxed(
        "echo x > notes/plans/mole.md",
        policy_of(named, garden, SandboxPolicy(folder=garden)),
        backend=backend,
    )
    assert (plans / "mole.md").exists() or backend != "bubblewrap"


async def test_a_dotted_name_that_is_granted_is_there(boxed: Run, backend: str, garden: Path) -> None:
    who = authority(files_read=["library/**", "library/.env"], files_write=[])
    policy = policy_of(who, garden, SandboxPolicy(folder=garden / "library"))
    assert (await boxed("cat .env", policy, backend=backend)).stdout == b".env"


def test_hosts_are_reached_by_an_explicit_grant_only(garden: Path) -> None:
    place = Place(garden)
    assert reach_of_caller(None, place) is None
    assert reach_of_caller(authority(), place) is None  # though `web.fetch` may
    assert reach_of_caller(Authority("person:ada", None, unbounded=True), place) is None
    assert reach_of_caller(authority(net_fetch=[]), place) is None
    who = authority(
        net_fetch={"allow": ["*.example.org"], "ask": ["example.com"], "deny": ["bad.example.org"]}
    )
    assert reach_of_caller(who.narrowed(authority()), place) is None
    reach = reach_of_caller(who, place)
    assert reach is not None
    assert reach("www.example.org:443") == ""
    assert "denies" in reach("bad.example.org:443")
    assert "a person is asked" in reach("example.com:443")
    assert "net.fetch: [127.0.0.1:8080]" in reach("127.0.0.1:8080") or "net.fetch" in reach("127.0.0.1:8080")
