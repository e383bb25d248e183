"""Check the quality of ingested rows per source before anything is written."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median

from pyspark.sql import functions as F

from churnwatch.core import DataQualityError
from churnwatch.core.job import Frames
from churnwatch.events.dates import DateCount, count_dates, date_attributes, date_faults
from churnwatch.events.ingest import all_sources
from churnwatch.events.mapping import UNDATED
from churnwatch.settings import Settings

VERDICTS = ("accepted", "duplicate", "rejected", "outside_days")
BASELINE_DAYS, FEWEST_BASELINE_DAYS = 28, 7  # the usual number of events is the median of 28 days; at least 7 are needed


@dataclass
class SourceCounts:
    """Rows of one source by verdict, and refused rows by reason."""

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    undated: int = 0

    @property
    def read(self) -> int:
        """Number of rows that were read."""
        return sum(self.verdicts.values())

    @property
    def rejected_share(self) -> float:
        """Dated rejects / dated rows, or undated rejects / all rows, whichever is larger.

        They are kept apart because a file without ``{day}`` is read whole even for a single day, so that most of its
        undated rejects belong to other days.
        """
        dated = self.verdicts["rejected"] - self.undated
        of_days = self.verdicts["accepted"] + self.verdicts["duplicate"] + dated
        return max(dated / of_days if of_days else 0.0, self.undated / self.read if self.read else 0.0)

    def __str__(self) -> str:
        parts = " + ".join(f"{self.verdicts[verdict]:,} {verdict}" for verdict in VERDICTS)
        top = ", ".join(f"{reason} {count:,}" for reason, count in self.reasons.most_common(4))
        return f"read {self.read:,} = {parts}" + (f"; {top}" if top else "")


def gate(inputs: Frames, days: Sequence[date], settings: Settings) -> dict[str, dict[str, int]]:
    """Count the rows of each source: read = accepted + duplicate + rejected + outside_days.

    One aggregate by source, verdict, day and set of reasons. Raises DataQualityError when

    - a source has a share of refused rows above ``quality.max_rejected_share``,
    - an attribute that a churn definition reads as a date has a share of values that are no date above
      ``quality.max_unreadable_share``,
    - a day has no event and ``quality.allow_empty_days`` is false,
    - a day has fewer events than ``quality.min_rows_share_of_usual`` times the median of the 28 days before it. That median
      takes only days that have rows in ``events_before`` or are among ``days``, and needs at least 7 of them.
    """
    counts: dict[str, SourceCounts] = {source.name: SourceCounts() for source in all_sources(settings)}
    events_on: Counter[date] = Counter()
    grain = [F.col("source"), F.col("verdict"), F.col("day"), F.concat_ws(",", "reasons").alias("reasons")]
    events = inputs["events"].select(*grain, F.lit(True).alias("event"))
    statements = inputs["statements"].select(*grain, F.lit(False).alias("event"))
    for row in events.unionByName(statements).groupBy("source", "verdict", "day", "reasons", "event").count().collect():
        count = counts.setdefault(row["source"], SourceCounts())
        count.verdicts[row["verdict"]] += row["count"]
        if row["verdict"] == "rejected":
            count.undated += row["count"] if row["day"] == UNDATED else 0
            count.reasons.update({reason: row["count"] for reason in row["reasons"].split(",")})
        elif row["verdict"] == "accepted" and row["event"]:
            events_on[row["day"]] += row["count"]
    dates = _dates(inputs, settings)
    faults = [
        *_rejected(counts, settings),
        *date_faults(dates, settings),
        *_empty(events_on, days, settings),
        *_below_usual(inputs, events_on, days, settings),
    ]
    if faults:
        span = f"{min(days)}" if len(days) == 1 else f"{min(days)} .. {max(days)}"
        lines = [f"ingest_events {span}: the input fails the quality checks, nothing was published:", *faults]
        raise DataQualityError("\n  ".join(lines))
    found = {name: {"read": count.read, **{v: count.verdicts[v] for v in VERDICTS}} for name, count in counts.items()}
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
