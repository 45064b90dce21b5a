"""Prints how many lines of code each room of the kernel has, and each plugin: without blanks, comments, docstrings."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
_SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """Lines that hold code."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {line for token in tokens if token.type not in _SILENT for line in range(token.start[0], token.end[0] + 1)}
    return len(lines - _docstrings(ast.parse(source)))


def _docstrings(tree: ast.AST) -> set[int]:
    """The lines of every string that stands alone as a statement."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def rows(folders: Iterable[Path]) -> list[tuple[str, int, int, int]]:
    """(name, files, lines of code, all lines) of each folder that holds Python."""
    found = []
    for folder in sorted(folders):
        sources = [path.read_text() for path in sorted(folder.rglob("*.py"))]
        if sources:
            found.append((folder.name, len(sources), sum(map(code_lines, sources)), sum(map(_count, sources))))
    return found


def _count(source: str) -> int:
    return len(source.splitlines())


def _print(title: str, table: list[tuple[str, int, int, int]]) -> None:
    print(f"\n{title:<26}{'files':>6}{'code':>8}{'lines':>8}")
    for name, files, code, lines in table:
        print(f"  {name:<24}{files:>6}{code:>8}{lines:>8}")
    print(f"  {'sum':<24}{sum(r[1] for r in table):>6}{sum(r[2] for r in table):>8}{sum(r[3] for r in table):>8}")


if __name__ == "__main__":
    _print("kernel, by room", rows(p for p in (ROOT / "arbstr_core").iterdir() if p.is_dir()))
    _print("plugins", rows((ROOT / "plugins").glob("*/arbstr_*")))
