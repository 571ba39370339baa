"""What the kernel's benchmark measures, how much of it, and what the figures should come to beside the BEAM's."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Row:
    """One operation.

    Args:
        operation: what the subjects are asked for.
        unit: of the figures.
        n: how many of the thing one round does; processes alive for `growth_*`.
        rounds: how often each subject does it, in turns.
        peer_n: what a peer does in a round; 0: peers are not asked.
        target, target_compiled: the ratio to the BEAM that is wanted, at most.
        fresh: each round in a new program, since what was allocated before would be seen.
    """

    operation: str
    unit: str
    n: int
    rounds: int = 7
    peer_n: int = 0
    target: float | None = None
    target_compiled: float | None = None
    fresh: bool = False


ROWS = (
    Row("call", "ns", 100_000, 7, 2_000, 1.0, 0.7),
    Row("call_async", "ns", 100_000, 7, 2_000, 1.15, 1.0),
    Row("cast", "ns", 1_000_000, 5, 2_000, 2.5, 1.3),
    Row("spawn_exit", "ns", 50_000, 7, 2_000, 1.3, 0.8),
    Row("start_stop", "ns", 20_000, 7, 200, 0.6, 0.4),
    Row("restart", "us", 2_000, 7, 2, 1.0, 0.8),
    Row("broadcast", "ms", 10_000, 7, 10_000, 1.3, 0.9),
    Row("fan_out", "s", 100_000, 3, 100_000, 0.8, 0.5),
    Row("idle_bytes", "bytes", 100_000, 3, 100_000, 0.15, 0.15, fresh=True),
    Row("idle_bytes", "bytes", 1_000_000, 2, 0, 0.15, 0.15, fresh=True),
    Row("linked_bytes", "bytes", 100_000, 2, 0, fresh=True),
    Row("timer", "ms", 10_000, 3),
)
"""`linked_bytes` is idle_bytes with a link to the starter; `timer` is how late timers are beside n busy servers."""

GROWTH = (1_000, 10_000, 100_000, 1_000_000)
"""Servers alive while the operations of `GROWTH_OPERATIONS` are measured."""
GROWTH_OPERATIONS = ("growth_start", "growth_call", "growth_cast", "growth_spawn_exit")
"""What one request for `growth` answers, in this order."""
GROWTH_ROUNDS = 2

QUICK = 20
"""What `--quick` divides by."""


def quick(row: Row) -> Row:
    """The same row in a fraction of the time; for a look, not for the record."""
    return replace(row, n=max(10, row.n // QUICK), peer_n=min(row.peer_n, 1_000), rounds=min(row.rounds, 2))
