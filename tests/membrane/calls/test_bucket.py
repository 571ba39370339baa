"""A token bucket: a burst at once, then evenly."""

import random

import pytest

from planaria.membrane.calls.bucket import Bucket


def test_a_minute_s_worth_at_once_and_the_rest_evenly():
    bucket = Bucket(60, at=0.0)
    for _ in range(60):
        assert bucket.wait(1, 0.0) == 0.0
        bucket.take(1, 0.0)
    assert bucket.wait(1, 0.0) == pytest.approx(1.0)
    assert bucket.wait(1, 1.0) == 0.0
    assert bucket.wait(10, 1.0) == pytest.approx(9.0)


def test_what_is_larger_than_the_bucket_waits_until_it_is_full_and_is_paid_off_afterwards():
    bucket = Bucket(100, at=0.0)
    assert bucket.wait(1000, 0.0) == 0.0
    bucket.take(1000, 0.0)
    assert bucket.wait(1, 0.0) == pytest.approx(901 * 0.6)


def test_what_was_taken_too_much_is_given_back():
    bucket = Bucket(100, at=0.0)
    bucket.take(100, 0.0)
    bucket.take(-40, 0.0)
    assert bucket.wait(40, 0.0) == 0.0
    bucket.take(-1000, 0.0)
    assert bucket.level == 100


def test_a_smaller_limit_keeps_what_was_taken():
    bucket = Bucket(100, at=0.0)
    bucket.take(80, 0.0)
    bucket.resize(50, 0.0)
    assert bucket.wait(1, 0.0) > 0.0
    bucket.resize(200, 0.0)
    assert bucket.wait(100, 0.0) == 0.0


def test_over_any_time_no_more_goes_through_than_the_burst_and_the_flow():
    chance = random.Random(3)
    bucket, at, taken = Bucket(30, at=0.0), 0.0, 0
    while at < 600.0:
        at += chance.random()
        while bucket.wait(1, at) == 0.0 and chance.random() < 0.8:
            bucket.take(1, at)
            taken += 1
    assert 250 < taken <= 30 + 300
