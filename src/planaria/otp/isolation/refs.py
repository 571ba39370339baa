"""References of both ends by number: a reference is equal to itself after the way there and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from planaria.otp.kernel.message import Ref

REFS = 10_000
"""References of each side that are remembered, newest kept: tokens travel back soon or not at all."""


class RemoteRef(Ref):
    """Stands for a monitor, timer or task of the other side: it can be compared and sent back, nothing else."""

    __slots__ = ()


class Refs:
    """The references one end has sent, and those it has got.

    Args:
        number: makes a number nothing else of this end has.
    """

    def __init__(self, number: Callable[[], int]) -> None:
        self.number = number
        self._ours: OrderedDict[int, Ref] = OrderedDict()
        self._our_numbers: dict[Ref, int] = {}
        self._theirs: OrderedDict[int, RemoteRef] = OrderedDict()
        self._their_numbers: dict[Ref, int] = {}

    def token(self, ref: Ref) -> tuple[bool, int]:
        """How a reference travels: whether it is the other side's, and its number there or here."""
        theirs = self._their_numbers.get(ref)
        if theirs is not None:
            return True, theirs
        number = self._our_numbers.get(ref)
        if number is None:
            number = self._our_numbers[ref] = self.number()
            self._ours[number] = ref
            if len(self._ours) > REFS:
                del self._our_numbers[self._ours.popitem(last=False)[1]]
        return False, number

    def of(self, ours: bool, number: int) -> Ref:
        """The reference a token stands for."""
        known: Ref | None = self._ours.get(number) if ours else self._theirs.get(number)
        if known is not None:
            return known
        ref = RemoteRef()
        if not ours:
            self._theirs[number] = ref
            self._their_numbers[ref] = number
            if len(self._theirs) > REFS:
                del self._their_numbers[self._theirs.popitem(last=False)[1]]
        return ref
