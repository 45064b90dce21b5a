"""Owns the picture: what each strategy saves, over all models, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_WIDE, _HIGH = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 170, 44, 52
_FROM, _TO, _STEP = -100, 100, 20
_COLOURS = {
    "clairvoyant": "#9aa0a6",
    "arbstr": "#e8710a",
    "cheapest by list": "#1a73e8",
    "single provider": "#12805c",
    "random": "#a142f4",
    "dearest": "#c5221f",
}
_THICK = {"arbstr": 3.0, "clairvoyant": 6.0}
_DRAWN = ("clairvoyant", "dearest", "random", "single provider", "cheapest by list", "arbstr")
_POINTS = 200


def svg(title: str, curves: Mapping[str, Sequence[float]]) -> str:
    """`curves` are savings by name, shares of the mean offer, least first."""
    box = f'viewBox="0 0 {_WIDE} {_HIGH}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f'<rect width="{_WIDE}" height="{_HIGH}" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="15">{escape(title)}</text>',
        *_axes(),
    ]
    parts += [_curve(name, _COLOURS[name], curves[name]) for name in _DRAWN if name in curves]
    for place, (name, colour) in enumerate(_COLOURS.items()):
        parts += _legend(place, name, colour)
    return "\n".join([*parts, "</svg>", ""])


def _x(share: float) -> float:
    return _LEFT + share * (_WIDE - _LEFT - _RIGHT)


def _y(percent: float) -> float:
    inside = min(max(percent, _FROM), _TO)
    return _TOP + (_TO - inside) / (_TO - _FROM) * (_HIGH - _TOP - _BOTTOM)


def _axes() -> list[str]:
    lines = []
    for percent in range(_FROM, _TO + 1, _STEP):
        y, colour = _y(percent), "#444" if percent == 0 else "#ddd"
        lines.append(f'<line x1="{_LEFT}" x2="{_x(1):.0f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        lines.append(
            f'<text x="{_x(share):.0f}" y="{_HIGH - _BOTTOM + 20}" text-anchor="middle">{share * 100:.0f} %</text>'
        )
    middle = (_LEFT + _x(1)) / 2
    lines.append(
        f'<text x="{middle:.0f}" y="{_HIGH - 12}" text-anchor="middle">models, by how much is saved on them</text>'
    )
    return lines


def _curve(name: str, colour: str, values: Sequence[float]) -> str:
    last = max(len(values) - 1, 1)
    shown = sorted({round(at * last / _POINTS) for at in range(_POINTS + 1)} & set(range(len(values))))
    points = " ".join(f"{_x(at / last):.1f},{_y(100 * values[at]):.1f}" for at in shown)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{_THICK.get(name, 1.5)}"/>'


def _legend(place: int, name: str, colour: str) -> list[str]:
    x, y, wide = _x(1) + 16, _TOP + 16 + 22 * place, _THICK.get(name, 1.5)
    line = f'<line x1="{x:.0f}" x2="{x + 22:.0f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="{wide}"/>'
    return [line, f'<text x="{x + 30:.0f}" y="{y + 4}">{escape(name)}</text>']
