"""The whole chain over a small world: what must hold whatever the data."""

import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

import world
from churnwatch.core import DataQualityError
from churnwatch.runner import Order

DAY = world.WORLD.day


@pytest.fixture
def warehouse(spark, loaded_world, tmp_path):
    """A loaded warehouse of the test's own."""
    return world.runner(spark, world.copied(loaded_world, tmp_path / "w"))


def test_every_table_has_the_rows_that_a_day_brings(spark, loaded_world):
    of = world.runner(spark, loaded_world)
    empty = {t.name for t in of.tables if not world.rows(of, t.name)}
    # no context in this world, nobody acknowledged, no experiment, no challenger, no bot; labels of scored days are not known
    # yet; user_profiles is built on command; nothing is decided on a first of a month, no operator acted, and nobody asked to be
    # erased
    assert empty <= {"context", "alert_events", "experiment_units", "retention_lift", "alert_quality", "model_quality"} | {
        "feature_drift",
        "shadow_scores",
        "thresholds",
        "churn_causes",
        "churn_profile",
        "bots",
        "user_profiles",
        "assignments_restated",
        "operator_actions",
        "erasures",
        "suppressions",
    }


@pytest.mark.case(44)
def test_keys_are_unique_in_every_table(spark, loaded_world):
    of, repeats = world.runner(spark, loaded_world), {}
    for table in of.tables:
        keys = Counter(tuple(map(str, (row[key] for key in table.keys))) for row in world.stored(of, table.name))
        if found := [key for key, count in keys.items() if count > 1]:
            repeats[table.name] = found
    assert repeats == {}


def test_a_dry_run_writes_nothing(warehouse):
    from churnwatch.upkeep import rebuild_stale

    world.run(warehouse, "build_activity", first=DAY(62))
    before = {t.name: warehouse.store.newest(t) for t in warehouse.tables}
    outcomes = warehouse.run(Order(("all",), DAY(62), DAY(62), dry_run=True))
    assert {o.status for o in outcomes} == {"would run"}
    outcomes = rebuild_stale(warehouse, Order(("all",), DAY(60), DAY(62), dry_run=True))
    assert outcomes and {o.status for o in outcomes} == {"would run"}
    assert {t.name: warehouse.store.newest(t) for t in warehouse.tables} == before


@pytest.mark.case(1)
def test_a_second_training_of_a_day_adds_no_row(warehouse):
    world.run(warehouse, "train_model", first=DAY(61))
    before = world.rows(warehouse, "model_runs")
    world.run(warehouse, "train_model", first=DAY(61))
    assert world.rows(warehouse, "model_runs") == before


def test_a_day_without_features_is_not_scored_as_if_nobody_were_there(warehouse):
    with pytest.raises(DataQualityError, match="user_features.*run build_features"):
        world.run(warehouse, "score_users", first=DAY(60))


@pytest.mark.case(44)
def test_a_user_with_two_rows_of_features_stops_the_scores_before_they_are_published(warehouse):
    store, of, day = warehouse.store, warehouse.tables, f"day = DATE'{DAY(62)}'"
    before, features = world.rows(warehouse, "user_scores"), store.read(of.user_features, day)
    twice = features.join(store.read(of.user_scores, day).limit(1), "user_id", "left_semi").select(*features.columns)
    store.replace(of.user_features, features.unionByName(twice), day, {})
    with pytest.raises(DataQualityError, match=r"user_scores: 1 of [\d,]+ users have several rows"):
        world.run(warehouse, "score_users", first=DAY(62))
    assert world.rows(warehouse, "user_scores") == before


def test_too_many_rejects_stop_before_anything_is_published(spark, raw_world, tmp_path):
    of = world.runner(spark, world.copied(raw_world, tmp_path / "w"), "quality.max_rejected_share=0")
    with pytest.raises(DataQualityError, match="reject"):
        world.run(of, "ingest_events", first=DAY(1), last=DAY(3))
    assert {name: world.rows(of, name) for name in ("events", "rejected_events", "users")} == {
        "events": [],
        "rejected_events": [],
        "users": [],
    }
    assert of.store.staged_runs() == []


def test_acknowledgements_survive_a_re_run_and_unknown_warnings_are_refused(warehouse):
    from datetime import UTC, datetime

    from churnwatch.alerts import event_line, inbox
    from churnwatch.io.inbox import write_lines

    alert_id = warehouse.store.read(warehouse.tables.risk_alerts).first()["alert_id"]
    at = datetime(2025, 3, 8, 9, tzinfo=UTC)
    write_lines(inbox(warehouse.settings), DAY(62), [event_line(alert_id, at, "ann", "ack", "called")])
    for _ in range(2):
        world.run(warehouse, "record_alert_events", first=DAY(62))
    # both look at what people did; the second writes into the same log
    world.run(warehouse, "raise_alerts", "write_messages", "send_messages", first=DAY(62))
    stored = warehouse.store.read(warehouse.tables.alert_events).collect()
    assert [(r["alert_id"], r["who"], r["action"]) for r in stored] == [(alert_id, "ann", "acknowledged")]
    write_lines(inbox(warehouse.settings), DAY(62), [event_line("nobody", at, "ann", "ack")])
    with pytest.raises(DataQualityError, match="nobody"):
        world.run(warehouse, "record_alert_events", first=DAY(62))


@pytest.mark.case(7)
def test_what_late_events_change_is_stale_and_is_rebuilt(warehouse):
    from churnwatch.upkeep import rebuild_stale, stale

    assert stale(warehouse) == []
    world.run(warehouse, "ingest_events", first=DAY(62))
    names = {job.full_name for job, _ in stale(warehouse)}
    assert {"build_activity", "build_features", "score_users"} <= names
    rebuilt = rebuild_stale(warehouse, Order(("all",), DAY(62) - timedelta(days=30), DAY(62)))
    assert {o.step.job.name for o in rebuilt}.isdisjoint({"score_users", "train_model", "plan_retention", "raise_alerts"})
    left = {job.name for job, _ in stale(warehouse) if job.mode == "range"}
    assert left == set()


@pytest.mark.case(17)
def test_the_first_days_end_well(spark, history_world):
    stored = sorted(world.stored(world.runner(spark, history_world), "job_runs"), key=lambda row: row["at"])
    ended = {(row["job"], row["instance"]): row for row in stored if row["day"] == DAY(1)}
    assert {row["status"] for row in ended.values()} <= {"done", "skipped", "refused"}
    assert ended["train_model", ""]["status"] == "refused"
    assert ended["score_users", ""]["status"] == "skipped"
    assert "churnwatch run train_model" in ended["score_users", ""]["message"]
    assert ended["label_churn", "silent_7d"]["status"] == "skipped"
    assert ended["render_report", ""]["status"] == "done"
    assert ended["all", ""]["status"] == "done"


@pytest.mark.case(18)
def test_a_missing_day_stops_the_run_and_an_empty_one_does_not(warehouse):
    world.run(warehouse, "ingest_events", first=DAY(64))
    with pytest.raises(DataQualityError, match=str(DAY(63))):
        world.run(warehouse, "build_activity", first=DAY(64))
    for number in (62, 63, 64):
        shutil.rmtree(Path(warehouse.settings.storage.files) / "raw" / "events" / f"day={DAY(number)}")
    world.run(warehouse, "ingest_events", first=DAY(63))
    assert world.run(warehouse, "build_activity", first=DAY(63), last=DAY(64))[0].status == "done"
    assert {row["day"] for row in world.stored(warehouse, "events")} >= {DAY(62), DAY(64)}
    assert world.rows(warehouse, "events", after=DAY(62), until=DAY(63)) == []
