"""A damaged log of a table: the doctor names the file, and a job ends with the page of the runbook and not with a trace."""

import re
from pathlib import Path

import pytest

import world
from churnwatch.core import JobFailed
from churnwatch.io.table_health import damage
from churnwatch.runner import Runner
from churnwatch.upkeep.doctor import readable
from frames import frame

DAY = world.WORLD.day(1)
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


@pytest.fixture(scope="module")
def stored(spark, tmp_path_factory):
    """A warehouse with a table of three commits and a checkpoint after the second one."""
    folder = tmp_path_factory.mktemp("whole")
    runner = Runner(world.world_settings(folder), spark)
    table = runner.tables.bots
    runner.store.create([table])
    name = runner.store.sql_name(table)
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('delta.checkpointInterval' = '2')")
    for user in "ab":
        where = f"day = DATE'{DAY}' AND user_id = '{user}'"
        runner.store.replace(table, frame(spark, [(DAY, user)], table.schema), where, {"run_id": user})
    return folder


def overwritten(file):
    file.write_bytes(b"PAR1 these bytes are no file of the log")


def checkpoint(log):
    return next(log.glob("*.checkpoint.parquet"))


@pytest.mark.case(38)
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda log: overwritten(checkpoint(log)), "checkpoint .*checkpoint.parquet is no Parquet file"),
        (lambda log: overwritten(log / "_last_checkpoint"), "_last_checkpoint is no JSON"),
        (lambda log: overwritten(max(log.glob("*.json"))), "commit .*json is no JSON"),
        (lambda log: [file.unlink() for file in log.parent.rglob("part-*.parquet")], "2 of 2 data files are missing"),
    ],
    ids=["checkpoint", "last_checkpoint", "commit", "data"],
)
def test_the_doctor_names_the_damaged_file_and_the_page_of_the_runbook(spark, stored, tmp_path, spoil, said):
    runner = Runner(world.world_settings(world.copied(stored, tmp_path / "w")), spark)
    assert readable(runner, runner.tables.bots)[0]
    for file in (tmp_path / "w").rglob("*"):
        if file.is_file():  # no hard link to a file of the whole table
            content = file.read_bytes()
            file.unlink()
            file.write_bytes(content)
    log = tmp_path / "w" / "tables" / "bots" / "_delta_log"
    spoil(log)
    good, text = readable(Runner(runner.settings, spark), runner.tables.bots)
    assert not good
    assert re.search(said, text), text
    assert '"A damaged table"' in text and "## A damaged table" in RUNBOOK.read_text()


@pytest.mark.case(38)
def test_a_job_that_reads_a_damaged_log_fails_in_two_lines(spark, stored, tmp_path):
    folder = world.copied(stored, tmp_path / "w")
    file = checkpoint(folder / "tables" / "bots" / "_delta_log")
    file.unlink()
    overwritten(file)
    runner = Runner(world.world_settings(folder), spark)
    with pytest.raises(JobFailed) as failed:
        runner.store.read(runner.tables.bots).count()
    lines = str(failed.value).splitlines()
    assert len(lines) == 2 and "its log is damaged" in lines[0] and "churnwatch doctor" in lines[1]
    assert list(damage(str(folder / "tables" / "bots"), 3))
