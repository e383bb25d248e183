"""DuckDB as the reference: the same answers from the same files, in SQL made from the same settings."""

from datetime import timedelta
from pathlib import Path

import duckdb

from churnwatch.settings import Settings
from churnwatch.settings.names import definition_column, summed_measures, window_column
from worlds import World


class Duck:
    """A world and its folders, seen by one DuckDB."""

    def __init__(self, settings: Settings, world: World, folder: Path, threads: int) -> None:
        self.settings, self.world = settings, world
        self.source, self.answers = folder / "worlds" / world.name, folder / "answers" / world.name
        self.db = duckdb.connect(config={"threads": threads})
        self.db.execute("SET TimeZone = 'UTC'")

    def run(self, step: str) -> None:
        """Computes the table ``step``, kept in memory."""
        self.db.execute(f"CREATE OR REPLACE TABLE {step} AS {getattr(self, step)()}")

    def events(self) -> int:
        """Events of the world."""
        (count,) = self.db.execute(f"SELECT count(*) FROM {_files(self.source / 'events')}").fetchone()
        return count

    def differences(self, step: str) -> list[str]:
        """The columns of Spark's answer that are not DuckDB's, by rows and by the sum of hashes of (day, user, value)."""
        answer = _files(self.answers / {"rollup": "activity"}.get(step, step))
        types = {row[0]: row[1] for row in self.db.execute(f"DESCRIBE SELECT * FROM {answer}").fetchall()}
        ours = {row[0] for row in self.db.execute(f"DESCRIBE {step}").fetchall()}
        if step == "rollup":
            self._with_hashes(step, [n for n, m in self.settings.measures.measures.items() if m.kind == "distinct"])
        checked = [name for name in types if name not in ("day", "user_id", "bucket")]
        sums = ", ".join(f'sum(hash(day, user_id, CAST("{name}" AS {types[name]}))::HUGEINT)' for name in checked if name in ours)
        query = f"SELECT count(*), {sums} FROM "
        theirs, mine = (self.db.execute(query + source).fetchone() for source in (answer, step))
        compared = ["rows", *(name for name in checked if name in ours)]
        wrong = [name for name, a, b in zip(compared, theirs, mine, strict=True) if a != b]
        return wrong + [f"{name} (not computed)" for name in checked if name not in ours]

    def _with_hashes(self, step: str, names: list[str]) -> None:
        """Replaces sets of values by what Spark stores: their sorted hashes, looked up in the world's items."""
        for name in names:
            self.db.execute(
                f"CREATE OR REPLACE TABLE {step} AS WITH one AS (SELECT day, user_id, unnest({name}) AS value FROM {step}),"
                f" hashed AS (SELECT day, user_id, list_sort(list(hash)) AS {name} FROM one"
                f" JOIN {_files(self.source / 'items')} ON item_id = value GROUP BY ALL)"
                f" SELECT {step}.* REPLACE (coalesce(hashed.{name}, []) AS {name})"
                f" FROM {step} LEFT JOIN hashed USING (day, user_id)"
            )

    # --- daily_activity ---------------------------------------------------------------------------------------------

    def rollup(self) -> str:
        """Like the product's own: slots of the session gap's length first, in which sessions are counted."""
        gap = self.settings.activity.session_gap_minutes * 60_000_000
        narrow, wide = [], []
        for name, (of_slot, of_day) in self._daily_columns().items():
            narrow.append(f"{of_slot} AS {name}")
            wide.append(f"{of_day.format(name)} AS {name}")
        idle = "epoch_us(first_time) - epoch_us(lag(last_time) OVER (PARTITION BY user_id ORDER BY slot, day))"
        return (
            f"WITH slots AS (SELECT user_id, day, epoch_us(event_time) // {gap} AS slot, {', '.join(narrow)}"
            f" FROM {_files(self.source / 'events')} GROUP BY ALL),"
            f" starts AS (SELECT *, coalesce({idle} > {gap}, true) AS starts_session FROM slots)"
            f" SELECT day, user_id, count(*) FILTER (WHERE starts_session) AS sessions, {', '.join(wide)},"
            f" sum(events) > {self.settings.measures.bots.events_a_day} AS bot"
            " FROM starts GROUP BY day, user_id"
        )

    def _daily_columns(self) -> dict[str, tuple[str, str]]:
        """Per column: how events make it within a slot, and how slots add up."""
        columns = {
            "events": ("count(*)", "sum({})"),
            "acts": ("count(*)", "sum({})"),
            "first_time": ("min(event_time)", "min({})"),
            "last_time": ("max(event_time)", "max({})"),
            "hours": ("bit_or(1 << (epoch_us(event_time) // 3600000000 % 24)::INTEGER)", "bit_or({})"),
        }
        for name, measure in self.settings.measures.measures.items():
            chosen = f" FILTER (WHERE {measure.where})" if measure.where else ""
            columns[name] = {
                "count": (f"count({measure.of or '*'}){chosen}", "sum({})"),
                "sum": (f"coalesce(sum({measure.of}){chosen}, 0)", "sum({})"),
                "min": (f"min({measure.of}){chosen}", "min({})"),
                "max": (f"max({measure.of}){chosen}", "max({})"),
                "distinct": (f"list(DISTINCT {measure.of}){chosen}", "coalesce(list_distinct(flatten(list({}))), [])"),
            }[measure.kind]
        for name in self.settings.churn.definitions:
            columns[definition_column(name)] = ("count(*)", "sum({})")
        return columns

    # --- windows ----------------------------------------------------------------------------------------------------

    def windows(self) -> str:
        """The windows of the last day: one pass with a filter a window; sets by the newest age of each value."""
        today, windows = self.world.last_day, self.settings.measures.windows_days
        summed, kinds = summed_measures(self.settings), self.settings.measures.measures
        columns = [f"count(*) FILTER (WHERE age < {w}) AS {window_column('active_days', w)}" for w in windows]
        sets = [name for name, measure in kinds.items() if measure.kind == "distinct"]
        for name in [*summed, *(n for n, m in kinds.items() if m.kind in ("min", "max"))]:
            how, none = (kinds[name].kind, "NULL") if name not in summed else ("sum", "0")
            for w in windows:
                columns.append(f"coalesce({how}({name}) FILTER (WHERE age < {w}), {none}) AS {window_column(name, w)}")
        for name in ["events", *kinds]:
            present = f"{name} <> 0" if name in summed else f"len({name}) > 0" if name in sets else f"{name} IS NOT NULL"
            columns.append(f"min(age) FILTER (WHERE {present}) AS {name}_days_since")
        share = self.settings.measures.bots.days_share
        columns.append(f"sum(bot::INTEGER) > 0 AND sum(bot::INTEGER) / count(*) >= {share} AS bot")
        first = today - timedelta(days=windows[-1] - 1)
        joined = " ".join(f"LEFT JOIN {name}_sizes USING (user_id)" for name in sets)
        sizes = [f"coalesce({window_column(n, w)}, 0) AS {window_column(n, w)}" for n in sets for w in windows]
        return (
            f"WITH aged AS (SELECT *, DATE '{today}' - day AS age FROM {_files(self.answers / 'activity')}"
            f" WHERE day BETWEEN DATE '{first}' AND DATE '{today}'),"
            f" users AS (SELECT user_id, {', '.join(columns)} FROM aged GROUP BY user_id)"
            + "".join(f", {name}_sizes AS ({_sizes(name, windows)})" for name in sets)
            + f" SELECT DATE '{today}' AS day, users.*, {', '.join(sizes)} FROM users {joined}"
        )

    one_day = again = windows  # the same answer, made in other ways


def _sizes(name: str, windows: list[int]) -> str:
    """How many values each user's sets hold together, by window: a value counts where its newest day lies within."""
    counts = ", ".join(f"count(*) FILTER (WHERE age < {w}) AS {window_column(name, w)}" for w in windows)
    values = f"SELECT user_id, unnest({name}) AS value, age FROM aged"
    newest = f"SELECT user_id, value, min(age) AS age FROM ({values}) GROUP BY user_id, value"
    return f"SELECT user_id, {counts} FROM ({newest}) GROUP BY user_id"


def _files(folder: Path) -> str:
    return f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
