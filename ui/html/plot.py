"""Small plots as SVG, drawn with the page's own colours and fonts (assets/report.css)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ui.html.templating import escape, trusted

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 40
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
BAR_GAP = 2


@dataclass(frozen=True, slots=True)
class Point:
    """A point on both axes' scale of 0–1; `hint` shows on hovering, `size` is its radius, 0 for none."""

    x: float
    y: float
    hint: str = ""
    size: float = 0.0


def share_plot(points: Sequence[Point], x_label: str, y_label: str, *, diagonal: bool = False) -> str:
    """A line through points between two axes of shares, with the diagonal to compare with if wanted."""
    path = " ".join(f"{'L' if i else 'M'}{_x(p.x):.1f} {_y(p.y):.1f}" for i, p in enumerate(points))
    line = f'<path class="line" d="{path}"/>'
    dots = "".join(_dot(point) for point in points if point.size)
    straight = f'<path class="diagonal" d="M{_x(0)} {_y(0)} L{_x(1)} {_y(1)}"/>' if diagonal else ""
    x_ticks = "".join(_x_tick(_x(tick), f"{tick:g}") for tick in TICKS)
    return _framed(_y_ticks(1.0) + x_ticks + straight + line + dots, x_label, y_label)


def bar_plot(labels: Sequence[str], heights: Sequence[float], x_label: str, y_label: str, unit: str = "") -> str:
    """Bars of shares (0–1), each with its label below it and its share on hovering."""
    top = max(0.1, *heights)
    width = (WIDTH - LEFT - RIGHT) / len(labels)
    bars = []
    for position, (label, height) in enumerate(zip(labels, heights, strict=True)):
        left, y = LEFT + position * width, _y(height / top)
        hint = escape(f"{label}{unit}: {height:.1%}")
        bars.append(
            f'<rect class="bar" x="{left + BAR_GAP / 2:.1f}" y="{y:.1f}" width="{width - BAR_GAP:.1f}" '
            f'height="{_y(0) - y:.1f}"><title>{hint}</title></rect>'
        )
        if position % max(1, len(labels) // 8) == 0:
            bars.append(_x_tick(left + width / 2, label))
    return _framed(_y_ticks(top) + "".join(bars), x_label, y_label)


def range_plot(value: float, low: float, high: float) -> str:
    """A share with its interval on a line from 0 to 1, for a table's cell."""
    return trusted(
        '<svg class="range" viewBox="0 0 120 12" aria-hidden="true"><path class="axis" d="M0 6 H120"/>'
        f'<path class="spread" d="M{low * 120:.1f} 6 H{high * 120:.1f}"/>'
        f'<circle class="dot" cx="{value * 120:.1f}" cy="6" r="4"/></svg>'
    )


def _dot(point: Point) -> str:
    at = f'cx="{_x(point.x):.1f}" cy="{_y(point.y):.1f}" r="{point.size:.1f}"'
    return f'<circle class="dot" {at}><title>{escape(point.hint)}</title></circle>'


def _framed(inside: str, x_label: str, y_label: str) -> str:
    x_name = f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}">{escape(x_label)}</text>'
    turned = f"translate(11 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"
    y_name = f'<text class="name" transform="{turned}">{escape(y_label)}</text>'
    label = escape(f"{y_label} by {x_label}")
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"'
    return trusted(f'<svg class="plot" {box}>{inside}{x_name}{y_name}</svg>')


def _y_ticks(top: float) -> str:
    return "".join(
        f'<path class="grid" d="M{LEFT} {_y(tick):.1f} H{WIDTH - RIGHT}"/>'
        f'<text class="tick y" x="{LEFT - 6}" y="{_y(tick) + 4:.1f}">{tick * top:.0%}</text>'
        for tick in TICKS
    )


def _x_tick(x: float, label: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}">{escape(label)}</text>'


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
