"""Labels: whether a user who was there up to a day was lost after it, as the definition of churn means it."""

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
    """``user_labels`` of one definition: one row per day and eligible user; ``churned`` as ``settings.Definition`` says.

    What falls into the lead decides nothing, except that a contract may be renewed in it. Inputs as ``eligible_users``
    takes them; ``changes``: rows of users in O+1 .. O+lead+horizon, where the definition reads an attribute.
    """
    meant = settings.churn.definitions[definition]
    labelled = eligible_users(inputs, days, settings, definition, **_after(meant))
    if meant.attribute:
        labelled = labelled.transform(_with_move, inputs["changes"], days, meant)
    return {
        "user_labels": labelled.select(
            "day", F.lit(definition).alias("definition"), "user_id", _churned(meant).alias("churned"), "last_active_day"
        )
    }


def _after(meant: Definition) -> dict[str, Column]:
    """What is seen of a user after O."""
    in_horizon = F.col("ahead") & (F.col("age") < -meant.lead_days)
    if meant.kind == "drop":
        return {"amount_after": F.sum(F.when(in_horizon, F.col("amount")))}
    if meant.kind == "gap":
        return {"next_active_day": F.min(F.when(in_horizon, F.col("on")))}
    # a month that begins in the lead is told by its last day, so the lead is cut off after the sum
    return {"last_day_ahead": F.max(F.when(F.col("ahead"), F.col("on")))}


def _churned(meant: Definition) -> Column:
    if meant.kind == "drop":
        # sums of 19 digits times days and four decimals: exact in 38 digits, where a long would overflow
        before, after = (F.coalesce(n, F.lit(0)).cast("decimal(19,0)") for n in ("amount_before", "amount_after"))
        kept = meant.kept
        return after * F.lit(meant.seen_days * kept.denominator) < before * F.lit(meant.horizon_days * kept.numerator)
    if meant.kind == "gap":
        pause = F.datediff("next_active_day", "day") - meant.lead_days
        return F.coalesce(pause > threshold_days(meant), F.lit(True))
    first = 0 if meant.attribute else meant.lead_days
    found = F.coalesce(F.datediff("last_day_ahead", "day") > first, F.lit(False))
    if meant.kind == "inactivity":
        return ~found
    return ~found & F.col("moved").isNull() if meant.attribute else found


def threshold_days(meant: Definition) -> Column:
    """Days of silence that are too many for a user with ``active_days`` from ``first_active_day`` to ``last_active_day``:
    ceil(times x (last - first) / (active_days - 1)), at least ``min_gap_days``, at most the horizon; in whole numbers."""
    span = F.datediff("last_active_day", "first_active_day") * F.lit(meant.gaps.numerator).cast("long")
    gaps = (F.col("active_days") - 1) * meant.gaps.denominator
    ceiling = F.call_function("div", span + gaps - 1, gaps)
    return F.greatest(F.lit(meant.min_gap_days), F.least(F.lit(meant.horizon_days), ceiling))


def _with_move(frame: DataFrame, changes: DataFrame, days: Sequence[date], meant: Definition) -> DataFrame:
    """Adds ``moved``: true where users tells in O+1 .. O+lead+horizon that the date lies beyond them, else null."""
    moved = (
        changes.select("day", "user_id", attribute_date(meant).alias("later"))
        .transform(per_snapshot, days, oldest=-1, newest=-meant.ahead_days)
        .where(F.datediff("later", "snapshot") > meant.ahead_days)
        .groupBy(F.col("snapshot").alias("day"), "user_id")
        .agg(F.lit(True).alias("moved"))
    )
    return frame.join(moved, ["day", "user_id"], "left")  # unique by the key


def replaced_definition(days: Sequence[date], table: str, definition: str) -> Mapping[str, str]:
    """The rows of ``table`` that a run of one definition replaces: those of ``days`` and the definition."""
    return {table: f"({days_predicate(days)}) AND definition = '{definition}'"}


def only_definition(frame: DataFrame, definition: str) -> DataFrame:
    """Keeps the rows of ``definition``."""
    return frame.where(F.col("definition") == definition)
