"""Long texts are kept once: taken out of payloads on the way in, put back on the way out.

A text of more than `LONGEST` characters anywhere in a payload becomes `{"$content": "<hash>", "chars": n}`; the same
text, in whatever event, costs its place once. The hash is the SHA-256 of its UTF-8, or a keyed one if the event has
a subject (`cortex/codec/seal.py`), each in 64 hexadecimal digits. A key of the payload that looks like ours gets one
more dollar sign while it is kept, so every payload comes back as it was.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

LONGEST = 1024
"""Characters of a text that stays where it is."""
KEY = "$content"
MARK = b"content"
"""JSON without this holds neither a reference nor a key to escape."""

_OURS = re.compile(r"\$+content", re.ASCII)


def plain_hash(text: bytes) -> str:
    """The address of a content that is nobody's."""
    return hashlib.sha256(text).hexdigest()


def take_out(
    payload: dict[str, Any], address: Callable[[bytes], str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The payload with references for its long texts, and those texts by hash.

    Args:
        payload: as JSON gives it back; it is not changed.
        address: the hash of a text's UTF-8.
    """
    taken: dict[str, str] = {}

    def walk(value: Any) -> Any:
        match value:
            case str():
                if len(value) <= LONGEST:
                    return value
                digest = address(value.encode())
                taken[digest] = value
                return {KEY: digest, "chars": len(value)}
            case list():
                return [walk(item) for item in value]
            case dict():
                return {f"${key}" if _OURS.fullmatch(key) else key: walk(item) for key, item in value.items()}
            case _:
                return value

    return walk(payload), taken


def references(value: Any) -> Iterator[str]:
    """The hashes a payload as kept refers to."""
    match value:
        case {"$content": str(digest), "chars": int()}:
            yield digest
        case list():
            for item in value:
                yield from references(item)
        case dict():
            for item in value.values():
                yield from references(item)
        case _:
            pass


def put_back(value: Any, texts: Mapping[str, str]) -> Any:
    """What `take_out` was given.

    Raises:
        KeyError: a text is missing; its hash.
    """
    match value:
        case {"$content": str(digest), "chars": int()}:
            return texts[digest]
        case list():
            return [put_back(item, texts) for item in value]
        case dict():
            return {
                key[1:] if _OURS.fullmatch(key) else key: put_back(item, texts) for key, item in value.items()
            }
        case _:
            return value
