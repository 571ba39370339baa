"""`planaria.toml`: what is accepted, and how every mistake is named."""

from pathlib import Path

import pytest

from planaria.config.errors import SettingsError
from planaria.config.providers import ProviderSettings
from planaria.config.settings import (
    JournalSettings,
    ModelSettings,
    NodeSettings,
    Settings,
    WebSettings,
    load_settings,
    parse_settings,
)

FILE = Path("planaria.toml")


def refused(text: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, FILE)
    return caught.value


def test_an_empty_file_is_a_complete_one() -> None:
    assert parse_settings("", FILE) == Settings(
        zone="UTC",
        node=NodeSettings(name="garden"),
        web=WebSettings(host="127.0.0.1", port=4747, allow_remote=False),
        journal=JournalSettings(path=".planaria/journal.db", commit_interval=0.0),
        models=ModelSettings(default=None, providers={}),
    )


def test_every_key_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "planaria.toml").write_text(
        """
zone = "Europe/Berlin"
node.name = "attic"
[web]
host = "::1"
port = 80
[journal]
path = "data/j.db"
commit_interval = 0.002
[models]
default = "local/tiny"
[models.providers.local]
kind = "openai"
base_url = "http://127.0.0.1:8080/v1"
api_key_env = "LOCAL_KEY"
models = ["tiny", "small"]
[models.providers.claude]
kind = "anthropic"
"""
    )
    settings = load_settings(tmp_path)
    assert settings.zone == "Europe/Berlin"
    assert settings.node.name == "attic"
    assert settings.web == WebSettings(host="::1", port=80)
    assert settings.journal.commit_interval == 0.002
    assert settings.journal.file(tmp_path) == tmp_path / "data/j.db"
    assert settings.models.default == "local/tiny"
    assert settings.models.providers == {
        "local": ProviderSettings("openai", "http://127.0.0.1:8080/v1", "LOCAL_KEY", ("tiny", "small")),
        "claude": ProviderSettings("anthropic"),
    }
    assert settings.secret_variables() == {"LOCAL_KEY"}


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_valid_one() -> None:
    error = refused('zone = "UTC"\n\n# the dashboard\n[web]\nhost = "127.0.0.1"\n\nprot = 80\n')
    assert str(error) == "unknown key 'prot' in [web], line 7 of planaria.toml; did you mean 'port'?"
    assert (error.line, error.key) == (7, "web.prot")


def test_an_unknown_table_is_named() -> None:
    error = refused("\n[wbe]\nport = 80\n")
    assert str(error) == "unknown key 'wbe' at the top level, line 2 of planaria.toml; did you mean 'web'?"


def test_a_key_near_to_nothing_gets_the_list_of_known_ones() -> None:
    known = "known keys: path, database, database_env, commit_interval, retention"
    assert refused("[journal]\nxyzzy = 1").mend == known


def test_retention_is_an_age_for_each_class() -> None:
    settings = parse_settings('[journal.retention]\ntools = "90d"\nruns = "2y"', FILE)
    assert (settings.journal.retention.tools, settings.journal.retention.runs) == ("90d", "2y")
    assert settings.journal.retention.conversations == "forever"
    assert "known keys: conversations, models" in refused('[journal.retention]\nxyzzy = "1d"').mend


@pytest.mark.parametrize("age", ["90", "0d", "-1d", "90 days", "1h", "", "1.5y"])
def test_an_age_that_is_none_is_named_with_what_to_write(age: str) -> None:
    error = refused(f'[journal.retention]\ntools = "{age}"')
    assert f"'journal.retention.tools' is '{age}', line 2" in str(error)
    assert 'write a number of days, weeks or years, at least a day: "90d", "12w", "2y"' in error.mend


