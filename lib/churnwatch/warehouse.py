"""The face for Python: a warehouse as notebooks and scripts use it. All else in the package may change without notice.

Nothing heavy is imported before it is needed, because every import of a module of this package passes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair
    import pandas
    from pyspark.sql import DataFrame, SparkSession

    from churnwatch.core import Table
    from churnwatch.runner import Outcome, Runner
    from churnwatch.settings import Settings

MOST_POINTS = 5_000  # rows that a chart takes: more is no picture, and would be collected
COLORS = ["#14508c", "#b05000", "#4a6b1d", "#97201a", "#4b83ba", "#a9bfd3"]


def open(config: str = "conf/local.yaml", sets: Sequence[str] = (), spark: SparkSession | None = None) -> Warehouse:
    """Open the warehouse of a configuration file.

    ``sets``: ``key=value`` over the file, as ``--set`` on the command line. ``spark``: a session to use; without one, a
    session is started by the first call that needs it. Raises ConfigError with every fault of the configuration.
    """
    from churnwatch.settings import load

    return Warehouse(load(config, sets), spark)


class Warehouse:
    """The tables of one configuration, and the jobs that write them. Made by ``churnwatch.open``.

    Days are dates or texts such as ``"2025-10-01"``. Methods that take a table's name raise ConfigError with the nearest
    name where there is no such table.
    """

    def __init__(self, settings: Settings, spark: SparkSession | None = None) -> None:
        self.settings = settings
        self._given = spark

    @cached_property
    def spark(self) -> SparkSession:
        """The Spark session; the first use starts it where none was given."""
        from churnwatch.io.session import session

        if self._given is None:
            return session(self.settings, "churnwatch from Python")
        self._given.conf.set("spark.sql.session.timeZone", "UTC")  # as in every session of the jobs
        return self._given

    # --- without Spark --------------------------------------------------------------------------------------------------

    def describe(self, table: str) -> pandas.DataFrame:
        """The data dictionary of a table, one row per column: ``column``, ``type``, ``key``, ``null``, ``meaning`` with unit."""
        import pandas

        contract = self._table(table)
        rows = [
            (f.name, f.dataType.simpleString(), f.name in contract.keys, f.nullable, f.metadata["comment"])
            for f in contract.schema.fields
        ]
        return pandas.DataFrame(rows, columns=["column", "type", "key", "null", "meaning"])

    def plan(self, day: date | str) -> pandas.DataFrame:
        """What a run for the run day ``day`` reads and writes, one row per job in the order of the flow.

        ``output_day`` is the day whose rows the job writes, ``reads`` names each table with its first and last day.
        """
        import pandas

        from churnwatch.flow import flow

        run_day, rows = _day(day), []
        for job in flow(self.settings):
            output = run_day - timedelta(days=job.lag_days)
            reads = "; ".join(f"{r.table.name} {_span(r.span.days(output, output))}" for r in job.reads.values())
            rows.append((job.full_name, output, reads, ", ".join(table.name for table in job.writes)))
        return pandas.DataFrame(rows, columns=["job", "output_day", "reads", "writes"])

    # --- reading --------------------------------------------------------------------------------------------------------

    def tables(self) -> pandas.DataFrame:
        """One row per table of the flow: ``table``, ``holds``, ``rows``, ``first_day``, ``last_day``; null days: no rows."""
        import pandas
        from pyspark.sql import functions as F

        counts: dict[str, tuple[int, date | None, date | None]] = {}
        if stored := self._stored():
            frames = [
                self._runner.store.read(t).agg(F.lit(t.name), F.count(F.lit(1)), F.min("day"), F.max("day")) for t in stored
            ]
            counts = {row[0]: (row[1], row[2], row[3]) for row in _union(frames).collect()}  # one row a table
        rows = [(t.name, t.comment, *counts.get(t.name, (0, None, None))) for t in self._runner.tables]
        return pandas.DataFrame(rows, columns=["table", "holds", "rows", "first_day", "last_day"])

    def days(self, table: str) -> list[date]:
        """The days of which a table has rows, in order; empty where it is not stored."""
        contract = self._table(table)
        self._runner.store.refresh()
        return sorted(row["day"] for row in self._runner.store.read(contract).select("day").distinct().collect())

    def read(self, table: str, day: date | str | None = None, last: int | None = None) -> DataFrame:
        """The newest stored version of a table as a Spark frame.

        ``day``: rows of that day alone. ``last`` n: the n days that end with ``day``, both ends included; without ``day``,
        those that end with the newest stored day. Raises DataQualityError with the stored days where there are no such rows.
        """
        from churnwatch.core import ConfigError

        contract = self._table(table)
        if last is not None and last < 1:
            raise ConfigError(f"last={last}: must be at least 1, the number of days that are read")
        self._runner.store.refresh()
        frame = self._runner.store.read(contract)
        if day is None and last is None:
            return frame
        end = _day(day) if day is not None else max(self.days(table), default=None)
        if end is not None:
            first = end - timedelta(days=(last or 1) - 1)
            frame = frame.where(f"day >= DATE'{first}' AND day <= DATE'{end}'")
            if not frame.isEmpty():
                return frame
        raise self._no_rows(table, _span((first, end)) if end else f"the last {last} days")

    def user(self, user_id: str, day: date | str) -> dict[str, list[dict[str, Any]]]:
        """What is stored about one user on ``day``: rows by table, in flow order; tables without a row are left out.

        Of ``users``, ``consents`` and ``first_seen``, the rows in force on that day. Events are left out, because a day
        may have thousands: ``read("events", day).where(...)``. Raises DataQualityError where nothing is stored.
        """
        from churnwatch.core import DataQualityError

        on, found = _day(day), {}
        self._runner.store.refresh()
        for table in self._stored():
            if "user_id" in table.schema.names and table.name != "events":
                about = self._about(table, user_id, on)
                if about:
                    found[table.name] = about
        if not found:
            raise DataQualityError(
                f"nothing is stored about user {user_id!r} on {on}\n"
                f"Hint: read('daily_activity').where(\"user_id = '...'\") shows the user's days"
            )
        return found

    def _about(self, table: Table, user_id: str, day: date) -> list[dict[str, Any]]:
        from pyspark.sql import functions as F

        frame = self._runner.store.read(table).where(F.col("user_id") == F.lit(user_id))
        if table.pick is None:
            return [row.asDict(recursive=True) for row in frame.where(F.col("day") == F.lit(day)).collect()]
        rows = [row.asDict(recursive=True) for row in frame.where(F.col("day") <= F.lit(day)).collect()]
        rows.sort(
            key=lambda row: tuple(row[n] for n in ("day", "at", "changed_at") if n in row), reverse=table.pick == "earliest"
        )
        return list({tuple(row[n] for n in table.pick_key): row for row in rows}.values())

    # --- running and showing --------------------------------------------------------------------------------------------

    def run(
        self,
        jobs: str | Sequence[str] = "all",
        *,
        day: date | str,
        first: date | str | None = None,
        every: int | None = None,
        decide: bool = False,
        quiet: bool = False,
    ) -> list[Outcome]:
        """Run jobs for the run day ``day``, as ``churnwatch run`` does, and print a line per step.

        ``jobs``: a name, several, or ``"all"``. ``first``: the first day of a range that ends with ``day``. ``every`` n: of a
        range, write snapshots of every n-th day only; 0: of every ``model.snapshot_every_days``-th. ``decide``: in a range, also
        run the daily jobs (warnings, offers, messages). ``quiet``: print nothing. Returns one outcome per step. Raises the error
        of the step that failed.
        """
        from churnwatch.core import ConfigError
        from churnwatch.flow import check_job_names
        from churnwatch.io.clock import refuse_future
        from churnwatch.progress import Progress
        from churnwatch.runner import Order, Runner

        start, end = _day(first if first is not None else day), _day(day)
        if start > end:
            raise ConfigError(f"first={start} is after day={end}: a range ends with day")
        names = (jobs,) if isinstance(jobs, str) else tuple(jobs)
        check_job_names(names, self._runner.jobs)
        every = self.settings.model.snapshot_every_days if every == 0 else every
        order = Order(names, start, end, every, decide)
        refuse_future(order.last, self.settings)
        if quiet:
            return self._runner.run(order)
        with Progress() as progress:
            progress.watch(self.spark)
            return Runner(self.settings, self.spark, on_end=progress.step_ended, on_start=progress.step_started).run(order)

    def chart(
        self,
        data: str | DataFrame,
        x: str,
        y: str,
        *,
        color: str | None = None,
        where: str | None = None,
        interval: tuple[str, str] | None = None,
        mark: str = "line",
        title: str | None = None,
    ) -> altair.LayerChart | altair.FacetChart:
        """A chart of a table or of a Spark frame, at most 5,000 rows: count or group them in Spark first.

        ``x``, ``y``, ``color``: columns, with an Altair type where it is to be another than the data's (``"period:O"``).
        ``where``: SQL that keeps rows. ``interval``: columns of the lower and upper end, drawn along the numeric axis.
        ``mark``: line, bar, point or rect. Raises DataQualityError where there is no row, or too many.
        """
        import altair

        rows = self._points(data, where, [x, y, *([color] if color else []), *(interval or ())])
        shown: dict[str, Any] = {"x": x, "y": y}
        if color:
            shades = mark == "rect" and _is_number(rows, color)
            scale = altair.Scale(scheme="blues") if shades else altair.Scale(range=COLORS)
            shown["color"] = altair.Color(color, scale=scale)
        chart = altair.Chart(rows)
        styles: dict[str, dict[str, Any]] = {"line": {"point": True}, "point": {"filled": True, "size": 90}}
        layers = [getattr(chart, f"mark_{mark}")(**styles.get(mark, {})).encode(**shown)]
        if interval:
            across = _is_number(rows, x) and not _is_number(rows, y)
            low = altair.X(interval[0], title=x) if across else altair.Y(interval[0], title=y)
            band = chart.mark_area(opacity=0.2) if mark == "line" else chart.mark_rule(strokeWidth=3)
            shown |= {"x": low, "x2": interval[1]} if across else {"y": low, "y2": interval[1]}
            layers.insert(0, band.encode(**shown))
        return altair.layer(*layers, title=title or "")

    def _points(self, data: str | DataFrame, where: str | None, columns: Iterable[str]) -> pandas.DataFrame:
        from pyspark.sql import functions as F

        from churnwatch.core import DataQualityError

        frame = self.read(data) if isinstance(data, str) else data
        frame = frame.where(where) if where else frame
        names = list(dict.fromkeys(column.partition(":")[0] for column in columns))
        types = {f.name: f.dataType.simpleString() for f in frame.schema.fields}
        # Altair knows instants, and takes a date for a category
        picked = [F.col(n).cast("timestamp").alias(n) if types.get(n) == "date" else F.col(n) for n in names]
        rows: pandas.DataFrame = frame.select(*picked).limit(MOST_POINTS + 1).toPandas()  # type: ignore[assignment]
        if not 0 < len(rows) <= MOST_POINTS:
            found = "no row" if rows.empty else f"more than {MOST_POINTS:,} rows"
            raise DataQualityError(f"nothing to draw: {found}\nHint: where= keeps fewer rows; group a frame before it is drawn")
        return rows.sort_values(names[0], ignore_index=True)

    # --- private --------------------------------------------------------------------------------------------------------

    @cached_property
    def _runner(self) -> Runner:
        from churnwatch.runner import Runner

        return Runner(self.settings, self.spark)

    @cached_property
    def _contracts(self) -> Mapping[str, Table]:
        from churnwatch.tables import tables

        return {table.name: table for table in tables(self.settings)}

    def _stored(self) -> list[Table]:
        self._runner.store.refresh()
        return [table for table in self._runner.tables if self._runner.store.exists(table)]

    def _table(self, name: str) -> Table:
        from churnwatch.core import ConfigError
        from churnwatch.settings.faults import nearest

        if name not in self._contracts:
            known = ", ".join(self._contracts)
            raise ConfigError(f"no such table: {name!r}{nearest(name, self._contracts)}\nThe tables are: {known}")
        return self._contracts[name]

    def _no_rows(self, table: str, asked: str) -> Exception:
        from churnwatch.core import DataQualityError, to_ranges

        spans = [_span(span) for span in to_ranges(self.days(table))]
        if not spans:
            writers = [job.full_name for job in self._runner.jobs if self._table(table) in job.writes]
            return DataQualityError(f"{table} has no rows yet\nHint: {' or '.join(writers) or 'a run of any job'} writes it")
        shown = ", ".join(spans[-5:])
        more = f" and {len(spans) - 5} earlier ranges" if len(spans) > 5 else ""
        return DataQualityError(f"{table} has no rows of {asked}\nIt has rows of: {shown}{more}")


def _day(day: date | str) -> date:
    from churnwatch.core import ConfigError

    try:
        return date.fromisoformat(day) if isinstance(day, str) else day
    except ValueError:
        raise ConfigError(f"no such day: {day!r}\nHint: write a day as '2025-10-01'") from None


def _span(span: tuple[date | None, date]) -> str:
    first, last = span
    return str(last) if first == last else f"{first or 'beginning'} .. {last}"


def _is_number(rows: pandas.DataFrame, column: str) -> bool:
    name, _, kind = column.partition(":")
    return kind == "Q" or (not kind and rows[name].dtype.kind in "iuf")


def _union(frames: Sequence[DataFrame]) -> DataFrame:
    from functools import reduce

    return reduce(lambda one, other: one.unionAll(other), frames)
