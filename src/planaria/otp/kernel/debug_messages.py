"""Whether a node watches its messages for changes; `message_watch.py`, which does it, is imported only then."""

from __future__ import annotations

import os
from typing import Literal

VARIABLE = "PLANARIA_DEBUG_MESSAGES"

type DebugMessages = bool | Literal["crash"]


def debug_messages_from_environment() -> DebugMessages:
    """What `PLANARIA_DEBUG_MESSAGES` says: `1`, `crash`, or `0`, empty and unset for off.

    Raises:
        ValueError: anything else.
    """
    given = os.environ.get(VARIABLE, "")
    if given in ("", "0"):
        return False
    if given == "1":
        return True
    if given == "crash":
        return "crash"
    raise ValueError(f"{VARIABLE}={given!r}: say 1, crash, or 0")
