"""Check the quality of ingested rows per source before anything is written."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import DataQualityError
from churnwatch.core.job import Frames
from churnwatch.events.arrivals import EVENTS, Intake, is_touched, only_days_of
from churnwatch.events.counts import VERDICTS, Counted, Judged, SourceCounts
from churnwatch.events.dates import date_attributes, date_faults
from churnwatch.events.mapping import is_one_of
from churnwatch.events.source_days import hour_faults, null_faults
from churnwatch.events.sources import state_sources
from churnwatch.settings import Settings

BASELINE_DAYS, FEWEST_BASELINE_DAYS = 28, 7  # the usual number of events is the median of 28 days; at least 7 are needed


@dataclass(frozen=True)
class Part:
    """Rows that are judged together: those of the ``judged`` days of each source.

    ``days``: days that are to have events. ``new``: days whose staged rows are compared with what is usual; of other days the
    stored rows are. ``undated``: refused rows without a day belong to the part.
    """

    judged: Judged
    days: tuple[date, ...]
    new: frozenset[date]
    undated: bool = False


def gate(inputs: Frames, days: Sequence[date], settings: Settings, scope: Intake | None = None) -> dict[str, dict[str, Any]]:
    """Judge the days that were asked for, and count the rows of each source: read = accepted + duplicate + rejected +
    outside_days. ``identical_across_files`` counts rows without an event_id that another file holds as often; they are
    duplicates where ``repeats`` is drop, else accepted. ``id_conflicts`` counts accepted rows whose event_id another row of the
    day has with other content. ``hours_without_events``: local hours without an event that usually have 20 or more on that
    weekday; ``without_events`` names them by day. ``scope``: what is taken in beside the days that were asked for, which
    ``late_faults`` has judged.

    Raises DataQualityError when

    - a source has a share of refused rows above ``quality.max_rejected_share``, of rows of nobody above
      ``quality.max_nobody_share``, or of identical accepted rows above ``quality.max_identical_across_files_share``,
    - an attribute that a churn definition reads as a date has a share of values that are no date above
      ``quality.max_unreadable_share``,
    - a day has no event and ``quality.allow_empty_days`` is false,
    - a day has fewer events than ``quality.min_rows_share_of_usual`` times the median of the 28 days before it. That median
      takes only days that have rows in ``events_before`` or are among ``days``, and needs at least 7 of them,
    - the share of nulls in a mapped field has risen by more than ``quality.max_null_share_rise``,
    - too few of the usual hours have events (``quality.min_hours_share``).
    """
    intake = scope or only_days_of(days, settings)
    counted = intake.counted or Counted.collect(inputs, settings)
    if faults := _faults(inputs, counted, _own_part(intake, settings), settings):
        own = intake.own
        span = f"{min(own)}" if len(own) == 1 else f"{min(own)} .. {max(own)}"
        lines = [f"ingest_events {span}: the input fails the quality checks, nothing was published:", *faults]
        raise DataQualityError("\n  ".join(lines))
    return _counts(counted, intake, settings)


def late_faults(
    inputs: Frames, counted: Counted, intake: Intake, late: Sequence[date], settings: Settings
) -> dict[str, dict[date, list[str]]]:
    """Judge each late day by itself, as ``gate`` judges the days that were asked for; return the faults by kind and day.

    ``late``: days whose events have changed. Of users, consents and context a day is judged when its files are new or changed.
    """
    found: dict[str, dict[date, list[str]]] = {}
    sources, new = [source.name for source in settings.sources.events], frozenset[date]()
    for day in sorted(late):
        part = Part(dict.fromkeys(sources, (day,)), (day,), new | {day})
        if faults := _faults(inputs, counted, part, settings):
            found.setdefault(EVENTS, {})[day] = faults
        else:
            new |= {day}
    for kind, source in state_sources(settings).items():
        for day in intake.state_days[kind] if source.daily else ():
            if day in intake.own or not is_touched(intake, source, day):
                continue  # its rows were judged when they were taken in
            part = Part({source.name: (day,)}, (), frozenset({day}))
            if faults := _faults(inputs, counted, part, settings):
                found.setdefault(kind, {})[day] = faults
    return found


def _own_part(intake: Intake, settings: Settings) -> Part:
    """The days that were asked for; of state whose files have no day, all of its rows."""
    judged: dict[str, Collection[date]] = {source.name: intake.own for source in settings.sources.events}
    for kind, source in state_sources(settings).items():
        judged[source.name] = intake.own if source.daily else intake.state_days[kind]
    return Part(judged, intake.own, frozenset(intake.days), undated=True)


def _faults(inputs: Frames, counted: Counted, part: Part, settings: Settings) -> list[str]:
    """Return what is wrong with the rows of ``part``, a line each."""
    counts = counted.by_source(part.judged, part.undated)
    known = counted.source_days.with_new(part.new)
    users = settings.sources.users.name if settings.sources.users else ""
    events_on = counted.events_on(part.new)
    return [
        *_rejected(counts, settings),
        *_nobody(counts, settings),
        *_identical(inputs["events"], counts, part.judged, settings),
        *date_faults(counted.dates_of(part.judged.get(users, ())), settings),
        *_empty(events_on, part.days, settings),
        *_below_usual(counted.usual_events, events_on, part, settings),
        *null_faults(known, part.judged, part.new, settings),
        *hour_faults(known.missing_hours(part.days, settings), settings),
    ]


def _counts(counted: Counted, intake: Intake, settings: Settings) -> dict[str, dict[str, Any]]:
    """Count what is taken in, by source."""
    taken: dict[str, Collection[date]] = {source.name: intake.days for source in settings.sources.events}
    for kind, source in state_sources(settings).items():
        taken[source.name] = set(intake.state_days[kind]) - set(intake.refused.get(kind, ()))
    counts = counted.by_source(taken, undated=True)
    found: dict[str, dict[str, Any]] = {
        name: {"read": count.read, **{v: count.verdicts[v] for v in VERDICTS}} for name, count in counts.items()
    }
    for source in settings.sources.events:
        found[source.name]["identical_across_files"] = counts[source.name].identical
        found[source.name]["id_conflicts"] = counts[source.name].conflicts
    hours = counted.source_days.with_new(intake.days).missing_hours(intake.days, settings)
    for name, day in hours:
        found[name]["hours_without_events"] = found[name].get("hours_without_events", 0) + len(hours[name, day].missing)
        found[name].setdefault("without_events", {})[str(day)] = hours[name, day].missing
    if users := settings.sources.users:
        dates = counted.dates_of(taken[users.name])
        found[users.name] |= {f"unreadable_{n}": dates[n].unreadable if n in dates else 0 for n in date_attributes(settings)}
    return found


def _rejected(counts: dict[str, SourceCounts], settings: Settings) -> list[str]:
    limit = settings.quality.max_rejected_share
    return [
        f"{name}: {count.rejected_share:.1%} of rows refused, quality.max_rejected_share allows {limit:.1%}; {count}. "
        "Hint: correct the files, the map or event_types of the source, or allow a larger share"
        for name, count in counts.items()
        if count.rejected_share > limit
    ]


def _nobody(counts: dict[str, SourceCounts], settings: Settings) -> list[str]:
    limit = settings.quality.max_nobody_share
    return [
        f"{name}: {count.nobody_share:.1%} of rows have a user id that stands for nobody, quality.max_nobody_share allows "
        f"{limit:.1%}; {count}. Hint: look at the raw column of rejected_events, map another column as user_id, shorten "
        "sources.nobody, or allow a larger share"
        for name, count in counts.items()
        if count.nobody_share > limit
    ]


def _identical(events: DataFrame, counts: dict[str, SourceCounts], judged: Judged, settings: Settings) -> list[str]:
    limit, kept = (
        settings.quality.max_identical_across_files_share,
        {s.name for s in settings.sources.events if s.repeats == "keep"},
    )
    faults = []
    for name, count in counts.items():
        if name in kept and count.identical_share > limit:
            identical = events.where((F.col("source") == name) & F.col("also_in").isNotNull())
            identical = identical.where(is_one_of([*judged[name]], F.col("day")))
            # the smallest one, so that the same files give the same message
            key = identical.select(F.struct("also_in", "file", "day", "event_time", "event_type").alias("key"))
            [row] = key.agg(F.min("key").alias("key")).collect()
            one = row["key"]
            faults.append(
                f"{name}: {count.identical:,} of {count.verdicts['accepted']:,} accepted rows ({count.identical_share:.1%}) are "
                f"identical to rows of another file, quality.max_identical_across_files_share allows {limit:.1%}:\n"
                f"    {one['also_in']} and\n    {one['file']} have: day {one['day']}, event_time {one['event_time']}, "
                f"event_type {one['event_type']}\n"
                "    Hint: repeats: drop in the source where a delivery came twice, map an event_id, or allow a larger share"
            )
    return faults


def _empty(events_on: Counter[date], days: Sequence[date], settings: Settings) -> list[str]:
    empty = [str(day) for day in days if not events_on[day]]
    if settings.quality.allow_empty_days or not empty:
        return []
    more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
    return [f"no event on {', '.join(empty[:5])}{more}, and quality.allow_empty_days is false"]


def _below_usual(usual: Mapping[date, int] | None, events_on: Counter[date], part: Part, settings: Settings) -> list[str]:
    share = settings.quality.min_rows_share_of_usual
    if share is None or usual is None:
        return []
    known: dict[date, int] = defaultdict(int, usual)
    known |= {day: events_on[day] for day in part.new}
    lines = []
    for day in sorted(part.days):
        before = [known[d] for n in range(1, BASELINE_DAYS + 1) if (d := day - timedelta(days=n)) in known]
        if len(before) >= FEWEST_BASELINE_DAYS and known[day] < share * (usual_rows := median(before)):
            lines.append(f"{day}: {known[day]:,} events, fewer than {share:.0%} of the usual {usual_rows:,.0f}")
    return lines
