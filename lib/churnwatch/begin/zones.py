"""The time zone of a log: what a column of zones, or offsets in its times, tell of it; else UTC, with the reason."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from churnwatch.begin.columns import Column, key
from churnwatch.begin.guesses import Facts, Zone
from churnwatch.begin.times import TimeForm

NAMED_SO = (
    "timezone",
    "tz",
    "zone",
    "timezoneid",
    "timezonename",
    "zoneid",
    "tzname",
    "tzid",
    "localtimezone",
    "zeitzone",
    "fuseau",
)
# of zones that have the same offsets at the log's instants the first is told: where most people live
LIKELY = (
    *("Europe/Berlin", "Europe/London", "Europe/Athens", "Europe/Moscow", "Europe/Istanbul"),
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Phoenix", "America/Halifax"),
    *("America/Sao_Paulo", "America/Mexico_City", "America/Bogota", "America/Santiago", "America/St_Johns"),
    *("Asia/Shanghai", "Asia/Kolkata", "Asia/Tokyo", "Asia/Bangkok", "Asia/Karachi", "Asia/Dhaka", "Asia/Dubai", "Asia/Tehran"),
    *("Asia/Kathmandu", "Asia/Yangon", "Asia/Tashkent", "Australia/Sydney", "Australia/Brisbane", "Australia/Adelaide"),
    *("Australia/Darwin", "Africa/Lagos", "Africa/Johannesburg", "Africa/Nairobi", "Pacific/Auckland", "Pacific/Honolulu"),
)
WALL = re.compile(
    r"(?:(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})[T ]+|(?P<d>\d{1,2})[ /-](?P<name>[A-Za-z]{3})[ /-](?P<y>\d{4})[ :])"
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::\d{2}(?:[.,]\d+)?)?"
    r" *(?:Z|UTC|GMT|(?P<sign>[+-])(?P<hours>\d{2})(?::?(?P<minutes>\d{2}))?)"
)
MONTHS = "janfebmaraprmayjunjulaugsepoctnovdec"


def zone_of(columns: Sequence[Column], time: Column, form: TimeForm, facts: Facts) -> Zone:
    """The zone of the times in ``time`` and of the log's days; UTC where nothing tells it, with the reason."""
    for column in columns:
        if key(column.name) in NAMED_SO and (found := _of_column(column, form, facts)):
            return found
    if seen := [one for value in time.filled if (one := _with_offset(value.strip()))]:
        return _of_offsets(seen)
    return (
        Zone(reason="the log's times are instants, and nothing tells where its days begin: write yours") if form.zoned else Zone()
    )


def _of_column(column: Column, form: TimeForm, facts: Facts) -> Zone | None:
    names = available_timezones()
    known = Counter(value for value in column.filled if value in names)
    if not known or sum(known.values()) < len(column.filled):
        return None
    (most, _), *others = known.most_common()
    if facts.columns[column.name].distinct == 1:
        return Zone(most, f"{column.name} says so in every row")
    if not others or form.zoned:
        return Zone(most, f"the most frequent of about {facts.columns[column.name].distinct} zones in {column.name}")
    told = f"{column.name} names {', '.join(sorted(known)[:3])} and so on: read local times of several zones with it"
    return Zone(reason=f"{told}, in event_time below: to_utc_timestamp(..., {column.sql})")


def _of_offsets(seen: Sequence[tuple[datetime, timedelta]]) -> Zone:
    offsets = sorted({offset for _, offset in seen})
    told = "its first times have the offset" + ("s " if offsets[1:] else " ") + ", ".join(map(_text, offsets[:4]))
    if offsets == [timedelta()]:
        return Zone(reason="its times are in UTC, and nothing tells where its days begin: write yours")
    for name in LIKELY:
        if all(offset in _offsets(at, ZoneInfo(name)) for at, offset in seen):
            return Zone(name, f"{told}, which this zone has at these times (others may too: check)")
    hours, rest = divmod(offsets[0], timedelta(hours=1))
    if len(offsets) == 1 and not rest:
        return Zone(f"Etc/GMT{-hours:+d}", f"{told} all the year")
    return Zone(reason=f"{told}, which no usual zone has: write yours")


def _offsets(at: datetime, zone: ZoneInfo) -> list[timedelta | None]:
    """What the zone's clocks may be ahead of UTC when they show ``at``: two offsets in an hour that comes twice."""
    return [at.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)]


def _with_offset(value: str) -> tuple[datetime, timedelta] | None:
    """The time on the wall, to the minute, and its offset; None where the value has none, or is no time."""
    if not (found := WALL.fullmatch(value)):
        return None
    year, day = found["year"] or found["y"], found["day"] or found["d"]
    month = int(found["month"] or MONTHS.find(found["name"].lower()) // 3 + 1)
    offset = timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0))
    try:
        at = datetime(int(year), month, int(day), int(found["hour"]), int(found["minute"]))
    except ValueError:
        return None
    return at, -offset if found["sign"] == "-" else offset


def _text(offset: timedelta) -> str:
    minutes = round(offset / timedelta(minutes=1))
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
