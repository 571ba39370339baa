"""How traces write figures: durations, tokens, money; and the words of states. The same in terminal and browser."""

from planaria.nerve.trace.shape import State, Sum

STATE_WORDS: dict[State, str] = {
    "running": "running",
    "waiting": "waits",
    "done": "done",
    "failed": "failed",
    "cut_off": "cut off",
    "note": "",
}
"""What a state is called for people."""


def took(seconds: float) -> str:
    """`4 ms`, `1.3 s`, `42 s`, `3 min 2 s`, `5 h 10 min`."""
    if seconds < 0.9995:
        return f"{max(seconds, 0.0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {name}"
    return f"{whole // 60} min {whole % 60} s"


def tokens(spent: Sum) -> str:
    """`812 → 96`: what went in and what came out; nothing if no model said."""
    if not spent.tokens_in and not spent.tokens_out:
        return ""
    return f"{short(spent.tokens_in)} → {short(spent.tokens_out)}"


def short(number: int) -> str:
    """`812`, `12.3k`, `4.1M`."""
    if number < 10_000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 999_950 else f"{number / 1_000_000:.1f}M"


def money(spent: Sum) -> str:
    """`$0.0012`; `≥ $0.0012` when the price of some calls is not known; nothing when none is."""
    if not spent.cost_micro:
        return ""
    dollars = spent.cost_micro / 1_000_000
    shown = (
        f"${dollars:.2f}" if dollars >= 1 else f"${dollars:.4f}" if dollars >= 0.0001 else f"${dollars:.6f}"
    )
    return f"≥ {shown}" if spent.unpriced else shown


def tail(id: str) -> str:
    """The last eight characters of an id: enough to name it."""
    return id if len(id) <= 8 else id[-8:]
