"""The release in use as a rival of what is trained: its model over today's features, and the days it has not learnt from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from churnwatch.model import shipping
from churnwatch.model.evaluation import Judged
from churnwatch.model.schema import Schema
from churnwatch.settings import Settings
from churnwatch.settings.terms import RELEASED


@dataclass(frozen=True)
class ReleaseInUse:
    """The newest release: its ``row`` of model_runs, its artifacts, and its model over today's features.

    ``fitted``, ``calibrated``: first and last snapshot day of its train and calibration span. ``ahead``: lead time + horizon, for
    which a snapshot knows outcomes after its day.
    """

    row: Row
    artifacts: Any
    schema: Schema
    judged: Judged
    fitted: tuple[date, date]
    calibrated: tuple[date, date]
    ahead: timedelta

    @property
    def title(self) -> str:
        """What texts call it."""
        return f"release {self.row['model_version']}"

    def not_learnt(self, days: Sequence[date]) -> list[date]:
        """The days whose outcomes its fit does not know: on other days it would rank too well."""
        return [day for day in days if day >= self.fitted[1] + self.ahead]

    def not_calibrated_on(self, days: Sequence[date]) -> bool:
        """Whether its calibration knows no outcome of ``days``. On other days its log loss is too low: harder to beat."""
        return all(day >= self.calibrated[1] + self.ahead for day in days)

    def notes(self, days: Sequence[date]) -> list[str]:
        """What of the test span's ``days`` it is not compared on, and why."""
        there = self.not_learnt(days)
        learnt = (
            f"{self.title} has learnt from snapshots to {self.fitted[1]}, whose outcomes reach {self.ahead.days} days further"
        )
        if not there:
            return [f"{learnt}: not compared: ok"]
        found = [] if len(there) == len(days) else [f"{learnt}: compared on {len(there)} of {len(days)} test days: ok"]
        if not self.not_calibrated_on(there):
            reach = f"snapshots to {self.calibrated[1]}, whose outcomes reach {self.ahead.days} days further"
            found.append(f"{self.title} was calibrated on {reach}: log loss hard to beat: ok")
        return found


def last_release(model_runs: DataFrame, day: date, settings: Settings) -> Row | None:
    """The row of the newest release of the primary definition on or before ``day``; of several on a day, the latest."""
    released = model_runs.where((F.col("outcome") == RELEASED) & (F.col("definition") == settings.churn.primary))
    newest = released.where(F.col("day") <= F.lit(day)).orderBy(F.desc("day"), F.desc("at"), F.desc("run_id"))
    return newest.first()


def release_in_use(
    model_runs: DataFrame, today: date, models: Any, whole: Schema, settings: Settings
) -> tuple[ReleaseInUse | None, list[str]]:
    """The release in use over the columns of ``whole``; None and a note why where none can score today's features."""
    row = last_release(model_runs, today, settings)
    if row is None:
        return None, ["no earlier release to beat: ok"]
    artifacts = models.load(row["model_version"], row["mlflow_run_id"], row["artifacts_hash"])
    schema = Schema.from_json(artifacts.schema)
    if gone := [name for name in schema.features if name not in whole.features]:
        return None, [f"release {row['model_version']} reads {len(gone)} features that are gone ({gone[0]}): not compared: ok"]
    if other := [*schema.redefined(dict(zip(whole.features, whole.meanings, strict=True)))]:
        why = f"{len(other)} features that mean something else by now ({other[0]})"
        return None, [f"release {row['model_version']} reads {why}: not compared: ok"]
    judged = Judged(shipping.worker_model_of(artifacts.text, schema, whole.features), artifacts.calibration)
    spans, ahead = row["spans"], timedelta(days=settings.primary.ahead_days)
    return ReleaseInUse(row, artifacts, schema, judged, _ends(spans, "train"), _ends(spans, "calibration"), ahead), []


def _ends(spans: Mapping[str, str], name: str) -> tuple[date, date]:
    first, last = spans.get(f"released_{name}", spans[name]).split("..")
    return date.fromisoformat(first), date.fromisoformat(last)
