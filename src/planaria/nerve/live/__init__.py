"""The tables of now that a garden's node keeps, one file each."""

from collections.abc import Sequence

from planaria.cortex.live.projection import Projection
from planaria.nerve.live.accounts import AccountsNow
from planaria.nerve.live.breakers import Breakers
from planaria.nerve.live.processes import Processes
from planaria.nerve.live.providers import Providers
from planaria.nerve.live.runs import Runs
from planaria.nerve.live.sessions import Sessions
from planaria.otp import Node


def projections(node: Node) -> Sequence[Projection]:
    """All of them, empty; what `Live` is started with."""
    return (Sessions(node), Runs(), Providers(), Breakers(node), AccountsNow(node), Processes(node))
