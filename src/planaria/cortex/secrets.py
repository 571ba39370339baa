"""Secrets of a garden: keys of services, second factors. Kept in the journal's store, sealed with the master key.

They are no events: they can be changed and let go, and no export, trace or log can have them. The redactor is told of
each at once, so that it is masked wherever it turns up.
Does badly: a secret is in memory while it is used, and a copy of the store together with `journal.key` opens it.
"""

from planaria.config.secret import Secret
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.journal import Journal
from planaria.cortex.redact import SHORTEST, Redactor
from planaria.otp import Server


class SecretTooShort(ValueError):
    """A secret that could not be masked without masking ordinary words."""


class Secrets:
    """Opens and seals the secrets of one garden; may be used by any process.

    Args:
        master: the garden's key.
        redactor: told of every secret that is set or opened.
    """

    def __init__(self, master: MasterKey, redactor: Redactor, journal: Server = "journal") -> None:
        self._master = master
        self._redactor = redactor
        self._journal = journal

    def __repr__(self) -> str:
        return "Secrets(***)"

    async def put(self, name: str, secret: Secret) -> None:
        """Keep a secret in place of any other of its name. On the disk when this returns.

        Args:
            name: `totp:ada`, `provider:openai@https://api.openai.com`; not secret itself. Masks show it up to the @.
        Raises:
            SecretTooShort: it has fewer than 8 characters.
            JournalUnavailable, CallError: it could not be written, or nobody knows.
        """
        text = secret.reveal()
        if len(text) < SHORTEST:
            raise SecretTooShort(
                f"the secret has {len(text)} characters: too short to be masked; it needs {SHORTEST}"
            )
        self._redactor.learn(_shown(name), text)
        await Journal.put_secret(self._journal, name, self._master.seal_secret(name, text))

    async def drop(self, name: str) -> None:
        """Let a secret go; one that is not there is gone already. It stays masked until the node ends."""
        await Journal.put_secret(self._journal, name, None)

    async def get(self, name: str) -> Secret | None:
        """One secret.

        Raises:
            SealError: it does not open.
            JournalUnavailable, CallError: it cannot be read now.
        """
        sealed = (await Journal.secrets(self._journal, name)).get(name)
        return None if sealed is None else self._open(name, sealed)

    async def all(self, prefix: str) -> dict[str, Secret]:
        """The secrets whose name begins with `prefix`; raises as `get`."""
        found = await Journal.secrets(self._journal, prefix)
        return {name: self._open(name, sealed) for name, sealed in found.items()}

    async def names(self, prefix: str = "") -> list[str]:
        """The names alone; nothing is opened."""
        return list(await Journal.secrets(self._journal, prefix))

    def _open(self, name: str, sealed: bytes) -> Secret:
        text = self._master.open_secret(name, sealed)
        self._redactor.learn(_shown(name), text)
        return Secret(text)


def _shown(name: str) -> str:
    """What stands in the mask: a name without what it is bound to (`provider:openai@https://...`)."""
    return name.partition("@")[0]
