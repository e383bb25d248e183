"""One Spark session a process, worlds that all processes of a run share, and what each test is marked with."""

import json
import logging
import os
import random
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
# a worker of pytest-xdist has no main file; PySpark takes such a process for doctests of Spark Connect, and exits
vars(sys.modules["__main__"]).setdefault("__file__", __file__)
SHARED_DATA = ROOT.parent / "shared" / "data"
ORDER = ROOT / "tests" / "order.json"  # CPU seconds by file, from make order
WORLDS = {"history_world", "loaded_world"}
DEAR = 10  # CPU seconds of a file that make quick leaves out
pytest_plugins = ["processworld", "costs"]


def pytest_addoption(parser):
    parser.addoption("--write-golden", action="store_true", help="store the digests of the world's tables, as they are now")
    parser.addoption("--seed", type=int, help="draw the same samples of faults and cases as a run that printed this seed")
    parser.addoption("--whole", action="store_true", help="draw no samples: run every fault and case")


def pytest_configure(config):
    if config.option.seed is None:  # workers of pytest-xdist get the options of the run
        config.option.seed = random.randrange(1_000_000)


def pytest_terminal_summary(terminalreporter, config):
    if not config.option.whole:
        terminalreporter.write_line(f"samples of faults and cases were drawn with --seed {config.option.seed}")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items):
    """Mark tests by what they need, and sort the files that -m leaves: pytest-xdist hands out whole files in this order.

    The dearest come first. Of the files that need a world only one does, which builds it; the others would wait for it.
    """
    seconds = json.loads(ORDER.read_text())
    for item in items:
        if seconds.get(file_of(item), 1) >= DEAR:
            item.add_marker("dear")
        if getattr(item.obj, "is_hypothesis_test", False):
            item.add_marker("properties")
        if WORLDS.intersection(item.fixturenames):
            item.add_marker("chain")
        if item.get_closest_marker("processes"):
            item.add_marker("long")
    result = yield
    chain = {file_of(item) for item in items if item.get_closest_marker("chain")}
    waiting = chain - {max(chain, key=lambda file: (seconds.get(file, 1), file), default="")}
    items.sort(key=lambda item: (file_of(item) in waiting, -seconds.get(file_of(item), 1)))
    return result


def file_of(item):
    """The file of a test, relative to tests/."""
    return item.path.relative_to(ROOT / "tests").as_posix()


def pytest_sessionfinish(session, exitstatus):
    """A target of make whose marks select no test has not failed."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.option.markexpr:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture(autouse=True)
def usual_logs():
    """A command says where log lines of its process go; other tests of the process log as before."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def spark(tmp_path_factory, request):
    """The process's only Spark session, local, in UTC, with Delta."""
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


@pytest.fixture
def spark_defaults(spark):
    """The session with Spark's own settings, for a test that reads plans."""
    from sparkconf import SPARING

    for key in SPARING:
        spark.conf.unset(key)
    yield spark
    for key, value in SPARING.items():
        spark.conf.set(key, value)


@pytest.fixture(scope="session")
def sample(request):
    """``sample(cases, n)``: ``n`` of the cases, drawn by the run's seed, in their order; all of them under --whole."""
    option = request.config.option

    def drawn(cases, n):
        cases = list(cases)
        chosen = set(random.Random(option.seed).sample(range(len(cases)), min(n, len(cases))))
        return [case for number, case in enumerate(cases) if option.whole or number in chosen]

    return drawn


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets; the test is skipped, loudly, where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"REAL DATA ABSENT: {SHARED_DATA} is not there")
    return SHARED_DATA


@pytest.fixture(scope="session")
def built_once(tmp_path_factory, worker_id):
    """``built_once(name, build)``: a folder that the first process of the run fills by ``build(folder)``, for all to read.

    The others wait. A build that fails is tried again by the next process that needs it.
    """
    import shutil

    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent  # workers have a folder each in that of the run

    def made(name, build):
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(f"{folder}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                build(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def raw_world(spark, built_once):
    """A folder with a small world's raw files; nothing is loaded yet."""
    import world

    return built_once("raw_world", lambda folder: world.write_raw(spark, folder))


@pytest.fixture(scope="session")
def history_world(spark, raw_world, built_once):
    """A copy of the small world with every job run for day 1, days 2..61 loaded in one pass, and a model."""
    import world

    day = world.WORLD.day

    def build(folder):
        of = world.runner(spark, world.copied(raw_world, folder))
        world.run(of, first=day(1))
        world.run(of, first=day(2), last=day(61), every=7)
        world.run(of, "train_model", first=day(61))

    return built_once("history_world", build)


@pytest.fixture(scope="session")
def loaded_world(spark, history_world, built_once):
    """A copy of the small world's history with every job run for day 62."""
    import world

    def build(folder):
        world.run(world.runner(spark, world.copied(history_world, folder)), first=world.WORLD.day(62))

    return built_once("loaded_world", build)
