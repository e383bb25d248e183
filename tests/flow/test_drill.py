"""The emergency drill: a wave planted into a copy is found, told and answered, and the warehouse stays as it was."""

from datetime import timedelta

import pytest

import world
from churnwatch.core import ConfigError
from churnwatch.drill import Drill, Milestone, Report, Wave

DAY = world.WORLD.day
RULE = {
    "id": "stays_away",
    "title": "fewer come back",
    "scope": "group",
    "when": "share < share_usual - 0.2",
    "level": "orange",
    "cause": "engagement",
    "owner": "product",
    "evidence": "{segment}={value}: {share}, usual {share_usual}",
}


def warehouse(spark, folder):
    """Settings of the warehouse in ``folder`` with a rule about groups."""
    return world.world_settings(folder, f"rules.rules=[{RULE}]")


@pytest.fixture(scope="module")
def folder(spark, loaded_world, tmp_path_factory):
    return world.copied(loaded_world, tmp_path_factory.mktemp("drill"))


def state(folder):
    """Every file of the warehouse with its size."""
    return {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}


@pytest.mark.long
def test_a_planted_wave_is_found_explained_told_and_answered_and_leaves_no_trace(spark, folder):
    before = state(folder)
    # a share over 7 days falls far enough on the last two days, of which there is a model
    wave = Wave(DAY(56), DAY(62), 1.0, "region", "north")
    report = Drill(warehouse(spark, folder), spark, wave).run()
    lines = list(report.lines())
    assert report.passed, "\n".join(lines)
    assert lines[0].startswith(f"planted: 100% of region=north stay away from {DAY(56)} on (")
    found, explained, informed, planned = report.milestones
    assert DAY(61) <= found.day <= DAY(62) and "region=north" in explained.detail and informed.detail == "product"
    assert 0 < found.minutes < planned.minutes < informed.minutes
    assert state(folder) == before


def test_a_segment_without_users_is_said_and_nothing_is_left(spark, folder):
    before = state(folder)
    with pytest.raises(ConfigError, match="the wave has no users: 50% of region=moon"):
        Drill(warehouse(spark, folder), spark, Wave(DAY(60), DAY(62), 0.5, "region", "moon")).run()
    with pytest.raises(ConfigError, match="--segment plan: no such segment; there are: region, tenure"):
        Drill(warehouse(spark, folder), spark, Wave(DAY(60), DAY(62), 0.5, "plan", "gold")).run()
    assert state(folder) == before


def test_a_drill_that_finds_nothing_did_not_pass():
    wave = Wave(DAY(60), DAY(62), 0.01)
    report = Report(wave, 3, [Milestone("found", DAY(61), 1.25, "all=all"), Milestone("owner informed")])
    assert not report.passed and list(report.lines()) == [
        f"planted: 1% of the whole base stay away from {DAY(60)} on (3 users)",
        f"found            day 2 ({DAY(60) + timedelta(days=1)}), 1.2 min into its run: all=all",
        "owner informed   not reached",
    ]
