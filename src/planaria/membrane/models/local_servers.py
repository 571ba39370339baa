"""Model servers on this machine: Ollama (or where OLLAMA_HOST points) and LM Studio, found by asking them."""

from collections.abc import Mapping

import msgspec

from planaria.membrane.errors import BadAddress, ProviderError
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.membrane.wire.http_stream import Limits


class LocalServer(msgspec.Struct, frozen=True):
    """A model server on this machine (or where OLLAMA_HOST points): found, with what it has loaded, or in trouble."""

    name: str
    base_url: str
    models: tuple[str, ...] = ()
    problem: str = ""


async def probe(environ: Mapping[str, str], within: float = 0.5) -> list[LocalServer]:
    """The model servers that answer on this machine: Ollama (or where OLLAMA_HOST points) and LM Studio.

    Never raises for a server that is not there; a variable that cannot be used comes back as a problem.
    Args:
        within: seconds each may take to connect, and again to answer.
    """
    found: list[LocalServer] = []
    given = environ.get("OLLAMA_HOST", "").strip()
    for name, url, wanted in (
        ("ollama", ollama_url(given), bool(given)),
        ("lmstudio", "http://127.0.0.1:1234/v1", False),
    ):
        try:
            provider = OpenAICompatible(name, url, limits=Limits(within, within, within))
        except BadAddress as error:
            found.append(LocalServer(name, url, problem=f"OLLAMA_HOST: {error}"))
            continue
        try:
            loaded = tuple(model.id for model in await provider.models())
        except ProviderError as error:
            if wanted:
                found.append(LocalServer(name, url, problem=f"OLLAMA_HOST is set, but {error}"))
            continue
        finally:
            provider.close()
        hint = "it has no model yet: run `ollama pull NAME`" if name == "ollama" else "load a model there"
        found.append(LocalServer(name, url, loaded, "" if loaded else hint))
    return found


def ollama_url(host: str) -> str:
    """The base URL for a value of OLLAMA_HOST, by Ollama's own rules; empty is this machine."""
    scheme, mark, rest = host.partition("://")
    if not mark:
        scheme, rest = "http", host
    rest = rest.rstrip("/")
    place, colon, port = rest.rpartition(":")
    if not colon or not port.isdigit() or rest.endswith("]"):
        place, port = rest, {"http": "80", "https": "443"}.get(scheme, "") if mark else "11434"
    # 0.0.0.0 is where the server listens; one connects to this machine.
    place = "127.0.0.1" if place in ("", "0.0.0.0", "[::]") else place  # noqa: S104 (nothing is bound)
    return f"{scheme}://{place}:{port}/v1"
