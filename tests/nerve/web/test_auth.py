"""Login tokens and sessions: what opens the dashboard, and for how long."""

import stat

import pytest

from planaria.nerve.web.auth import (
    LOGIN_LIFE,
    MAX_LOGINS,
    MAX_SESSIONS,
    SESSION_LIFE,
    Damaged,
    Keyring,
    cookie_name,
    forget,
    issue,
    knows,
    load,
    redeem,
    save,
    set_aside,
)

NOW = 1_700_000_000.0


def logged_in() -> tuple[Keyring, str]:
    ring, token = issue(Keyring(), NOW)
    ring, session = redeem(ring, token, NOW)
    assert session is not None
    return ring, session


def test_a_token_gives_a_session_once():
    ring, token = issue(Keyring(), NOW)
    ring, session = redeem(ring, token, NOW)
    assert session is not None and knows(ring, session, NOW)
    again, second = redeem(ring, token, NOW)
    assert second is None
    assert again == ring


def test_an_unknown_token_opens_nothing_and_changes_nothing():
    ring, _ = issue(Keyring(), NOW)
    assert redeem(ring, "guess", NOW) == (ring, None)


def test_a_token_is_too_old_after_a_day():
    ring, token = issue(Keyring(), NOW)
    assert redeem(ring, token, NOW + LOGIN_LIFE)[1] is None


def test_a_session_ends_after_its_life():
    ring, session = logged_in()
    assert knows(ring, session, NOW + SESSION_LIFE - 1)
    assert not knows(ring, session, NOW + SESSION_LIFE)


def test_a_forgotten_session_is_not_known():
    ring, session = logged_in()
    assert not knows(forget(ring, session), session, NOW)


def test_neither_a_token_nor_a_session_hash_is_a_session():
    ring, token = issue(Keyring(), NOW)
    assert not knows(ring, token, NOW)
    ring, _session = logged_in()
    assert not knows(ring, ring.sessions[0].hash, NOW)


def test_secrets_are_kept_as_hashes_only(tmp_path):
    ring, token = issue(Keyring(), NOW)
    ring, session = redeem(ring, token, NOW)
    ring, second = issue(ring, NOW)
    save(tmp_path / "keys.json", ring)
    text = (tmp_path / "keys.json").read_text()
    assert token not in text and second not in text and str(session) not in text


def test_only_the_owner_can_read_the_file(tmp_path):
    path = tmp_path / ".planaria" / "keys.json"
    save(path, issue(Keyring(), NOW)[0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_saved_is_loaded(tmp_path):
    ring, _ = logged_in()
    save(tmp_path / "keys.json", ring)
    assert load(tmp_path / "keys.json") == ring
    assert load(tmp_path / "none.json") == Keyring()


@pytest.mark.parametrize("content", [b"{bad", b"\xff", b"[]", b'{"x": ' + b"[" * 100_000])
def test_a_damaged_file_is_told_and_can_be_set_aside(tmp_path, content):
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(Damaged):
        load(path)
    assert set_aside(path).read_bytes() == content
    assert load(path) == Keyring()


@pytest.mark.parametrize(("most", "kind"), [(MAX_LOGINS, "logins"), (MAX_SESSIONS, "sessions")])
def test_old_keys_make_place_for_new_ones(most, kind):
    ring = Keyring()
    for _ in range(most + 3):
        ring, token = issue(ring, NOW)
        if kind == "sessions":
            ring, _ = redeem(ring, token, NOW)
    assert len(getattr(ring, kind)) == most


def test_two_nodes_on_one_machine_have_two_cookies():
    assert cookie_name(4747) != cookie_name(4748)
