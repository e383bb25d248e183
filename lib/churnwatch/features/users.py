"""Build features per user and day: windows and features derived from them, tenure, segments and context."""

from collections.abc import Iterator, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.segments import with_segments
from churnwatch.core.job import Frames
from churnwatch.features.attributes import typed_attributes
from churnwatch.features.context import with_context
from churnwatch.features.expressions import over_window
from churnwatch.features.habit import slope
from churnwatch.features.months import month_end
from churnwatch.features.rfm import rfm_scores, rfm_segment
from churnwatch.features.rings import per_user_window
from churnwatch.settings import Settings, feature_names
from churnwatch.settings.names import (
    RFM_SEGMENT,
    act_measure,
    category_columns,
    counted_measures,
    month_column,
    rate_column,
    segment_names,
    slope_measures,
    summed_measures,
    window_column,
)
from churnwatch.settings.terms import PROFILING


def per_user(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """Build ``user_features``: one row per day of ``days`` and user who was active in the ``population_days`` up to and
    including it and has not refused profiling. Columns: ``feature_names``, ``text_names`` and ``bot``. No row uses anything
    after the end of its day."""
    attributes = dict(typed_attributes(settings))
    derived = {**dict(_from_windows(settings)), **dict(_per_possible_day(settings)), **attributes}
    texts = [F.col(name) for name in segment_names(settings)]
    if settings.measures.rfm:
        texts.append(rfm_segment(settings.measures.rfm).alias(RFM_SEGMENT))
    texts += [attributes[name].alias(name) for name in category_columns(settings)]
    features = (
        per_user_window(inputs["activity"], days, settings, inputs.get("months"))
        .where(F.col(f"{act_measure(settings)}_days_since") < settings.measures.population_days)
        .transform(only_profiled, inputs["consents"])
        .transform(with_segments, inputs["users"], settings, inputs["first_seen"], bool(attributes))
        .transform(with_history, inputs["first_seen"], settings)
        .transform(_with_context, inputs, days, settings)
        .select(
            "day",
            "user_id",
            *(derived.get(name, F.col(name)).cast("double").alias(name) for name in feature_names(settings)),
            *texts,
            "bot",
        )
        .sortWithinPartitions("day", "user_id")
    )
    return {"user_features": features}


def only_profiled(frame: DataFrame, consents: DataFrame) -> DataFrame:
    """Keep users who have not opted out of profiling as of ``day``; users without a statement stay (opt-out)."""
    refused = consents.where(((F.col("channel") == PROFILING) | (F.col("purpose") == PROFILING)) & ~F.col("granted")).select(
        F.col("user_id").alias("_user"), F.col("day").alias("_from"), F.col("until").alias("_until")
    )
    in_force = (F.col("user_id") == F.col("_user")) & F.col("day").between(F.col("_from"), F.col("_until"))
    return frame.join(refused, in_force, "left_anti")


def with_history(frame: DataFrame, first_seen: DataFrame, settings: Settings) -> DataFrame:
    """Add ``first_day``, the first day on which any user was active, and ``history_days``, the days from it to ``day`` (both
    in), at most the longest window. Null when ``day`` is before it."""
    # the filter repeats that of the join for tenure, so that Spark reuses its shuffle of all users
    first = first_seen.where(F.col("user_id").isNotNull()).agg(F.min("day").alias("first_day"))
    history = F.datediff(F.col("day"), F.col("first_day")) + 1
    capped = F.when(history > 0, F.least(history, F.lit(settings.measures.longest_window)))
    return frame.crossJoin(F.broadcast(first)).withColumn("history_days", capped)


def _with_context(frame: DataFrame, inputs: Frames, days: Sequence[date], settings: Settings) -> DataFrame:
    return with_context(frame, inputs["context"], days, settings) if settings.measures.context else frame


def _from_windows(settings: Settings) -> Iterator[tuple[str, Column]]:
    """Yield the features derived from window columns."""
    days, counted = settings.measures.trend_days, counted_measures(settings)
    for name in summed_measures(settings):
        last = F.col(window_column(name, days))
        before = F.col(window_column(name, 2 * days)) - last
        before = F.greatest(before, F.lit(0)) if name in counted else before
        # absolute values keep it within -1 .. 1 when a sum is negative (refunds)
        trend = F.try_divide(last - before, F.abs(last) + F.abs(before))
        # null without the days before, because every sum would have risen from nothing
        yield f"{name}_trend", F.when(_possible_days() >= 2 * days, trend)
    for name, text in settings.measures.ratios.items():
        for window in settings.measures.windows_days:
            yield window_column(name, window), over_window(text, window)
    if settings.measures.rfm:
        yield from rfm_scores(settings.measures.rfm)


def _per_possible_day(settings: Settings) -> Iterator[tuple[str, Column]]:
    """Yield the features that depend on the number of possible days: those of the user and those of stored history."""
    m = settings.measures
    for name in slope_measures(settings):
        yield f"{name}_slope", slope(name, m.slope_weeks or 0, _possible_days())
    for window in m.windows_days:
        possible = F.least(F.lit(window), _possible_days())
        share = F.try_divide(F.col(window_column("active_days", window)), possible)
        # at most 1, because a user may be active before the registration day that the source gives
        yield f"active_share_{window}d", F.least(share, F.lit(1.0))
        for name in m.rates:
            yield rate_column(name, window), F.try_divide(F.col(window_column(name, window)), possible)
    for name in m.shifts:
        for what in ("new", "given_up"):
            # null without earlier days, because every value would be new
            yield f"{name}_{what}", F.when(_possible_days() > m.trend_days, F.col(f"{name}_{what}"))
    for name in m.months_of:
        yield month_column(name, 0), F.when(F.col("first_day") <= F.col("day"), F.col(month_column(name, 0)))
        for back in range(1, m.months + 1):
            # null unless the whole month is stored
            stored = F.col("first_day") <= F.date_add(month_end(F.col("day"), back + 1), 1)
            yield month_column(name, back), F.when(stored, F.col(month_column(name, back)))


def _possible_days() -> Column:
    """Return the days on which the user could have been active and that are stored: at most the longest window."""
    # least() ignores nulls: without a known tenure all stored days are possible
    return F.least(F.col("tenure_days") + 1, F.col("history_days"))
