"""A day of which some hours have not landed is named, and stops where that is wanted."""

from datetime import date, timedelta

import pytest

import smallworld
from churnwatch.events.source_days import SourceDays, hour_faults

DAY = date(2025, 3, 30)  # a Sunday; in Berlin the hour 2 does not exist
USUAL = {hour: 25 for hour in range(8, 20)}


def known(day_hours, weeks=4, usual=USUAL):
    rows = {("e", DAY - timedelta(days=7 * n)): {"hours": usual} for n in range(1, weeks + 1)}
    return SourceDays(rows | {("e", DAY): {"hours": day_hours}})


@pytest.mark.case(19)
def test_hours_that_usually_have_events_and_have_none_are_named():
    settings = smallworld.settings()
    three = {8: 30, 9: 1, 10: 7}
    ((key, hours),) = known(three).missing_hours([DAY], settings).items()
    assert key == ("e", DAY) and hours.missing == list(range(11, 20)) and hours.expected == list(range(8, 20))
    assert known(USUAL).missing_hours([DAY], settings) == {}
    assert known(three, weeks=1).missing_hours([DAY], settings) == {}  # one week says not what is usual
    assert known(three, usual={8: 19}).missing_hours([DAY], settings) == {}
    # another weekday says nothing, and a day without any row misses all hours
    assert known(three).missing_hours([DAY + timedelta(days=1)], settings) == {}
    assert known(None).missing_hours([DAY], settings)["e", DAY].missing == list(range(8, 20))


@pytest.mark.case(15, 19)
def test_an_hour_that_the_clocks_skip_is_not_missing():
    berlin = smallworld.settings(clock={"time_zone": "Europe/Berlin"})
    night = {1: 25, 2: 25, 3: 25}
    assert known({1: 30, 3: 30}, usual=night).missing_hours([DAY], berlin) == {}


@pytest.mark.case(19)
def test_too_few_hours_stop_the_day_where_a_share_is_wanted():
    some = known({8: 30, 9: 1, 10: 7})
    hours = some.missing_hours([DAY], smallworld.settings())
    assert hour_faults(hours, smallworld.settings()) == []
    assert hour_faults(hours, smallworld.settings(quality={"min_hours_share": 0.25})) == []
    (fault,) = hour_faults(hours, smallworld.settings(quality={"min_hours_share": 0.26}))
    assert "e 2025-03-30: no event in the hours 11, 12, 13, 14, 15, 16, 17, 18, 19, of 12 that usually have 20 or more" in fault
