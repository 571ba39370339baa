"""Masks secrets in what is about to be written.

A value is masked where it is, or contains, the value of a secret environment variable or the shape of a well-known
kind of key, or where its name says that it is a secret (`{"password": ...}`). The mask says which: `[secret
OPENAI_API_KEY]`, `[secret]`. A payload is first searched for hints, as the JSON text it will be stored as; only one
that has any is taken apart.
Does badly: a secret split over two strings, encoded once more (base64, a URL's %41) or given as a number is not seen.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None

_SECRET_NAME = re.compile(r"(?i)(?:^|_)(?:key|token|secret|password|passwd|credentials?)$")
SHORTEST = 8  # characters; a shorter value, `test`, would be masked all over ordinary text

_PARAMETERS = (
    "api_key",
    "apikey",
    "api-key",
    "access_token",
    "auth_token",
    "token",
    "client_secret",
    "password",
)
"""Of addresses: `?api_key=...`. In small letters."""
_SHAPES = "|".join(
    (
        r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic, OpenRouter
        r"(?<![A-Za-z0-9])[Bb]earer +[A-Za-z0-9._~+/-]{16,}=*",
        r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{30,}",
        r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{30,}",
        r"(?<![A-Za-z0-9])xox[abeprs]-[A-Za-z0-9-]{10,}",  # Slack
        r"(?<![A-Za-z0-9])xapp-[A-Za-z0-9-]{20,}",
        r"(?<![A-Za-z0-9])A(?:KI|SI)A[A-Z0-9]{16}(?![A-Za-z0-9])",  # AWS
        r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}",  # Google
        r"(?<![0-9])[0-9]{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])",  # Telegram bots
        r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # JSON web tokens
        r"(?<=://)[^\s/:@\"'<>]*:[^\s/@\"'<>]+(?=@)",  # https://name:password@host
        *(rf"(?<=[?&]{name}=)[^\s&#\"'<>]{{8,}}" for name in _PARAMETERS),
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----|[\s\S]*)",
    )
)
# In small letters, what each shape cannot do without. Most payloads have none, and looking for these costs a fraction
# of the shapes themselves.
_HINTS: tuple[str, ...] = (
    *("sk-", "earer ", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "xox", "xapp-"),
    *("akia", "asia", "aiza", "eyj", "private key-----"),
    *(f"{name}=" for name in _PARAMETERS),
)
_ASCII = re.compile(r"[\x00-\x7f]+")
_COMMON = 'jzqx-kvywbgpf_cumdlhsnoirate" '
"""Signs of JSON texts in small letters, the rarest first; what is not among them is rarer still."""
_COLON_HINT = re.compile(r":(?:[A-Za-z0-9_-]{35}|//[^\s/:@]*:[^\s/@]+@)")
"""What the keys of Telegram's bots and passwords in addresses cannot do without."""
_NAMES = frozenset(
    {
        "api_key",
        "apikey",
        "api-key",
        "x-api-key",
        "authorization",
        "proxy-authorization",
        "password",
        "passwd",
        "secret",
        "client_secret",
        "access_token",
        "refresh_token",
        "bot_token",
        "private_key",
        "cookie",
        "set-cookie",
    }
)
_MASK = "[secret]"
_BREAK = re.compile(r"[^!-~]")
"""What a key of no shape above has in it, but for the two below."""
_UNBROKEN = "".join(map(chr, range(ord("!"), ord("~") + 1)))
_BEARER = re.compile(r"(?<![A-Za-z0-9])[Bb]earer +[!-~]*\Z")
_KEY_BEGUN = re.compile(
    r"-----BEGIN (?:[A-Z ]*-{0,5}\Z|[A-Z ]*PRIVATE KEY-----(?![\s\S]*-----END [A-Z ]*PRIVATE KEY-----))"
)
_MOST_HELD = 16_384
"""Characters that wait for what follows them; see `Flow`."""


