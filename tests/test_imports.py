"""What each start loads: a command no more than it needs, and nobody an extra that is not his."""

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "planaria"

EXTRAS = ("asyncpg", "opentelemetry", "google", "requests", "pydantic_ai", "mcp")
"""Packages of the extras; what stands in `[project] dependencies` is everybody's."""
THEIRS = (
    "planaria.cli.mcp_serve",
    "planaria.membrane.mcp.sdk",
    "planaria.cortex.stores.postgres.",
    "planaria.cortex.telemetry.otlp",
    "planaria.testing.otlp_receiver",
    "planaria.membrane.providers.pydantic_ai_bridge",
)
"""The modules that need an extra; those who use them import them when the settings say so."""
DEVELOPERS = ("planaria.testing.stores", "planaria.testing.plugin")  # these need pytest

WEB = ("starlette", "uvicorn", "jinja2", "prometheus_client", "nh3")
EDGE = ("httpx2", "httptools", "feedparser")
STORES = ("apsw", "asyncpg", "cryptography")
NODE = ("planaria.otp.kernel", "asyncio")


def loaded_by(code: str) -> set[str]:
    """The modules, and the packages of them, that a new interpreter has loaded after `code`."""
    program = f"import sys\n{code}\nprint('', *sys.modules, sep='\\0')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = set(done.stdout.strip().split("\0")[1:])  # before the first is what the command itself said
    return names | {name.partition(".")[0] for name in names}


def command(*words: str) -> str:
    """Code that runs `planaria` with these words, whatever its exit code."""
    return f"from planaria.cli import main\nmain({list(words)!r}, standalone_mode=False)"


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("from planaria.cli import main", (*NODE, *STORES, *WEB, *EDGE, *EXTRAS, "msgspec", "rich")),
        (command("--help"), (*NODE, *STORES, *WEB, *EDGE, *EXTRAS)),
        ("import planaria.cli.look, planaria.cli.client", (*NODE, *STORES, *WEB, *EDGE, *EXTRAS)),
        ("import planaria.cli.journal", (*NODE, *STORES, *WEB, *EDGE, *EXTRAS)),
        ("import planaria.cli.trace", (*NODE, *STORES, *WEB, *EDGE, *EXTRAS)),
        ("import planaria.otp", (*STORES, *WEB, *EDGE, *EXTRAS, "msgspec")),
        ("import planaria.cortex.event", (*STORES, *WEB, *EDGE, *EXTRAS)),
        ("import planaria.cortex.telemetry.span", (*STORES, *WEB, *EDGE, *EXTRAS)),
        ("import planaria.cortex.journal", ("apsw", *WEB, *EDGE, *EXTRAS)),
        ("import planaria.cortex.live.store", ("apsw", *WEB, *EDGE, *EXTRAS)),
        ("import planaria.node", EXTRAS),
    ],
)
def test_a_start_loads_no_more_than_it_needs(code, absent):
    assert loaded_by(code).isdisjoint(absent)


def test_without_extras_everything_can_be_imported_but_what_needs_one():
    modules = [
        ".".join(["planaria", *file.relative_to(SOURCE).with_suffix("").parts])
        for file in sorted(SOURCE.rglob("*.py"))
        if file.stem not in ("__init__", "__main__")
    ]
    wanted = [name for name in modules if not name.startswith((*THEIRS, *DEVELOPERS))]
    assert len(modules) > len(wanted) > 300
    code = f"""
import importlib
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
for name in {wanted!r}:
    importlib.import_module(name)
"""
    assert loaded_by(code) >= set(wanted)
