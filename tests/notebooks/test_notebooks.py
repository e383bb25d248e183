"""The notebook runs over the tests' world, in a kernel of its own, and its numbers and pictures hold what the tables hold.

Notebooks are stored without outputs, and neither define nor write.
"""

import os
import re
import sys
from math import floor
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

import world
from reportworld import frame, full
from sparkconf import SHORT_LIVED, TEST_SPARK

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PICTURE = "image/svg+xml"


@pytest.fixture(scope="module")
def warehouse(spark, loaded_world, tmp_path_factory):
    """The tests' world with every job run, and readings of lift, which its days do not reach."""
    folder = world.copied(loaded_world, tmp_path_factory.mktemp("notebooks") / "w")
    of = world.runner(spark, folder)
    table = of.tables.retention_lift
    of.store.create([table])
    of.store.replace(table, frame(spark, table.schema, full(of.settings, users=20)["lift"]), "day > DATE'2025-01-01'", {})
    conf = yaml.safe_load(world.CONFIG.read_text())
    conf |= {"domain": str(world.CONFIG.parent / "domains" / conf["domain"])}
    conf |= {"spark": TEST_SPARK | SHORT_LIVED | {"spark.driver.memory": "1g"}}
    conf |= {"storage": {"root": f"{folder}/tables", "files": f"{folder}/files"}}
    (folder / "world.yaml").write_text(yaml.safe_dump(conf))
    return of, folder / "world.yaml"


@pytest.mark.processes
def test_the_notebook_shows_what_the_tables_hold(warehouse, monkeypatch):
    of, config = warehouse
    monkeypatch.setenv("CHURNWATCH_CONFIG", str(config))
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "lib"), os.environ.get("PYTHONPATH", "")]))
    (path,) = NOTEBOOKS
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    assert faults_of(notebook, of) == []


def faults_of(notebook, of):
    """Where a notebook's outputs are not what the tables of the warehouse hold."""
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = " ".join(" ".join(data["text/plain"].split()) for data in outputs if "text/plain" in data)
    faults = []
    for table in of.tables:
        if rows := world.stored(of, table.name):
            first, last = (repr(choose(row["day"] for row in rows)) for choose in (min, max))
            told = f"'table': '{table.name}', 'rows': {len(rows)}, 'first_day': {first}, 'last_day': {last}"
            faults += [] if told in texts else [f"not told: {told}"]
    pictures = [data[PICTURE] for data in outputs if PICTURE in data]
    wanted = expected(of)
    if len(pictures) != len(wanted):
        return [*faults, f"{len(pictures)} pictures, not {len(wanted)}"]
    for picture, (title, mark, labels) in zip(pictures, wanted, strict=True):
        if title not in picture:
            faults.append(f"no picture is called {title}")
        elif mark == "line":
            points = [path.count("L") + 1 for path in re.findall(r'aria-roledescription="line mark" d="([^"]+)"', picture)]
            faults += [] if points == labels else [f"{title}: {points} points, not {labels}"]
        else:
            found = sorted(re.findall(rf'aria-label="([^"]+)" role="graphics-symbol" aria-roledescription="{mark}"', picture))
            faults += [] if found == sorted(labels) else [f"{title}: {found}, not {sorted(labels)}"]
    return faults


def expected(of):
    """The pictures in their order: title, kind of mark, and the labels of its marks (of a line: how many points)."""

    def share(number):
        return f"{number:.12g}".replace("-", "−")

    daily, trend, rates, cohorts, scores, lift = (
        world.stored(of, name)
        for name in ("daily_activity", "activity_trend", "churn_rates", "cohort_churn", "user_scores", "retention_lift")
    )
    base = [row for row in trend if row["segment"] == "all" and row["share"] is not None]
    rated = [row for row in rates if row["segment"] == "all" and row["rate"] is not None]
    months = [row for row in cohorts if row["cohort_by"] == "month" and row["segment"] == "all" and row["complete"]]
    newest = max(row["day"] for row in scores)
    spread = {}
    for row in (row for row in scores if row["day"] == newest):
        key = (floor(row["probability"] * 20) / 20, row["tier"])
        spread[key] = spread.get(key, 0) + 1
    readings = [row for row in lift if row["segment"] == "all" and row["incremental_users"] is not None]
    return [
        ("Active users by day", "line", [len({row["day"] for row in daily})]),
        ("Came back this week", "line", [len(base)]),
        (
            "Churn rate of eligible users",
            "point",
            [f"day: {row['day']:%b %d, %Y}; rate: {share(row['rate'])}; definition: {row['definition']}" for row in rated],
        ),
        (
            "Retention by month of first activity",
            "rect mark",
            [
                f"months since the first: {row['period']}; cohort: {row['cohort']:%Y-%m}; retained: {share(row['retained'])}"
                for row in months
            ],
        ),
        (
            "Users by probability of churn",
            "bar",
            [f"probability of churn, from: {share(low)}; users: {users}; tier: {tier}" for (low, tier), users in spread.items()],
        ),
        (
            "Difference in the share of users, treated minus held out",
            "point",
            [
                f"difference: {share(row['difference'])}; campaign: {row['campaign']}; interim: {str(row['interim']).lower()}"
                for row in readings
            ],
        ),
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs_and_only_look(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    source = "\n".join(cell.source for cell in cells)
    assert not re.search(r"^\s*(def|class) |\.write\b|\.save|INSERT|to_csv|to_parquet|\.collect\(\)\s*$\n.*user_id", source, re.M)


def test_there_is_a_notebook():
    assert [path.name for path in NOTEBOOKS] == ["01_look_around.ipynb"]
