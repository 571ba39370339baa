"""What a person writes of a provider becomes settings, or words about what is wrong."""

import pytest

from planaria.config.providers import LimitSettings, ModelDetails, ProviderSettings, merged
from planaria.membrane.models.changes import without
from planaria.membrane.models.editing import BadChange, Change, change_of, check_name, fields


def test_fields_are_written_as_people_write_them():
    change = change_of(
        {
            "base_url": "https://models.example.org/v1",
            "models": "one, two",
            "priority": "5",
            "enabled": "off",
            "limits.usd_per_day": "2.50",
            "about.gpt-4.1:latest.tiers": "light,medium",
            "about.gpt-4.1:latest.usd_in": "0.5",
            "kind": "",
        }
    )
    details = ModelDetails(usd_in=0.5, tiers=("light", "medium"))
    assert change == Change(
        ProviderSettings(
            base_url="https://models.example.org/v1",
            models=("one", "two"),
            about={"gpt-4.1:latest": details},
            priority=5,
            enabled=False,
            limits=LimitSettings(usd_per_day=2.5),
        ),
        ("kind",),
    )


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("priorty", "5", "there is no field 'priorty': did you mean 'priority'?"),
        ("limts.queue", "5", "did you mean 'limits.queue'?"),
        ("limits.queue", "many", "limits.queue cannot be 'many': expected int"),
        ("limits.queue", "-1", "expected int >= 0"),
        ("about.m.abilities", "tools,flying", "about.m.abilities cannot be 'tools,flying'"),
        ("about.m", "light", "'about.m' is a group"),
        ("base_url", "http://models.example.org", "unencrypted"),
        ("base_url", "https://user:secret-word@h.example", "carries a password"),
        ("kind", "telepathy", "kind cannot be 'telepathy'"),
    ],
)
def test_what_cannot_be_is_said_with_the_mend(field: str, value: str, said: str):
    with pytest.raises(BadChange) as caught:
        change_of({field: value})
    assert said in str(caught.value)
    assert "secret-word" not in str(caught.value)


def test_a_key_in_place_of_its_variables_name_is_not_repeated():
    with pytest.raises(BadChange, match="planaria provider key") as caught:
        change_of({"api_key_env": "sk-0123456789"})
    assert "0123456789" not in str(caught.value)


@pytest.mark.parametrize("name", ["Work", "a b", "offline", "light", "", "ä"])
def test_not_every_word_is_a_name(name: str):
    with pytest.raises(BadChange):
        check_name(name)


def test_every_field_can_be_written_and_unsaid():
    values = {
        "kind": "openai",
        "base_url": "https://h.example",
        "tiers": "light",
        "abilities": "json",
        "api_key_env": "A_KEY",
    }
    for field in fields():
        path = field.replace("MODEL", "m.1")
        name = path.rpartition(".")[2]
        given = values.get(name, "yes" if name in ("local", "enabled", "elsewhere") else "7")
        said = change_of({path: given}).said
        assert said != ProviderSettings(), field
        left = without(said, change_of({path: ""}).unset)
        assert left in (ProviderSettings(), ProviderSettings(about={"m.1": ModelDetails()})), field


def test_what_is_said_above_stands_over_what_is_below_and_a_key_stays_with_its_address():
    below = ProviderSettings("openai", "https://a.example", "A_KEY", ("m",), limits=LimitSettings(queue=3))
    above = ProviderSettings(priority=2, limits=LimitSettings(concurrency=1))
    both = merged(below, above)
    assert (both.base_url, both.api_key_env, both.priority) == ("https://a.example", "A_KEY", 2)
    assert both.limits == LimitSettings(concurrency=1, queue=3)
    assert merged(below, ProviderSettings(base_url="https://b.example")).api_key_env is None
