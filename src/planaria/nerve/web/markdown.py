"""Markdown from people and agents as HTML that cannot act.

Raw HTML is off in the parser, and the result still passes a whitelist (nh3). Pictures become links: a picture's
address can carry a secret away the moment it is shown. `[[name]]` and a path such as `notes/name.md` link to a note.

Does badly: no syntax colours, no footnotes; a text longer than `LONGEST` characters is shown as it was written, since
a hostile one of that length takes seconds already.
"""

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

from planaria.nerve.web.render import sendable
from planaria.records.links import LINK, plain_name

BLOCKS = {"p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre"}
TABLES = {"table", "thead", "tbody", "tr", "th", "td"}
TAGS = BLOCKS | TABLES | {"code", "em", "strong", "s", "del", "a"}
ATTRIBUTES = {"a": {"href", "title", "class"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}
LONGEST = 100_000
"""Characters of a note that are drawn; the notes' page draws in a worker thread."""
LONGEST_SAID = 20_000
"""Characters of a text outside of notes that are drawn, on the event loop."""

_NOTE_PATH = re.compile(r"(?<![\w/.])(notes/[\w\-/]+\.md)(?![\w/])")
_RELATIVE_NOTE = re.compile(r"(?:\.{1,2}/)*[\w\-][\w\-/%]*\.md")

type NoteExists = Callable[[str], bool]


def to_html(text: str, exists: NoteExists | None = None, *, outside: bool = False) -> Markup:
    """`text` (Markdown) as safe HTML.

    Args:
        text: anything, from anybody.
        outside: it stands on a page that is no note's, so relative links are to be read from `notes/`.
        exists: says whether the note a `[[name]]` link points at is there; a missing one is marked.
    """
    text = sendable(text)
    if len(text) > (LONGEST_SAID if outside else LONGEST):
        return Markup("<p><em>This text is too long to be drawn; here it is as it was written.</em></p>") + (
            Markup("<pre><code>{}</code></pre>").format(text)
        )
    html: str = _parser.render(text, {"exists": exists, "outside": outside})
    clean = nh3.clean(
        html, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel="noopener noreferrer"
    )
    return Markup(clean)


def _note_link(state: StateInline, silent: bool) -> bool:
    """Inline rule for `[[name]]` and `[[name|shown text]]`."""
    found = LINK.match(state.src, state.pos, state.posMax)
    if found is None or not plain_name(found[1]):
        return False
    if not silent:
        name, label = found[1].strip(), (found[2] or "").strip()
        exists = state.env.get("exists")
        opening = state.push("link_open", "a", 1)
        opening.attrs = {"href": "/notes/" + quote(plain_name(name))}
        if exists is not None and not exists(name):
            opening.attrs["class"] = "missing"
        state.push("text", "", 0).content = label or name
        state.push("link_close", "a", -1)
    state.pos = found.end()
    return True


def _paths_as_links(state: StateCore) -> None:
    """Core rule: `notes/beds/tomato.md` in running text links to that note. Code and links are left alone."""
    for block in state.tokens:
        children, inside = [], 0
        for token in block.children or ():
            inside += {"link_open": 1, "link_close": -1}.get(token.type, 0)
            children += [token] if token.type != "text" or inside else _split(token)
        if block.children:
            block.children = children


def _split(token: Token) -> list[Token]:
    found: list[Token] = []
    for number, piece in enumerate(_NOTE_PATH.split(token.content)):
        text = Token("text", "", 0, content=piece)
        if number % 2 == 0:
            found.append(text)
        else:
            name = piece.removeprefix("notes/").removesuffix(".md")
            opening = Token("link_open", "a", 1, attrs={"href": "/notes/" + quote(name)})
            found += [opening, text, Token("link_close", "a", -1)]
    return found


def _link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Outside of a note a link to a `.md` file, relative to nothing there, is one to that note in `notes/`."""
    token = tokens[index]
    address = str(token.attrGet("href") or "")
    if env.get("outside") and _RELATIVE_NOTE.fullmatch(address):
        token.attrSet("href", "/notes/" + address.lstrip("./").removeprefix("notes/").removesuffix(".md"))
    return renderer.renderToken(tokens, index, options, env)


def _picture_as_link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    from_text = tokens[index].content or "picture"
    address = str(tokens[index].attrGet("src") or "")
    return str(Markup('<a href="{}">{}</a>').format(address, f"🖼 {from_text}"))


def _build() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("link", "note_link", _note_link)
    parser.core.ruler.push("paths_as_links", _paths_as_links)
    parser.add_render_rule("image", _picture_as_link)
    parser.add_render_rule("link_open", _link)
    return parser


_parser = _build()
