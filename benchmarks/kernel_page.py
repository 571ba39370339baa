"""How the kernel's rows are told: a line for the terminal, tables for the page."""

from typing import Any

from benchmarks.figures import number

type Told = dict[str, Any]


def cell(found: Told | None, *, spread: bool = True) -> str:
    """A figure: median, lowest and highest round, p99 where there is one."""
    match found:
        case None:
            return "-"
        case {"absent": why}:
            return f"absent: {why}"
    text = number(found["median"])
    if spread:
        text += f" ({number(found['low'])}..{number(found['high'])})"
    if "p99" in found:
        text += f", p99 {number(found['p99'])}"
    return text


def verdict(line: Told, ratio: str, target: str) -> str:
    """A ratio beside its target, marked where it falls short."""
    found = line[ratio]
    if found is None:
        return "-"
    text = cell(found)
    if line[target] is None:
        return text
    return f"{text} {'**short of**' if ratio in line['short'] else 'of'} {number(line[target])}"


def as_lines(line: Told) -> str:
    """One row for a terminal."""
    columns = [f"{name} {cell(line[name])}" for name in ("ours", "compiled", "beam")]
    ratios = [
        f"{ratio} {verdict(line, ratio, target)}"
        for ratio, target in (("ratio_beam", "target"), ("ratio_beam_compiled", "target_compiled"))
        if line[ratio] is not None
    ]
    peers = [f"{name} {cell(found, spread=False)}" for name, found in line["peers"].items()]
    parts = ["  ".join(columns), "  ".join(ratios), "; ".join(peers)]
    head = f"{line['operation']} ({line['n']:,}), {line['unit']}: "
    return head + "\n    ".join(part for part in parts if part).replace("**", "")


def tables(lines: list[Told]) -> list[tuple[str, list[list[str]]]]:
    """Titles and cells for the page: the table of targets, the peers, growth."""
    main = [line for line in lines if not line["operation"].startswith("growth_")]
    parts = [("Beside the BEAM, on one core", _targets(main))]
    with_peers = [line for line in main if line["peers"]]
    if with_peers:
        parts.append(("Beside other libraries", _peers(with_peers)))
    grown = [line for line in lines if line["operation"].startswith("growth_")]
    if grown:
        parts.append(("Growth: the cost of one operation while n servers live", _growth(grown)))
    return parts


def notes(lines: list[Told]) -> list[str]:
    """Who took part, said once; what falls short, by name."""
    about = lines[-1]["about"] if lines else {}
    said = ["Who took part: " + "; ".join(f"{name}: {text}" for name, text in about.items()) + "."]
    short = [f"{line['operation']} ({line['n']:,})" for line in lines if "ratio_beam" in line["short"]]
    short_compiled = [
        f"{line['operation']} ({line['n']:,})" for line in lines if "ratio_beam_compiled" in line["short"]
    ]
    said.append(f"Falls short of its target, pure: {', '.join(short) or 'nothing'}.")
    if any(line["compiled"] for line in lines):
        said.append(f"Falls short of its target, compiled: {', '.join(short_compiled) or 'nothing'}.")
    if any(line["profile"] for line in lines):
        said.append("Where the pure kernel's time goes in what falls short, by function, sampled:")
        said.append(
            "\n".join(f"- {line['operation']}: {line['profile']}" for line in lines if line["profile"])
        )
    return said


def _targets(lines: list[Told]) -> list[list[str]]:
    head = ["operation", "unit", "n", "ours", "compiled", "BEAM", "ours / BEAM", "compiled / BEAM"]
    return [head] + [
        [
            line["operation"],
            line["unit"],
            number(line["n"]),
            *(cell(line[name]) for name in ("ours", "compiled", "beam")),
            verdict(line, "ratio_beam", "target"),
            verdict(line, "ratio_beam_compiled", "target_compiled"),
        ]
        for line in lines
    ]


def _peers(lines: list[Told]) -> list[list[str]]:
    names = list(dict.fromkeys(name for line in lines for name in line["peers"]))
    return [["operation", "unit", "ours", *names]] + [
        [
            line["operation"],
            line["unit"],
            cell(line["ours"], spread=False),
            *(cell(line["peers"].get(name), spread=False) for name in names),
        ]
        for line in lines
    ]


def _growth(lines: list[Told]) -> list[list[str]]:
    operations = list(dict.fromkeys(line["operation"] for line in lines))
    sizes = sorted({line["n"] for line in lines})
    found = {(line["operation"], line["n"]): line for line in lines}
    rows = [["operation", "who", *(number(size) for size in sizes)]]
    for operation in operations:
        for name in ("ours", "compiled", "beam"):
            figures = [found[operation, size][name] for size in sizes if (operation, size) in found]
            if any(figures):
                rows.append([operation.removeprefix("growth_"), name, *(cell(each) for each in figures)])
    return rows
