"""When two texts say the same: what changes by itself is masked, and what is left is compared. Pure."""

import re
from collections.abc import Sequence

import msgspec

LONGEST = 6000
"""Characters of a text that are compared word by word; a longer one by its beginning, its end and its length."""

_NAMES = "|".join(("timestamp", "nonce", "uuid", "etag", "cursor_time", "cache_?buster"))
_VOLATILE_KEY = re.compile(
    rf"_?(?:{_NAMES}|(?:request|trace|span|correlation|idempotency|client)_?(?:id|key)|ts|now|attempt|retries|"
    r"retry_?count|call_?count)\Z",
    re.IGNORECASE,
)
_MASKS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
        (r"\b\d{4}-\d\d-\d\d[t ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?z\b|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b(?:mon|tue|wed|thu|fri|sat|sun),? \d\d? \w{3} \d{4} \d\d:\d\d:\d\d(?: \w+)?", "<time>"),
        (r"\b\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[ap]m\b)?", "<time>"),
        (r"\b1[5-9]\d{8}(?:\d{3})?(?:\.\d+)?\b", "<time>"),
        (r"\b\d+(?:[.,]\d+)? ?(?:ns|us|µs|ms|s|secs?|seconds?|minutes?|hours?)\b", "<span>"),
        (
            (
                r"\b(request|trace|span|correlation|session|connection|job|ray|ref|reference|incident)"
                r"(?:[ _-]?(?:id|no|number))?[\"']?\s*[:=#]\s*[\"']?[\w.-]*\d[\w.-]*"
            ),
            r"\1 <id>",
        ),
        (r"\b(req|trace|err|evt|msg|run|call)[_-][0-9a-z]{6,}\b", r"\1 <id>"),
        (
            (
                r"\b(attempt|try|retry|retries|request|poll|check|iteration|visit|visitor|views?|hits?|pid|port|process)"
                r"(?:s|[ _-]?(?:no|number|count))?[\"']?\s*[:=#]*\s*#?\d+"
            ),
            r"\1 <n>",
        ),
        (
            (
                r"[\"'](?:timestamp|time|updated_?at|created_?at|generated_?at|now|elapsed|duration|uptime|took|latency|"
                r"ts|nonce|etag|date)(?:_\w+)?[\"']\s*:\s*(?:[\"'][^\"']*[\"']|[\d.]+)"
            ),
            "<time>",
        ),
        (r"0x[0-9a-f]{6,}", "<address>"),
        (r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{24,}\b", "<digest>"),
        (r"([?&](?:_|t|ts|cb|nonce|cachebuster)=)[^&\s\"']*", r"\1<n>"),
    )
)
_SPACE = re.compile(r"\s+")
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[^\W_]+")
_UUID, _BUSTER = _MASKS[0], _MASKS[-1]


def settled(text: str) -> str:
    """The text without what changes by itself: times, spans, ids, counters; small letters, single spaces."""
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]} … {len(text)} … {text[-half:]}"
    text = _SPACE.sub(
        " ", text.lower()
    ).strip()  # first: on long runs of spaces the patterns take half a second
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return text


def settled_arguments(arguments: object) -> str:
    """Arguments of a call in one form; fields that are volatile by name are left out.

    Dates and numbers stay: the next page and the day before are other questions.
    """
    text = msgspec.json.encode(_without_volatile(arguments), order="deterministic").decode()
    for pattern, mask in (_UUID, _BUSTER):
        text = pattern.sub(mask, text)
    return text


def _without_volatile(value: object) -> object:
    if isinstance(value, dict):
        return {
            str(key): _without_volatile(each)
            for key, each in value.items()
            if not _VOLATILE_KEY.match(str(key))
        }
    if isinstance(value, list | tuple):
        return [_without_volatile(each) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def words(text: str) -> frozenset[str]:
    """The words of a text, each by its stem, without the smallest: what paraphrases share."""
    return frozenset(word[:6] for word in _WORD.findall(text.lower()[:LONGEST]) if len(word) > 2)


def words_in_order(text: str) -> tuple[str, ...]:
    """The words of a text as they stand."""
    return tuple(_WORD.findall(text.lower()[:LONGEST]))


def substituted(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether each has words of its own and what they share stands in the same order: the next of a row of things."""
    here, there = set(one), set(other)
    if here <= there or there <= here:
        return False
    return [word for word in one if word in there] == [word for word in other if word in here]


def numbers_of(text: str) -> frozenset[str]:
    """The numbers in a text: the next page, the day before, another row."""
    return frozenset(_NUMBER.findall(text[:LONGEST]))


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """How much two sets share, 0 to 1 (Jaccard)."""
    if not one or not other:
        return 1.0 if one == other else 0.0
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def without(text: str, question: str) -> str:
    """An error without the words of what it complains about: the next wrong path is told in the same words."""
    known = set(_WORD.findall(question.lower()))
    return _WORD.sub(lambda found: "_" if found[0] in known else found[0], text)


def shingles(text: str) -> frozenset[int]:
    """Every three neighbouring words of a text, hashed: what is new in it is told by those not seen before."""
    found = _WORD.findall(text)
    if len(found) < 3:
        return frozenset((hash(tuple(found)),)) if found else frozenset()
    return frozenset(map(hash, zip(found, found[1:], found[2:], strict=False)))


def spins(text: str) -> str:
    """What the end of a text repeats over and over; empty if it does not.

    Looks at the last 3000 characters: a piece of 1 to 300 characters, at least six times and 600 characters in all.
    """
    tail = text[-3000:]
    if len(tail) < 600:
        return ""
    for size in _periods(tail):
        rounds = max(6, -(-600 // size))
        if size * rounds <= len(tail):
            piece = tail[-size:]
            if piece.strip(" \n-=*_#.|+~") and tail.endswith(piece * rounds):
                return piece.strip()
    return ""


def _periods(tail: str) -> list[int]:
    """Lengths after which the last 24 characters of a text were there before, the shortest first."""
    mark = tail[-24:]
    found: list[int] = []
    at = tail.rfind(mark, 0, len(tail) - 1)
    while at >= 0 and len(found) < 40:
        size = len(tail) - 24 - at
        if size > 300:
            break
        found.append(size)
        at = tail.rfind(mark, 0, at + 23)
    return found
