"""The journal of a garden that no node runs, for a command that reads it or looks after it."""

from collections.abc import Mapping
from pathlib import Path

from planaria.config.settings import Settings
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.redact import Redactor
from planaria.cortex.stores.place import JournalPlace, master_key
from planaria.otp import ChildSpec, child


def journal_alone(
    settings: Settings, garden: Path, environ: Mapping[str, str], redactor: Redactor
) -> ChildSpec:
    """The journal, as the one child of a node; whoever starts it holds the garden's lock.

    Raises:
        SettingsError: a variable is not set or holds no address, or the extra is not installed.
        SealError: the master key cannot be used.
    """
    place = JournalPlace(settings.journal, garden, environ)
    return child(Journal, place, JournalOptions(), redactor, master_key(garden), name="journal")
