"""Authority: what is offered, what is in scope, and that handing on never gives more."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from planaria.membrane.authority import Allowed, Authority, Held, Refusal, Verdict
from planaria.membrane.capability import CAPABILITIES, Touch
from planaria.membrane.grants import read_grants
from planaria.membrane.scopes.scope import Place

HERE = Place(Path("/garden"), "garden")
TOUCHES = (
    *(Touch("files.write", path) for path in ("notes/a.md", "plans/a", "agents/me.md", "../x", "/etc/passwd", "")),
    *(Touch("net.fetch", url) for url in ("https://example.org/", "http://localhost/", "https://a.example.org:99/")),
    *(Touch("shell.run", words) for words in (("git", "log"), ("git", "push"), ("rm", "-rf", "/"), "git log")),
    *(Touch("money.spend", sum_) for sum_ in (0, 100_000, 2_000_000)),
    *(Touch("rooms.post", room) for room in ("garden", "@here", "other", "")),
    Touch("lamps.switch", "kitchen"),
)  # fmt: skip
SCOPES: dict[str, tuple[str, ...]] = {
    "files.write": ("notes/**", "**", "agents/**", "plans/*", "/etc/**"),
    "net.fetch": ("*", "*:*", "example.org", "*.example.org:*", "localhost"),
    "shell.run": ("git *", "git log", "*", "rm *"),
    "money.spend": ("0.10 USD", "5"),
    "rooms.post": ("garden", "*", "o*"),
    "lamps.switch": ("kitchen", "*"),
}
RANK = {Refusal: 0, Held: 1, Allowed: 2}


def parts(name: str) -> st.SearchStrategy[Any]:
    some = st.lists(st.sampled_from(SCOPES[name]), max_size=2)
    return st.one_of(
        st.none(),
        some,
        st.fixed_dictionaries({}, optional={"allow": some, "ask": some, "deny": some, "second_factor": some}),
    )


grants = st.fixed_dictionaries({}, optional={name: parts(name) for name in SCOPES}).map(
    lambda given: read_grants(given)[0]
)
tools = st.lists(st.sampled_from(["*", "notes.*", "notes.read", "lamp.on", "*.on"]), max_size=3)
authorities = st.builds(lambda tools, grants: Authority("agent:scout", tools, grants), tools, grants)


def rank(verdict: Verdict) -> tuple[int, bool]:
    return RANK[type(verdict)], not (isinstance(verdict, Held) and verdict.second_factor)


@given(authorities, authorities, st.sampled_from(TOUCHES))
def test_what_is_handed_on_is_never_more(mine: Authority, wanted: Authority, touch: Touch) -> None:
    handed = mine.narrowed(wanted, "agent:helper")
    least = min(rank(mine.check(touch, HERE)), rank(wanted.check(touch, HERE)))
    assert rank(handed.check(touch, HERE)) == least
    assert rank(handed.narrowed(mine).check(touch, HERE)) == least
    for tool in ("notes.read", "notes.write", "lamp.on"):
        for own in (False, True):
            offered = handed.offers(tool, {touch.capability}, own=own) is None
            each = [one.offers(tool, {touch.capability}, own=own) is None for one in (mine, wanted)]
            assert offered == all(each)


@given(authorities, st.sampled_from(TOUCHES))
def test_what_is_not_offered_can_do_nothing(mine: Authority, touch: Touch) -> None:
    if mine.offers("notes.read", {touch.capability}) is not None and mine.offers("notes.read") is None:
        assert isinstance(mine.check(touch, HERE), Refusal)


@pytest.mark.parametrize("name", sorted(CAPABILITIES))
@pytest.mark.parametrize("given_as", [None, True, {}, {"deny": []}, "absent"])
def test_a_dangerous_capability_without_a_scope_grants_nothing_and_says_what_to_write(
    name: str, given_as: Any
) -> None:
    known = CAPABILITIES[name]
    if not known.dangerous:
        return
    given, faults = read_grants({} if given_as == "absent" else {name: given_as})
    if given_as != "absent":
        assert [fault.mere for fault in faults] == [True]
        assert f"`{name}: [" in faults[0].mend
    authority = Authority("agent:scout", ["*"], given)
    refusal = authority.offers("some.tool", {name})
    assert isinstance(refusal, Refusal)
    assert refusal.grant.startswith(f"{name}: [")
    assert not read_grants({name: [known.example]})[1]
    assert Authority("a", ["*"], read_grants({name: [known.example]})[0]).offers("some.tool", {name}) is None


def test_a_refusal_names_the_line_that_would_allow_it():
    mine = Authority(
        "agent:scout", ["*"], read_grants({"net.fetch": ["example.org"], "shell.run": ["git log *"]})[0]
    )
    for touch in (
        Touch("net.fetch", "https://www.example.org:8443/a"),
        Touch("shell.run", ("git", "push", "a b")),
        Touch("files.write", "notes/a.md"),
        Touch("money.spend", 1_500_000),
    ):
        refusal = mine.check(touch, HERE)
        assert isinstance(refusal, Refusal)
        name, _, scopes = refusal.grant.partition(": ")
        added, faults = read_grants({name: yaml.safe_load(scopes)})
        assert not faults
        assert isinstance(Authority("agent:scout", ["*"], added).check(touch, HERE), Allowed)


def test_no_line_is_named_for_what_no_line_allows():
    mine = Authority("agent:me", ["files.*"], read_grants({"files.read": ["notes/**"]})[0])
    for path in (".planaria/journal.key", ".PLANARIA/journal.db"):
        verdict = mine.check(Touch("files.read", path), HERE)
        assert isinstance(verdict, Refusal)
        assert verdict.grant == ""


def test_what_is_asked_goes_before_what_is_allowed_and_what_is_denied_before_all():
    given, _ = read_grants(
        {"shell.run": {"allow": ["git *"], "ask": ["git push *"], "deny": ["git push --force *"]}}
    )
    mine = Authority("agent:scout", ["*"], given)
    assert isinstance(mine.check(Touch("shell.run", ("git", "log")), HERE), Allowed)
    assert isinstance(mine.check(Touch("shell.run", ("git", "push")), HERE), Held)
    assert isinstance(mine.check(Touch("shell.run", ("git", "push", "--force")), HERE), Refusal)


def test_sums_are_asked_for_beyond_what_is_free():
    mine = Authority(
        "a", ["*"], read_grants({"money.spend": {"allow": "0.10", "ask": "1", "second_factor": "20"}})[0]
    )
    verdicts = [
        mine.check(Touch("money.spend", micro), HERE) for micro in (100_000, 900_000, 9_000_000, 21_000_000)
    ]
    assert [type(verdict) for verdict in verdicts] == [Allowed, Held, Held, Refusal]
    assert [getattr(verdict, "second_factor", None) for verdict in verdicts] == [None, False, True, None]


def test_a_star_names_no_tool_of_the_gardens_own_folder():
    for words, offered in ((["*"], False), (["*.*"], False), (["w*"], False), (["weather.*"], True)):
        assert (Authority("a", words).offers("weather.now", own=True) is None) is offered


@pytest.mark.parametrize(
    ("given_as", "problem"),
    [
        ("files.write", "grants cannot be"),
        ({"file.write": ["x"]}, "did you mean 'files.write'?"),
        ({"http": ["x"]}, "write 'net.fetch'"),
        ({"files.write": ["../x"]}, "climbs"),
        ({"files.write": {"alow": ["x"]}}, "'alow' is none of allow, ask, second_factor, deny"),
        ({"files.write": 3}, "is no list of scopes"),
        ({"money.spend": ["much"]}, "is no sum"),
    ],
)
def test_what_is_written_wrongly_is_told_with_its_mend(given_as: Any, problem: str) -> None:
    _, faults = read_grants(given_as)
    assert problem in faults[0].problem
    assert not faults[0].mere


def test_every_capability_stands_in_the_documentation_as_it_is():
    page = (Path(__file__).parents[2] / "docs" / "authority.md").read_text()
    for known in CAPABILITIES.values():
        default = ", ".join(f"`{scope}`" for scope in known.default)
        row = f"| `{known.name}` | {KINDS[known.kind]} | {default} | {known.says} |".replace("|  |", "| |")
        assert row in page, row


KINDS = {"path": "paths", "host": "hosts", "command": "commands", "name": "names", "money": "sums"}


@given(authorities, st.sets(st.sampled_from(sorted(SCOPES))), st.sampled_from(TOUCHES))
def test_a_tool_that_calls_others_has_what_its_caller_has_and_it_declares(
    mine: Authority, needs: set[str], touch: Touch
) -> None:
    handed = mine.for_tool(needs)
    if touch.capability in needs:
        assert rank(handed.check(touch, HERE)) == rank(mine.check(touch, HERE))
    else:
        assert isinstance(handed.check(touch, HERE), Refusal)
        assert handed.layers[-1].rule(touch.capability) is None
    assert not handed.is_free(touch.capability) or mine.is_free(touch.capability)
