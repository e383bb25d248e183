"""The command line over a small warehouse: what a person types, what is printed, and the code it ends with."""

import shutil
from datetime import timedelta

import pytest

import world
from churnwatch.cli import main

DAY = world.WORLD.day


@pytest.fixture(scope="module")
def folder(spark, loaded_world, tmp_path_factory):
    """A loaded warehouse of these tests' own."""
    return world.copied(loaded_world, tmp_path_factory.mktemp("commands"))


@pytest.fixture
def typed(folder, capsys):
    """Types a command over the warehouse; gives its exit code, what it printed, and its errors."""

    def ended(*words, more=(), where=folder):
        sets = [word for pair in (*world.sets(where), *more) for word in ("--set", pair)]
        with pytest.raises(SystemExit) as end:
            main([*words, "--config", str(world.CONFIG), *sets])
        told = capsys.readouterr()
        return end.value.code, told.out, told.err

    return ended


def test_the_plan_shows_every_job_with_the_day_that_it_writes(typed, spark, folder):
    code, out, _ = typed("plan", "--day", str(DAY(62)))
    jobs = world.runner(spark, folder).jobs
    assert code == 0
    assert [job.full_name for job in jobs if job.full_name not in out] == []
    assert str(DAY(62) - timedelta(days=max(job.lag_days for job in jobs))) in out


def test_rows_of_a_table_are_shown_and_an_unknown_table_is_named(typed):
    code, out, _ = typed("show", "model_runs", "--day", str(DAY(61)))
    assert code == 0 and str(DAY(61)) in out
    code, _, err = typed("show", "model_run")
    assert code == 2 and "no such table: model_run" in err and "model_runs" in err


@pytest.mark.case(39)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "score_user", "--day", "2025-03-01"), "no such job: 'score_user'; did you mean 'score_users'"),
        (("run", "all"), "give either --day, or --from and --to"),
        (("run", "all", "--day", "2025-03-01", "--to", "2025-03-02"), "give either --day, or --from and --to"),
        (("run", "all", "--from", "2025-03-02", "--to", "2025-03-01"), "is before --from"),
        (("run", "all", "score_users", "--day", "2025-03-01"), "all is every job"),
        (("simulate", "--format", "xml"), "not one of parquet, json, csv"),
    ],
)
def test_what_was_typed_wrongly_is_said_and_ends_with_2(typed, words, said):
    code, _, err = typed(*words)
    assert code == 2 and said in err


def test_a_missing_day_ends_with_3_in_at_most_five_lines(typed):
    code, _, err = typed("run", "build_activity", "--day", str(DAY(70)))
    assert code == 3 and str(DAY(70)) in err and "run ingest_events" in err
    assert len(err.strip().splitlines()) <= 5


HALF = "{id: half, title: t, when: events_7d > 3 AND balance > 1, needs: [balance], level: yellow, cause: engagement}"
NEW = "{id: new, title: busy, when: events_7d > 0, level: yellow, cause: engagement}"


def test_rules_are_tried_out_and_nothing_is_written(typed, spark, folder):
    of = world.runner(spark, folder)
    versions = {table.name: of.store.version(table) for table in of.tables if of.store.exists(table)}
    code, out, _ = typed("rules", "test", "--day", str(DAY(62)), more=[f"rules.rules=[{HALF}, {NEW}]"])
    assert code == 0 and "off: half (t): there is no column balance" in out
    # of 600 users many are active in a week; the rule is new: it is replayed on a day whose labels are known
    row = next(line for line in out.splitlines() if " new " in line)
    assert "*" in row and "%" in row
    of.store.refresh()
    assert {table.name: of.store.version(table) for table in of.tables if of.store.exists(table)} == versions
    code, _, err = typed("rules", "test", "--day", str(DAY(62)), "--rule", "nw", more=[f"rules.rules=[{NEW}]"])
    assert code == 2 and "no such rule: nw" in err
    code, _, err = typed("rules", "test", "--day", str(DAY(70)))
    assert code == 3 and "were never built" in err


def test_warnings_are_listed_with_what_was_done_about_them(typed, spark, folder):
    of = world.runner(spark, folder)
    first, second = (r["alert_id"] for r in of.store.read(of.tables.risk_alerts).orderBy("alert_id").limit(2).collect())
    assert typed("alerts", "ack", first, "--who", "ann", "--note", "called", "--day", str(DAY(62)))[0] == 0
    code, _, err = typed("alerts", "close", first, "typo", "--who", "ann", "--day", str(DAY(62)))
    assert code == 3 and "typo" in err
    # what was refused hinders nobody
    assert typed("alerts", "act", second, "--who", "bob", "--day", str(DAY(62)))[0] == 0
    of.store.refresh()
    done = {(r["alert_id"], r["who"], r["action"]) for r in of.store.read(of.tables.alert_events).collect()}
    assert done == {(first, "ann", "acknowledged"), (second, "bob", "acted")}
    _, out, _ = typed("alerts", "list", "--rows", "5000")
    assert out.count("acknowledged") == 1 and out.count("bob") == 1
    code, out, _ = typed("alerts", "list", "--state", "acknowledged")
    assert code == 0 and first in out and second not in out and "1 warning(s)" in out
    code, _, err = typed("alerts", "list", "--level", "pink")
    assert code == 2 and "not one of" in err


