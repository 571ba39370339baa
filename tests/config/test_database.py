"""What a person may see of a database's address."""

import pytest

from planaria.config.database import check_address, shown_address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:hunter2@db:5433/garden?password=hunter2", "postgresql://u@db:5433/garden"),
        ("postgres://u:hunt@er2@db/garden", "postgresql://u@db/garden"),
        ("postgresql:///garden?host=/run/postgresql", "postgresql:///garden"),
        ("postgresql://db", "postgresql://db/"),
        ("postgresql://u:hunter2@[::1/garden", "postgresql://?"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    assert shown_address(address) == shown


def test_an_address_from_the_environment_may_have_a_password() -> None:
    assert check_address("postgresql://u:p@db/garden", password=True) is None
    assert check_address("postgresql://u:p@db/garden", password=False) is not None
