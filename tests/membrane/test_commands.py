import pytest
from hypothesis import given
from hypothesis import strategies as st

from planaria.membrane.commands import (
    BadArguments,
    Help,
    Remember,
    RunTool,
    RunWorkflow,
    Search,
    Status,
    keywords,
    read_arguments,
    understand,
)
from planaria.membrane.provider import ToolSpec

TOOLS = ("notes.search", "notes.write", "web.fetch", "feed.fetch", "workflow.run", "node.status", "ping")
FETCH = ToolSpec(
    "web.fetch",
    "",
    {
        "type": "object",
        "properties": {
            "url": {"type": "string"},
            "limit": {"type": "integer"},
            "raw": {"type": "boolean"},
            "tags": {"type": "array"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "depth": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["url"],
    },
)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("search moss", Search("moss")),
        ("Search the garden for moss and lichen", Search("moss lichen")),
        ("find rain barrels", Search("rain barrels")),
        ("look up slugs!", Search("slugs")),
        ("What do I know about growing moss in shade?", Search("growing moss shade")),
        ("where is the key", Search("key")),
        ("moss?", Search("moss")),
        ("@scout search moss", Search("moss")),
        ("@scout, please search moss", Search("moss")),
        ("ada: search moss", Search("moss")),
        ("[ada]: what about moss?", Search("moss")),
        ("[ada, person] search moss", Search("moss")),
        ("run web.fetch url=https://example.org", RunTool("web.fetch", "url=https://example.org")),
        ("run the tool web.fetch", RunTool("web.fetch", "")),
        ("call `web.fetch` {}", RunTool("web.fetch", "{}")),
        ("use ping", RunTool("ping", "")),
        ("web.fetch https://example.org", RunTool("web.fetch", "https://example.org")),
        ("feed.fetch file:feeds/news.xml", RunTool("feed.fetch", "file:feeds/news.xml")),
        ("run no.such", RunTool("no.such", "")),
        ("run digest", RunTool("digest", "")),
        ("run workflow digest", RunWorkflow("digest", "")),
        ("Please run the workflow 'digest' day=monday", RunWorkflow("digest", "day=monday")),
        ("start workflow digest.", RunWorkflow("digest", "")),
        ("remember the key is under the stone", Remember("the key is under the stone")),
        ("note: buy slugs\nand snails", Remember("buy slugs\nand snails")),
        ("remember that it rains", Remember("it rains")),
        ("status", Status()),
        ("Status?", Status()),
        ("help", Help()),
        ("what can you do?", Help()),
        ("", Help()),
        ("hello", Help(greeting=True)),
        ("Hello, scout!", Help(greeting=True)),
        ("the weather is fine", Help()),
        ("use your imagination", Help()),
        ("no.such tool here", Help()),
    ],
)
def test_a_sentence_means_a_command(text, command):
    assert understand(text, TOOLS) == command


def test_keywords_are_the_words_that_may_stand_in_an_answer():
    assert keywords("How do I keep the Sämling's pots dry, dry?") == "keep Sämling's pots dry"
    assert keywords("what is it?") == ""


@pytest.mark.parametrize(
    ("rest", "arguments"),
    [
        ("", {}),
        ("url=https://example.org/?a=b", {"url": "https://example.org/?a=b"}),
        ("https://example.org/?a=b", {"url": "https://example.org/?a=b"}),
        ("https://example.org", {"url": "https://example.org"}),
        ('url="two words" limit=3', {"url": "two words", "limit": 3}),
        ("url='it\\'s' raw=true", {"url": "it's", "raw": True}),
        ('url="a\\"b" tags=[1, "x y"]', {"url": 'a"b', "tags": [1, "x y"]}),
        ("url = x limit = 3", {"url": "x", "limit": 3}),
        ("url=3", {"url": "3"}),
        ("limit=many", {"limit": "many"}),
        ("note=3 depth=3", {"note": "3", "depth": 3}),
        ("depth=null", {"depth": None}),
        ("other=x", {"other": "x"}),
        ('{"url": "x", "limit": 3}', {"url": "x", "limit": 3}),
        ("two words", {"url": "two words"}),
        ('"two words"', {"url": "two words"}),
    ],
)
def test_arguments_are_read_as_people_write_them(rest, arguments):
    assert read_arguments(rest, FETCH) == arguments


@pytest.mark.parametrize("rest", ["{bad", "[1]{", "url=x and more", "url=x limit"])
def test_what_cannot_be_read_says_what_to_write(rest):
    if rest == "[1]{":
        assert read_arguments(rest, FETCH) == {"url": rest}
        return
    with pytest.raises(BadArguments, match=r"web\.fetch"):
        read_arguments(rest, FETCH)


@given(st.text())
def test_any_text_is_understood_somehow(text):
    understand(text, TOOLS)


@given(st.text())
def test_any_arguments_are_read_or_refused(text):
    try:
        read_arguments(text, FETCH)
    except BadArguments:
        pass
