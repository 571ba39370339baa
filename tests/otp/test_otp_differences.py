"""The page about differences is true: it lists exactly the scenarios that are excused, with their reasons."""

import re
from pathlib import Path

from .vector_adapter.selection import OWN_VECTORS, excuse, not_yet

PAGE = Path(__file__).parents[2] / "docs" / "otp-differences.md"
ROW = re.compile(r"^\| `(?P<prefix>[^`]+)` \| (?P<count>\d+) \| (?P<why>.+) \|$", re.MULTILINE)
ID = re.compile(r'^\{"id":"([^"]+)"', re.MULTILINE)


def own_ids() -> list[str]:
    return [found for path in OWN_VECTORS.glob("*.jsonl") for found in ID.findall(path.read_text())]


def test_the_page_lists_what_is_excused_with_the_same_reasons() -> None:
    assert {row["prefix"]: row["why"] for row in ROW.finditer(PAGE.read_text())} == not_yet()


def test_the_page_counts_the_scenarios_rightly() -> None:
    ids = own_ids()
    for row in ROW.finditer(PAGE.read_text()):
        assert sum(one.startswith(row["prefix"]) for one in ids) == int(row["count"]), row[0]
    assert f"holds {len(ids)} scenarios" in PAGE.read_text()


def test_topics_said_to_pass_have_no_excuse() -> None:
    [line] = re.findall(r"^All scenarios about (.*) pass\.$", PAGE.read_text(), re.MULTILINE)
    topics = re.findall(r"\(([A-Z])\)", line)
    assert topics
    assert not [one for one in own_ids() if one[0] in topics and excuse(one, not_yet())]
