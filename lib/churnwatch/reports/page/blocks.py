"""The parts of a page: sections of tables, figures and notes, all plain values that the template prints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from churnwatch.reports.page.charts import interval_bar


@dataclass(frozen=True)
class Column:
    """A column's head; ``number``: set to the right; ``text``: sentences, never squeezed; ``unit`` stands under the name."""

    name: str
    number: bool = False
    unit: str = ""
    text: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells, already in words; wide tables scroll inside their box."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[object]]
    note: str = ""
    kind: str = "table"
    classes: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption."""

    caption: str
    drawing: Markup
    note: str = ""
    kind: str = "figure"


@dataclass(frozen=True)
class Note:
    """A sentence; ``tone`` is plain, empty (there are no data yet) or alarm."""

    text: str
    tone: str = "plain"
    kind: str = "note"


Block = Table | Figure | Note


@dataclass(frozen=True)
class Section:
    """A part of the page; ``lede`` explains its numbers in one or two sentences."""

    anchor: str
    title: str
    lede: str
    blocks: Sequence[Block] = ()
    short: str = ""


@dataclass(frozen=True)
class Card:
    """A number of the first screen."""

    name: str
    value: str
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Page:
    """Everything the template prints."""

    title: str
    domain: str
    day: str
    headline: str
    cards: Sequence[Card]
    sections: Sequence[Section]
    foot: Sequence[str] = field(default_factory=tuple)


def badge(text: str, tone: str = "") -> Markup:
    """A word in a tinted box; ``tone`` a warning level, good, bad or plain. The word itself carries the meaning."""
    return Markup('<span class="badge {}">{}</span>').format(tone, text)


def bar(share: float, text: str) -> Markup:
    """A horizontal bar of ``share`` (0 .. 1) with its text beside it."""
    return Markup('<span class="n"><span class="share"><span class="fill" style="width:{}%"></span></span> {}</span>').format(
        f"{max(0.0, min(1.0, share)) * 100:.1f}", text
    )


def lines(texts: Iterable[object]) -> Markup:
    """Several short lines in one cell."""
    return Markup("<br>").join(escape(text) for text in texts)


def axis_of(values: Iterable[float | None], with_zero: bool = True) -> tuple[float, float]:
    """The common axis of a table's interval bars."""
    known = [v for v in values if v is not None] + ([0.0] if with_zero else [])
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    room = (high - low or 1.0) * 0.04
    return low - (room if low < 0 else 0), high + room


def interval_cell(
    value: float | None, low: float | None, high: float | None, axis: tuple[float, float], mark: float | None, text: str
) -> Markup:
    """A bar with its numbers, or a dash where there is no estimate."""
    if value is None or low is None or high is None:
        return Markup("–")
    return Markup('<span class="estimate">{}<span class="n">{}</span></span>').format(
        interval_bar(value, low, high, axis, mark, text), text
    )
