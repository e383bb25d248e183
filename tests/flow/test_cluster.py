"""A real standalone cluster: master and two workers on loopback, the package as a zip alone, every job of a day."""

import pytest

import world


@pytest.mark.processes
def test_a_day_on_a_cluster_equals_the_day_in_local_mode(spark, loaded_world, cluster_day):
    there, submitted = cluster_day
    assert submitted.code == 0, submitted.output[-6000:]
    # the page tells where it lies, and messages' attempts when they were made
    local, remote = (
        world.tables_of(world.runner(spark, folder), "report_pages", "deliveries") for folder in (loaded_world, there)
    )
    assert {name for name in local if local[name] != remote[name]} == set()