class Redactor:
    """Knows the secrets of one node.

    Args:
        environ: the environment the node was started with.
        variables: the names in it that the settings call secret. Names that end in KEY, TOKEN, SECRET or PASSWORD
            are taken as secret without being listed.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, variables: Iterable[str] = ()) -> None:
        listed = frozenset(variables)
        secrets = {
            value: name
            for name, value in (environ or {}).items()
            if (name in listed or _SECRET_NAME.search(name)) and len(value) >= SHORTEST
        }
        self._know(secrets)

    def learn(self, name: str, secret: str) -> None:
        """Mask this secret too from now on, as `[secret NAME]`, in every thread; not one of less than 8 characters."""
        if len(secret) >= SHORTEST and secret not in self._names:
            self._know({**self._names, secret: name})

    def _know(self, secrets: Mapping[str, str]) -> None:
        # Longest first: one secret may begin with another. Hints are last: until then another thread sees none of this.
        self._names = dict(sorted(secrets.items(), key=lambda pair: -len(pair[0])))
        self._spaced = [value for value in self._names if _BREAK.search(value)]
        self._secret = re.compile("|".join((*map(re.escape, self._names), _SHAPES)))
        known = {_plainest(form) for value in self._names for form in (value, _within_json(value))}
        self._hints = _by_rarest((*sorted(known), *_HINTS, *sorted({f'{name[-6:]}"' for name in _NAMES})))

    def __repr__(self) -> str:
        return f"Redactor({len(self._names)} known secrets)"

    def json(self, encoded: bytes) -> bytes:
        """Mask the secrets in a JSON text. Text without any is handed back as it is."""
        if self._has_hint(encoded.decode()):
            return msgspec.json.encode(self.value(msgspec.json.decode(encoded)))
        return encoded

    def _has_hint(self, text: str) -> bool:
        """Whether there may be a secret in a text, or a JSON text: asked for a tenth of what finding one costs."""
        if _COLON_HINT.search(text):
            return True
        small = text.lower()
        for sign, hints in self._hints:
            if sign in small:
                for hint in hints:
                    if hint in small:
                        return True
        return False

    def value(self, value: Json) -> Json:
        """Mask the secrets in a JSON value; keys of objects are searched too."""
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.value(item) for item in value]
            case dict():
                return {
                    self.text(key): _MASK
                    if isinstance(item, str) and item and key.lower() in _NAMES
                    else self.value(item)
                    for key, item in value.items()
                }
            case _:
                return value

    def text(self, text: str) -> str:
        """Mask the secrets in a text."""
        if not self._has_hint(text):
            return text
        return self._secret.sub(self._mask, text)

    def settled(self, text: str) -> int:
        """How many characters of a text that goes on may be masked now: no secret reaches over that place."""
        # Asked for every word of every answer that streams, so what is cheap and nearly always enough goes first.
        place = len(text.rstrip(_UNBROKEN))
        if "earer" in text and (begun := _BEARER.search(text, max(0, place - 1000))) is not None:
            place = min(place, begun.start())
        if "-----BEGIN " in text and (begun := _KEY_BEGUN.search(text)) is not None:
            place = min(place, begun.start())
        for value in self._spaced:
            known = range(min(len(value) - 1, len(text)), 0, -1)
            place = min(place, len(text) - next((n for n in known if text.endswith(value[:n])), 0))
        if not self._has_hint(text):
            return place
        over = (found.start() for found in self._secret.finditer(text) if found.start() < place < found.end())
        return next(over, place)

    def _mask(self, found: re.Match[str]) -> str:
        name = self._names.get(found.group())
        return f"[secret {name}]" if name else _MASK


class Flow:
    """A text that is shown while it is written, with its secrets masked as in the whole.

    The word at its end waits until it is over, since it may become a secret. Does badly: more than 16 384 characters
    without an end are not shown in pieces, nor is what comes after them; the whole is.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held: list[str] = []
        self._size = 0

    def take(self, piece: str) -> str:
        """What can be shown now that this piece is there; "" if it has to wait."""
        if self._size > _MOST_HELD:
            return ""
        self._held.append(piece)
        self._size += len(piece)
        if not _BREAK.search(piece):
            return ""
        text = "".join(self._held)
        place = self._redactor.settled(text)
        self._held, self._size = [text[place:]], len(text) - place
        return self._redactor.text(text[:place])

    def rest(self) -> str:
        """What waited, now that nothing follows."""
        return "" if self._size > _MOST_HELD else self._redactor.text("".join(self._held))


def _by_rarest(hints: Iterable[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Hints by the sign in them that texts have most rarely: where it is missing, none of them need be looked for."""
    groups: dict[str, list[str]] = {}
    for hint in hints:
        groups.setdefault(min(hint, key=_COMMON.find, default=""), []).append(hint)
    return tuple((sign, tuple(found)) for sign, found in groups.items())


def _within_json(value: str) -> str:
    return msgspec.json.encode(value)[1:-1].decode()


def _plainest(value: str) -> str:
    """The longest piece of a secret that has the same small letters wherever it stands: a final sigma has others."""
    return max(_ASCII.findall(value), key=len, default="").lower()
