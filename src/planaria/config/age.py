"""Ages in words: `"90d"`, `"12w"`, `"2y"`, `"forever"`."""

import re

FOREVER = "forever"
DAY = 86_400.0
_DAYS = {"d": 1, "w": 7, "y": 365}
_AGE = re.compile(r"([0-9]{1,5}) ?([dwy])")


def parse_age(text: str) -> float | None:
    """Seconds; None for `forever`.

    Raises:
        ValueError: something else; says what to write.
    """
    plain = text.strip().lower()
    if plain == FOREVER:
        return None
    found = _AGE.fullmatch(plain)
    days = int(found[1]) * _DAYS[found[2]] if found else 0
    if days < 1:
        raise ValueError(
            'write a number of days, weeks or years, at least a day: "90d", "12w", "2y"; or "forever"'
        )
    return days * DAY
