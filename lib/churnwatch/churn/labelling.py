"""Label churn.

A user who is eligible on the as-of day O is `churned` when no event counted by the definition falls into the label window,
which starts ``lead_days`` after O and lasts ``horizon_days`` (kinds drop, event and gap: see ``settings.Definition``).
"""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.snapshots import per_snapshot
from churnwatch.churn.eligible import attribute_date, eligible_users
from churnwatch.core import days_predicate
from churnwatch.core.job import Frames
from churnwatch.settings import Definition, Settings


def labels(inputs: Frames, days: Sequence[date], settings: Settings, definition: str) -> Frames:
    """Build ``user_labels`` of one definition: one row per day of ``days`` and eligible user.

    Events in the lead are ignored, except that a contract may be renewed in it. Inputs as for ``eligible_users``, and
    ``changes``: rows of users in O+1 .. O+lead+horizon, when the definition reads an attribute.
    """
    spec = settings.churn.definitions[definition]
    labelled = eligible_users(inputs, days, settings, definition, **_state_after(spec))
    if spec.attribute:
        labelled = labelled.transform(_with_move, inputs["changes"], days, spec)
    return {
        "user_labels": labelled.select(
            "day", F.lit(definition).alias("definition"), "user_id", _churned(spec).alias("churned"), "last_active_day"
        )
    }


def _state_after(spec: Definition) -> dict[str, Column]:
    """Aggregate the activity of a user after O."""
    in_horizon = F.col("ahead") & (F.col("age") < -spec.lead_days)
    if spec.kind == "drop":
        return {"amount_after": F.sum(F.when(in_horizon, F.col("amount")))}
    if spec.kind == "gap":
        return {"next_active_day": F.min(F.when(in_horizon, F.col("on")))}
    # the lead is cut off later, because a month that begins in the lead has only its last day
    return {"last_day_ahead": F.max(F.when(F.col("ahead"), F.col("on")))}


def _churned(spec: Definition) -> Column:
    if spec.kind == "drop":
        # decimals, because sums of 19 digits times days and four decimals would overflow a long
        before, after = (F.coalesce(n, F.lit(0)).cast("decimal(19,0)") for n in ("amount_before", "amount_after"))
        kept = spec.kept
        return after * F.lit(spec.seen_days * kept.denominator) < before * F.lit(spec.horizon_days * kept.numerator)
    if spec.kind == "gap":
        pause = F.datediff("next_active_day", "day") - spec.lead_days
        return F.coalesce(pause > threshold_days(spec), F.lit(True))
    first = 0 if spec.attribute else spec.lead_days
    found = F.coalesce(F.datediff("last_day_ahead", "day") > first, F.lit(False))
    if spec.kind == "inactivity":
        return ~found
    return ~found & F.col("moved").isNull() if spec.attribute else found


def threshold_days(spec: Definition) -> Column:
    """Return the longest gap, in days, that is not churn: ceil(times x (last_active_day - first_active_day) /
    (active_days - 1)), at least ``min_gap_days``, at most the horizon; in whole numbers."""
    span = F.datediff("last_active_day", "first_active_day") * F.lit(spec.gaps.numerator).cast("long")
    gaps = (F.col("active_days") - 1) * spec.gaps.denominator
    ceiling = F.call_function("div", span + gaps - 1, gaps)
    return F.greatest(F.lit(spec.min_gap_days), F.least(F.lit(spec.horizon_days), ceiling))


def _with_move(frame: DataFrame, changes: DataFrame, days: Sequence[date], spec: Definition) -> DataFrame:
    """Add ``moved``: true when a change of users in O+1 .. O+lead+horizon moves the date beyond them, else null."""
    moved = (
        changes.select("day", "user_id", attribute_date(spec).alias("later"))
        .transform(per_snapshot, days, oldest=-1, newest=-spec.ahead_days)
        .where(F.datediff("later", "snapshot") > spec.ahead_days)
        .groupBy(F.col("snapshot").alias("day"), "user_id")
        .agg(F.lit(True).alias("moved"))
    )
    return frame.join(moved, ["day", "user_id"], "left")  # unique by the key


def replaced_definition(days: Sequence[date], table: str, definition: str) -> Mapping[str, str]:
    """Return the predicate of the rows of ``table`` that a run replaces: those of ``days`` and the definition."""
    return {table: f"({days_predicate(days)}) AND definition = '{definition}'"}


def only_definition(frame: DataFrame, definition: str) -> DataFrame:
    """Keep the rows of ``definition``."""
    return frame.where(F.col("definition") == definition)
