"""What was drawn once and never changes, kept for all who look: a message is drawn once, not once per open page.

Each site has one. Bounded by characters; what was asked for longest ago goes first.
Does badly: the key has to name everything the HTML is made from; nothing here is ever drawn again.
"""

from collections import OrderedDict
from collections.abc import Callable

from markupsafe import Markup

MOST = 4_000_000
"""Characters kept."""


class Drawn:
    """HTML by key.

    Args:
        most: characters kept; a longer piece alone is drawn each time.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.size = 0
        self._kept: OrderedDict[object, Markup] = OrderedDict()

    def get(self, key: object, draw: Callable[[], str]) -> Markup:
        """The HTML of this key, drawn if it is not kept. What `draw` returns is taken for safe."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        html = Markup(draw())
        if len(html) <= self.most:
            self._kept[key] = html
            self.size += len(html)
        while self.size > self.most:
            _, gone = self._kept.popitem(last=False)
            self.size -= len(gone)
        return html
