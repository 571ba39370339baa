"""When a breaker opens and how it comes back, by what it guards: `[breakers.tool]`, `[breakers.provider]`, ...

[breakers.tool]
failures = 5         # so many counted failures in a row open it; 0 never does
rate = 0.5           # or this share of the calls of a window; 0.0 never does
window = 60.0        # seconds of that window
minimum = 10         # calls it needs before its rate means anything
cooldown = 10.0      # seconds until one call may try again
growth = 2.0         # each try that fails makes the next wait so much longer
longest = 600.0      # seconds, never longer than this
calm = 300.0         # closed for so many seconds, it forgets one such step; 0.0: at once
jitter = 0.2         # each wait is up to this share shorter or longer
counts = ["crash", "timeout"]   # what is held against it; other failures are answers
"""

from typing import Annotated, Literal, get_args

import msgspec

type FailureClass = Literal[
    "crash",
    "timeout",
    "unreachable",
    "overload",
    "rate_limit",
    "auth",
    "credit",
    "broken",
    "unavailable",
    "refused",
    "failed",
]
"""What went wrong with a call.

`crash`: the code raised. `timeout`: silence. `unreachable`: no connection. `overload`: it fails or has no room.
`rate_limit`: too many requests. `auth`, `credit`: the key, the account. `broken`: an answer that cannot be read.
`unavailable`: could not now, and may later. `refused`: it does not accept this request. `failed`: it could not do it,
which is an answer.
"""

FAILURE_CLASSES: tuple[FailureClass, ...] = get_args(FailureClass.__value__)

BROKEN: tuple[FailureClass, ...] = ("crash", "timeout", "unreachable", "overload", "broken", "unavailable")
"""What says that something is out of order, rather than that a question was a bad one."""


class BreakerPolicy(msgspec.Struct, frozen=True):
    """When one breaker opens, and for how long; see the module for each key."""

    failures: Annotated[int, msgspec.Meta(ge=0)] = 5
    rate: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.5
    window: Annotated[float, msgspec.Meta(ge=1.0, le=86400.0)] = 60.0
    minimum: Annotated[int, msgspec.Meta(ge=1)] = 10
    cooldown: Annotated[float, msgspec.Meta(ge=0.1, le=86400.0)] = 10.0
    growth: Annotated[float, msgspec.Meta(ge=1.0, le=100.0)] = 2.0
    longest: Annotated[float, msgspec.Meta(ge=0.1, le=604800.0)] = 600.0
    calm: Annotated[float, msgspec.Meta(ge=0.0, le=604800.0)] = 300.0
    jitter: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.2
    counts: tuple[FailureClass, ...] = BROKEN


class BreakerSettings(msgspec.Struct, frozen=True):
    """The policies, by what is guarded; `other` for what has no table of its own."""

    tool: BreakerPolicy = BreakerPolicy()
    provider: BreakerPolicy = BreakerPolicy(counts=(*BROKEN, "rate_limit", "auth", "credit"))
    mcp: BreakerPolicy = BreakerPolicy(failures=3)
    gateway: BreakerPolicy = BreakerPolicy(failures=3)
    other: BreakerPolicy = BreakerPolicy()

    def of(self, kind: str) -> BreakerPolicy:
        """The policy of a kind of thing."""
        policy = getattr(self, kind, None)
        return policy if isinstance(policy, BreakerPolicy) else self.other
