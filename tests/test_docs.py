"""What the pages for people say is so: links lead somewhere, code blocks are files, the tree is the node's."""

import re
from pathlib import Path

import pytest

from planaria.config.settings import Settings, WebSettings
from planaria.nerve.draw import tree_text
from planaria.nerve.views import tree_views
from planaria.node import tree
from planaria.otp import Node, TreeNode

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]\n]*\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
FENCE = re.compile(r"^(`{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)
MACHINE_PATH = re.compile(
    r"(?<![\w.~/<-])/(?:home|work|tmp|root|Users|usr/(?!bin/env)|opt|mnt|var)\b[\w/.-]*"
)
FOREIGN = re.compile(r"\b(?:pypi|pip install|npmjs|artifactory|index-url)\b", re.IGNORECASE)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def links(page: Path) -> list[str]:
    prose = re.sub(r"`[^`\n]+`", lambda code: "`" * len(code[0]), FENCE.sub("", text(page)))
    return [found for pair in LINK.findall(prose) for found in pair if found]


def headings(page: Path) -> set[str]:
    """The anchors of a page, as they are made from its headings."""
    found = re.findall(r"^#+ (.+)$", FENCE.sub("", text(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue  # another site: not asked, tests use no network
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in headings(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_no_place_of_one_machine(page):
    assert MACHINE_PATH.findall(text(page)) == []
    assert FOREIGN.findall(text(page)) == []


def test_every_page_is_in_the_index_of_the_documentation():
    index = {(ROOT / "docs" / link).resolve() for link in links(ROOT / "docs" / "README.md")}
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs") and page.name != "README.md"}
    assert pages <= index


def test_every_file_named_in_the_architecture_exists():
    page = text(ROOT / "docs" / "architecture.md")
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]*\.?(?:py|md|json)?)`", page))
    source = ROOT / "src" / "planaria"
    places = (source, ROOT, ROOT / "src")
    gardens = ("agents/", "notes/", "workflows/", "skills/")  # also folders of a garden: these pass as floors
    lost = {name for name in named if not any((place / name).exists() for place in places)}
    assert {name for name in lost if not (name.startswith(gardens) and name.endswith("/"))} == set()


def test_the_example_in_the_readme_is_the_file():
    (shown,) = re.findall(r"```python\n(class Divider.*?)```", text(ROOT / "README.md"), re.DOTALL)
    assert shown in text(ROOT / "examples" / "otp" / "supervisor.py")


def test_the_output_in_the_readme_is_what_the_example_test_promises():
    (shown,) = re.findall(
        r"\$ \.venv/bin/python examples/otp/supervisor\.py\n(.*?)```", text(ROOT / "README.md"), re.DOTALL
    )
    assert shown == "2.0\ncrashed: ZeroDivisionError: division by zero\ndivider restarted 1 time\n4.0\n"


async def test_the_tree_in_the_readme_is_the_node_s(tmp_path):
    (shown,) = re.findall(r"```text\n(node\n.*?)```", text(ROOT / "README.md"), re.DOTALL)
    for name in ("keeper", "scout"):
        (tmp_path / "agents").mkdir(exist_ok=True)
        (tmp_path / "agents" / f"{name}.md").write_text("---\nclass: agent\nmodel: offline\n---\nBe brief.\n")
    (tmp_path / "planaria.toml").write_text("")
    async with Node("garden") as node:
        await node.start(tree(Settings(web=WebSettings(port=0)), tmp_path, {}, lambda: None))
        (root,) = (each for each in node.tree() if each.name == "node")
        drawn = tree_text(tree_views(node))
    assert top_level(shown) == top_level(drawn)
    titles = [title(line) for line in shown.splitlines()]
    named = [each.name for each in walk(root) if each.name is not None]
    assert [each for each in titles if each in named] == named
    assert set(titles) - set(named) == {"web server"}


def title(line: str) -> str:
    """The name in a line of a drawn tree."""
    return line.lstrip("│├└─ ").partition("  ")[0]


def top_level(drawn: str) -> list[str]:
    """What stands right below the root."""
    return [title(line) for line in drawn.splitlines() if line.startswith(("├", "└"))]


def walk(tree: TreeNode) -> list[TreeNode]:
    return [tree, *(each for child in tree.children for each in walk(child))]
