"""The ciphers of subjects a journal has at hand, loaded from its store and made there when somebody is new."""

from collections.abc import Iterable

from planaria.cortex.codec.seal import MasterKey, SubjectCipher
from planaria.cortex.errors import SealError, StoreDamaged
from planaria.cortex.store import EventStore

MOST = 4096
"""Subjects kept at hand; beyond, all are let go and loaded anew."""


class Keyring:
    """Ciphers by subject.

    Args:
        store: where the wrapped keys are.
        master: None to seal nothing: then payloads are kept in plain, and sealed ones cannot be read.
    """

    def __init__(self, store: EventStore, master: MasterKey | None) -> None:
        self._store = store
        self._master = master
        self._latest: dict[str, SubjectCipher] = {}
        self._all: dict[str, dict[int, SubjectCipher | None]] = {}
        self._erasures = 0

    @property
    def seals(self) -> bool:
        """Whether there is a master key: what has a subject is sealed then."""
        return self._master is not None

    def lacks(self, subjects: Iterable[str]) -> set[str]:
        """Those of the subjects that must be fetched before something of theirs is sealed."""
        if self._master is None:
            return set()
        return {subject for subject in subjects if subject and subject not in self._latest}

    async def fetch(self, subjects: Iterable[str]) -> None:
        """Have the latest key of each at hand; whoever has none, or only destroyed ones, gets a new one.

        Raises:
            StoreError, SealError: one of them could not be had.
        """
        assert self._master is not None
        if len(self._all) >= MOST:
            self._all.clear()
            self._latest.clear()
        for subject in subjects:
            ciphers = await self._load(subject)
            generation = max(ciphers, default=0)
            cipher = ciphers.get(generation)
            while cipher is None:
                generation += 1
                key = await self._store.put_subject_key(self._master.new_key(subject, generation))
                cipher = ciphers[generation] = self._master.cipher(key)  # another's, if it was there first
            self._latest[subject] = cipher

    def sealing(self, subject: str) -> SubjectCipher | None:
        """What a subject's payload is sealed with now; None: it is kept in plain."""
        return self._latest.get(subject) if subject else None

    def at_hand(self, subject: str, generation: int) -> SubjectCipher | None:
        """What `opening` answers, if that needs no look into the store; None says nothing."""
        known = self._all.get(subject)
        return None if known is None else known.get(generation)

    async def opening(self, subject: str, generation: int) -> SubjectCipher | None:
        """What was sealed with this key is opened with it; None: it was destroyed.

        Raises:
            StoreDamaged: there never was such a key, or it was taken away without being destroyed by the rules.
            StoreError, SealError: it could not be had.
        """
        known = self._all.get(subject)
        if known is None or generation not in known:
            if len(self._all) >= 2 * MOST:
                self._all.clear()  # those at hand for sealing are kept by `_latest`
            if self._master is None:
                raise SealError(
                    f"what belongs to {subject!r} is sealed", "start the journal with its master key"
                )
            known = await self._load(subject)
        if generation not in known:
            raise StoreDamaged(
                f"key {generation} of {subject!r} is missing", "restore the journal from a copy"
            )
        return known[generation]

    def forget(self, subject: str) -> None:
        """Let go of a subject's keys, as they were destroyed in the store."""
        self._erasures += 1
        self._latest.pop(subject, None)
        self._all.pop(subject, None)

    async def check(self) -> None:
        """See that the master key is the one this store was written with; raises `SealError`."""
        if self._master is not None:
            for key in await self._store.subject_keys():
                if self._master.cipher(key) is not None:
                    return  # one that was not destroyed: it says so for all

    async def _load(self, subject: str) -> dict[int, SubjectCipher | None]:
        assert self._master is not None
        while True:
            erasures = self._erasures
            keys = await self._store.subject_keys(subject)
            if erasures == self._erasures:  # else the keys may have been read before they were destroyed
                break
        ciphers = {key.generation: self._master.cipher(key) for key in keys}
        self._all[subject] = ciphers
        return ciphers
