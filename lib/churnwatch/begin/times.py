"""Columns that may be times: which forms their values have, and the Spark SQL that reads each."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from churnwatch.begin.columns import Column, literal

ENOUGH = 0.9  # share of the values that a form must fit: a log has a few broken rows
FIRST_YEAR, LAST_YEAR = 1990, 2099
ISO = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?P<zone> *(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?)?"
)
PARTED = re.compile(
    r"(\d{1,4})([./-])(\d{1,2})\2(\d{4}|\d{2})"
    r"(?:(?P<gap>[ T,]+)(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)(?P<half> ?[AaPp][Mm])?)?"
)
NAMED = re.compile(
    r"(?:(?P<d>\d{1,2})(?P<sep>[ /-])[A-Za-z]{3}\2(?P<y>\d{4})|[A-Za-z]{3} \d{1,2}, \d{4})"
    r"(?:(?P<gap>[ :])(?P<clock>\d{1,2}:\d{2}(?::\d{2})?)(?P<zone> [+-]\d{4})?)?"
)
CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?")
# digits of an epoch -> what one is, and what makes it seconds
EPOCHS = {10: ("seconds", 1), 13: ("milliseconds", 1000), 16: ("microseconds", 1_000_000), 19: ("nanoseconds", 1_000_000_000)}


@dataclass(frozen=True)
class TimeForm:
    """A way to read a column as time: ``sql``, in words, whether its values are dates alone, and their offsets."""

    sql: str
    words: str
    dates_alone: bool = False
    zoned: bool = False
    number: bool = False


def time_forms(column: Column) -> list[TimeForm]:
    """Every form that nearly all values of ``column`` have, the likeliest first; none where they are no times."""
    values = [value.strip() for value in column.filled]
    if column.kind.startswith("timestamp"):
        zoned = column.kind == "timestamp"
        return [TimeForm(column.sql, f"is of the type {column.kind}", zoned=zoned)]
    if column.kind == "date":
        return [TimeForm(column.sql, "is of the type date", dates_alone=True)]
    if not values:
        return []
    text = column.sql if column.kind == "string" else f"CAST({column.sql} AS STRING)"
    return _iso(values, text) or [
        *_numbers(values, column.sql, text),
        *_parted(values, text),
        *_with_month_names(values, text),
    ]


def is_clock(column: Column) -> bool:
    """Whether the values are times of day alone, which go with a column of dates."""
    return bool(column.filled) and _share(CLOCK.fullmatch(v.strip()) is not None for v in column.filled) >= ENOUGH


def with_clock(day: TimeForm, column: Column, clock: Column) -> TimeForm:
    """A column of dates and one of times of day, read together."""
    text = f"left(trim({day.sql}), 10)"  # an ISO date
    if column.kind == "date":
        text = f"CAST({day.sql} AS STRING)"
    elif day.sql != column.sql:
        text = f"CAST(CAST({day.sql} AS DATE) AS STRING)"
    return TimeForm(f"concat({text}, ' ', trim({clock.sql}))", f"{day.words}, with the time of day in {clock.name}")


def _share(hits: Iterable[bool]) -> float:
    found = list(hits)
    return sum(found) / len(found) if found else 0.0


def _iso(values: Sequence[str], text: str) -> list[TimeForm]:
    found = [m for v in values if (m := ISO.fullmatch(v)) and _possible(int(m[1]), int(m[2]), int(m[3]))]
    if len(found) < ENOUGH * len(values):
        return []
    zones = sorted({m["zone"].strip() for m in found if m["zone"]})
    dates = all(":" not in m[0] for m in found)
    told = f", with offsets {', '.join(zones[:4])}" if zones else ""
    return [TimeForm(text, f"ISO {'dates' if dates else 'times'} such as {values[0]}{told}", dates, bool(zones))]


def _numbers(values: Sequence[str], sql: str, text: str) -> list[TimeForm]:
    if _share(re.fullmatch(r"\d+(\.\d*)?", v) is not None for v in values) < ENOUGH:
        return []
    whole = [v.partition(".")[0] for v in values]
    forms = []
    for digits, (unit, factor) in EPOCHS.items():
        if _share(len(w) == digits and _possible_epoch(int(w) // factor) for w in whole) >= ENOUGH:
            seconds = f"try_cast({sql} AS DECIMAL(26,6))" + (f" / {factor}" if factor > 1 else "")
            read = f"try_cast({seconds} AS TIMESTAMP)"
            forms.append(TimeForm(read, f"{unit} since 1970 such as {values[0]}", zoned=True, number=True))
    for digits, pattern in ((8, "yyyyMMdd"), (12, "yyyyMMddHHmm"), (14, "yyyyMMddHHmmss")):
        if _share(len(v) == digits and _possible(int(v[:4]), int(v[4:6]), int(v[6:8])) for v in whole) >= ENOUGH:
            forms.append(TimeForm(_local(text, pattern), f"{pattern} such as {values[0]}", digits == 8, number=True))
    return forms


def _parted(values: Sequence[str], text: str) -> list[TimeForm]:
    found = [m for v in values if (m := PARTED.fullmatch(v))]
    if len(found) < ENOUGH * len(values):
        return []
    sep, clock = found[0][2], _clock_pattern(found)
    year = "yyyy" if len(found[0][4]) == 4 else "yy"
    if len(found[0][1]) == 4:
        orders = [(f"yyyy{sep}M{sep}d", "year first", 1, 3, 4)]
    else:
        day_first = (f"d{sep}M{sep}{year}", "day first", 4, 3, 1)
        month_first = (f"M{sep}d{sep}{year}", "month first", 4, 1, 3)
        american = sep == "/" and any(m["half"] for m in found)
        orders = [month_first, day_first] if american else [day_first, month_first]
    fits = [
        (pattern, told)
        for pattern, told, y, mo, d in orders
        if _share(_possible(_year(m[y]), int(m[mo]), int(m[d])) for m in found) >= ENOUGH
    ]
    dates = not any(m["clock"] for m in found)
    return [TimeForm(_local(text, pattern + clock), f"{told}, such as {values[0]}", dates) for pattern, told in fits]


def _with_month_names(values: Sequence[str], text: str) -> list[TimeForm]:
    found = [m for v in values if (m := NAMED.fullmatch(v))]
    if len(found) < ENOUGH * len(values):
        return []
    first = found[0]
    pattern = f"d{first['sep']}MMM{first['sep']}yyyy" if first["d"] else "MMM d, yyyy"
    if any(m["zone"] for m in found):
        read = f"try_to_timestamp(trim({text}), {literal(pattern + first['gap'] + 'H:mm:ss Z')})"
        return [TimeForm(read, f"dates with month names and offsets such as {values[0]}", zoned=True)]
    dates = not any(m["clock"] for m in found)
    words_ = f"dates with month names such as {values[0]}"
    return [TimeForm(_local(text, pattern + _clock_pattern(found)), words_, dates)]


def _clock_pattern(found: Sequence[re.Match[str]]) -> str:
    timed = [m for m in found if m["clock"]]
    if not timed:
        return ""
    halves = "half" in timed[0].re.groupindex and any(m["half"] for m in timed)
    gap = timed[0]["gap"].replace("T", "'T'")
    clock = f"{gap}{'h' if halves else 'H'}:mm"
    if any(m["clock"].count(":") == 2 for m in timed):
        clock += "[:ss]"
    if fraction := next((m["clock"] for m in timed if re.search(r"[.,]", m["clock"])), ""):
        clock += f"[{',' if ',' in fraction else '.'}SSSSSSSSS]"
    if halves:
        clock += " a" if any((m["half"] or "").startswith(" ") for m in timed) else "a"
    return clock if len(timed) == len(found) else f"[{clock}]"


def _local(text: str, pattern: str) -> str:
    """A local time: the source's ``time_zone`` makes it an instant."""
    return f"CAST(try_to_timestamp(trim({text}), {literal(pattern)}) AS TIMESTAMP_NTZ)"


def _year(text: str) -> int:
    return int(text) if len(text) == 4 else 2000 + int(text)


def _possible(year: int, month: int, day: int) -> bool:
    return FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12 and 1 <= day <= 31


def _possible_epoch(seconds: int) -> bool:
    return FIRST_YEAR <= datetime.fromtimestamp(seconds, UTC).year <= LAST_YEAR
