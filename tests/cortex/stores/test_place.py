"""Where a garden's journal is kept."""

import importlib
from pathlib import Path

import pytest

from planaria.config.errors import SettingsError
from planaria.config.settings import JournalSettings
from planaria.cortex.stores.place import JournalPlace
from planaria.cortex.stores.postgres.store import PostgresStore
from planaria.cortex.stores.sqlite.store import SqliteStore


def test_without_a_database_it_is_a_file(tmp_path: Path) -> None:
    place = JournalPlace(JournalSettings(), tmp_path, {})
    assert isinstance(place(), SqliteStore)
    assert (place.shown, place.is_database) == (str(tmp_path / ".planaria/journal.db"), False)


def test_a_database_is_named_by_its_address(tmp_path: Path) -> None:
    place = JournalPlace(JournalSettings(database="postgresql://me@db:5433/garden"), tmp_path, {})
    assert isinstance(place(), PostgresStore)
    assert (place.shown, place.servers) == ("postgresql://me@db:5433/garden", [("db", 5433)])
    assert str(tmp_path) in place.holder


def test_a_variable_may_have_the_address_and_its_password_is_shown_nowhere(tmp_path: Path) -> None:
    environ = {"JOURNAL": "postgresql://me:hunter2@db/garden"}
    place = JournalPlace(JournalSettings(database_env="JOURNAL"), tmp_path, environ)
    assert place.shown == "postgresql://me@db/garden"
    assert "hunter2" not in repr(place) + repr(place()) + place.holder


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({}, "the variable JOURNAL, which is to have the address of the journal's database, is not set"),
        (
            {"JOURNAL": "mysql://me:hunter2@db/garden"},
            "what the variable JOURNAL has does not begin with postgresql://",
        ),
    ],
)
def test_a_variable_without_an_address_is_refused(
    tmp_path: Path, environ: dict[str, str], problem: str
) -> None:
    with pytest.raises(SettingsError) as found:
        JournalPlace(JournalSettings(database_env="JOURNAL"), tmp_path, environ)
    assert found.value.problem == problem
    assert "hunter2" not in str(found.value)


def test_without_the_driver_the_mend_is_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named 'asyncpg' ({name})", name="asyncpg")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SettingsError, match=r"pip install 'planaria\[postgres\]'") as found:
        JournalPlace(JournalSettings(database="postgresql://db/garden"), tmp_path, {})
    assert "asyncpg is not installed" in found.value.problem
    JournalPlace(JournalSettings(), tmp_path, {})  # a file needs no driver