def test_an_unknown_key_of_a_provider_is_found_below_its_name() -> None:
    error = refused('[models.providers."local"]\nbase_ulr = "http://x"\n')
    assert (error.key, error.line) == ("models.providers.local.base_ulr", 2)
    assert "did you mean 'base_url'?" in str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[web]\nport = 70000", "'web.port' is 70000, line 2 of planaria.toml; expected int <= 65535"),
        ("[web]\nport = 0", "'web.port' is 0, line 2 of planaria.toml; expected int >= 1"),
        ('[web]\nport = "80"', "'web.port' is '80', line 2 of planaria.toml; expected int, got str"),
        ("[web]\nport = true", "'web.port' is true, line 2 of planaria.toml; expected int, got bool"),
        ("web = 3", "'web' must be a table, not 3, line 1 of planaria.toml; write [web]"),
        (
            "[models]\nproviders = []",
            "'providers' must be a table, line 2 of planaria.toml; write [models.providers.NAME]",
        ),
        (
            "[watchdog]\nwarn = 1.0\nlimit = 0.5",
            (
                "'watchdog.limit' is 0.5, below 'watchdog.warn' (1), line 3 of planaria.toml;"
                " write the longer time as limit, or 0 for none"
            ),
        ),
        (
            "[journal]\ncommit_interval = -1",
            "'journal.commit_interval' is -1, line 2 of planaria.toml; expected float >= 0.0",
        ),
    ],
)
def test_a_wrong_type_or_range_is_named(text: str, message: str) -> None:
    assert str(refused(text)) == message


def test_a_wrong_element_of_a_list_is_named() -> None:
    error = refused('[models.providers.local]\nmodels = [\n  "a",\n  3,\n]\n')
    assert (error.key, error.line) == ("models.providers.local.models", 2)


def test_bad_toml_is_named_with_its_line() -> None:
    error = refused("zone = 'UTC'\n[web\nport = 1")
    assert error.line == 2
    assert "not valid TOML" in str(error) and "line 2 of planaria.toml" in str(error)


def test_bad_toml_at_the_end_is_on_the_last_line() -> None:
    assert refused('zone = "UTC"\nnode = "').line == 2


def test_a_literal_key_is_refused_and_not_repeated() -> None:
    error = refused('[models.providers.openai]\napi_key = "sk-verysecret"\n')
    assert "api_key_env" in error.mend
    assert "sk-verysecret" not in str(error)
    assert error.line == 2


def test_a_key_in_place_of_a_variable_name_is_refused_and_not_repeated() -> None:
    error = refused('[models.providers.openai]\napi_key_env = "sk-very-secret"\n')
    assert "sk-very-secret" not in str(error)


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    error = refused('[models.providers.openai]\nbase_url = "https://me:hunter22@example.org"\n')
    assert "hunter22" not in str(error)


@pytest.mark.parametrize("address", ["localhost:80", "ftp://x", "http://", "http://[::1", "http://x:99999"])
def test_a_base_url_must_be_absolute(address: str) -> None:
    assert refused(f'[models.providers.a]\nbase_url = "{address}"\n').key == "models.providers.a.base_url"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org"])
def test_a_host_open_to_others_needs_allow_remote(host: str) -> None:
    error = refused(f'[web]\nhost = "{host}"\n')
    assert "allow_remote = true" in error.mend and error.line == 2
    assert parse_settings(f'[web]\nhost = "{host}"\nallow_remote = true\n', FILE).web.host == host


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_a_local_host_is_accepted(host: str) -> None:
    assert parse_settings(f'[web]\nhost = "{host}"\n', FILE).web.host == host


@pytest.mark.parametrize("host", ["", "a b", "http://x", "127.0.0.1:80", "-x", "999.1.1.1"])
def test_a_host_must_be_an_address_or_name(host: str) -> None:
    assert "no address or host name" in str(refused(f'[web]\nhost = "{host}"\nallow_remote = true\n'))


@pytest.mark.parametrize("path", ["../j.db", "a/../../j.db", "..", ".", "", "~/j.db"])
def test_the_journal_stays_inside_the_garden(path: str) -> None:
    assert refused(f'[journal]\npath = "{path}"\n').key == "journal.path"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://planaria@db.example.org/garden",
        "postgres://localhost:5433/garden?sslmode=verify-full",
        "postgresql:///garden?host=/run/postgresql",
        "postgresql://u@one:5432,two:5433/garden?target_session_attrs=read-write",
        "postgresql://u@[::1]:5432/garden",
    ],
)
def test_the_journal_may_be_in_a_database(address: str) -> None:
    settings = parse_settings(f'[journal]\ndatabase = "{address}"\n', FILE)
    assert settings.journal.database == address


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("mysql://localhost/garden", "does not begin with postgresql://"),
        ("postgresql://localhost", "names no database"),
        ("postgresql://localhost/", "names no database"),
        ("postgresql://localhost:99999/garden", "has a host or port that cannot be"),
        ("postgresql://[::1/garden", "is no address"),
        ("garden", "does not begin with postgresql://"),
    ],
)
def test_an_address_that_cannot_work_is_refused(address: str, problem: str) -> None:
    error = refused(f'[journal]\ndatabase = "{address}"\n')
    assert (error.problem, error.line) == (f"'journal.database' {problem}", 2)
    assert "postgresql://planaria@localhost/garden" in error.mend


