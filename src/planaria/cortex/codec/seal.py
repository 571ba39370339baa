"""Sealing what belongs to a subject, so that destroying one key erases it wherever it lies.

Each subject has a key of 32 random bytes, kept in the store wrapped with the garden's master key. Three keys follow
from it: one seals payloads, one seals contents, one gives contents their addresses. AES-256-GCM throughout.
A sealed payload is the byte 2, the key's generation (2 bytes), and the packed payload with its tag of 16 bytes. Its
nonce is the hash of the event's header, which holds an id of its own and the time, and so need not be kept; the
header is authenticated with it: an event's payload opens in no other event.
A content is addressed by HMAC under its subject's key, so that whoever guesses a text cannot see whether it was said.
Does badly: what is not payload (session, kind, times, the subject's name) is not sealed.
"""

import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from planaria.cortex.errors import SealError
from planaria.cortex.store import SubjectKey

SEALED = 2
_MARK = bytes([SEALED])
_KEY_SIZE = 32
_NONCE_SIZE = 12


class NotOpened(ValueError):
    """These bytes were not sealed with this key for this event or content."""


class SubjectCipher:
    """Seals and opens with one subject's key of one generation."""

    __slots__ = ("_contents", "_naming", "_payloads", "_prefix", "generation")

    def __init__(self, key: bytes, generation: int) -> None:
        self.generation = generation
        self._prefix = _MARK + generation.to_bytes(2)
        self._payloads = AESGCM(_derived(key, b"payload"))
        self._contents = AESGCM(_derived(key, b"content"))
        self._naming = _derived(key, b"address")

    def __repr__(self) -> str:
        return f"SubjectCipher(generation={self.generation})"

    def seal(self, packed: bytes, header: bytes) -> bytes:
        """Seal a packed payload for the event with this header."""
        return self._prefix + self._payloads.encrypt(_nonce(header), packed, header)

    def open(self, sealed: bytes, header: bytes) -> bytes:
        """The packed payload; raises `NotOpened`."""
        try:
            return self._payloads.decrypt(_nonce(header), sealed[3:], header)
        except InvalidTag:
            raise NotOpened from None

    def address(self, text: bytes) -> str:
        """The hash a content of this subject is kept under."""
        return hmac.digest(self._naming, text, "sha256").hex()

    def seal_content(self, packed: bytes, address: str) -> bytes:
        """Seal a packed content. Equal contents give equal bytes: the nonce is taken from the address."""
        named = bytes.fromhex(address)
        return self._prefix + self._contents.encrypt(named[:_NONCE_SIZE], packed, named)

    def open_content(self, sealed: bytes, address: str) -> bytes:
        """The packed content; raises `NotOpened`."""
        named = bytes.fromhex(address)
        try:
            return self._contents.decrypt(named[:_NONCE_SIZE], sealed[3:], named)
        except (InvalidTag, ValueError):  # the second for an address that is none
            raise NotOpened from None


class MasterKey:
    """The garden's key, which wraps those of its subjects.

    Args:
        key: 32 bytes.
        source: where it is from, for messages.
    """

    def __init__(self, key: bytes, source: str = "the master key") -> None:
        if len(key) != _KEY_SIZE:
            raise SealError(
                f"{source} has {len(key)} bytes instead of {_KEY_SIZE}", "put the right file back"
            )
        self.source = source
        self._cipher = AESGCM(key)
        self._secrets = AESGCM(_derived(key, b"secrets"))

    def __repr__(self) -> str:
        return f"MasterKey({self.source!r})"

    def new_key(self, subject: str, generation: int) -> SubjectKey:
        """A new key for a subject."""
        nonce = os.urandom(_NONCE_SIZE)
        wrapped = self._cipher.encrypt(nonce, os.urandom(_KEY_SIZE), _label(subject, generation))
        return SubjectKey(subject, generation, nonce + wrapped)

    def cipher(self, key: SubjectKey) -> SubjectCipher | None:
        """What this key seals with; None if it was destroyed.

        Raises:
            SealError: another master key wrapped it.
        """
        if key.wrapped is None:
            return None
        nonce, wrapped = key.wrapped[:_NONCE_SIZE], key.wrapped[_NONCE_SIZE:]
        try:
            opened = self._cipher.decrypt(nonce, wrapped, _label(key.subject, key.generation))
        except InvalidTag:
            problem = f"{self.source} does not open the key of {key.subject!r} in the journal"
            raise SealError(problem, "put back the master key this journal was written with") from None
        return SubjectCipher(opened, key.generation)

    def seal_secret(self, name: str, text: str) -> bytes:
        """Seal a secret text under its name: it opens under no other."""
        nonce = os.urandom(_NONCE_SIZE)
        return nonce + self._secrets.encrypt(nonce, text.encode(), name.encode())

    def open_secret(self, name: str, sealed: bytes) -> str:
        """The text of a sealed secret.

        Raises:
            SealError: another master key sealed it, or it was sealed under another name.
        """
        try:
            return self._secrets.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], name.encode()).decode()
        except (InvalidTag, ValueError):
            problem = f"{self.source} does not open the secret {name!r}"
            raise SealError(
                problem, "put back the master key it was sealed with, or give the secret again"
            ) from None


def load_master_key(path: Path) -> MasterKey:
    """The key in a file, made with mode 0600 if the file is missing.

    Raises:
        SealError: the file cannot be read or written, or holds no key.
    """
    try:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(os.urandom(_KEY_SIZE).hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
        return MasterKey(bytes.fromhex(path.read_text(encoding="ascii")), str(path))
    except OSError as error:
        mend = "make it readable for this user alone, or put a copy back"
        raise SealError(f"{path} cannot be used: {error.strerror}", mend) from error
    except ValueError as error:
        raise SealError(f"{path} holds no key", "put the right file back") from error


def generation_of(sealed: bytes) -> int:
    """Which of its subject's keys sealed this."""
    return int.from_bytes(sealed[1:3])


def is_sealed(kept: bytes) -> bool:
    """Whether a payload or content as kept is sealed."""
    return kept[:1] == _MARK


def _nonce(header: bytes) -> bytes:
    return hashlib.sha256(header).digest()[:_NONCE_SIZE]


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, b"planaria " + purpose, "sha256")


def _label(subject: str, generation: int) -> bytes:
    return f"{generation} {subject}".encode()
