"""Which models answer on this node, in words for people.

The node hands `partial(models_view, latest)` to the dashboard; pure, and cheap enough for every look.
"""

from planaria.membrane.models.catalogue import OFFLINE
from planaria.membrane.models.directory import Latest
from planaria.membrane.models.models import ProviderView
from planaria.nerve.web.site import ModelLine, ModelsView


def models_view(latest: Latest) -> ModelsView:
    """The providers, and whether the built-in offline model has to answer."""
    providers = latest.models.describe()
    offline = any(provider.default and provider.name == OFFLINE for provider in providers)
    broken = [provider for provider in providers if provider.problem]
    return ModelsView(
        offline=offline,
        text=_offline_text(broken) if offline else "",
        rows=tuple(ModelLine(provider.name, _line(provider)) for provider in providers),
    )


def _offline_text(broken: list[ProviderView]) -> str:
    if broken:
        return (
            f"Answers come from the built-in offline model, because of {broken[0].name}: {broken[0].problem}"
        )
    return (
        "No model service is set up, so answers come from the built-in offline model: it follows rules and is no "
        "language model. Name a service under [models] in planaria.toml, or set its key in the environment."
    )


def _line(provider: ProviderView) -> str:
    if provider.problem:
        return provider.problem
    known = ", ".join(provider.models[:4]) + (
        f" and {len(provider.models) - 4} more" if len(provider.models) > 4 else ""
    )
    said = [word for word in (known, provider.where, "the default" if provider.default else "") if word]
    return " · ".join(said)
