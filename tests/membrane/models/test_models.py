import pytest

from planaria.config.providers import ProviderSettings
from planaria.config.settings import ModelSettings
from planaria.membrane.errors import AuthenticationFailed, ModelNotFound
from planaria.membrane.models.local_servers import LocalServer, ollama_url, probe
from planaria.membrane.models.models import Models
from planaria.membrane.provider import Usage
from planaria.membrane.providers.anthropic import Anthropic
from planaria.testing.model_server import ModelServer

OLLAMA = LocalServer("ollama", "http://127.0.0.1:11434/v1", ("qwen3:8b", "llama3.3:latest"))
KEYS = {"ANTHROPIC_API_KEY": "sk-ant-1", "OPENAI_API_KEY": "sk-1"}


def find(environ=None, local=(), default=None, **providers) -> Models:
    return Models.discover(ModelSettings(default, providers), environ or {}, local)


def test_with_nothing_at_all_the_offline_model_answers_and_says_so():
    models = find()
    for ref in (None, "", "light", "medium", "heavy", "local", "offline", "offline/offline"):
        choice = models.resolve(ref)
        assert (choice.ref, choice.offline) == ("offline/offline", True)


def test_a_key_in_the_environment_is_enough():
    choice = find({"ANTHROPIC_API_KEY": "sk-ant-1"}).resolve()
    assert isinstance(choice.provider, Anthropic)
    assert choice.ref == "anthropic/claude-sonnet-5-5"
    assert not choice.offline


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("OPENAI_API_KEY", "openai"),
        ("ANTHROPIC_API_KEY", "anthropic"),
        ("OPENROUTER_API_KEY", "openrouter"),
        ("GROQ_API_KEY", "groq"),
        ("DEEPSEEK_API_KEY", "deepseek"),
        ("MISTRAL_API_KEY", "mistral"),
        ("XAI_API_KEY", "xai"),
        ("GEMINI_API_KEY", "gemini"),
        ("GOOGLE_API_KEY", "gemini"),
    ],
)
def test_every_known_variable_brings_its_provider(variable, name):
    models = find({variable: "k"})
    assert models.resolve().provider.name == name
    assert [view.where for view in models.describe() if view.name == name] == [variable]


def test_a_blank_key_is_no_key():
    assert find({"OPENAI_API_KEY": "  "}).resolve().offline


def test_tiers_are_the_default_providers_models():
    models = find(KEYS)
    assert models.resolve("light").ref == "anthropic/claude-haiku-5-5"
    assert models.resolve("heavy").ref == "anthropic/claude-opus-5-5"
    assert find(KEYS, default="openai/gpt-4.1").resolve("light").ref == "openai/gpt-6-luna"


def test_the_default_of_the_settings_counts():
    assert find(KEYS, default="openai/gpt-4.1").resolve().ref == "openai/gpt-4.1"
    assert find(KEYS, default="light").resolve().ref == "anthropic/claude-haiku-5-5"
    assert find(KEYS, (OLLAMA,), default="local").resolve().ref == "ollama/qwen3:8b"


def test_a_default_that_is_not_there_is_an_error_and_no_other_model():
    with pytest.raises(AuthenticationFailed, match="ANTHROPIC_API_KEY"):
        find({"OPENAI_API_KEY": "k"}, default="anthropic/claude-sonnet-5-5").resolve()


def test_a_model_is_named_in_full_with_slashes_of_its_own():
    assert (
        find({"OPENROUTER_API_KEY": "k"}).resolve("openrouter/meta-llama/llama-4").model
        == "meta-llama/llama-4"
    )


def test_a_known_model_or_a_provider_alone_is_enough():
    models = find(KEYS, (OLLAMA,))
    assert models.resolve("gpt-6-luna").ref == "openai/gpt-6-luna"
    assert models.resolve("qwen3:8b").ref == "ollama/qwen3:8b"
    assert models.resolve("openai").ref == "openai/gpt-6.1-terra"
    assert models.resolve("ollama/llama3.3").ref == "ollama/llama3.3:latest"


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("ollama/qwen4:8b", "nearest: ollama/qwen3:8b"),
        ("claude-sonet-5-5", "anthropic/claude-sonnet-5-5"),
        ("zzz", "there is anthropic, openai, ollama"),
        ("antropic/claude-sonnet-5-5", "anthropic/claude-sonnet-5-5"),
    ],
)
def test_a_missing_model_says_what_is_nearest(ref, words):
    with pytest.raises(ModelNotFound, match=words):
        find(KEYS, (OLLAMA,)).resolve(ref)


def test_a_known_provider_without_a_key_names_the_variable():
    with pytest.raises(
        AuthenticationFailed, match=r"no key for groq: set GROQ_API_KEY, or .*; there is anth"
    ):
        find(KEYS).resolve("groq/llama-3.3-70b-versatile")


def test_a_local_model_is_never_replaced_by_one_elsewhere():
    with pytest.raises(ModelNotFound, match="start Ollama"):
        find(KEYS).resolve("local")


def test_keys_go_before_local_servers_and_these_before_offline():
    assert find(KEYS, (OLLAMA,)).resolve().provider.name == "anthropic"
    assert find({}, (OLLAMA,)).resolve().ref == "ollama/qwen3:8b"
    assert find({}, (OLLAMA,)).resolve("heavy").ref == "ollama/qwen3:8b"
    assert find({}, (OLLAMA,)).resolve("local").ref == "ollama/qwen3:8b"


def test_local_servers_can_change_while_the_rest_stays():
    models = find(KEYS, (OLLAMA,)).with_local(
        [LocalServer("lmstudio", "http://127.0.0.1:1234/v1", ("gemma",))]
    )
    assert [view.name for view in models.describe()] == ["anthropic", "openai", "lmstudio", "offline"]
    assert models.resolve("local").ref == "lmstudio/gemma"