@pytest.mark.parametrize("address", ["postgresql://u:hunter2@h/d", "postgresql://u@h/d?password=hunter2"])
def test_a_password_in_the_file_is_refused_and_not_shown(address: str) -> None:
    error = refused(f'[journal]\ndatabase = "{address}"\n')
    assert "has a password" in error.problem and "PGPASSWORD" in error.mend
    assert "hunter2" not in str(error)


def test_the_variable_that_has_the_address_is_named_not_quoted() -> None:
    settings = parse_settings('[journal]\ndatabase_env = "JOURNAL"\n', FILE)
    assert settings.journal.database_env == "JOURNAL"
    assert "JOURNAL" in settings.secret_variables()
    error = refused('[journal]\ndatabase_env = "postgresql://u:hunter2@h/d"\n')
    assert "hunter2" not in str(error) and error.line == 2


def test_the_journal_is_in_one_place() -> None:
    error = refused('[journal]\npath = "j.db"\ndatabase = "postgresql://h/d"\n')
    assert error.problem == "'path' and 'database' both say where the journal is"
    assert (error.line, error.mend) == (3, "keep one of the two")


def test_the_journal_may_be_elsewhere_by_an_absolute_path(tmp_path: Path) -> None:
    settings = parse_settings('[journal]\npath = "/var/lib/j.db"\n', FILE)
    assert settings.journal.file(tmp_path) == Path("/var/lib/j.db")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", ""])
def test_a_zone_must_exist(zone: str) -> None:
    error = refused(f'\nzone = "{zone}"\n')
    assert (error.key, error.line) == ("zone", 2)


@pytest.mark.parametrize("name", ["", "a b", "../x", "A", "x" * 64])
def test_a_node_name_is_plain(name: str) -> None:
    assert refused(f'[node]\nname = "{name}"\n').key == "node.name"


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no settings file.*create planaria.toml there") as caught:
        load_settings(tmp_path)
    assert caught.value.line is None


def test_a_file_in_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "planaria.toml").write_bytes(b"# ok\n# caf\xe9\n")
    with pytest.raises(SettingsError, match="not UTF-8") as caught:
        load_settings(tmp_path)
    assert caught.value.line == 2


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "planaria.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(tmp_path)


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        parse_settings("", FILE).zone = "other"  # type: ignore[misc]


def test_telemetry_is_off_until_it_is_set() -> None:
    settings = parse_settings("", FILE)
    assert settings.telemetry.otlp_endpoint is None and not settings.telemetry.content
    assert (settings.log.level, settings.log.format, settings.log.file) == ("warning", "human", None)
    assert settings.web.metrics_token_env is None


def test_names_of_variables_that_hold_tokens_and_headers_are_secret_variables() -> None:
    text = """
[web]
metrics_token_env = "SCRAPE"
[telemetry]
otlp_endpoint = "https://otel.example.org/v1/traces"
otlp_headers_env = "HEADERS"
"""
    assert parse_settings(text, FILE).secret_variables() == {"SCRAPE", "HEADERS"}


def test_a_token_in_place_of_its_variables_name_is_refused_and_not_shown() -> None:
    error = refused('[web]\nmetrics_token_env = "s3cret-token!"\n')
    assert "not the name of a variable" in str(error) and "s3cret" not in str(error)
    assert error.line == 2


def test_an_endpoint_must_be_an_address_without_a_password() -> None:
    assert "'otlp_endpoint' is 'localhost:4318'" in str(
        refused('[telemetry]\notlp_endpoint = "localhost:4318"\n')
    )
    error = refused('[telemetry]\notlp_endpoint = "http://ada:hunter2@otel.example.org/"\n')
    assert "password" in str(error) and "hunter2" not in str(error)


