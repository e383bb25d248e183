"""One Spark session a run, started by the first test that asks for it."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
SHARED_DATA = ROOT.parent / "shared" / "data"
pytest_plugins = ["processworld", "costs"]


def pytest_collection_modifyitems(items):
    """Tests that wait for processes come last: until then these run beside the others."""
    items.sort(key=lambda item: item.get_closest_marker("processes") is not None)


def started(request, *names):
    """Starts those of the fixtures ``names`` that a test of this run waits for later."""
    asked = {name for item in request.session.items for name in item.fixturenames}
    for name in asked.intersection(names):
        request.getfixturevalue(name)


@pytest.fixture(scope="session")
def spark(tmp_path_factory, request):
    """The run's only Spark session, local, in UTC, with Delta."""
    from types import SimpleNamespace

    from churnwatch.io.session import session
    from costs import write_rules
    from sparkconf import TEST_SPARK

    os.environ["PYSPARK_PYTHON"] = sys.executable
    conf = TEST_SPARK | {"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark-warehouse"))}
    made = session(SimpleNamespace(spark=conf), "churnwatch tests")
    yield made
    if file := request.config.getoption("--rules"):
        write_rules(made, file)
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
    from churnwatch.io.keys import id_key

    folder = tmp_path_factory.mktemp("world")
    world.write_raw(spark, folder)
    id_key(world.world_settings(folder))  # keyed ids of all copies are the same
    return folder


@pytest.fixture(scope="session")
def history_world(spark, raw_world, tmp_path_factory, request):
    """A copy of the small world with every job run for day 1, days 2..61 loaded in one pass, and a model."""
    import world

    started(request, "killed_runs", "two_runs")
    folder = world.copied(raw_world, tmp_path_factory.mktemp("history"))
    of, day = world.runner(spark, folder), world.WORLD.day
    world.run(of, first=day(1))
    world.run(of, first=day(2), last=day(61), every=7)
    world.run(of, "train_model", first=day(61))
    return folder


@pytest.fixture(scope="session")
def loaded_world(spark, history_world, tmp_path_factory, request):
    """A copy of the small world's history with every job run for day 62."""
    import world

    started(request, "cluster_day")
    folder = world.copied(history_world, tmp_path_factory.mktemp("loaded"))
    world.run(world.runner(spark, folder), first=world.WORLD.day(62))
    return folder
