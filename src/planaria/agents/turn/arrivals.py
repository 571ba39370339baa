"""What becomes of a message that arrives while its agent is at work. Pure.

    arrivals: steer        # in the agent's front matter; a message may say its own

- `queue` (default): it waits for a turn of its own.
- `steer`: the running turn takes it in before its next model call, and its reply answers it.
- `collect`: it waits; all that wait when the next turn begins are one turn, with one reply.
- `interrupt`: the running turn is stopped, what it had said stays, and the message has the next turn.

A message that was taken in is answered by the same reply (`MessageSaid.answers`): each ends answered once, whatever is
killed meanwhile, since `turn.steered` is in the journal before the model sees it.
"""

from collections.abc import Collection, Iterable

from planaria.agents.turn.turn import Turn
from planaria.rooms.message import Arrivals, Delivery

POLICIES: tuple[Arrivals, ...] = ("queue", "steer", "collect", "interrupt")
INTERRUPTED = "there is something new"
"""Why a turn that is interrupted was stopped."""
MOST_TAKEN_IN = 20
"""Messages one turn takes in; more wait for the next."""


def policy_of(delivery: Delivery, own: Arrivals) -> Arrivals:
    """The policy for one message: its own word, else its agent's."""
    return delivery.message.arrivals or own


def in_order(
    waiting: Iterable[Delivery], begun: Collection[tuple[str, int]], own: Arrivals
) -> list[Delivery]:
    """What waits for a session that starts, as it would have come to it: what is begun, what interrupts, the rest.

    So one that interrupts does not stop what had only waited behind it.

    Args:
        begun: messages, with the attempt at each, whose turns have begun and not ended.
    """

    def rank(each: Delivery) -> int:
        if (each.message.id, each.attempt) in begun:
            return 0
        return 1 if policy_of(each, own) == "interrupt" else 2

    return sorted(waiting, key=rank)


def to_collect(turn: Turn, waiting: Iterable[Delivery], own: Arrivals) -> list[Delivery]:
    """Those that wait and are taken into a turn that begins now, oldest first: if its own message may be collected.

    One that interrupts has a turn of its own.
    """
    merged = ("collect", "steer")
    if policy_of(Delivery(turn.message), own) not in merged:
        return []
    return [each for each in waiting if policy_of(each, own) in merged][:MOST_TAKEN_IN]


def to_steer(turn: Turn, waiting: Iterable[Delivery], own: Arrivals) -> list[Delivery]:
    """Those that a turn takes in before its next model call, oldest first."""
    left = MOST_TAKEN_IN - len(turn.answers)
    return [each for each in waiting if policy_of(each, own) == "steer"][: max(left, 0)]
