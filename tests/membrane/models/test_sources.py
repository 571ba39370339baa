"""Where providers come from, and which word counts."""

from planaria.config.providers import LimitSettings, ModelDetails, ProviderSettings
from planaria.config.secret import Secret
from planaria.config.settings import ModelSettings
from planaria.membrane.models.catalogue import FREE, CatalogueProvider, ProviderLimits
from planaria.membrane.models.changes import GivenKey
from planaria.membrane.models.facts import load_known
from planaria.membrane.models.local_servers import LocalServer
from planaria.membrane.models.models import Models
from planaria.membrane.models.prices import ModelPrice
from planaria.membrane.models.sources import Declared, Sources, declare
from planaria.membrane.providers.bridge import BridgeProvider

OLLAMA = LocalServer("ollama", "http://127.0.0.1:11434/v1", ("qwen3:8b", "gpt-oss:120b-cloud"))
KEY = GivenKey(Secret("sk-from-the-database"), "https://api.openai.com")


def declared(
    environ: dict[str, str] | None = None,
    local: tuple[LocalServer, ...] = (),
    keys: dict[str, GivenKey] | None = None,
    in_file: dict[str, ProviderSettings] | None = None,
    **stored: ProviderSettings,
) -> dict[str, Declared]:
    sources = Sources(ModelSettings(None, in_file or {}), environ or {}, local, stored, keys or {})
    assert "sk-" not in repr(sources)
    return {each.provider.name: each for each in declare(sources, load_known())}


def only(name: str, **more: object) -> CatalogueProvider:
    return declared(**more)[name].provider  # type: ignore[arg-type]


def test_what_is_known_of_a_vendors_models_comes_from_the_tables():
    models = {each.id: each for each in only("anthropic", environ={"ANTHROPIC_API_KEY": "k"}).models}
    light = models["claude-haiku-5-5"]
    assert light.tiers == ("light",)
    assert light.context_tokens is not None
    assert light.prices is not None
    assert light.abilities is not None
    assert {"tools", "vision"} <= light.abilities
    unknown = only("openrouter", environ={"OPENROUTER_API_KEY": "k"}).models[0]
    assert (unknown.context_tokens, unknown.prices, unknown.abilities) == (None, None, None)


def test_the_database_stands_over_the_file_and_the_file_over_what_was_found():
    in_file = {"work": ProviderSettings(base_url="https://a.example/v1", models=("m",), priority=1)}
    above = ProviderSettings(priority=7, limits=LimitSettings(concurrency=2, queue=0, usd_per_day=1.5))
    work = only("work", in_file=in_file, work=above)
    assert (work.base_url, work.priority, work.source) == ("https://a.example/v1", 7, "database")
    assert work.where == "the garden's database, over planaria.toml [models.providers.work]"
    assert work.limits == ProviderLimits(concurrency=2, queue=None, micro_usd_per_day=1_500_000)
    found = only("openai", environ={"OPENAI_API_KEY": "k"}, openai=ProviderSettings(enabled=False))
    assert (found.enabled, found.where) == (False, "the garden's database, over OPENAI_API_KEY")
    near = only("ollama", local=(OLLAMA,), ollama=ProviderSettings(priority=3))
    assert [each.id for each in near.models] == list(OLLAMA.models)
    assert near.complete


def test_order_is_priority_then_file_database_environment_found_and_the_rules_last():
    in_file = {"a": ProviderSettings(base_url="https://a.example", models=("m",))}
    b = ProviderSettings(base_url="https://b.example", models=("m",), priority=-1)
    c = ProviderSettings(base_url="https://c.example", models=("m",))
    found = declared({"XAI_API_KEY": "k", "OPENAI_API_KEY": "k"}, (OLLAMA,), None, in_file, b=b, c=c)
    assert list(found) == ["a", "c", "openai", "xai", "ollama", "b", "offline"]


def test_a_key_of_the_database_is_used_before_the_environments_and_at_its_own_address_alone():
    openai = declared({"OPENAI_API_KEY": "k"}, keys={"openai": KEY})["openai"]
    assert openai.key == KEY.key
    assert openai.key_source == "the garden's database"
    moved = declared(keys={"openai": KEY}, openai=ProviderSettings(base_url="https://evil.example/v1"))[
        "openai"
    ]
    assert moved.key is None
    assert "was given for https://api.openai.com, not for https://evil.example" in moved.provider.problem
    plain = ProviderSettings(base_url="http://10.0.0.1/v1")
    other = declared(keys={"box": GivenKey(Secret("k" * 9), "http://10.0.0.1:8000")}, box=plain)["box"]
    assert other.key is None
    broken = only("openai", keys={"openai": GivenKey(problem="its key cannot be opened")})
    assert broken.problem == "its key cannot be opened"


def test_what_is_near_but_hands_on_is_not_local():
    models = {each.id: each for each in only("ollama", local=(OLLAMA,)).models}
    assert models["qwen3:8b"].prices == FREE
    assert models["gpt-oss:120b-cloud"].elsewhere
    assert models["gpt-oss:120b-cloud"].prices is None
    proxy = ProviderSettings(base_url="http://127.0.0.1:4000/v1", models=("m",), local=False)
    assert not only("proxy", proxy=proxy).local
    assert not only("far", far=ProviderSettings(base_url="https://far.example", local=True)).local
    abroad = LocalServer("ollama", "https://ollama.example.org/v1", ("m",))
    assert not only("ollama", local=(abroad,)).local


def test_what_is_said_of_a_model_stands_over_the_tables():
    said = ModelDetails(5000, 500, 1.25, 10.0, abilities=("json",), tiers=("heavy",), priority=2)
    (model,) = only("w", w=ProviderSettings(base_url="https://w.example", about={"m": said})).models
    assert (model.context_tokens, model.max_output_tokens) == (5000, 500)
    assert model.prices == ModelPrice(1_250_000, 10_000_000)
    assert model.abilities == frozenset({"json"})
    assert (model.tiers, model.priority) == (("heavy",), 2)


def test_a_service_behind_the_bridge_needs_no_address_and_is_imported_by_nobody_yet():
    bridged = ProviderSettings(kind="pydantic-ai:bedrock", models=("nova",))
    sources = Sources(ModelSettings(), {}, (), {"aws": bridged})
    choice = Models(sources).resolve("aws/nova")
    assert isinstance(choice.provider, BridgeProvider)
    assert not only("aws", aws=bridged).local


def test_a_change_keeps_the_providers_it_does_not_touch():
    a, b = (ProviderSettings(base_url=f"https://{x}.example/v1", models=("m",)) for x in "ab")
    before = Models(Sources(ModelSettings(), {}, (), {"a": a, "b": b}))
    louder = ProviderSettings(base_url="https://a.example/v1", models=("m",), priority=4)
    moved = ProviderSettings(base_url="https://c.example/v1", models=("m",))
    after = before.changed(stored={"a": louder, "b": moved})
    assert after.provider("a") is before.provider("a")
    assert after.provider("b") is not before.provider("b")
