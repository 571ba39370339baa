#!/usr/bin/env python3
"""Write `src/planaria/membrane/models/models.json`: sizes and abilities of known vendors' models.

Run by hand when vendors bring new models, after `make_prices.py`: `pip install litellm` into some environment, then
`python scripts/make_model_facts.py 2026-11-21`. The figures are those of the table that comes with litellm (MIT), which
names the vendors' pages it took them from. The date is the day they are taken for.

Listed are the models that have a price here, the vendors' models for the tiers, and those for embeddings. What the
table does not say of a model is left out.
"""

import datetime
import importlib.metadata
import importlib.resources
import json
import sys
from pathlib import Path
from typing import Any

from planaria.membrane.providers.vendors import BY_NAME

HERE = Path(__file__).parent.parent / "src" / "planaria" / "membrane" / "models"
THEIRS = {"openai": ("",), "anthropic": ("",)}
"""What stands before a vendor's names in the table, where it is not its name and a slash."""
ABILITIES = {
    "supports_function_calling": "tools",
    "supports_vision": "vision",
    "supports_reasoning": "thinking",
    "supports_response_schema": "json",
}


def entry(theirs: dict[str, Any]) -> dict[str, Any]:
    """One model in our form."""
    made: dict[str, Any] = {}
    if theirs.get("mode") == "embedding":
        made["abilities"] = ["embeddings"]
    else:
        made["abilities"] = [ours for key, ours in ABILITIES.items() if theirs.get(key)]
        if isinstance(most := theirs.get("max_output_tokens"), int):
            made["max_output_tokens"] = most
    if isinstance(context := theirs.get("max_input_tokens"), int):
        made["context_tokens"] = context
    return dict(sorted(made.items()))


def main(day: datetime.date) -> None:
    """Write the file."""
    text = (
        importlib.resources.files("litellm")
        .joinpath("model_prices_and_context_window_backup.json")
        .read_text()
    )
    table: dict[str, dict[str, Any]] = json.loads(text)
    prices = json.loads((HERE / "prices.json").read_text())["providers"]
    providers: dict[str, dict[str, Any]] = {}
    for name, vendor in BY_NAME.items():
        wanted = {*prices.get(name, {}), *vendor.models}
        for begin in THEIRS.get(name, (f"{name}/",)):
            of_vendor = {
                key.removeprefix(begin): theirs
                for key, theirs in table.items()
                if key.startswith(begin) and theirs.get("litellm_provider") == name
            }
            for model, theirs in of_vendor.items():
                if theirs.get("mode") == "embedding" or (model in wanted and theirs.get("mode") == "chat"):
                    providers.setdefault(name, {})[model] = entry(theirs)
    version = importlib.metadata.version("litellm")
    head = {
        "source": f"the table of litellm {version} (MIT), from the vendors' pages; made by scripts/make_model_facts.py",
        "date": day.isoformat(),
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    blocks = []
    for name in sorted(providers):
        rows = [f"      {json.dumps(m)}: {json.dumps(p)}" for m, p in sorted(providers[name].items())]
        blocks.append(f"    {json.dumps(name)}: {{\n" + ",\n".join(rows) + "\n    }")
    target = HERE / "models.json"
    target.write_text("{\n" + "\n".join(lines) + '\n  "providers": {\n' + ",\n".join(blocks) + "\n  }\n}\n")


if __name__ == "__main__":
    main(datetime.date.fromisoformat(sys.argv[1]))
