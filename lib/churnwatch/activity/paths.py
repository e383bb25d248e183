"""Count transitions between steps, beginnings of paths and their ends.

A step is an event that has a text for ``of`` and meets ``where``. It follows the user's previous step when that is at most
the session gap older; other events between them do not matter. Steps at the same instant are ordered by their hashes. A
transition belongs to the day of its second step, a beginning to the day of its step. Every step counts as the end of a path
on its own day, and is subtracted on the day on which another step follows it, because the end of a path is not known before.
Sums over days are therefore exact, and a day whose first step continues a path of the evening before may hold -1.

Steps are shuffled by user and minute, so that a user with millions of steps a day is spread over 1440 keys; only minutes,
with their first and last step and the counts between, are then combined per user.
"""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from churnwatch.settings import Measure, Settings

MINUTE = 60  # seconds; the shortest session gap allowed, so that steps within a minute always follow each other


def path_measures(settings: Settings) -> dict[str, Measure]:
    """Return the measures of kind transition, by name."""
    return {name: measure for name, measure in settings.measures.measures.items() if measure.kind == "transition"}


def beside_paths(slots: DataFrame, events: DataFrame, settings: Settings) -> DataFrame:
    """Add the rows of ``per_user_minute`` to ``slots`` when transitions are configured, so that both share one shuffle, one
    sort and one sum. Columns that only the other rows have are null."""
    if not path_measures(settings):
        return slots
    return slots.unionByName(per_user_minute(events, settings), allowMissingColumns=True)


def per_user_minute(events: DataFrame, settings: Settings) -> DataFrame:
    """Return one row per user, day, ``_path`` and minute with steps: ``slot`` (the minute, in seconds since 1970),
    ``first_time``, ``_first_step`` (hash), ``_last`` (instant and hash), and the count of each measure within the minute."""
    keys = ["user_id", "day", "_path", "slot"]
    before = F.lag("step").over(Window.partitionBy(*keys).orderBy("event_time", "step"))
    seconds, step = F.unix_seconds("event_time"), F.struct("event_time", "step")
    inside = [_inside(m, path).alias(name) for name, (m, path) in _numbered(settings).items()]
    return (
        _steps(events, settings)
        .withColumn("slot", seconds - F.pmod(seconds, F.lit(MINUTE)))
        .withColumn("before", before)
        .groupBy(*keys)
        .agg(F.min(step).alias("_first"), F.max(step).alias("_last"), *inside)
        .withColumns({"first_time": F.col("_first.event_time"), "_first_step": F.col("_first.step")})
        .drop("_first")
    )


def with_crossings(rows: DataFrame, order: WindowSpec, settings: Settings) -> DataFrame:
    """Add to each transition measure the step from a minute's last step to the next minute's first. Same grain.

    ``order``: a window over all earlier rows of the user, by time.
    """
    if not path_measures(settings):
        return rows
    gap = settings.activity.session_gap_minutes * 60_000_000
    # one column per path, shared by its measures
    last = {f"_last_{path}": F.when(F.col("_path") == path, F.col("_last")) for path in _paths(settings).values()}
    rows = rows.withColumns({name: F.last(value, ignorenulls=True).over(order) for name, value in last.items()})
    crossings = {}
    for name, (measure, path) in _numbered(settings).items():
        pause = F.unix_micros("first_time") - F.unix_micros(f"_last_{path}.event_time")
        crosses = _crosses(measure, F.coalesce(pause <= gap, F.lit(False)), F.col(f"_last_{path}.step"))
        crossing = F.when((F.col("_path") == path) & crosses, -1 if measure.to is None else 1).otherwise(0).cast("long")
        crossings[name] = F.coalesce(F.col(name), F.lit(0).cast("long")) + crossing
    return rows.withColumns(crossings)


def _steps(events: DataFrame, settings: Settings) -> DataFrame:
    """Return one row per event and path it is a step of: user_id, day, event_time, ``_path`` (1 ..) and ``step`` (hash)."""
    steps = []
    for (of, where), path in _paths(settings).items():
        text = F.expr(of).cast("string")
        is_step = text.isNotNull() & (F.expr(where) if where else F.lit(True))
        steps.append(F.when(is_step, F.struct(F.lit(path).alias("_path"), F.xxhash64(text).alias("step"))))
    exploded = F.explode(F.array_compact(F.array(*steps))).alias("_step")
    return events.select("user_id", "day", "event_time", exploded).select("user_id", "day", "event_time", "_step.*")


def _paths(settings: Settings) -> Mapping[tuple[str, str | None], int]:
    """Number the distinct pairs of ``of`` and ``where`` from 1; measures with the same pair share its steps."""
    pairs = dict.fromkeys((measure.of or "", measure.where) for measure in path_measures(settings).values())
    return {pair: number for number, pair in enumerate(pairs, 1)}


def _numbered(settings: Settings) -> Mapping[str, tuple[Measure, int]]:
    paths = _paths(settings)
    return {name: (m, paths[m.of or "", m.where]) for name, m in path_measures(settings).items()}


def _inside(measure: Measure, path: int) -> Column:
    """Count the measure between the steps of one minute, each of which follows the one before."""
    mine, step, before = F.col("_path") == path, F.col("step"), F.col("before")
    if measure.from_ is None:
        return F.lit(0).cast("long")
    left = before == _hash(measure.from_)
    if measure.to is not None:
        return F.count(F.when(mine & left & (step == _hash(measure.to)), 1))
    return F.count(F.when(mine & (step == _hash(measure.from_)), 1)) - F.count(F.when(mine & left, 1))


def _crosses(measure: Measure, linked: Column, before: Column) -> Column:
    """Test whether the measure counts the step to a minute's first step, or subtracts the end of a path ``before`` it."""
    first = F.col("_first_step")
    if measure.from_ is None:
        return ~linked & (first == _hash(measure.to or ""))
    left = linked & (before == _hash(measure.from_))
    return left if measure.to is None else left & (first == _hash(measure.to))


def _hash(step: str) -> Column:
    return F.xxhash64(F.lit(step))
