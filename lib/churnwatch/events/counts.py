"""Count the staged rows of an ingest by source and day, so that the rows of each day can be judged by themselves."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pyspark.sql import functions as F

from churnwatch.core.job import Frames
from churnwatch.events.dates import DateCount, count_dates_by_day, date_attributes
from churnwatch.events.mapping import OUTSIDE, REJECTED, UNDATED
from churnwatch.events.source_days import SourceDays
from churnwatch.settings import Settings

VERDICTS = ("accepted", "duplicate", "rejected", "outside_days")
Judged = Mapping[str, Collection[date]]  # source -> days whose rows are judged


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

    def add(self, row: Mapping[str, Any], verdict: str) -> None:
        """Add a group of rows that have the same source, day, verdict and reasons; ``verdict``: what they count as."""
        count = row["count"]
        self.verdicts[verdict] += count
        if verdict == OUTSIDE:
            return
        self.identical += count if row["identical"] else 0
        self.conflicts += count if row["conflict"] else 0
        if verdict == REJECTED:
            undated = count if row["day"] == UNDATED else 0
            self.undated += undated
            self.nobody += count if row["nobody"] else 0
            self.undated_nobody += undated if row["nobody"] else 0
            self.reasons.update({reason: count for reason in row["reasons"].split(",")})

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


@dataclass(frozen=True)
class Counted:
    """What the staged rows of an ingest hold.

    ``groups``: numbers of rows by source, day, verdict and set of reasons. ``dates``: values of attributes that hold dates, by
    the day of the statement. ``usual_events``: stored events of days before; None where nothing is compared with them.
    """

    groups: Sequence[Mapping[str, Any]]
    dates: Mapping[date, Mapping[str, DateCount]]
    source_days: SourceDays
    usual_events: Mapping[date, int] | None

    @classmethod
    def collect(cls, inputs: Frames, settings: Settings) -> "Counted":
        """Collect the counts: one aggregate by source, verdict, day and set of reasons, and a row per source and day."""
        grain = [F.col("source"), F.col("verdict"), F.col("day"), F.concat_ws(",", "reasons").alias("reasons"), F.col("nobody")]
        no = F.lit(False)
        identical = F.col("also_in").isNotNull().alias("identical")
        events = inputs["events"].select(*grain, F.lit(True).alias("event"), identical, "conflict")
        statements = inputs["statements"].select(*grain, no.alias("event"), no.alias("identical"), no.alias("conflict"))
        rows = events.unionByName(statements)
        groups = [row.asDict() for row in rows.groupBy(*rows.columns).count().collect()]
        usual = None
        if settings.quality.min_rows_share_of_usual is not None and "events_before" in inputs:
            usual = {row["day"]: row["count"] for row in inputs["events_before"].groupBy("day").count().collect()}
        return cls(groups, _dates(inputs, settings), SourceDays.collect(inputs, settings), usual)

    def by_source(self, judged: Judged, undated: bool) -> dict[str, SourceCounts]:
        """Count the rows of the ``judged`` days by source; rows of other days count as outside. ``undated``: refused rows without
        a day are judged too."""
        counts = {source: SourceCounts() for source in judged}
        for row in self.groups:
            if row["source"] in judged:
                inside = undated if row["day"] == UNDATED else row["day"] in judged[row["source"]]
                counts[row["source"]].add(row, row["verdict"] if inside else OUTSIDE)
        return counts

    def events_on(self, days: Collection[date]) -> Counter[date]:
        """Count the accepted events of ``days`` by day."""
        found: Counter[date] = Counter()
        for row in self.groups:
            if row["event"] and row["verdict"] == "accepted" and row["day"] in days:
                found[row["day"]] += row["count"]
        return found

    def dates_of(self, days: Collection[date]) -> dict[str, DateCount]:
        """Count the values of attributes that hold dates, of statements of ``days``."""
        found: dict[str, DateCount] = {}
        for day, counts in self.dates.items():
            for name, count in counts.items() if day in days else ():
                found[name] = found[name] + count if name in found else count
        return found


def _dates(inputs: Frames, settings: Settings) -> Mapping[date, Mapping[str, DateCount]]:
    """Count the dates of accepted statements about users by day, where a definition of churn reads one."""
    names = date_attributes(settings)
    return count_dates_by_day(inputs["statements"].where("kind = 'users' AND verdict = 'accepted'"), names) if names else {}
