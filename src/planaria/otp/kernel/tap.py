"""Functions that are called at once with what is broadcast on a topic, beside the processes that get it as messages.

For observers of everything, to whom a message each would cost more than what they do with it: a tap only takes note.
It runs on the stack of whoever broadcasts, as nobody's process; one that raises hurts nobody but itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from planaria.otp.kernel.process import running

if TYPE_CHECKING:
    from planaria.otp.kernel.node import Node
    from planaria.otp.kernel.process import Process

log = logging.getLogger(__name__)


def tap(node: Node, topic: str, callback: Callable[[Any], object]) -> Callable[[], None]:
    """Call `callback` with each message broadcast on `topic`; returns the way to stop it.

    In a process it ends with that process, too.
    """
    node.taps[topic] = (*node.taps.get(topic, ()), callback)
    owner = running.process

    def gone(_: Process | None) -> None:
        left = tuple(each for each in node.taps.get(topic, ()) if each is not callback)
        if left:
            node.taps[topic] = left
        else:
            node.taps.pop(topic, None)

    def stop() -> None:
        if owner is not None and owner.on_death is not None and gone in owner.on_death:
            owner.on_death.remove(gone)
        gone(owner)

    if owner is not None and owner.node is node:
        if owner.on_death is None:
            owner.on_death = []
        owner.on_death.append(gone)
    return stop


def pour(taps: tuple[Callable[[Any], object], ...], topic: str, message: object) -> None:
    """Hand a message to the taps of its topic."""
    before, running.process = running.process, None
    try:
        for callback in taps:
            try:
                callback(message)
            except Exception:  # event delivery: a broken observer must not hurt who broadcasts
                log.exception("a tap of %s raised", topic)
    finally:
        running.process = before
