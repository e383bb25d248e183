"""Check the quality of ingested rows per source before anything is written."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import DataQualityError
from churnwatch.core.job import Frames
from churnwatch.events.dates import DateCount, count_dates, date_attributes, date_faults
from churnwatch.events.mapping import UNDATED
from churnwatch.events.source_days import SourceDays, hour_faults, null_faults
from churnwatch.events.sources import all_sources
from churnwatch.settings import Settings

VERDICTS = ("accepted", "duplicate", "rejected", "outside_days")
BASELINE_DAYS, FEWEST_BASELINE_DAYS = 28, 7  # the usual number of events is the median of 28 days; at least 7 are needed


@dataclass
class SourceCounts:
    """Rows of one source by verdict, and refused rows by reason.

    ``undated``: refused rows without a day. ``nobody``, ``undated_nobody``: those among the refused rows that have no fault but
    a user id that stands for nobody. ``identical``: rows without an id that another file holds as often. ``conflicts``: accepted
    rows whose id another row of the day has with other content.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    undated: int = 0
    nobody: int = 0
    undated_nobody: int = 0
    identical: int = 0
    conflicts: int = 0

    @property
    def read(self) -> int:
        """Number of rows that were read."""
        return sum(self.verdicts.values())

    @property
    def rejected_share(self) -> float:
        """Share of refused rows among the rows of users: those of ``nobody`` are left out."""
        dated, of_days = self.verdicts["rejected"] - self.undated, self._of_days
        known = self.nobody - self.undated_nobody
        return _larger(dated - known, of_days - known, self.undated - self.undated_nobody, self.read - self.nobody)

    @property
    def nobody_share(self) -> float:
        """Share of rows whose user id stands for nobody."""
        return _larger(self.nobody - self.undated_nobody, self._of_days, self.undated_nobody, self.read)

    @property
    def identical_share(self) -> float:
        """Share of identical rows of other files among the accepted rows."""
        return self.identical / max(self.verdicts["accepted"], 1)

    @property
    def _of_days(self) -> int:
        return self.read - self.verdicts["outside_days"] - self.undated

    def __str__(self) -> str:
        parts = " + ".join(f"{self.verdicts[verdict]:,} {verdict}" for verdict in VERDICTS)
        top = ", ".join(f"{reason} {count:,}" for reason, count in self.reasons.most_common(4))
        return f"read {self.read:,} = {parts}" + (f"; {top}" if top else "")


def _larger(dated: int, of_days: int, undated: int, of_all: int) -> float:
    """Dated rows / all dated rows, or undated rows / all rows, whichever is larger.

    They are kept apart because a file without ``{day}`` is read whole even for a single day, so that most of its undated rows
    belong to other days.
    """
    return max(dated / of_days if of_days else 0.0, undated / of_all if of_all else 0.0)


