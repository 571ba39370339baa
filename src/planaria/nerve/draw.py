"""The supervision tree as plain text, for terminals and logs."""

from collections.abc import Sequence

from planaria.nerve.views import TreeView


def tree_text(trees: Sequence[TreeView]) -> str:
    """One line for each process, its children below it."""
    lines: list[str] = []
    for tree in trees:
        lines.append(_line(tree))
        _add(lines, tree.children, "")
    return "\n".join(lines)


def _add(lines: list[str], trees: Sequence[TreeView], before: str) -> None:
    for number, tree in enumerate(trees, start=1):
        last = number == len(trees)
        lines.append(f"{before}{'└── ' if last else '├── '}{_line(tree)}")
        _add(lines, tree.children, before + ("    " if last else "│   "))


def _line(tree: TreeView) -> str:
    parts = [tree.title]
    if tree.kind not in ("Supervisor", "DynamicSupervisor", "function"):
        parts.append(tree.kind)
    if tree.status != "waiting":
        parts.append(tree.status)
    if tree.restarts:
        parts.append(f"restarted {tree.restarts}x")
    return "  ".join(parts)
