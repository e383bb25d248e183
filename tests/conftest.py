"""One Spark session a run, started by the first test that asks for it."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """The run's only Spark session, local, in UTC, with Delta."""
    from types import SimpleNamespace

    from churnwatch.io.session import session
    from sparkconf import TEST_SPARK

    os.environ["PYSPARK_PYTHON"] = sys.executable
    conf = TEST_SPARK | {"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark-warehouse"))}
    made = session(SimpleNamespace(spark=conf), "churnwatch tests")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets; the test is skipped, loudly, where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"REAL DATA ABSENT: {SHARED_DATA} is not there")
    return SHARED_DATA


@pytest.fixture(scope="session")
def raw_world(spark, tmp_path_factory):
    """A folder with a small world's raw files; nothing is loaded yet."""
    import world

    folder = tmp_path_factory.mktemp("world")
    world.write_raw(spark, folder)
    return folder


@pytest.fixture(scope="session")
def history_world(spark, raw_world, tmp_path_factory):
    """A copy of the small world with every job run for day 1, days 2..61 loaded in one pass, and a model."""
    import world

    folder = world.copied(raw_world, tmp_path_factory.mktemp("history"))
    of, day = world.runner(spark, folder), world.WORLD.day
    world.run(of, first=day(1))
    world.run(of, first=day(2), last=day(61), every=7)
    world.run(of, "train_model", first=day(61))
    return folder


@pytest.fixture(scope="session")
def loaded_world(spark, history_world, tmp_path_factory):
    """A copy of the small world's history with every job run for day 62."""
    import world

    folder = world.copied(history_world, tmp_path_factory.mktemp("loaded"))
    world.run(world.runner(spark, folder), first=world.WORLD.day(62))
    return folder
