"""One consumer's claim on one producer: whom it joins, how much may be under way, what its end means."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal

from planaria.otp.kernel.message import Ref
from planaria.otp.kernel.process import Process

type CancelMode = Literal["permanent", "transient", "temporary"]

MAX_DEMAND = 1000
"""Events under way to a consumer unless it says otherwise, as in GenStage."""
MODES = ("permanent", "transient", "temporary")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Subscription(Ref):
    """Made by `Consumer.subscribe_to`; compared by identity, valid until it is cancelled or either end is gone.

    Attributes:
        max_demand: most events asked for and not yet handled.
        min_demand: when no more than these are outstanding, the consumer asks again.
        cancel: what the end of the subscription means to the consumer: `permanent` it ends too, with the same
            reason; `transient` only if the reason is abnormal; `temporary` it goes on.
        manual: the consumer calls `ask` itself.
        partition: for producers that dispatch by partition.
        select: for producers that broadcast: only events for which this is true are sent.
    """

    producer: Process
    consumer: Process
    max_demand: int
    min_demand: int
    cancel: CancelMode
    manual: bool
    partition: Hashable
    select: Callable[[Any], bool] | None

    def __repr__(self) -> str:
        return f"<subscription of {self.consumer} to {self.producer}, {self.min_demand} to {self.max_demand}>"


def demand_range(max_demand: int, min_demand: int | None) -> tuple[int, int]:
    """Check the limits of a subscription; (max, min), where min defaults to half of max, as in GenStage.

    Raises:
        ValueError: not 0 <= min_demand < max_demand.
    """
    low = max_demand // 2 if min_demand is None else min_demand
    if not 0 <= low < max_demand:
        raise ValueError(
            f"max_demand={max_demand}, min_demand={low}: max_demand must be at least 1, "
            "min_demand at least 0 and below max_demand"
        )
    return max_demand, low
