"""The face for Python: its names and signatures, and what it shows of the tests' world."""

import inspect
import subprocess
import sys
from datetime import date, timedelta

import pytest

import churnwatch
import world
from churnwatch.core import ConfigError, DataQualityError

DAY = world.WORLD.day(62)
# whoever uses the package in a notebook relies on these: a change of a line is a change for them
SIGNATURES = {
    "open": "(config: 'str' = 'conf/local.yaml', sets: 'Sequence[str]' = (), spark: 'SparkSession | None' = None) -> 'Warehouse'",
    "chart": "(self, data: 'str | DataFrame', x: 'str', y: 'str', *, color: 'str | None' = None, where: 'str | None' = None, "
    "interval: 'tuple[str, str] | None' = None, mark: 'str' = 'line', title: 'str | None' = None) "
    "-> 'altair.LayerChart | altair.FacetChart'",
    "days": "(self, table: 'str') -> 'list[date]'",
    "describe": "(self, table: 'str') -> 'pandas.DataFrame'",
    "plan": "(self, day: 'date | str') -> 'pandas.DataFrame'",
    "read": "(self, table: 'str', day: 'date | str | None' = None, last: 'int | None' = None) -> 'DataFrame'",
    "run": "(self, jobs: 'str | Sequence[str]' = 'all', *, day: 'date | str', first: 'date | str | None' = None, "
    "every: 'int | None' = None, decide: 'bool' = False, quiet: 'bool' = False) -> 'list[Outcome]'",
    "tables": "(self) -> 'pandas.DataFrame'",
    "user": "(self, user_id: 'str', day: 'date | str') -> 'dict[str, list[dict[str, Any]]]'",
}
PROPERTIES = {"settings", "spark"}


def test_the_public_names_and_their_signatures():
    assert churnwatch.__all__ == ["Warehouse", "open"]
    methods = {name: f for name, f in inspect.getmembers(churnwatch.Warehouse, callable) if not name.startswith("_")}
    found = {name: str(inspect.signature(f)) for name, f in {"open": churnwatch.open, **methods}.items()}
    assert found == SIGNATURES
    public = {name for name in vars(churnwatch.Warehouse) if not name.startswith("_")} | {"settings"}
    assert public == SIGNATURES.keys() - {"open"} | PROPERTIES


def test_importing_the_package_imports_nothing_heavy():
    heavy = "{'pyspark', 'pandas', 'numpy', 'altair', 'pydantic', 'mlflow'}"
    command = f"import sys, churnwatch; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def closed():
    """A warehouse that starts no Spark: a session in its place would be used as one, and fail."""
    return churnwatch.open(str(world.CONFIG), spark=object())


def test_the_dictionary_of_a_table_has_a_row_per_column(closed):
    described = closed.describe("activity_trend").set_index("column")
    assert described.loc["day"].tolist()[:3] == ["date", True, False]
    assert described.loc["share", "type"] == "double" and described.loc["share", "null"]
    assert described["meaning"].str.len().min() > 0


def test_the_plan_names_the_days_of_a_run(closed):
    plan = closed.plan("2025-03-10").set_index("job")
    assert plan.loc["build_activity"].tolist() == [date(2025, 3, 10), "events 2025-03-09 .. 2025-03-10", "daily_activity"]
    assert plan.loc["measure_cohorts", "output_day"] == date(2025, 3, 9)  # clock.settle_days is 1 there
    assert "first_seen beginning .. 2025-03-10" in plan.loc["build_first_seen", "reads"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: w.read("user_score"), "no such table: 'user_score'; did you mean 'user_scores'?"),
        (lambda w: w.plan("10.03.2025"), "no such day: '10.03.2025'"),
        (lambda w: w.read("users", last=0), "last=0: must be at least 1"),
        (lambda w: w.run("all", day="2025-03-10", first="2025-03-11"), "first=2025-03-11 is after day=2025-03-10"),
    ],
)
def test_a_wrong_name_or_value_is_refused_with_what_is_allowed(closed, call, message):
    with pytest.raises(ConfigError) as refused:
        call(closed)
    assert str(refused.value).startswith(message)


@pytest.fixture(scope="module")
def warehouse(spark, loaded_world):
    """The tests' world with every job run."""
    return churnwatch.open(str(world.CONFIG), world.sets(loaded_world), spark)


