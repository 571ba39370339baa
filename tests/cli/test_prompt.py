"""`planaria prompt` draws whatever was sent."""

from typing import Any

from planaria.cli.prompt import draw


def test_a_tool_that_says_nothing_of_itself_is_drawn():
    part: dict[str, Any] = {
        "name": "tools",
        "why": "on offer",
        "characters": 60,
        "tokens": 15,
        "budget": 0,
        "cut": "",
        "text": '[{"name": "strange.tool", "description": "", "parameters": {}}]',
        "messages": [],
    }
    view = {
        "session": "session:scout@garden",
        "turn": "T",
        "call": 1,
        "calls": 1,
        "attempt": 1,
        "provider": "far",
        "model": "m",
        "max_tokens": None,
        "temperature": None,
        "tool_choice": None,
        "schema": False,
        "tokens": None,
        "characters": 60,
        "characters_per_token": 4.0,
        "composition": 2,
        "exact": True,
        "digest": "d",
        "problems": [],
        "parts": [part],
    }
    assert "strange.tool: " in [line.plain for line in draw(view, texts=True)]
