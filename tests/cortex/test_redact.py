"""Secrets never reach the journal; ordinary text stays as it is."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.cortex.redact import Flow, Json, Redactor

KEY = "hunter2hunter2"


def masked(value: Json, redactor: Redactor | None = None) -> Json:
    result: Json = msgspec.json.decode((redactor or Redactor()).json(msgspec.json.encode(value)))
    return result


def test_the_value_of_a_secret_variable_is_masked_wherever_it_stands() -> None:
    redactor = Redactor({"OPENAI_API_KEY": KEY})
    value: Json = {"a": f"x{KEY}y", "b": [{"c": KEY}], KEY: 1}
    mask = "[secret OPENAI_API_KEY]"
    assert masked(value, redactor) == {"a": f"x{mask}y", "b": [{"c": mask}], mask: 1}


@pytest.mark.parametrize(
    "secret", ['with "quotes" and \\', "line\nbreak\tand tab", "ümläut-päss", "a/b\u2028c123"]
)
def test_a_secret_that_json_writes_otherwise_is_masked(secret: str) -> None:
    assert masked({"a": f"<{secret}>"}, Redactor({"DB_PASSWORD": secret})) == {"a": "<[secret DB_PASSWORD]>"}


def test_a_secret_whose_small_letters_depend_on_what_follows_is_masked() -> None:
    redactor = Redactor(
        {"A_KEY": "geheim-\u0391\u03a3"}
    )  # ends in a sigma, which is another letter within a word
    assert redactor.json('{"text":"geheim-\u0391\u03a3x"}'.encode()) == b'{"text":"[secret A_KEY]x"}'


@given(
    st.sampled_from(
        ['hunter2\n"\\hunter2', "\u0391\u03a3\u0391\u03a3\u0391\u03a3\u0391\u03a3", "H\u0130UNTER2xyz"]
    ),
    st.text(max_size=60),
)
def test_a_long_text_is_masked_like_a_short_one(secret: str, around: str) -> None:
    redactor = Redactor({"A_KEY": secret})
    assert secret not in redactor.text(around + secret + around + "." * 40)
    for text in (around + secret + around, around + " sk-" + "a" * 20 + " " + around):
        long = text + " " * 40
        assert redactor.text(long) == redactor._secret.sub(redactor._mask, long)


def test_a_variable_the_settings_name_is_secret_whatever_its_name() -> None:
    assert masked([KEY], Redactor({"PLAIN": KEY}, ["PLAIN"])) == ["[secret PLAIN]"]
    assert masked([KEY], Redactor({"PLAIN": KEY})) == [KEY]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://bob:hunter2@example.org/v1?x=1", "https://[secret]@example.org/v1?x=1"),
        ("postgresql://bob:a%40b@db/garden", "postgresql://[secret]@db/garden"),
        ("see https://:token@example.org.", "see https://[secret]@example.org."),
        ("https://example.org/v1?api_key=abcdefgh12&x=1", "https://example.org/v1?api_key=[secret]&x=1"),
        (
            "https://example.org/?a=1&access_token=abcdefgh12#top",
            "https://example.org/?a=1&access_token=[secret]#top",
        ),
        ("http://127.0.0.1:8080/a@b", "http://127.0.0.1:8080/a@b"),
        ("https://example.org/?token=short", "https://example.org/?token=short"),
        ("at https://example.org: ask bob@example.org", "at https://example.org: ask bob@example.org"),
    ],
)
def test_what_an_address_has_of_a_secret_is_masked(address: str, shown: str) -> None:
    assert masked({"url": address}) == {"url": shown}


def test_a_short_value_is_left_alone() -> None:
    assert masked("a test", Redactor({"API_KEY": "test"})) == "a test"


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    redactor = Redactor({"A_KEY": KEY, "B_KEY": KEY + "-more"})
    assert masked(KEY + "-more", redactor) == "[secret B_KEY]"


@pytest.mark.parametrize(
    "key",
    [
        "sk-abcdefghijklmnop1234",
        "sk-ant-api03-abc_DEF-123456789",
        "Bearer abcdefghijklmnop.qrs",
        "ghp_" + "a" * 36,
        "github_pat_" + "A" * 40,
        "xoxb-1234567890-abc",
        "AKIAABCDEFGHIJKLMNOP",
        "AIza" + "b" * 35,
        "123456789:" + "A" * 35,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        "-----BEGIN RSA PRIVATE KEY-----\nabc\ndef\n-----END RSA PRIVATE KEY-----",
    ],
)
@pytest.mark.parametrize("around", ["{}", "key: {} !", "\n{}\n", '"{}"', "\x01{}", "ö{}"])
def test_well_known_shapes_of_keys_are_masked(key: str, around: str) -> None:
    assert masked({"text": around.format(key)}) == {"text": around.format("[secret]")}


@pytest.mark.parametrize("name", ["api_key", "Authorization", "password", "access_token", "Cookie"])
def test_a_value_named_as_a_secret_is_masked(name: str) -> None:
    assert masked({"headers": {name: "abc"}}) == {"headers": {name: "[secret]"}}


@pytest.mark.parametrize(
    "value",
    [
        "the task-force of risk-averse desk-bound people",
        {"tokens": 12, "max_tokens": 400, "password": None, "secret": ""},
        "at 12:30:45 see room:garden and http://127.0.0.1:4747/path",
        "a bearer of bad news",
        {"id": "01ARYZ6S410000000000000000", "sha": "a" * 64},
    ],
)
def test_ordinary_text_stays_as_it_is(value: Json) -> None:
    assert masked(value) == value


def test_payloads_without_secrets_are_handed_back_untouched() -> None:
    encoded = b'{"text":"nothing here"}'
    assert Redactor({"A_KEY": KEY}).json(encoded) is encoded


def test_the_secrets_do_not_show_in_the_redactor() -> None:
    assert KEY not in repr(Redactor({"A_KEY": KEY}))


@settings(deadline=None)  # the machine may be busy
@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ),
    # No digits: a number that happens to hold the secret is left alone.
    st.text(st.characters(exclude_categories=("C", "Z", "Nd"), exclude_characters="[]_"), min_size=10),
)
def test_no_json_holds_the_secret_after_masking(value: Json, secret: str) -> None:
    redactor = Redactor({"MY_TOKEN": secret})
    assert secret not in str(masked([value, f"x{secret}y", {secret: secret}], redactor))


PRIVATE = "-----BEGIN RSA PRIVATE KEY-----\nMIIE ab\ncd\n-----END RSA PRIVATE KEY-----"


@settings(deadline=None)
@given(st.data())
def test_a_text_shown_while_it_is_written_has_the_secrets_masked_that_the_whole_has(
    data: st.DataObject,
) -> None:
    redactor = Redactor({"A_KEY": KEY, "B_PASSWORD": "two words, ünd more"})
    word = st.text(max_size=8) | st.sampled_from(
        [
            KEY,
            "two words, ünd more",
            f"Bearer {KEY}",
            "Bearer",
            " ",
            "\n",
            "sk-",
            "two words",
            PRIVATE,
            PRIVATE[:40],
        ]
    )
    whole = "".join(data.draw(st.lists(word, max_size=12)))
    flow, shown, place = Flow(redactor), "", 0
    while place < len(whole):
        size = data.draw(st.integers(1, 30))
        shown += flow.take(whole[place : place + size])
        place += size
    assert shown + flow.rest() == redactor.text(whole)


def test_words_are_shown_as_soon_as_they_are_over() -> None:
    flow = Flow(Redactor({"A_KEY": KEY}))
    assert [flow.take(piece) for piece in ("one", " tw", "o, 三", "四 ")] == ["", "one ", "two, 三", "四 "]


def test_a_word_without_an_end_takes_no_memory_for_ever() -> None:
    flow = Flow(Redactor())
    assert [flow.take("x" * 10_000) for _ in range(5)] == [""] * 5
    assert flow.take(" and more ") == flow.rest() == ""
