"""Quality gates of ingest: counts per source, judged before anything is published."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median

from pyspark.sql import functions as F

from churnwatch.core import DataQualityError
from churnwatch.core.job import Frames
from churnwatch.events.ingest import all_sources
from churnwatch.events.mapping import UNDATED
from churnwatch.settings import Settings

VERDICTS = ("accepted", "duplicate", "rejected", "outside_days")
USUAL_DAYS, ENOUGH_DAYS = 28, 7  # what is usual: the median of four weeks, once there is one week


@dataclass
class Count:
    """What was found in one source."""

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    undated: int = 0

    @property
    def read(self) -> int:
        """Rows that were read."""
        return sum(self.verdicts.values())

    @property
    def rejected_share(self) -> float:
        """Refused rows of the days among all rows of the days; refused rows without any day among all that were read.

        A file without ``{day}`` is read whole for a single day: its undated rejects do not all belong to this day.
        """
        dated = self.verdicts["rejected"] - self.undated
        of_days = self.verdicts["accepted"] + self.verdicts["duplicate"] + dated
        return max(dated / of_days if of_days else 0.0, self.undated / self.read if self.read else 0.0)

    def __str__(self) -> str:
        parts = " + ".join(f"{self.verdicts[verdict]:,} {verdict}" for verdict in VERDICTS)
        top = ", ".join(f"{reason} {count:,}" for reason, count in self.reasons.most_common(4))
        return f"read {self.read:,} = {parts}" + (f"; {top}" if top else "")


def gate(inputs: Frames, days: Sequence[date], settings: Settings) -> dict[str, dict[str, int]]:
    """Counts of each source: read = accepted + duplicate + rejected + outside_days.

    Raises DataQualityError where more than ``quality.max_rejected_share`` of a source is refused, a day has no event
    though ``allow_empty_days`` is false, or fewer events than ``min_rows_share_of_usual`` of the median of the 28 days
    before it (known days alone, at least 7). One aggregate of sources x verdicts x days x sets of reasons.
    """
    counts: dict[str, Count] = {source.name: Count() for source in all_sources(settings)}
    events_on: Counter[date] = Counter()
    grain = [F.col("source"), F.col("verdict"), F.col("day"), F.concat_ws(",", "reasons").alias("reasons")]
    events = inputs["rows"].select(*grain, F.lit(True).alias("event"))
    people = inputs["people"].select(*grain, F.lit(False).alias("event"))
    for row in events.unionByName(people).groupBy("source", "verdict", "day", "reasons", "event").count().collect():
        count = counts.setdefault(row["source"], Count())
        count.verdicts[row["verdict"]] += row["count"]
        if row["verdict"] == "rejected":
            count.undated += row["count"] if row["day"] == UNDATED else 0
            count.reasons.update({reason: row["count"] for reason in row["reasons"].split(",")})
        elif row["verdict"] == "accepted" and row["event"]:
            events_on[row["day"]] += row["count"]
    if faults := [*_rejected(counts, settings), *_empty(events_on, days, settings), *_few(inputs, events_on, days, settings)]:
        span = f"{min(days)}" if len(days) == 1 else f"{min(days)} .. {max(days)}"
        lines = [f"ingest_events {span}: the input is too bad to go on, nothing was published:", *faults]
        raise DataQualityError("\n  ".join(lines))
    return {name: {"read": count.read, **{v: count.verdicts[v] for v in VERDICTS}} for name, count in counts.items()}


def _rejected(counts: dict[str, Count], settings: Settings) -> list[str]:
    limit = settings.quality.max_rejected_share
    return [
        f"{name}: {count.rejected_share:.1%} refused, more than quality.max_rejected_share {limit:.1%}; {count}"
        for name, count in counts.items()
        if count.rejected_share > limit
    ]


def _empty(events_on: Counter[date], days: Sequence[date], settings: Settings) -> list[str]:
    empty = [str(day) for day in days if not events_on[day]]
    if settings.quality.allow_empty_days or not empty:
        return []
    more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
    return [f"no event on {', '.join(empty[:5])}{more}, and quality.allow_empty_days is false"]


def _few(inputs: Frames, events_on: Counter[date], days: Sequence[date], settings: Settings) -> list[str]:
    share = settings.quality.min_rows_share_of_usual
    if share is None or "events_before" not in inputs:
        return []
    known: dict[date, int] = defaultdict(int)
    known |= {row["day"]: row["count"] for row in inputs["events_before"].groupBy("day").count().collect()}
    known |= {day: events_on[day] for day in days}
    lines = []
    for day in sorted(days):
        before = [known[d] for n in range(1, USUAL_DAYS + 1) if (d := day - timedelta(days=n)) in known]
        if len(before) >= ENOUGH_DAYS and known[day] < share * (usual := median(before)):
            lines.append(f"{day}: {known[day]:,} events, fewer than {share:.0%} of the usual {usual:,.0f}")
    return lines
