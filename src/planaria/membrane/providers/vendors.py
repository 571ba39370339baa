"""The services a node knows by name: their address, the variable of their key, and a model for each tier.

Data only. A service that is not here is added in `planaria.toml`, under `[models.providers.NAME]`.
Model names as the vendors' lists had them in November 2026; when one is retired the provider answers that it has no
such model, and the name is changed here, or by naming the model in full.
"""

import msgspec

from planaria.membrane.providers.openai_compatible import Quirks


class VendorSpec(msgspec.Struct, frozen=True):
    """One service.

    Args:
        name: what people write before the slash.
        kind: wire dialect, `openai` or `anthropic`.
        key_variables: environment variables that may hold the key; the first that is set counts.
        light, medium, heavy: its model for each tier.
    """

    name: str
    kind: str
    base_url: str
    key_variables: tuple[str, ...]
    light: str
    medium: str
    heavy: str
    quirks: Quirks = Quirks()

    def tier(self, tier: str) -> str:
        """The model of a tier; the medium one for a word that is no tier."""
        return {"light": self.light, "heavy": self.heavy}.get(tier, self.medium)

    @property
    def models(self) -> tuple[str, ...]:
        """The models named here, each once."""
        return tuple(dict.fromkeys((self.medium, self.heavy, self.light)))


# Order is preference: the first with a key gives the default.
VENDORS: tuple[VendorSpec, ...] = (
    VendorSpec(
        "anthropic",
        "anthropic",
        "https://api.anthropic.com/v1",
        ("ANTHROPIC_API_KEY",),
        light="claude-haiku-5-5",
        medium="claude-sonnet-5-5",
        heavy="claude-opus-5-5",
    ),
    VendorSpec(
        "openai",
        "openai",
        "https://api.openai.com/v1",
        ("OPENAI_API_KEY",),
        light="gpt-6-luna",
        medium="gpt-6.1-terra",
        heavy="gpt-6-sol",
        # gpt-6-astra and gpt-6.1-sol are not among these: they cannot stop thinking, so here they take no tools.
        quirks=Quirks(
            max_tokens_key="max_completion_tokens", unthinking_tools=r"gpt-(5\.[4-9]|6-(sol|luna)|6\.1-terra)"
        ),
    ),
    VendorSpec(
        "gemini",
        "openai",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        light="gemini-flash-lite-latest",
        medium="gemini-flash-latest",
        heavy="gemini-pro-latest",
        quirks=Quirks(call_extras=True),
    ),
    VendorSpec(
        "openrouter",
        "openai",
        "https://openrouter.ai/api/v1",
        ("OPENROUTER_API_KEY",),
        light="openrouter/auto",
        medium="openrouter/auto",
        heavy="openrouter/auto",
        quirks=Quirks(reasoning_back="reasoning_details", file_urls=True, extra={"usage": {"include": True}}),
    ),
    VendorSpec(
        "mistral",
        "openai",
        "https://api.mistral.ai/v1",
        ("MISTRAL_API_KEY",),
        light="mistral-small-latest",
        medium="mistral-medium-latest",
        heavy="mistral-large-latest",
        quirks=Quirks(ask_usage=False, nine_character_ids=True),
    ),
    VendorSpec(
        "deepseek",
        "openai",
        "https://api.deepseek.com/v1",
        ("DEEPSEEK_API_KEY",),
        light="deepseek-v4-flash",
        medium="deepseek-v4-flash",
        heavy="deepseek-v4-pro",
        # It thinks when an effort is asked for; then a tool loop has to send its thinking back.
        quirks=Quirks(schema="json_object", reasoning_back="reasoning_content", thinking_switch=True),
    ),
    VendorSpec(
        "xai",
        "openai",
        "https://api.x.ai/v1",
        ("XAI_API_KEY",),
        light="grok-4-fast",
        medium="grok-4.7",
        heavy="grok-4.7",
    ),
    VendorSpec(
        "groq",
        "openai",
        "https://api.groq.com/openai/v1",
        ("GROQ_API_KEY",),
        light="openai/gpt-oss-20b",
        medium="openai/gpt-oss-120b",
        heavy="openai/gpt-oss-120b",
    ),
)

BY_NAME = {vendor.name: vendor for vendor in VENDORS}
