"""Limits are checked where they are written."""

import pytest

from planaria.otp import Limits, child
from tests.otp.isolation.residents import Desk


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"memory": "lots"}, "not understood"),
        ({"memory": "1 MB"}, "at least 64 MiB"),
        ({"memory": 1.5}, "text such as '512 MB'"),
        ({"cpu": "10"}, "write seconds as int or float"),
        ({"cpu": 0}, "at least 1 seconds"),
        ({"files": 3}, "at least 32 descriptors"),
        ({"files": True}, "write descriptors as int"),
    ],
)
def test_a_wrong_limit_is_refused_with_a_word_what_to_write(wrong, error):
    with pytest.raises((TypeError, ValueError), match=error):
        Limits(**wrong)


@pytest.mark.parametrize(
    ("amount", "size"), [("512 MB", 512_000_000), ("1.5 GiB", 1610612736), (100 << 20, 100 << 20)]
)
def test_memory_is_written_as_bytes_or_with_a_unit(amount, size):
    assert Limits(memory=amount).memory_bytes == size


@pytest.mark.parametrize(
    "options",
    [{"isolation": "vm"}, {"limits": Limits(cpu=1)}, {"isolation": "worker", "limits": "512 MB"}],
)
def test_an_unknown_isolation_or_limits_without_a_worker_are_refused(options):
    with pytest.raises((TypeError, ValueError), match=r"isolation|limits"):
        child(Desk, **options)
