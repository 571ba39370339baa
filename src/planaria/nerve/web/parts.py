"""A page as named parts, so that only what changed is sent.

A `Part` is one element with an id, the template that draws it and the value it is drawn from. `Picture` remembers
what one browser was shown and picks what differs. Values are compared, not HTML: nothing unchanged is rendered.
Pure; a part of a changed part is not sent twice.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec


class Part(msgspec.Struct, frozen=True):
    """One element of a page.

    Args:
        id: its DOM id, made of letters, digits and hyphens.
        template: draws the element with this id; gets `values`.
        values: what the template sees.
        key: compared to tell whether it changed.
        inner: parts drawn inside this one, which may change by themselves.
    """

    id: str
    template: str
    values: Mapping[str, object]
    key: object
    inner: tuple["Part", ...] = ()


class Picture:
    """What one browser was shown."""

    def __init__(self) -> None:
        self.shown: dict[str, object] = {}

    def changes(self, parts: Sequence[Part]) -> list[Part]:
        """The outermost parts that differ from what was shown; from now on these count as shown."""
        before, self.shown = self.shown, {}
        return list(self._walk(parts, before))

    def _walk(self, parts: Sequence[Part], before: Mapping[str, object]) -> Iterator[Part]:
        for part in parts:
            changed = part.id not in before or before[part.id] != part.key
            self.shown[part.id] = part.key
            if changed:
                yield part
                self._note(part.inner)
            else:
                yield from self._walk(part.inner, before)

    def _note(self, parts: Sequence[Part]) -> None:
        for part in parts:
            self.shown[part.id] = part.key
            self._note(part.inner)


def dom_id(prefix: str, name: str) -> str:
    """An id for an element about `name`, which may be any text, a hostile one too."""
    return f"{prefix}-{hashlib.blake2s(name.encode(errors='replace'), digest_size=8).hexdigest()}"
