"""The notebook runs over the tests' world, and its numbers and pictures hold what the tables hold.

Notebooks are stored without outputs, use the face for Python and nothing deeper, and neither define nor write.
"""

import ast
import json
import re
from math import floor
from pathlib import Path

import altair
import pytest
import yaml

import world
from reportworld import frame, full
from sparkconf import TEST_SPARK

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_cells(path):
    """The cells of a notebook that hold code."""
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def run(path):
    """Run the cells of a notebook in this process; return the value of each cell that ends with an expression."""
    names, values = {}, []
    for cell in code_cells(path):
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.name, "exec"), names)
        if last:
            values.append(eval(compile(ast.Expression(last.value), path.name, "eval"), names))
    return values


@pytest.fixture(scope="module")
def warehouse(spark, loaded_world, tmp_path_factory):
    """The tests' world with every job run, and readings of lift, which its days do not reach; and its configuration."""
    folder = world.copied(loaded_world, tmp_path_factory.mktemp("notebooks") / "w")
    of = world.runner(spark, folder)
    table = of.tables.retention_lift
    of.store.create([table])
    of.store.replace(table, frame(spark, table.schema, full(of.settings, users=20)["lift"]), "day > DATE'2025-01-01'", {})
    conf = yaml.safe_load(world.CONFIG.read_text())
    conf |= {"domain": str(world.CONFIG.parent / "domains" / conf["domain"]), "spark": TEST_SPARK}
    conf |= {"storage": {"root": f"{folder}/tables", "files": f"{folder}/files"}}
    (folder / "world.yaml").write_text(yaml.safe_dump(conf))
    return of, folder / "world.yaml"


@pytest.fixture(scope="module")
def shown(warehouse):
    """What the notebook shows: frames, and charts as Vega-Lite with their rows."""
    of, config = warehouse
    (path,) = NOTEBOOKS
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHURNWATCH_CONFIG", str(config))
        patch.chdir(path.parent)  # put back, whatever the notebook changes to
        values = run(path)
    charts = [value for value in values if isinstance(value, altair.TopLevelMixin)]
    return values, {chart.title: chart.to_dict() for chart in charts}


def test_the_notebook_lists_the_tables_as_they_are_stored(warehouse, shown):
    of, _ = warehouse
    listed = shown[0][1].set_index("table")
    for table in of.tables:
        days = [row["day"] for row in world.stored(of, table.name)]
        wanted = (len(days), min(days, default=None), max(days, default=None))
        assert tuple(listed.loc[table.name, ["rows", "first_day", "last_day"]]) == wanted, table.name


def test_each_picture_draws_the_rows_of_its_table(warehouse, shown):
    of, _ = warehouse
    pictures = {title: rows_of(chart) for title, chart in shown[1].items()}
    assert pictures == {title: sorted(rows) for title, rows in expected(of).items()}


def rows_of(chart):
    """The rows of a chart: values of the encoded columns, days as text."""
    (rows,) = chart["datasets"].values()
    encoded = {one["field"] for layer in chart["layer"] for one in layer["encoding"].values()}
    return sorted(tuple((name, plain(row[name])) for name in sorted(encoded)) for row in rows)


def plain(value):
    """A value as a chart's JSON holds it: numbers rounded, days without a time."""
    if isinstance(value, float):
        return round(value, 9)
    return re.sub(r"T00:00:00.*", "", value) if isinstance(value, str) else value


def expected(of):
    """The rows of each picture by its title."""
    daily, trend, rates, cohorts, scores, lift = (
        world.stored(of, name)
        for name in ("daily_activity", "activity_trend", "churn_rates", "cohort_churn", "user_scores", "retention_lift")
    )

    def of_columns(stored, *names):
        return [tuple(sorted((n, plain(str(row[n]) if n == "day" else row[n])) for n in names)) for row in stored]

    active, spread = {}, {}
    for row in daily:
        active[row["day"]] = active.get(row["day"], 0) + 1
    newest = max(row["day"] for row in scores)
    for row in (row for row in scores if row["day"] == newest):
        key = (floor(row["probability"] * 20) / 20, row["tier"])
        spread[key] = spread.get(key, 0) + 1
    months = [
        row | {"cohort": f"{row['cohort']:%Y-%m}"}
        for row in cohorts
        if row["cohort_by"] == "month" and row["segment"] == "all" and row["complete"] and not row["before_data"]
    ]
    last = max(row["day"] for row in lift)
    whole = [row for row in lift if row["day"] == last and row["segment"] == "all" and row["incremental_users"] is not None]
    return {
        "Active users by day": of_columns([{"day": day, "users": n} for day, n in active.items()], "day", "users"),
        "Came back this week": of_columns(
            [row for row in trend if row["segment"] == "all" and row["share"] is not None], "day", "share", "low", "high"
        ),
        "Churn rate": of_columns(
            [row for row in rates if row["segment"] == "all" and row["rate"] is not None],
            *("day", "rate", "low", "high", "definition"),
        ),
        "Retention by month of registration or first activity": of_columns(months, "period", "cohort", "retained"),
        "Users by probability of churn": of_columns(
            [{"probability_from": low, "tier": tier, "users": users} for (low, tier), users in spread.items()],
            *("probability_from", "tier", "users"),
        ),
        "Difference in the share of users, treated minus held out": of_columns(
            whole, "campaign", "difference", "low", "high", "interim"
        ),
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs_and_only_look(path):
    cells = code_cells(path)
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    source = "\n".join("".join(cell["source"]) for cell in cells)
    assert not re.search(r"^\s*(def|class) |\.write\b|\.save|INSERT|to_csv|to_parquet|\.collect\(\)\s*$\n.*user_id", source, re.M)
    assert not re.search(r"(from|import) churnwatch\.", source)


def test_there_is_a_notebook():
    assert [path.name for path in NOTEBOOKS] == ["01_look_around.ipynb"]
