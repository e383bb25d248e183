"""A disk that is full in the middle of a step: nothing half-written is read, scratch goes, and the message names the disk."""

import subprocess
from datetime import date

import pytest
from pyspark.sql.types import StructType

from churnwatch.core import Job, Table, column
from churnwatch.runner import Order, Runner
from churnwatch.settings import load
from world import CONFIG

DAY, NEXT = date(2025, 3, 9), date(2025, 3, 10)
SCHEMA = StructType([column("day", "date", "day", nullable=False), column("text", "string", "text", nullable=False)])
ROWS = Table(name="rows", comment="rows", schema=SCHEMA, keys=("day", "text"), partitions=("day",))
MEGABYTES = 24


@pytest.fixture
def small_disk(tmp_path):
    """A disk of MEGABYTES."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={MEGABYTES}m"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"DISKS CANNOT BE MOUNTED HERE: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def text(spark, day, megabytes):
    """So many megabytes of text that cannot be compressed, in rows of ``day``."""
    hashes = "concat_ws('', transform(sequence(1, 512), n -> sha2(concat(id, '-', n), 512)))"  # 64 kB
    return spark.range(megabytes * 16).selectExpr(f"DATE'{day}' AS day", f"{hashes} AS text")


@pytest.mark.long
@pytest.mark.case(35)
def test_a_full_disk_leaves_the_table_as_it_was_and_the_message_names_it(spark, small_disk):
    size = {DAY: 1, NEXT: 4 * MEGABYTES}

    def stage(inputs, days):
        return {"staged": text(spark, days[0], size[days[0]])}

    def build(inputs, days):
        return {"rows": inputs["staged"]}

    settings = load(CONFIG, [f"storage.root={small_disk}/w", f"storage.files={small_disk}/f"])
    runner = Runner(settings, spark, jobs=(Job("ingest_events", build=build, stage=stage, writes=(ROWS,)),))
    runner.run(Order(("ingest_events",), DAY, DAY))
    with pytest.raises(Exception, match="") as failed:
        runner.run(Order(("ingest_events",), NEXT, NEXT))
    told = "\n".join([str(failed.value), *getattr(failed.value, "__notes__", ())])
    assert f"the disk of {small_disk}" in told and f"of {MEGABYTES << 20:,} bytes are free" in told
    runner.store.refresh()
    assert [row["day"] for row in runner.store.read(ROWS).select("day").distinct().collect()] == [DAY]
    assert runner.store.staged_runs() == []
