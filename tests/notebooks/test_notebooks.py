"""Notebooks run over a small warehouse; they are stored without outputs and neither define nor write."""

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from churnwatch.io.store import Store
from churnwatch.settings import load
from churnwatch.tables import tables
from reportworld import READS, frame, full
from sparkconf import TEST_SPARK

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WRITTEN = ("trend", "scores", "lift")


@pytest.fixture(scope="module")
def small_warehouse(spark, tmp_path_factory):
    """The configuration of a warehouse with some tables of the app domain, others not written yet."""
    folder = tmp_path_factory.mktemp("warehouse")
    conf = yaml.safe_load((ROOT / "conf" / "local.yaml").read_text())
    conf |= {"domain": str(ROOT / "conf" / "domains" / "app"), "spark": TEST_SPARK | {"spark.driver.memory": "1g"}}
    conf["storage"] = {"root": str(folder / "tables"), "files": str(folder / "files")}
    config = folder / "small.yaml"
    config.write_text(yaml.safe_dump(conf))
    settings = load(config)
    store, contracts, rows = Store(spark, settings), tables(settings), full(settings, users=60)
    for alias in WRITTEN:
        table = contracts[READS[alias]]
        frame(spark, table.schema, rows[alias]).write.format("delta").save(store.path(table))
    return config


@pytest.mark.processes
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, small_warehouse, monkeypatch):
    monkeypatch.setenv("CHURNWATCH_CONFIG", str(small_warehouse))
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "lib"), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    pictures = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/svg+xml" in o.get("data", {})]
    assert len(pictures) == 6
    texts = " ".join(o["data"]["text/plain"] for c in notebook.cells for o in c.get("outputs", []) if "data" in o).split()
    assert "'table': 'user_scores', 'rows': 120" in " ".join(texts)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs_and_only_look(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    source = "\n".join(cell.source for cell in cells)
    assert not re.search(r"^\s*(def|class) |\.write\b|\.save|INSERT|to_csv|to_parquet|\.collect\(\)\s*$\n.*user_id", source, re.M)


def test_there_is_a_notebook():
    assert [path.name for path in NOTEBOOKS] == ["01_look_around.ipynb"]