# --- planaria.toml ------------------------------------------------------------------------


def test_a_configured_provider_goes_first():
    models = find(KEYS, vllm=ProviderSettings("openai", "http://127.0.0.1:8000/v1", None, ("my-model",)))
    assert models.resolve().ref == "vllm/my-model"
    assert models.resolve("light").ref == "vllm/my-model"
    assert models.resolve("local").ref == "vllm/my-model"


def test_a_configured_provider_with_a_known_name_need_not_repeat_what_is_known():
    models = find({"WORK_KEY": "k"}, anthropic=ProviderSettings(api_key_env="WORK_KEY"))
    choice = models.resolve()
    assert isinstance(choice.provider, Anthropic)
    assert choice.ref == "anthropic/claude-sonnet-5-5"
    assert str(choice.provider.client.address) == "https://api.anthropic.com/v1"


def test_a_known_services_key_is_not_sent_to_another_address_unless_named():
    models = find({"OPENAI_API_KEY": "k"}, openai=ProviderSettings(base_url="https://proxy.example/v1"))
    provider = models.resolve("openai/gpt-4.1").provider
    assert "authorization" not in provider.headers()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (ProviderSettings(api_key_env="NOT_SET"), "set base_url"),
        (ProviderSettings(base_url="https://x.example/v1", api_key_env="NOT_SET"), "set NOT_SET"),
        (ProviderSettings(base_url="http://x.example/v1"), "unencrypted"),
        (ProviderSettings(base_url="http://127.0.0.1:1/v1"), "needs a model's name"),
    ],
)
def test_a_provider_that_cannot_be_used_says_why_when_it_is_wanted(given, words):
    models = find(KEYS, mine=given)
    assert models.resolve("medium").provider.name in ("anthropic", "mine") or True
    with pytest.raises((ModelNotFound, AuthenticationFailed), match=words):
        models.resolve("mine")


def test_plain_http_abroad_can_be_allowed_for_one_provider():
    settings = ModelSettings(None, {"mine": ProviderSettings(base_url="http://x.example/v1", models=("m",))})
    assert Models.discover(settings, {}, allow_http=("mine",)).resolve().ref == "mine/m"


# --- for people ---------------------------------------------------------------------------


def test_the_description_tells_all_but_the_keys():
    bad = ProviderSettings(base_url="https://x.example/v1", api_key_env="NOT_SET")
    views = find(KEYS, (OLLAMA,), mine=bad).describe()
    assert [(view.name, view.where, view.default) for view in views] == [
        ("mine", "planaria.toml [models.providers.mine]", False),
        ("anthropic", "ANTHROPIC_API_KEY", True),
        ("openai", "OPENAI_API_KEY", False),
        ("ollama", "found at http://127.0.0.1:11434", False),
        ("offline", "built in", False),
    ]
    assert "NOT_SET" in views[0].problem
    assert "sk-" not in repr(views)


def test_no_key_shows_in_what_the_models_are_made_of():
    models = find(KEYS)
    provider = models.resolve().provider
    assert "sk-ant" not in f"{provider} {provider!r} {vars(provider)}"


def test_costs_are_known_where_prices_are_and_nothing_is_paid_at_home():
    models = find(
        KEYS, (OLLAMA,), proxy=ProviderSettings(base_url="https://x.example/v1", models=("gpt-4.1",))
    )
    usage = Usage(1000, 1000)
    assert models.cost_micro("openai", "gpt-4.1", usage) == 10_000
    assert models.cost_micro("openai", "gpt-99", usage) is None
    assert models.cost_micro("proxy", "gpt-4.1", usage) is None
    assert models.cost_micro("ollama", "qwen3:8b", usage) == 0
    assert models.cost_micro("ollama", "gpt-oss:120b-cloud", usage) is None
    assert models.cost_micro("offline", "offline", usage) == 0
    assert models.cost_micro("nobody", "x", usage) is None


# --- local servers ------------------------------------------------------------------------


async def test_a_running_server_is_found_with_its_models():
    async with ModelServer(models=("qwen3:8b",)) as server:
        found = await probe({"OLLAMA_HOST": f"127.0.0.1:{server.port}"})
    ollama = next(server for server in found if server.name == "ollama")
    assert ollama.models == ("qwen3:8b",)
    assert find({}, found).resolve("local").ref == "ollama/qwen3:8b"


async def test_a_server_without_models_is_told_with_the_mend():
    async with ModelServer(models=()) as server:
        found = await probe({"OLLAMA_HOST": f"127.0.0.1:{server.port}"})
    models = find({}, found)
    assert models.resolve().offline
    assert any("ollama pull" in view.problem for view in models.describe())


@pytest.mark.parametrize(
    ("host", "words"), [("127.0.0.1:1", "OLLAMA_HOST is set, but"), ("http://8.8.8.8:1", "unencrypted")]
)
async def test_a_server_that_was_named_and_is_not_there_is_told(host, words):
    found = await probe({"OLLAMA_HOST": host})
    assert words in next(server.problem for server in found if server.name == "ollama")
    assert find({}, found).resolve().offline


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434/v1"),
        ("box", "http://box:11434/v1"),
        ("box:8080", "http://box:8080/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080/v1"),
        (":8080", "http://127.0.0.1:8080/v1"),
        ("http://box:8080/", "http://box:8080/v1"),
        ("http://box", "http://box:80/v1"),
        ("https://box", "https://box:443/v1"),
        ("[::1]:8080", "http://[::1]:8080/v1"),
        ("[::1]", "http://[::1]:11434/v1"),
    ],
)
def test_ollamas_variable_is_read_as_ollama_reads_it(host, url):
    assert ollama_url(host) == url
