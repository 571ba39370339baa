"""What may be said of an LLM service, in `planaria.toml` and in the garden's database alike.

Everything is optional: what is not said is as it was found, or as is known of the service. So the database may change a
limit of a provider whose address stands in the file and whose key is in the environment.
"""

from typing import Annotated, Literal

import msgspec

type Kind = Annotated[str, msgspec.Meta(pattern=r"^(openai|anthropic|pydantic-ai:[a-z0-9_-]+)$")]
type Count = Annotated[int, msgspec.Meta(ge=0)]
type Price = Annotated[float, msgspec.Meta(ge=0)]
type Seconds = Annotated[float, msgspec.Meta(gt=0)]


class LimitSettings(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How much a provider is asked; 0 is no limit, None is not said.

    Args:
        concurrency: calls under way at once; 8 if nobody says.
        requests_per_minute, tokens_per_minute: tokens of prompt and answer together.
        requests_per_day, tokens_per_day, usd_per_day: of the garden's day.
        queue: calls that may wait; 100 if nobody says.
        first_byte_s: seconds until an answer begins; idle_s: seconds between two pieces of it; wordless_s: seconds in
            which it may give signs of life and not a word.
    """

    concurrency: Count | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    requests_per_day: Count | None = None
    tokens_per_day: Count | None = None
    usd_per_day: Price | None = None
    queue: Count | None = None
    first_byte_s: Seconds | None = None
    idle_s: Seconds | None = None
    wordless_s: Seconds | None = None


class ModelDetails(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is said of one model; None is not said.

    Args:
        context_tokens: what prompt and answer may have together.
        usd_in, usd_out, usd_cached, usd_cache_write: price of a million tokens, as vendors write it: 3.0.
        abilities: all it can do.
        tiers: the sizes it serves as.
        priority: the higher, the earlier among the models of its provider.
        elsewhere: its server hands what it is told on to other machines.
    """

    context_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    usd_in: Price | None = None
    usd_out: Price | None = None
    usd_cached: Price | None = None
    usd_cache_write: Price | None = None
    abilities: tuple[Literal["tools", "vision", "thinking", "json", "embeddings"], ...] | None = None
    tiers: tuple[Literal["light", "medium", "heavy"], ...] | None = None
    priority: int | None = None
    elsewhere: bool | None = None


class ProviderSettings(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One LLM service: the protocol it speaks, its address, and the variable that holds its key.

    Args:
        kind: `openai` (chat completions, if nobody says), `anthropic` (messages), or `pydantic-ai:SERVICE`, which is
            reached through Pydantic AI and needs the extra of that name.
        models: names of its models, the provider's own default first.
        about: what is said of single models, by name; a model that is only named here is listed, too.
        priority: the higher, the earlier.
        local: false for a server near by that hands on what it is told; true cannot make a public address local.
        enabled: false to leave it alone.
    """

    kind: Kind | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    models: tuple[str, ...] = ()
    about: dict[str, ModelDetails] = {}
    priority: int | None = None
    local: bool | None = None
    enabled: bool | None = None
    limits: LimitSettings = LimitSettings()


def merged(below: ProviderSettings, above: ProviderSettings) -> ProviderSettings:
    """Both together; where both say something, what `above` says. An address of its own brings its own variable."""
    about = {**below.about}
    for name, details in above.about.items():
        about[name] = _over(about.get(name, ModelDetails()), details)
    both = msgspec.structs.replace(_over(below, above), about=about, limits=_over(below.limits, above.limits))
    if above.base_url is not None and above.base_url != below.base_url and above.api_key_env is None:
        # A key goes nowhere but to the address it was written down with.
        both = msgspec.structs.replace(both, api_key_env=None)
    return both


def _over[S: msgspec.Struct](below: S, above: S) -> S:
    defaults = type(above)()
    said = {
        name: value
        for name in above.__struct_fields__
        if (value := getattr(above, name)) != getattr(defaults, name)
    }
    return msgspec.structs.replace(below, **said)
