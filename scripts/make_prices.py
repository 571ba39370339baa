#!/usr/bin/env python3
"""Write `src/planaria/membrane/models/prices.json` from the genai-prices package (MIT).

Run by hand when prices change: `pip install genai-prices` into some environment, then
`python scripts/make_prices.py 2026-11-21`. The date is the day the prices are taken for.

A model is left out when one number would be a guess: a price that depends on the hour of the day, or on more than
tokens. Prices are whole micro-USD for a million tokens.
"""

import datetime
import importlib.metadata
import json
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from genai_prices import data  # type: ignore[import-not-found]  # not a dependency: installed for this script
from genai_prices.types import TieredPrices  # type: ignore[import-not-found]

TARGET = Path(__file__).parent.parent / "src" / "planaria" / "membrane" / "models" / "prices.json"
OURS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "groq": "groq",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "x-ai": "xai",
    "google": "gemini",
}
NOT_CHAT = re.compile(
    r"audio|image|realtime|voice|tts|embed|moderation|transcribe|whisper|ocr|live|guard|robotics|omni|nano-banana"
    r"|search|deep-research|cyber|rosalind|instruct|multi-agent|vision|^ft:|:|gpt-oss$"
)
# Names that are a vendor's own, not old and not a reseller's spelling.
OWN_NAME = {
    "openai": re.compile(r"^(gpt-(4o|4\.|5(?!-\d(?!\d))|6)|o[134])(?!.*preview)"),
    "anthropic": re.compile(r"^claude-(3-|(haiku|sonnet|opus|fable|mythos)-\d)(?!.*-20\d\d$)[^.]*$"),
    "groq": re.compile(r"^(llama-3\.[13]|openai/gpt-oss|qwen/|moonshotai/|meta-llama/)(?!.*preview)"),
    "deepseek": re.compile(r"^deepseek-(chat|reasoner|v4|flash)"),
    "mistral": re.compile(r"^(mistral|ministral|magistral|codestral|devstral)-.*(latest|\d{4})$"),
    "xai": re.compile(r"^grok-[34]"),
    "gemini": re.compile(r"^gemini-([2-9]|flash|pro)(?!.*1\.5)"),
}
TOKENS = {
    "input_mtok": "input",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "output_mtok": "output",
}


def micro(price: Decimal) -> int:
    """Micro-USD for a million tokens from USD for a million tokens."""
    whole = price * 1_000_000
    if whole != int(whole):
        raise ValueError(f"{price} USD is no whole number of micro-USD")
    return int(whole)


def entry(prices: Any) -> dict[str, Any] | None:
    """One model's prices in our form; None if they are not by tokens alone."""
    base: dict[str, Any] = {}
    tiers: dict[int, dict[str, int]] = {}
    for theirs, ours in TOKENS.items():
        price = getattr(prices, theirs, None)
        if isinstance(price, TieredPrices):
            base[ours] = micro(price.base)
            for tier in price.tiers:
                tiers.setdefault(tier.start, {})[ours] = micro(tier.price)
        elif price is not None:
            base[ours] = micro(price)
    if "input" not in base or "output" not in base:
        return None
    for start in sorted(tiers):
        base.setdefault("above", []).append(
            {"tokens": start, **{k: v for k, v in base.items() if k != "above"}, **tiers[start]}
        )
    return base


def names(model: Any) -> list[str]:
    """The exact names a model has: its id and what its matcher lists literally."""
    clauses = getattr(model.match, "or_", [model.match])
    literal = [getattr(clause, "equals", None) or getattr(clause, "starts_with", None) for clause in clauses]
    found = {
        name
        for name in (model.id, *literal)
        if name and not name.endswith(("-", "@", ":")) and "/" not in name[:5]
    }
    return sorted(found)


def main(day: datetime.date) -> None:
    """Write the file."""
    now = datetime.datetime.combine(day, datetime.time(12), datetime.UTC)
    night = now.replace(hour=2)
    providers: dict[str, dict[str, Any]] = {}
    for provider in data.providers:
        if provider.id not in OURS:
            continue
        models = providers.setdefault(OURS[provider.id], {})
        for model in provider.models:
            if NOT_CHAT.search(model.id) or model.deprecated:
                continue
            if model.get_prices(now) != model.get_prices(night):
                continue
            conditions = model.prices if isinstance(model.prices, list) else []
            if any("TimeOfDate" in type(condition.constraint).__name__ for condition in conditions):
                continue
            made = entry(model.get_prices(now))
            if made is None:
                continue
            for name in names(model):
                if NOT_CHAT.search(name) or not OWN_NAME[OURS[provider.id]].search(name):
                    continue
                models.setdefault(name, made)
                for stamp in ("-20250514", "-20260101", "-2026-01-01"):
                    if model.is_match(name + stamp):
                        models[name] = {**made, "dated": True}
    version = importlib.metadata.version("genai-prices")
    head = {
        "source": f"genai-prices {version} (MIT), from the vendors' price pages; made by scripts/make_prices.py",
        "date": day.isoformat(),
        "unit": "micro-USD per million tokens, standard processing, text",
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    blocks = []
    for name in sorted(providers):
        rows = [f"      {json.dumps(m)}: {json.dumps(p)}" for m, p in sorted(providers[name].items())]
        blocks.append(f"    {json.dumps(name)}: {{\n" + ",\n".join(rows) + "\n    }")
    TARGET.write_text("{\n" + "\n".join(lines) + '\n  "providers": {\n' + ",\n".join(blocks) + "\n  }\n}\n")


if __name__ == "__main__":
    main(datetime.date.fromisoformat(sys.argv[1]))
