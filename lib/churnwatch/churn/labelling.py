"""Label churn.

A user who is eligible on the as-of day O is `churned` when no event counted by the definition falls into the label window,
which starts ``lead_days`` after O and lasts ``horizon_days`` (kinds drop, event and gap: see ``settings.Definition``).
"""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.snapshots import per_snapshot
from churnwatch.churn.eligible import attribute_date, eligible_users, threshold_days
from churnwatch.core import days_predicate
from churnwatch.core.job import Frames
from churnwatch.settings import Definition, Settings


def labels(inputs: Frames, days: Sequence[date], settings: Settings, definition: str) -> Frames:
    """Build ``user_labels`` of one definition: one row per day of ``days`` and eligible user.

    Users who left, or whose pause became too long, within the lead get no label: they churned before the label window.
    Other events in the lead are ignored, except that a contract may be renewed in it and a pause may begin in it. Inputs
    as for ``eligible_users``, and ``changes``: rows of users in O+1 .. O+lead+horizon, when the definition reads an
    attribute.
    """
    spec = settings.churn.definitions[definition]
    labelled = eligible_users(inputs, days, settings, definition, **_state_after(spec)).where(~_churned_in_lead(spec))
    if spec.attribute:
        labelled = labelled.transform(_with_move, inputs["changes"], days, spec)
    return {
        "user_labels": labelled.select(
            "day",
            F.lit(definition).alias("definition"),
            "user_id",
            _churned(spec).alias("churned"),
            "last_active_day",
            F.when(_churned(spec), _churned_on(spec)).alias("churned_on"),
        )
    }


def _state_after(spec: Definition) -> dict[str, Column]:
    """Aggregate the activity of a user after O."""
    in_horizon = F.col("ahead") & (F.col("age") < -spec.lead_days)
    if spec.kind == "drop":
        return {"amount_after": F.sum(F.when(in_horizon, F.col("amount")))}
    if spec.kind == "gap":
        # the pause at the end of the lead, between the last event up to that day and the next one
        return {
            "pause_from": F.max(F.when(~in_horizon, F.col("on"))),
            "next_active_day": F.min(F.when(in_horizon, F.col("on"))),
        }
    # the lead is cut off later, because a month that begins in the lead has only its last day
    known = {"last_day_ahead": F.max(F.when(F.col("ahead"), F.col("on")))}
    if spec.kind == "event":
        in_lead = F.datediff("on", "snapshot").between(1, spec.lead_days)
        known["left_in_lead"] = F.coalesce(F.bool_or(F.col("ahead") & in_lead), F.lit(False))
    return known


def _churned_in_lead(spec: Definition) -> Column:
    """Test whether the user churned after O and before the label window. Silence and a drop have no day of their own."""
    if spec.kind == "gap":
        return F.datediff("day", "pause_from") + spec.lead_days >= threshold_days(spec)
    if spec.kind == "event" and not spec.attribute:
        return F.col("left_in_lead")
    return F.lit(False)


def _churned(spec: Definition) -> Column:
    if spec.kind == "drop":
        # decimals, because sums of 19 digits times days and four decimals would overflow a long
        before, after = (F.coalesce(n, F.lit(0)).cast("decimal(19,0)") for n in ("amount_before", "amount_after"))
        kept = spec.kept
        days_before = F.col("days_before") * F.lit(kept.denominator)
        return after * days_before < before * F.lit(spec.horizon_days * kept.numerator)
    if spec.kind == "gap":
        return F.coalesce(F.datediff("next_active_day", "pause_from") > threshold_days(spec), F.lit(True))
    first = 0 if spec.attribute else spec.lead_days
    found = F.coalesce(F.datediff("last_day_ahead", "day") > first, F.lit(False))
    if spec.kind == "inactivity":
        return ~found
    return ~found & F.col("moved").isNull() if spec.attribute else found


def _churned_on(spec: Definition) -> Column:
    """Return the day on which a churned user's silence, or pause, has lasted as long as the definition says.

    The silence begins with the last event up to the label window, which may lie in the lead. Null for kinds drop and event, and
    where the last event is not known, because other events make users eligible than those whose absence is churn.
    """
    if spec.kind == "inactivity":
        known = not spec.takes_registered and spec.active_types == spec.events
        before = F.col("last_active_day") if known else F.lit(None).cast("date")
        return F.date_add(F.coalesce("last_day_ahead", before), spec.horizon_days)
    if spec.kind == "gap":
        return F.date_add("pause_from", threshold_days(spec).cast("int"))
    return F.lit(None).cast("date")


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
