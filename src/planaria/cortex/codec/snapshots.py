"""Snapshots as they are kept: sealed, as a folded state may hold what persons said.

One key for all of them, the garden's own and not a person's: an erasure drops every snapshot, and none that was folded
before it is taken afterwards (`Snapshot.erasures`). It binds the state to its session, name, version and place.
"""

import msgspec

from planaria.cortex.codec.keyring import Keyring
from planaria.cortex.codec.seal import NotOpened, generation_of, is_sealed
from planaria.cortex.store import Snapshot

SUBJECT = "journal:snapshots"
"""Whom the key belongs to."""
_ADDRESS = 32

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, str, int, int, bytes]).decode


async def seal_snapshot(keyring: Keyring, snapshot: Snapshot) -> Snapshot:
    """As it is kept; in plain if the journal seals nothing.

    Raises:
        StoreError, SealError: the key could not be had.
    """
    if keyring.lacks({SUBJECT}):
        await keyring.fetch({SUBJECT})
    cipher = keyring.sealing(SUBJECT)
    if cipher is None:
        return snapshot
    text = _encode((snapshot.session, snapshot.name, snapshot.version, snapshot.seq, snapshot.data))
    address = cipher.address(text)
    return msgspec.structs.replace(snapshot, data=cipher.seal_content(text, address) + bytes.fromhex(address))


async def open_snapshot(keyring: Keyring, kept: Snapshot) -> Snapshot | None:
    """As it was saved; None if it is none of this journal's: then the state is folded anew.

    Raises:
        StoreError, SealError: the key could not be had.
    """
    if not is_sealed(kept.data):
        return None if keyring.seals else kept
    if not keyring.seals:
        return None
    cipher = await keyring.opening(SUBJECT, generation_of(kept.data))
    if cipher is None:
        return None
    try:
        text = cipher.open_content(kept.data[:-_ADDRESS], kept.data[-_ADDRESS:].hex())
    except NotOpened:
        return None
    *place, data = _decode(text)
    if place != [kept.session, kept.name, kept.version, kept.seq]:
        return None
    return msgspec.structs.replace(kept, data=data)
