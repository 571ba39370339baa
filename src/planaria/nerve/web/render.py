"""Templates to HTML: the Jinja environment and how pages write times, counts and colours.

Autoescape is on for every template and unknown names raise, so a hole in a page is found by its test.
Time zone and clock are given, never looked up.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from planaria.nerve.trace.figures import STATE_WORDS, money, tokens, took
from planaria.nerve.trace.shape import State
from planaria.nerve.web.parts import Part

HERE = Path(__file__).parent
STATIC = HERE / "static"

TONES = {
    "waiting": "good",
    "ready": "busy",
    "running": "busy",
    "suspended": "busy",
    "dead": "alarm",
    "done": "good",
    "finished": "good",
    "ok": "good",
    "completed": "good",
    "failed": "alarm",
    "crashed": "alarm",
    "dead_letter": "alarm",
    "retrying": "warn",
    "interrupted": "warn",
    "halted": "warn",
    "cancelled": "warn",
    "skipped": "",
    "pending": "",
}

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""All but tab and line ends."""


class Renderer:
    """Draws pages and parts.

    Args:
        zone: IANA name of the zone times are shown in.
        now: Unix seconds.
    """

    def __init__(self, zone: str, now: Callable[[], float]) -> None:
        self.zone = ZoneInfo(zone)
        self.now = now
        self.environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters: dict[str, Callable[..., object]] = {
            "clock": self.clock,
            "when": self.when,
            "iso": iso,
            "span": span,
            "count": count,
            "tone": tone,
            "hue": hue,
            "initial": initial,
            "process_url": process_url,
            "urlencode": in_url,
            "took": took,
            "tokens": tokens,
            "money": money,
            "state_word": state_word,
            "state_tone": state_tone,
            "session_tone": session_tone,
        }
        cast(dict[str, Callable[..., object]], self.environment.filters).update(filters)
        self.globals = {"version": _fingerprint(STATIC / "planaria.css")}

    def text(self, template: str, values: Mapping[str, object]) -> str:
        """One template as HTML, without white space around it: that would pile up in the page at each swap."""
        html = self.environment.get_template(template, globals=self.globals).render(values)
        return sendable(html.strip())

    def response(self, template: str, values: Mapping[str, object], status: int = 200) -> HTMLResponse:
        """One template as an answer."""
        return HTMLResponse(self.text(template, values), status_code=status)

    def replacing(self, part: Part) -> str:
        """The part wrapped so that the browser morphs the element of the same id into it."""
        return partial(f"#{part.id}", "outerMorph", self.text(part.template, part.values))

    def clock(self, at: float) -> str:
        """`14:03:59` in the zone."""
        return datetime.fromtimestamp(at, self.zone).strftime("%H:%M:%S")

    def when(self, at: float | None) -> str:
        """`14:03` today, `yesterday 14:03`, `3 Nov 14:03`, `3 Nov 2025`."""
        if at is None:
            return ""
        moment, today = datetime.fromtimestamp(at, self.zone), datetime.fromtimestamp(self.now(), self.zone)
        if moment.date() == today.date():
            return f"{moment:%H:%M}"
        days = (moment.date() - today.date()).days
        if days in (-1, 1):
            return f"{'yesterday' if days < 0 else 'tomorrow'} {moment:%H:%M}"
        day = f"{moment.day} {moment:%b}"
        return f"{day} {moment:%H:%M}" if moment.year == today.year else f"{day} {moment.year}"


def sendable(text: str) -> str:
    """The text as a browser may have it: without control characters, and with what is no UTF-8 escaped.

    Names of files and people may hold either: an escape sequence, or a lone surrogate from bytes that are no text.
    """
    return _CONTROLS.sub("", text).encode("utf-8", "backslashreplace").decode()


def partial(selector: str, swap: str, html: str) -> str:
    """One instruction to the page: put `html` at `selector`. Both sides of `html` are already escaped."""
    return f'<hx-partial hx-target="{selector}" hx-swap="{swap}">{html}</hx-partial>'


def iso(at: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def span(seconds: float | None) -> str:
    """A duration in its two largest units: `0.42 s`, `3 min 2 s`, `5 d 4 h`; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {name}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def count(number: int) -> str:
    """A number in at most four digits: `999`, `12.3k`, `4.1M`."""
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if number >= size:
            unit = 1000 if letter == "k" else size
            return f"{number / unit:.1f}{letter}"
    return str(number)


def tone(status: object) -> str:
    """The colour class of a state."""
    return TONES.get(str(status), "busy")


def state_word(state: State) -> str:
    """What the state of a trace, or of a part of it, is called."""
    return STATE_WORDS[state]


def state_tone(state: State) -> str:
    """The colour class of such a state."""
    tones = {"done": "good", "running": "busy", "waiting": "busy", "failed": "alarm", "cut_off": "warn"}
    return tones.get(state, "")


def session_tone(status: str) -> str:
    """The colour class of what a session does."""
    return {"idle": "", "down": "alarm", "waiting": "warn"}.get(status, "busy")


def hue(name: str) -> int:
    """One of six colours, always the same for a name."""
    return hashlib.blake2s(name.encode(errors="replace"), digest_size=1).digest()[0] % 6


def initial(name: str) -> str:
    """The letter shown in a face."""
    letters = re.findall(r"\w", name)
    return letters[0].upper() if letters else "?"


def process_url(ref: str) -> str:
    """The page of a process, by name or by the number of its pid."""
    return "/processes/" + quote(ref, safe=":@", errors="backslashreplace")


def in_url(text: str) -> str:
    """Any text as a part of an address."""
    return quote(text, errors="backslashreplace")


def _fingerprint(path: Path) -> str:
    return hashlib.blake2s(path.read_bytes(), digest_size=6).hexdigest()
