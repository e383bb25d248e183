"""An output that cannot be written is found before anything runs, by the doctor and by a dry run."""

import subprocess

import pytest

import world
from churnwatch.io import probes
from churnwatch.reading import Step
from churnwatch.runner import Runner
from churnwatch.upkeep.doctor import check_outputs

DAY = world.WORLD.day(1)


@pytest.fixture
def read_only():
    """``make(folder)``: make a folder read-only, for the root user too, by mounting a file system over it."""
    mounted = []

    def make(folder):
        folder.mkdir(parents=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(folder)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"FOLDERS CANNOT BE MOUNTED HERE: {done.stderr.strip()}")
        mounted.append(folder)

    yield make
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def bad_lines(runner, *jobs):
    steps = [Step(job, DAY, (DAY,)) for job in runner.jobs if job.name in jobs]
    # the disks of these tests are small
    return [text for good, text in check_outputs(runner, steps) if not good and not text.startswith("disk of ")]


@pytest.mark.case(48)
def test_the_last_output_without_permission_is_named_before_the_first_job_runs(spark, tmp_path, read_only):
    (tmp_path / "files").mkdir()
    runner = Runner(world.world_settings(tmp_path), spark)
    assert bad_lines(runner, "build_activity", "render_report") == []
    read_only(tmp_path / "tables" / "report_pages")
    (found,) = bad_lines(runner, "build_activity", "render_report")
    assert found.startswith("table report_pages in ") and found.endswith("Read-only file system")
    assert bad_lines(runner, "build_activity") == []
    read_only(tmp_path / "files" / "outbox")
    assert [text.split(" in ")[0] for text in bad_lines(runner, "send_notifications", "send_messages")] == ["messages"]
    assert bad_lines(runner, "build_activity") == []
    assert not (tmp_path / "tables" / "daily_activity").exists()
    assert [path for path in tmp_path.rglob("*") if "probe" in path.name] == []


def test_files_that_only_spark_or_only_python_sees_are_found(spark, tmp_path):
    """As on a cluster whose mount only the driver has."""
    runner = Runner(world.world_settings(tmp_path), spark)
    assert [good for good, _ in probes.spark_and_python(runner.store, runner.settings)] == [True, True, True]
    other = tmp_path / "another_machine"
    found = list(probes._seen_by_both(spark, other, str(tmp_path / "files"), "files"))
    assert [good for good, _ in found] == [False, False]
    assert all("mount the folder on the driver and on every worker" in text for _, text in found)
