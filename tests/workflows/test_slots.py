"""Cron slots, daylight saving included."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from planaria.workflows.slots import due_slot, next_slot


def at(text, zone="UTC", fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def utc(stamp):
    return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d %H:%M")


def slots(cron, zone, start, count):
    found, now = [], start
    for _ in range(count):
        now = next_slot(cron, zone, now)
        found.append(utc(now))
    return found


def test_the_next_slot_is_later_than_the_time_given():
    assert utc(next_slot("*/15 * * * *", "UTC", at("2026-03-01 12:00"))) == "2026-03-01 12:15"
    assert utc(next_slot("*/15 * * * *", "UTC", at("2026-03-01 12:14:59"))) == "2026-03-01 12:15"


def test_slots_are_read_in_the_zone():
    assert slots("0 7 * * *", "Europe/Berlin", at("2026-01-10 00:00"), 2) == [
        "2026-01-10 06:00",
        "2026-01-11 06:00",
    ]
    assert slots("0 7 * * *", "Europe/Berlin", at("2026-07-10 00:00"), 1) == ["2026-07-10 05:00"]


def test_a_time_that_is_skipped_in_spring_runs_right_after_the_gap_and_once():
    assert slots("30 2 * * *", "Europe/Berlin", at("2026-03-28 12:00"), 2) == [
        "2026-03-29 01:00",
        "2026-03-30 00:30",
    ]


def test_a_time_that_comes_twice_in_autumn_runs_once():
    assert slots("30 2 * * *", "Europe/Berlin", at("2026-10-24 12:00"), 2) == [
        "2026-10-25 00:30",
        "2026-10-26 01:30",
    ]


def test_a_schedule_of_every_half_hour_follows_the_clock_through_both_changes():
    autumn = slots("*/30 * * * *", "Europe/Berlin", at("2026-10-25 02:00", "Europe/Berlin"), 4)
    assert autumn == ["2026-10-25 00:30", "2026-10-25 01:00", "2026-10-25 01:30", "2026-10-25 02:00"]
    spring = slots("*/30 * * * *", "Europe/Berlin", at("2026-03-29 01:30", "Europe/Berlin"), 2)
    assert spring == ["2026-03-29 01:00", "2026-03-29 01:30"]


def test_the_latest_of_many_missed_slots_is_due():
    since, now = at("2026-03-01 12:01"), at("2026-03-01 13:07")
    assert utc(due_slot("*/15 * * * *", "UTC", since, now)) == "2026-03-01 13:00"


def test_nothing_is_due_before_the_next_slot():
    assert due_slot("*/15 * * * *", "UTC", at("2026-03-01 12:00"), at("2026-03-01 12:14:59")) is None


def test_a_slot_is_due_at_its_very_second_and_not_twice():
    slot = at("2026-03-01 12:15")
    assert due_slot("*/15 * * * *", "UTC", at("2026-03-01 12:00"), slot) == slot
    assert due_slot("*/15 * * * *", "UTC", slot, slot + 30) is None


def test_a_year_of_downtime_is_looked_through_quickly():
    since, now = at("2025-01-01 00:00"), at("2026-06-01 00:00:30")
    assert utc(due_slot("* * * * *", "UTC", since, now)) == "2026-06-01 00:00"
    assert utc(due_slot("0 0 29 2 *", "UTC", at("2024-01-01 00:00"), now)) == "2024-02-29 00:00"


def test_a_clock_set_back_makes_nothing_due():
    assert due_slot("* * * * *", "UTC", at("2026-06-01 00:00"), at("2026-05-01 00:00")) is None