def test_a_level_or_format_there_is_not_is_refused() -> None:
    assert "log.level" in str(refused('[log]\nlevel = "loud"\n'))
    assert "log.format" in str(refused('[log]\nformat = "xml"\n'))
    assert "log.file" in str(refused('[log]\nfile = "~/node.log"\n'))


def test_search_sandbox_and_hosts_near_by() -> None:
    settings = parse_settings(
        """
[search]
service = "searxng"
base_url = "http://127.0.0.1:8888/"
[sandbox]
backend = "landlock"
memory_mb = 1024
read = ["/opt/node"]
[web_access]
private = ["NAS.local:8080", "192.168.1.5", "[fd12:0::1]:81"]
""",
        FILE,
    )
    assert settings.search.url == "http://127.0.0.1:8888"
    assert (settings.sandbox.backend, settings.sandbox.memory_mb) == ("landlock", 1024)
    assert settings.sandbox.read == ("/opt/node",)
    assert settings.web_access.places() == {
        ("nas.local", 8080),
        ("192.168.1.5", 80),
        ("192.168.1.5", 443),
        ("fd12::1", 81),
    }


def test_the_variable_with_the_key_of_the_search_service_holds_a_secret() -> None:
    settings = parse_settings('[search]\nservice = "brave"\nkey_env = "BRAVE_API_KEY"', FILE)
    assert settings.search.url == "https://api.search.brave.com"
    assert "BRAVE_API_KEY" in settings.secret_variables()


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ('[search]\nservice = "searxng"', "search.service", "'search.base_url' is missing"),
        ('[search]\nbase_url = "http://a"', "search", "[search] names no service"),
        ('[search]\nservice = "bing"', "search.service", "'search.service' is 'bing'"),
        ('[search]\nservice = "brave"\nkey_env = "BSA-x1"', "search.key_env", "not the name of a variable"),
        ('[search]\nservice = "searxng"\nbase_url = "http://a?q=1"', "search.base_url", "without ?"),
        ("[sandbox]\nmemory_mb = 1", "sandbox.memory_mb", "16"),
        ('[sandbox]\nbackend = "docker"', "sandbox.backend", "'sandbox.backend' is 'docker'"),
        ('[sandbox]\nread = ["~/x"]', "sandbox.read", "absolute path"),
        ('[sandbox]\nread = ["/"]', "sandbox.read", "name the folder"),
        ('[sandbox]\nread = ["/proc/1"]', "sandbox.read", "name the folder"),
        ('[sandbox]\nread = ["/srv"]', "sandbox.read", "apart from the garden"),
        ('[sandbox]\nread = ["/srv/garden/code"]', "sandbox.read", "apart from the garden"),
        ("[sandbox]\nmemory = 5", "sandbox.memory", "did you mean 'memory_mb'"),
        ('[web_access]\nprivate = ["*.local"]', "web_access.private", "write one host and port"),
        ('[web_access]\nprivate = ["10.0.0.0/8"]', "web_access.private", "write one host and port"),
        ('[web_access]\nprivate = ["http://nas:80"]', "web_access.private", "write one host and port"),
        ('[web_access]\nprivate = ["nas:*"]', "web_access.private", "write one host and port"),
        ('[web_access]\nprivate = ["nas:0"]', "web_access.private", "write one host and port"),
        ('[web_access]\nprivate = ["2130706433"]', "web_access.private", "write one host and port"),
        ('[web_access]\nprivate = ["169.254.169.254"]', "web_access.private", "never fetched from"),
        ('[web_access]\nprivate = ["[fe80::1]:80"]', "web_access.private", "never fetched from"),
        ('[web_access]\nprivate = ["0.0.0.0:80"]', "web_access.private", "never fetched from"),
    ],
)
def test_search_sandbox_and_hosts_near_by_that_cannot_work(text: str, key: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, Path("/srv/garden/planaria.toml"))
    assert caught.value.key == key
    assert said in str(caught.value)


def test_a_server_that_is_reached_by_its_address_has_no_sandbox_to_speak_of(tmp_path):
    (tmp_path / "planaria.toml").write_text(
        '[mcp.servers.far]\nurl = "https://tracker.example.org/mcp"\nsandbox = false\n'
    )
    with pytest.raises(SettingsError, match="'sandbox' is about a program, and this server has a url"):
        load_settings(tmp_path)
