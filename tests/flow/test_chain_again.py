"""Days that are run again, or many at once, over a small world: the same rows come out, whatever is known by then."""

import pytest

import world

pytestmark = pytest.mark.long  # three days of every job, several times: minutes
DAY = world.WORLD.day
LABELS = ("user_labels", "churn_rates", "lost_users")


@pytest.fixture(scope="module")
def later(spark, loaded_world, tmp_path_factory):
    """A warehouse that knows three more days than when it decided on day 62: labels of a Monday, 57, are among them."""
    of = world.runner(spark, world.copied(loaded_world, tmp_path_factory.mktemp("later")))
    world.run(of, first=DAY(63), last=DAY(65))
    return of


@pytest.fixture(scope="module")
def at_first(later):
    """The rows of ``later`` before a test changes any."""
    return world.tables_of(later)


def test_a_range_equals_a_day_and_a_shorter_range(spark, history_world, at_first, tmp_path):
    at_once = world.runner(spark, world.copied(history_world, tmp_path / "w"))
    world.run(at_once, first=DAY(62), last=DAY(65))
    decided = {table.name for job in at_once.jobs if job.mode == "daily" for table in job.writes}
    facts = [
        job for job in at_once.jobs if job.mode == "range" and not decided & {read.table.name for read in job.reads.values()}
    ]
    names = {table.name for job in facts if job.scheduled for table in job.writes} - {"ingested_files"}  # tells when files came
    assert len(names) > 15 and {name for name in names if world.rows(at_once, name) != at_first[name]} == set()


@pytest.mark.case(1)
def test_a_second_run_of_a_day_equals_the_first_whatever_is_known_by_then(spark, loaded_world, later, at_first):
    # the page shows how many rows the newest ingest has read, with those that came late; ingested_files tells when files came,
    # and those of a copied warehouse are other ones
    told = {"job_runs", "report_pages", "ingested_files"}
    first, names = world.runner(spark, loaded_world), [table.name for table in later.tables if table.name not in told]
    of_later_days = {name: world.rows(later, name, after=DAY(62)) for name in names}
    world.run(later, first=DAY(62))
    # labels of days before the first run became known on the days after it
    lacking = {name for name in LABELS if set(world.rows(first, name)) - set(world.rows(later, name))}
    until = {name: [world.rows(of, name, until=DAY(62)) for of in (first, later)] for name in names if name not in LABELS}
    assert {name for name, (before, after) in until.items() if before != after} | lacking == set()
    assert {name for name in names if world.rows(later, name, after=DAY(62)) != of_later_days[name]} == set()


@pytest.mark.case(29)
def test_training_at_a_day_is_byte_equal_with_later_labels_stored(spark, loaded_world, later):
    columns = "day, spans, trials, parameters, metrics, curves, outcome, conditions, features, schema_hash"

    def trained(of):
        of.store.refresh()
        frame = of.store.read(of.tables.model_runs, f"day = DATE'{DAY(61)}'").orderBy("at")
        return [r[0] for r in frame.selectExpr(f"to_json(struct({columns}))").collect()]

    (first,) = trained(world.runner(spark, loaded_world))
    assert later.store.read(later.tables.user_labels, f"day = DATE'{DAY(57)}'").count() > 0, "a snapshot that training reads"
    world.run(later, "train_model", first=DAY(61))
    again = trained(later)
    assert len(again) == 2, "the input's versions differ, so it is fitted anew"
    assert set(again) == {first}