def test_a_file_of_actions_is_recorded_whole_or_not_at_all(typed, spark, folder, tmp_path):
    of = world.runner(spark, folder)
    ids = [r["alert_id"] for r in of.store.read(of.tables.risk_alerts).orderBy("alert_id").collect()][5:8]
    rows = [f"{ids[0]},close,ann,false_alarm,do not warn in holidays", f"{ids[1]},act,ann,,", "typo,act,ann,,"]
    file = tmp_path / "calls.csv"
    file.write_text("alert_id,action,who,outcome,lesson\n" + "\n".join(rows) + "\n")
    code, _, err = typed("alerts", "record", str(file), "--day", str(DAY(62)))
    assert code == 3 and "do not exist, nothing was written: calls.csv:4: typo" in err
    file.write_text("alert_id,action,who,outcome,lesson\n" + "\n".join(rows[:2]) + "\n")
    assert typed("alerts", "record", str(file), "--day", str(DAY(62)))[0] == 0
    of.store.refresh()
    done = {(r["alert_id"], r["outcome"], r["lesson"]) for r in of.store.read(of.tables.alert_events).collect()}
    assert done >= {(ids[0], "false_alarm", "do not warn in holidays"), (ids[1], None, None)}


def test_the_doctor_finds_what_is_broken_and_nothing_else(typed, folder, tmp_path):
    broken = world.copied(folder, tmp_path / "w")
    for file in (broken / "tables" / "cohort_churn").rglob("*.parquet"):
        file.unlink()
    more = ["storage.files=/dev/null/files", f"rules.rules=[{HALF}]", "owners.routing=[{attribute: manager, needs: [manager]}]"]
    code, out, _ = typed("doctor", where=broken, more=more)
    assert code == 1
    assert "BAD  files in /dev/null/files" in out and "BAD  cohort_churn: cannot be read" in out
    assert [line for line in out.splitlines() if "BAD" in line and "/dev/null" not in line and "cohort_churn" not in line] == []
    assert "user_features version" in out
    assert "rule half is off: there is no column balance" in out
    assert "route 1 of owners.yaml is off: there is no column manager" in out


def test_a_new_measure_is_migrated_and_the_days_to_rebuild_are_named(typed, folder, tmp_path):
    domain = shutil.copytree(world.CONFIG.parent / "domains" / "tiny", tmp_path / "tiny")
    measures = domain / "measures.yaml"
    measures.write_text(
        measures.read_text().replace("measures:\n", "measures:\n  odd_views: {kind: count, where: \"event_type = 'view'\"}\n", 1)
    )
    own, more = world.copied(folder, tmp_path / "w"), [f"domain={domain}"]
    code, _, err = typed("run", "build_features", "--day", str(DAY(62)), more=more, where=own)
    assert code == 1 and "churnwatch migrate" in err
    code, out, _ = typed("migrate", "--dry-run", more=more, where=own)
    assert code == 0 and "user_features: would add odd_views" in out
    code, out, _ = typed("migrate", more=more, where=own)
    assert code == 0 and f"daily_activity: added odd_views; days to rebuild: {DAY(1)} .. {DAY(62)}" in out
    for job in ("build_activity", "build_features"):
        assert typed("run", job, "--from", str(DAY(60)), "--to", str(DAY(62)), more=more, where=own)[0] == 0
    assert "every table is as its contract says" in typed("migrate", more=more, where=own)[1]


def test_a_rule_that_changed_is_set_in_stored_tables(typed, spark, folder, tmp_path):
    own = world.copied(folder, tmp_path / "w")
    table = world.runner(spark, own).store.sql_name(world.runner(spark, own).tables.alert_events)
    spark.sql(f"ALTER TABLE {table} DROP CONSTRAINT action_known")
    spark.sql(f"ALTER TABLE {table} ADD CONSTRAINT action_known CHECK (action IN ('acknowledged', 'acted', 'closed'))")
    spark.sql(f"ALTER TABLE {table} ADD CONSTRAINT of_old CHECK (who IS NOT NULL)")
    assert "alert_events: rules would be set: action_known, of_old" in typed("migrate", "--dry-run", where=own)[1]
    assert "alert_events: rules set: action_known, of_old" in typed("migrate", where=own)[1]
    assert "every table is as its contract says" in typed("migrate", where=own)[1]


def test_a_world_is_written_and_continued(typed, tmp_path):
    place = ("simulate", "--users", "20", "--out", str(tmp_path / "raw"), "--truth", str(tmp_path / "truth"))
    assert typed(*place, "--days", "2")[0] == 0
    assert typed(*place, "--days", "3", "--continue")[0] == 0
    assert len(list((tmp_path / "raw" / "events").glob("day=*"))) == 3
    assert typed(*place, "--days", "4", "--continue", "--actions", "retention_actions")[0] == 0
    assert (tmp_path / "truth" / "treatments").is_dir()
    code, _, err = typed(*place, "--days", "3", "--continue")
    assert code == 2 and "continue to a later one" in err
