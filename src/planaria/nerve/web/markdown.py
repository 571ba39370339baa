"""Markdown from people and agents as HTML that cannot act.

Raw HTML is off in the parser, and the result still passes a whitelist (nh3). Pictures become links: a picture's
address can carry a secret away the moment it is shown. `[[name]]` links to a note.

Does badly: no syntax colours, no footnotes.
"""

from collections.abc import Callable, Sequence
from urllib.parse import quote

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

BLOCKS = {"p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre"}
TABLES = {"table", "thead", "tbody", "tr", "th", "td"}
TAGS = BLOCKS | TABLES | {"code", "em", "strong", "s", "del", "a"}
ATTRIBUTES = {"a": {"href", "title", "class"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}

type NoteExists = Callable[[str], bool]


def to_html(text: str, exists: NoteExists | None = None) -> Markup:
    """`text` (Markdown) as safe HTML.

    Args:
        text: anything, from anybody.
        exists: says whether the note a `[[name]]` link points at is there; a missing one is marked.
    """
    html: str = _parser.render(text, {"exists": exists})
    clean = nh3.clean(
        html, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel="noopener noreferrer"
    )
    return Markup(clean)


def _note_link(state: StateInline, silent: bool) -> bool:
    """Inline rule for `[[name]]` and `[[name|shown text]]`."""
    if not state.src.startswith("[[", state.pos):
        return False
    end = state.src.find("]]", state.pos, state.posMax)
    inside = state.src[state.pos + 2 : end] if end > 0 else ""
    if not inside.strip() or "\n" in inside or "[" in inside:
        return False
    if not silent:
        name, _, label = inside.partition("|")
        exists = state.env.get("exists")
        opening = state.push("link_open", "a", 1)
        opening.attrs = {"href": "/notes/" + quote(name.strip()), "data-note": name.strip()}
        if exists is not None and not exists(name.strip()):
            opening.attrs["class"] = "missing"
        state.push("text", "", 0).content = (label or name).strip()
        state.push("link_close", "a", -1)
    state.pos = end + 2
    return True


def _picture_as_link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    from_text = tokens[index].content or "picture"
    address = str(tokens[index].attrGet("src") or "")
    return str(Markup('<a href="{}">{}</a>').format(address, f"🖼 {from_text}"))


def _build() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("link", "note_link", _note_link)
    parser.add_render_rule("image", _picture_as_link)
    return parser


_parser = _build()


def note_links(text: str) -> list[str]:
    """The names in `[[name]]` links of a text, those in code left out."""
    return [
        str(child.attrGet("data-note"))
        for token in _parser.parse(text, {"exists": None})
        for child in token.children or ()
        if child.attrGet("data-note") is not None
    ]