def gate(inputs: Frames, days: Sequence[date], settings: Settings) -> dict[str, dict[str, Any]]:
    """Count the rows of each source: read = accepted + duplicate + rejected + outside_days. ``identical_across_files`` counts
    rows without an event_id that another file holds as often; they are duplicates where ``repeats`` is drop, else accepted.
    ``id_conflicts`` counts accepted rows whose event_id another row of the day has with other content.
    ``hours_without_events``: local hours without an event that usually have 20 or more on that weekday; ``without_events``
    names them by day.

    One aggregate by source, verdict, day and set of reasons. Raises DataQualityError when

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
    counts: dict[str, SourceCounts] = {source.name: SourceCounts() for source in all_sources(settings)}
    events_on: Counter[date] = Counter()
    grain = [F.col("source"), F.col("verdict"), F.col("day"), F.concat_ws(",", "reasons").alias("reasons"), F.col("nobody")]
    no = F.lit(False)
    identical = F.col("also_in").isNotNull().alias("identical")
    events = inputs["events"].select(*grain, F.lit(True).alias("event"), identical, "conflict")
    statements = inputs["statements"].select(*grain, no.alias("event"), no.alias("identical"), no.alias("conflict"))
    rows = events.unionByName(statements)
    for row in rows.groupBy(*rows.columns).count().collect():
        count = counts.setdefault(row["source"], SourceCounts())
        count.verdicts[row["verdict"]] += row["count"]
        count.identical += row["count"] if row["identical"] else 0
        count.conflicts += row["count"] if row["conflict"] else 0
        if row["verdict"] == "rejected":
            undated = row["count"] if row["day"] == UNDATED else 0
            count.undated += undated
            count.nobody += row["count"] if row["nobody"] else 0
            count.undated_nobody += undated if row["nobody"] else 0
            count.reasons.update({reason: row["count"] for reason in row["reasons"].split(",")})
        elif row["verdict"] == "accepted" and row["event"]:
            events_on[row["day"]] += row["count"]
    dates = _dates(inputs, settings)
    known_days = SourceDays.collect(inputs, settings)
    hours = known_days.missing_hours(days, settings)
    faults = [
        *_rejected(counts, settings),
        *_nobody(counts, settings),
        *_identical(inputs["events"], counts, settings),
        *date_faults(dates, settings),
        *_empty(events_on, days, settings),
        *_below_usual(inputs, events_on, days, settings),
        *null_faults(known_days, days, settings),
        *hour_faults(hours, settings),
    ]
    if faults:
        span = f"{min(days)}" if len(days) == 1 else f"{min(days)} .. {max(days)}"
        lines = [f"ingest_events {span}: the input fails the quality checks, nothing was published:", *faults]
        raise DataQualityError("\n  ".join(lines))
    found: dict[str, dict[str, Any]] = {
        name: {"read": count.read, **{v: count.verdicts[v] for v in VERDICTS}} for name, count in counts.items()
    }
    for source in settings.sources.events:
        found[source.name]["identical_across_files"] = counts[source.name].identical
        found[source.name]["id_conflicts"] = counts[source.name].conflicts
    for name, day in hours:
        found[name]["hours_without_events"] = found[name].get("hours_without_events", 0) + len(hours[name, day].missing)
        found[name].setdefault("without_events", {})[str(day)] = hours[name, day].missing
    if dates and settings.sources.users:
        found[settings.sources.users.name] |= {f"unreadable_{name}": count.unreadable for name, count in dates.items()}
    return found


def _dates(inputs: Frames, settings: Settings) -> Mapping[str, DateCount]:
    """Count the dates of accepted statements about users, where a definition of churn reads one."""
    if not (names := date_attributes(settings)):
        return {}
    return count_dates(inputs["statements"].where("kind = 'users' AND verdict = 'accepted'"), names)


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


def _identical(events: DataFrame, counts: dict[str, SourceCounts], settings: Settings) -> list[str]:
    limit, kept = (
        settings.quality.max_identical_across_files_share,
        {s.name for s in settings.sources.events if s.repeats == "keep"},
    )
    faults = []
    for name, count in counts.items():
        if name in kept and count.identical_share > limit:
            identical = events.where((F.col("source") == name) & F.col("also_in").isNotNull())
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


def _below_usual(inputs: Frames, events_on: Counter[date], days: Sequence[date], settings: Settings) -> list[str]:
    share = settings.quality.min_rows_share_of_usual
    if share is None or "events_before" not in inputs:
        return []
    known: dict[date, int] = defaultdict(int)
    known |= {row["day"]: row["count"] for row in inputs["events_before"].groupBy("day").count().collect()}
    known |= {day: events_on[day] for day in days}
    lines = []
    for day in sorted(days):
        before = [known[d] for n in range(1, BASELINE_DAYS + 1) if (d := day - timedelta(days=n)) in known]
        if len(before) >= FEWEST_BASELINE_DAYS and known[day] < share * (usual := median(before)):
            lines.append(f"{day}: {known[day]:,} events, fewer than {share:.0%} of the usual {usual:,.0f}")
    return lines
