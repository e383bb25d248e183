"""Charts as inline SVG: no script, no font, no network; the same numbers give the same bytes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from markupsafe import Markup, escape

COLOURS = ("#14508c", "#b05000", "#4a6b1d", "#7a3b8f")  # each at least 4.5 : 1 on white, told apart by the colour-blind
SIZES = {"wide": (560, 270), "narrow": (340, 240)}
LEFT, RIGHT, TOP, BOTTOM = 46, 24, 12, 30


@dataclass(frozen=True)
class Point:
    """A value with its 95 % interval on a day (or at a number, for scatter plots)."""

    x: float
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Series:
    """A named line of points; its place in the list gives its colour."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Frame:
    """Size of the picture, and the ranges of the data on its axes."""

    width: int
    height: int
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point."""
        return (
            LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - LEFT - RIGHT),
            self.height - BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - TOP - BOTTOM),
        )


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that cover low .. high: steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def day_number(day: date) -> float:
    """A day as a number for the x axis."""
    return float(day.toordinal())


def line_chart(series: Sequence[Series], label: str) -> Markup:
    """Shares by day as lines with their intervals as bands, in a wide and a narrow drawing."""
    xs = [p.x for s in series for p in s.points]
    first, last = min(xs), max(xs)
    if first == last:
        first, last = first - 3, last + 3
    marks = ticks(max(0.0, min(p.low for s in series for p in s.points)), min(1.0, max(p.high for s in series for p in s.points)))

    def drawn(width: int, height: int) -> str:
        frame = Frame(width, height, (first, last), (marks[0], marks[-1]))
        days = _day_ticks(first, last, 7 if width > 400 else 4)
        inner = _grid(frame, [(x, _short_day(x)) for x in days], [(y, _percent(y, marks)) for y in marks])
        return inner + "".join(_line(frame, s, COLOURS[n % len(COLOURS)]) for n, s in enumerate(series))

    return _legend([s.name for s in series]) + _both(drawn, label)


def calibration_chart(points: Sequence[Point], label: str) -> Markup:
    """Predicted against observed shares with intervals; a perfectly calibrated model lies on the diagonal."""
    marks = ticks(0.0, min(1.0, max(max(p.x, p.high) for p in points)))

    def drawn(width: int, height: int) -> str:
        frame = Frame(width, height, (0.0, marks[-1]), (0.0, marks[-1]))
        x_marks = marks if width > 400 else marks[:: 2 if len(marks) > 5 else 1]
        inner = _grid(frame, [(x, _percent(x, marks)) for x in x_marks], [(y, _percent(y, marks)) for y in marks])
        (x1, y1), (x2, y2) = frame.at(0, 0), frame.at(marks[-1], marks[-1])
        inner += f'<line class="ideal" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        return inner + "".join(_dot(frame, p, COLOURS[0]) for p in points)

    return _both(drawn, label)


def interval_bar(value: float, low: float, high: float, axis: tuple[float, float], mark: float | None, text: str) -> Markup:
    """A point with its interval on an axis shared by a table's rows; ``mark``: a line to compare with (0, a base rate)."""
    width, height, pad = 130, 20, 6

    def at(x: float) -> float:
        return pad + (min(max(x, axis[0]), axis[1]) - axis[0]) / ((axis[1] - axis[0]) or 1) * (width - 2 * pad)

    line = f'<line class="mark" x1="{at(mark):.1f}" y1="1" x2="{at(mark):.1f}" y2="{height - 1}"/>' if mark is not None else ""
    return Markup(
        f'<svg class="bar" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(text)}">'
        f"<title>{escape(text)}</title>"
        f'<line class="axis" x1="{pad}" y1="10" x2="{width - pad}" y2="10"/>{line}'
        f'<line class="range" x1="{at(low):.1f}" y1="10" x2="{at(high):.1f}" y2="10"/>'
        f'<circle class="value" cx="{at(value):.1f}" cy="10" r="4.5"/></svg>'
    )


def _both(drawn: Callable[[int, int], str], label: str) -> Markup:
    """The drawing at both sizes, because text must keep its size on a telephone; the style sheet shows one of them."""
    pictures = "".join(
        f'<svg class="chart {name}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"{drawn(width, height)}</svg>"
        for name, (width, height) in SIZES.items()
    )
    return Markup(pictures)


def _legend(names: Sequence[str]) -> Markup:
    if len(names) < 2:
        return Markup("")
    keys = "".join(
        f'<li><span class="key" style="background:{COLOURS[n % len(COLOURS)]}"></span>{escape(name)}</li>'
        for n, name in enumerate(names)
    )
    return Markup(f'<ul class="legend">{keys}</ul>')


def _grid(frame: Frame, xs: Sequence[tuple[float, str]], ys: Sequence[tuple[float, str]]) -> str:
    lines = []
    for y, text in ys:
        _, py = frame.at(frame.x[0], y)
        lines.append(f'<line class="grid" x1="{LEFT}" y1="{py:.1f}" x2="{frame.width - RIGHT}" y2="{py:.1f}"/>')
        lines.append(f'<text x="{LEFT - 7}" y="{py + 4:.1f}" text-anchor="end">{text}</text>')
    for x, text in xs:
        px, _ = frame.at(x, frame.y[0])
        lines.append(f'<text x="{px:.1f}" y="{frame.height - 9}" text-anchor="middle">{text}</text>')
    return "".join(lines)


def _line(frame: Frame, series: Series, colour: str) -> str:
    points = sorted(series.points, key=lambda p: p.x)
    upper = [frame.at(p.x, p.high) for p in points]
    lower = [frame.at(p.x, p.low) for p in reversed(points)]
    dots = "".join(_dot(frame, p, colour, bars=len(points) == 1, small=len(points) > 20) for p in points)
    if len(points) == 1:
        return dots
    return (
        f'<polygon class="band" fill="{colour}" points="{_path(upper + lower)}"/>'
        f'<polyline class="line" stroke="{colour}" points="{_path([frame.at(p.x, p.y) for p in points])}"/>{dots}'
    )


def _dot(frame: Frame, point: Point, colour: str, bars: bool = True, small: bool = False) -> str:
    x, y = frame.at(point.x, point.y)
    bar = ""
    if bars:
        (_, y1), (_, y2) = frame.at(point.x, point.low), frame.at(point.x, point.high)
        bar = f'<line stroke="{colour}" stroke-width="2" x1="{x:.1f}" y1="{y1:.1f}" x2="{x:.1f}" y2="{y2:.1f}"/>'
    radius, title = 2 if small else 4, escape(point.text)
    return f'{bar}<circle fill="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{title}</title></circle>'


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _percent(y: float, marks: Sequence[float]) -> str:
    return f"{y * 100:.{0 if all(abs(m * 100 - round(m * 100)) < 1e-6 for m in marks) else 1}f} %"


def _day_ticks(first: float, last: float, most: int) -> list[float]:
    span = int(last - first)
    step = next((s for s in (1, 2, 7, 14, 28, 56, 112) if span / s <= most), 224)
    return [last - n * step for n in range(span // step + 1) if last - n * step - first >= step * 0.3 or n == 0]


def _short_day(x: float) -> str:
    day = date.fromordinal(1) + timedelta(days=int(x) - 1)
    return f"{day.day} {day:%b}"
