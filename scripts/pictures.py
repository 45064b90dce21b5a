"""The pictures of docs/concepts.md, drawn from words: boxes on a grid and arrows between them, in light and in dark."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
WIDE, HIGH, GAP_X, GAP_Y, MARGIN, LINE = 150, 56, 46, 44, 12, 16
STYLE = """
text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328;text-anchor:middle;dominant-baseline:central}
.b{fill:#f6f8fa;stroke:#8c959f}.k{fill:#ddf4ff;stroke:#0969da}.m{fill:#fff1d6;stroke:#bf8700}.r{fill:#ffebe9;stroke:#cf222e}
.t{font-weight:600}.s{font-size:11.5px;fill:#57606a}.a{stroke:#57606a;fill:none}.h{fill:#57606a}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.b{fill:#21262d;stroke:#6e7681}.k{fill:#0c2d4d;stroke:#58a6ff}
.m{fill:#3a2a05;stroke:#d29922}.r{fill:#3d1214;stroke:#f85149}.s{fill:#9da7b3}.a{stroke:#9da7b3}.h{fill:#9da7b3}}
""".replace("\n", "")


class Box(NamedTuple):
    """A box at a place of the grid. The first line of its text is its title; `kind` is its colour: plain, key, money
    or red."""

    column: float
    row: float
    text: str
    kind: str = "b"
    wide: float = 1

    @property
    def left(self) -> float:
        return MARGIN + self.column * (WIDE + GAP_X)

    @property
    def top(self) -> float:
        return MARGIN + self.row * (HIGH + GAP_Y)

    @property
    def width(self) -> float:
        return self.wide * WIDE + (self.wide - 1) * GAP_X

    @property
    def middle(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + HIGH / 2


class Picture(NamedTuple):
    """Boxes by name; arrows as (from, to, what it says)."""

    title: str
    boxes: dict[str, Box]
    arrows: list[tuple[str, str, str]]


PICTURES = {
    "call": Picture(
        "One call, from the client to the receipt",
        {
            "client": Box(0, 0, "client\nany OpenAI SDK", "k"),
            "who": Box(1, 0, "1 who calls?\nelse 401"),
            "offers": Box(2, 0, "2 what is on offer?\nelse 404"),
            "plan": Box(3, 0, "3 who qualifies?\nelse 400, 403, 503"),
            "hold": Box(3, 1, "4 set money aside\nelse 402, 403", "m"),
            "ask": Box(2, 1, "5 ask the first\nelse the next"),
            "settle": Box(1, 1, "6 charge the cost\ngive back the rest", "m"),
            "receipt": Box(0, 1, "answer, receipt", "k"),
        },
        [
            ("client", "who", ""),
            ("who", "offers", ""),
            ("offers", "plan", ""),
            ("plan", "hold", ""),
            ("hold", "ask", ""),
            ("ask", "settle", ""),
            ("settle", "receipt", ""),
        ],
    ),
    "account": Picture(
        "What happens to an agent's money while it calls",
        {
            "in": Box(0, 0, "comes in\noperator, deposit", "k"),
            "free": Box(1, 0, "available", "m"),
            "held": Box(2, 0, "held\nthe most it can cost", "m"),
            "spent": Box(3, 0, "charged\nwhat it did cost", "k"),
            "back": Box(2, 1, "the rest, or all of it\nwhere nobody answered"),
        },
        [
            ("in", "free", ""),
            ("free", "held", "call"),
            ("held", "spent", "settle"),
            ("held", "back", ""),
            ("back", "free", "released"),
        ],
    ),
    "keys": Picture(
        "Who may spend what: a child key is narrowed by all keys above it",
        {
            "operator": Box(1.5, 0, "operator\nmakes agents, grants", "k"),
            "alice": Box(0.5, 1, "agent alice\n500 sat a day", "m"),
            "bob": Box(2.5, 1, "agent bob\n100 sat a day", "m"),
            "a1": Box(0, 2, "alice.reader\n50 sat a day"),
            "a2": Box(1, 2, "alice.writer\n400 sat a day"),
            "b1": Box(2.5, 2, "bob.tool\none model"),
        },
        [
            ("operator", "alice", ""),
            ("operator", "bob", ""),
            ("alice", "a1", ""),
            ("alice", "a2", ""),
            ("bob", "b1", ""),
        ],
    ),
    "plan": Picture(
        "How a provider is chosen",
        {
            "all": Box(0, 0, "all offers\nof the model", "k"),
            "fit": Box(1, 0, "that can serve it\ncontext, tools, fields"),
            "policy": Box(2, 0, "that policies keep\ntier, rules, knobs"),
            "order": Box(3, 0, "in order\nexpected cost first"),
            "out": Box(1.5, 1, "out, with its reason\nin the receipt", "r"),
            "first": Box(3, 1, "the first is asked\nthe next if it fails", "m"),
        },
        [
            ("all", "fit", ""),
            ("fit", "policy", ""),
            ("policy", "order", ""),
            ("fit", "out", ""),
            ("policy", "out", ""),
            ("order", "first", ""),
        ],
    ),
    "realms": Picture(
        "Where money lives: an account is of one realm, and realms never mix",
        {
            "sim": Box(0, 0, "realm sim\nplay money", "m"),
            "simrail": Box(0, 1, "wallet_simulated"),
            "main": Box(1, 0, "realm mainnet\nbitcoin", "m", 3),
            "lnd": Box(1, 1, "wallet_lnd\nyour Lightning node"),
            "cashu": Box(2, 1, "wallet_cashu\necash at a mint"),
            "prepaid": Box(3, 1, "providers' nodes\npaid beforehand"),
        },
        [
            ("sim", "simrail", ""),
            ("main", "lnd", ""),
            ("main", "cashu", ""),
            ("main", "prepaid", ""),
        ],
    ),
    "apart": Picture(
        "Calls and wallets in two processes: who breaks into the first has no wallet",
        {
            "agent": Box(0, 0, "agents\ncalls", "k"),
            "proxy": Box(1, 0, "proxy\nno wallet"),
            "base": Box(2, 0, "PostgreSQL\nrefuses what is not its", "m"),
            "treasury": Box(3, 0, "treasury\nmoves money"),
            "models": Box(1, 1, "providers", "k"),
            "lnd": Box(2.5, 1, "Lightning node", "k"),
            "mint": Box(3.5, 1, "mint", "k"),
        },
        [
            ("agent", "proxy", ""),
            ("proxy", "base", ""),
            ("treasury", "base", ""),
            ("proxy", "models", ""),
            ("treasury", "lnd", ""),
            ("treasury", "mint", ""),
        ],
    ),
    "proof": Picture(
        "Why a stranger can check it",
        {
            "transfer": Box(0, 0, "transfer\nentries sum to 0", "m"),
            "row": Box(1, 0, "audit row\nin the same write"),
            "chain": Box(2, 0, "chain of hashes\ncannot be changed"),
            "check": Box(3, 0, "signed checkpoint", "k"),
            "anchor": Box(3, 1, "anchors\nfile, syslog, URL", "k"),
            "verify": Box(1.5, 1, "arbstr audit verify\nreplays all of it"),
        },
        [
            ("transfer", "row", ""),
            ("row", "chain", ""),
            ("chain", "check", ""),
            ("check", "anchor", ""),
            ("verify", "chain", ""),
            ("verify", "transfer", ""),
        ],
    ),
    "plugins": Picture(
        "The kernel, and what plugins are to it",
        {
            "kernel": Box(0, 1, "arbstr-core\naccounts, order, proof", "k", 4),
            "provider": Box(0, 0, "providers\nwho sells"),
            "policy": Box(1, 0, "policies\nwho qualifies"),
            "wallet": Box(2, 0, "wallets\nwhere money lives"),
            "site": Box(3, 0, "sites\nwhat is shown"),
        },
        [],
    ),
}


def svg(picture: Picture) -> str:
    """The picture."""
    boxes = picture.boxes.values()
    wide = max(box.left + box.width for box in boxes) + MARGIN
    high = max(box.top + HIGH for box in boxes) + MARGIN
    arrows = [_arrow(picture.boxes[start], picture.boxes[end], label) for start, end, label in picture.arrows]
    if not picture.arrows:
        kernel, *others = boxes
        arrows = [_arrow(box, box._replace(row=kernel.row), "") for box in others]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" role="img">'
        f"<title>{escape(picture.title)}</title><style>{STYLE}</style>"
        '<defs><marker id="p" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="h" d="M0 0L8 4L0 8z"/></marker></defs>'
    )
    return "\n".join([head, *arrows, *map(_box, boxes), "</svg>", ""])


def _box(box: Box) -> str:
    x, y = box.middle
    title, *more = box.text.split("\n")
    lines = [f'<text class="t" x="{x:g}" y="{y - len(more) * LINE / 2:g}">{escape(title)}</text>']
    for number, line in enumerate(more, 1):
        lines.append(f'<text class="s" x="{x:g}" y="{y + (number - len(more) / 2) * LINE:g}">{escape(line)}</text>')
    frame = f'<rect class="{box.kind}" x="{box.left:g}" y="{box.top:g}" width="{box.width:g}" height="{HIGH}" rx="7"/>'
    return "".join([frame, *lines])


def _arrow(start: Box, end: Box, label: str) -> str:
    """From the edge of one to the edge of the other: level where they share a row, else from bottom to top."""
    (x1, y1), (x2, y2) = start.middle, end.middle
    if start.row == end.row:
        side = 1 if x2 > x1 else -1
        x1, x2 = x1 + side * start.width / 2, x2 - side * end.width / 2
    else:
        side = 1 if y2 > y1 else -1
        y1, y2 = y1 + side * HIGH / 2, y2 - side * HIGH / 2
    line = f'<line class="a" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" marker-end="url(#p)"/>'
    if not label:
        return line
    return f'{line}<text class="s" x="{(x1 + x2) / 2:g}" y="{(y1 + y2) / 2 - 10:g}">{escape(label)}</text>'


def main(folder: Path) -> None:
    """Write them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        (folder / f"{name}.svg").write_text(svg(picture))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