def test_it_lists_tables_and_days_as_they_are_stored(warehouse, spark, loaded_world):
    of = world.runner(spark, loaded_world)
    listed = warehouse.tables().set_index("table")
    for name in ("daily_activity", "user_scores", "retention_lift"):
        rows = world.stored(of, name)
        days = sorted({row["day"] for row in rows})
        assert listed.loc[name, "rows"] == len(rows)
        assert (listed.loc[name, "first_day"], listed.loc[name, "last_day"]) == ((days[0], days[-1]) if days else (None, None))
        assert warehouse.days(name) == days


def test_it_reads_the_last_days_of_a_table(warehouse):
    window = {DAY - timedelta(days=n) for n in range(7)}
    assert {row["day"] for row in warehouse.read("daily_activity", day=DAY, last=7).select("day").distinct().collect()} == window
    assert warehouse.read("daily_activity", day=str(DAY)).select("day").distinct().collect() == [(DAY,)]
    assert warehouse.read("user_scores", last=1).select("day").distinct().collect() == [(warehouse.days("user_scores")[-1],)]
    assert warehouse.read("daily_activity").count() == warehouse.tables().set_index("table").loc["daily_activity", "rows"]


def test_days_without_rows_are_refused_with_the_stored_ones(warehouse):
    first, last = world.WORLD.day(1), DAY
    with pytest.raises(DataQualityError, match=f"daily_activity has no rows of 2031-01-01\nIt has rows of: {first} .. {last}"):
        warehouse.read("daily_activity", day="2031-01-01")
    with pytest.raises(DataQualityError, match="retention_lift has no rows yet\nHint: measure_lift"):
        warehouse.read("retention_lift", day=DAY)


def test_it_shows_what_is_stored_about_a_user(warehouse):
    scored = warehouse.read("user_scores", day=DAY).orderBy("user_id").first()
    about = warehouse.user(scored["user_id"], DAY)
    assert about["user_scores"] == [scored.asDict(recursive=True)]
    assert {row["user_id"] for rows in about.values() for row in rows} == {scored["user_id"]}
    (account,) = about["users"]
    (seen,) = about["first_seen"]
    assert account["day"] <= DAY and seen["day"] <= DAY
    with pytest.raises(DataQualityError, match="nothing is stored about user 'nobody'"):
        warehouse.user("nobody", DAY)


def test_it_runs_jobs_and_prints_a_line_per_step(spark, loaded_world, tmp_path, capsys):
    mine = churnwatch.open(str(world.CONFIG), world.sets(world.copied(loaded_world, tmp_path / "w")), spark)
    with pytest.raises(ConfigError, match="no such job: 'build_first'; did you mean 'build_first_seen'"):
        mine.run("build_first", day=DAY)
    (outcome,) = mine.run("build_first_seen", day=DAY)
    assert outcome.status == "done"
    assert capsys.readouterr().out.split()[:3] == ["build_first_seen", str(DAY), "done"]
    mine.run("build_first_seen", day=DAY, quiet=True)
    assert capsys.readouterr().out == ""


def test_a_chart_draws_the_rows_of_a_table(warehouse):
    where = "segment = 'all' AND share IS NOT NULL"
    chart = warehouse.chart("activity_trend", x="day", y="share", interval=("low", "high"), where=where, title="Came back")
    band, line = chart.to_dict()["layer"]
    assert (band["mark"]["type"], line["mark"]["type"]) == ("area", "line")
    assert (band["encoding"]["y"]["field"], band["encoding"]["y2"]["field"]) == ("low", "high")
    assert (line["encoding"]["x"]["type"], line["encoding"]["y"]["type"]) == ("temporal", "quantitative")
    (rows,) = chart.to_dict()["datasets"].values()
    assert len(rows) == warehouse.read("activity_trend").where(where).count()
    assert [row["day"] for row in rows] == sorted(row["day"] for row in rows)


def test_a_chart_refuses_rows_that_are_no_picture(warehouse):
    with pytest.raises(DataQualityError, match="nothing to draw: more than 5,000 rows"):
        warehouse.chart("daily_activity", x="day", y="events")
    with pytest.raises(DataQualityError, match="nothing to draw: no row"):
        warehouse.chart("daily_activity", x="day", y="events", where="events < 0")
