"""A small simulated world for tests: raw files, the settings that read them, and a loaded warehouse to copy."""

import os
import shutil
from datetime import date
from pathlib import Path

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from churnwatch.io.raw import simulate
from churnwatch.runner import Order, Runner
from churnwatch.settings import Settings, load
from churnwatch.simulate import Wave, World

CONFIG = Path(__file__).parent / "conf" / "test.yaml"
WORLD = World(users=600, days=65, events_a_day=4.0, waves=(Wave(day=40, region="south", share=0.5),))


def sets(folder: Path) -> list[str]:
    """What tells a command that the warehouse lies in ``folder``."""
    return [f"storage.root={folder}/tables", f"storage.files={folder}/files"]


def world_settings(folder: Path, *more: str) -> Settings:
    """The tests' settings for a warehouse in ``folder``; ``more`` are key=value."""
    return load(CONFIG, [*sets(folder), *more])


def write_raw(spark: SparkSession, folder: Path, world: World = WORLD) -> Path:
    """Write the raw files of ``world``, and a key of ids, where the settings of ``folder`` look for them."""
    simulate(spark, world, folder / "files" / "raw", folder / "truth")
    (folder / "files" / "id_key").write_text("0" * 64)  # keyed ids are the same in all copies and all runs
    return folder / "files" / "raw"


def runner(spark: SparkSession, folder: Path, *more: str) -> Runner:
    """A runner over the warehouse in ``folder``."""
    return Runner(world_settings(folder, *more), spark)


def run(of: Runner, *jobs: str, first: date, last: date | None = None, **more):
    """Runs ``jobs`` for the days D ``first`` .. ``last``."""
    return of.run(Order(jobs or ("all",), first, last or first, **more))


def copied(folder: Path, to: Path) -> Path:
    """Copy a warehouse for a test that changes it. Parquet files, which nobody writes twice, are hard links.

    Delta tables hold relative paths only, so that a copy is whole.
    """
    shutil.copytree(folder, to, dirs_exist_ok=True, copy_function=link_or_copy)
    return to


def link_or_copy(source: str, target: str) -> str:
    """Link a Parquet file, copy any other."""
    if not source.endswith(".parquet"):
        return shutil.copy2(source, target)
    os.link(source, target)
    return target


# what differs by nature between two runs (instants, ids of runs) and between two copies (where files lie)
VOLATILE = {"at", "mlflow_run_id", "run_id", "path", "file", "files", "reject_id"}


def stored(of: Runner, name: str, *but: str) -> list[dict]:
    """All rows of a table without the columns ``but``, as dictionaries; none where the table is not there.

    Another reader of Delta reads them, which starts no job of Spark: a hundredth of the time.
    """
    table = of.tables[name]
    path = of.store.path(table)
    if not DeltaTable.is_deltatable(path):
        return []
    return DeltaTable(path).to_pyarrow_table(columns=[c for c in table.schema.names if c not in but]).to_pylist()


def rows(of: Runner, name: str, after: date = date.min, until: date = date.max) -> list[str]:
    """Rows of a table of the days behind ``after`` up to ``until``, as sorted text, without what differs by nature."""
    return sorted(repr(row) for row in stored(of, name, *VOLATILE) if after < row["day"] <= until)


def tables_of(of: Runner, *but: str) -> dict[str, list[str]]:
    """Every table's rows; ``but``: tables left out. job_runs tells of runs and is never the same."""
    return {t.name: rows(of, t.name) for t in of.tables if t.name not in ("job_runs", *but)}
