"""The zone of a stranger's log: from offsets, from a column of zones, else UTC with the reason."""

import pytest

from churnwatch.begin.guesses import Guesses
from churnwatch.begin.key_fields import guess_fields, sample_facts
from churnwatch.begin.texts import text_layout


def zone(times, zones=()):
    """The zone guessed for a log with these times, and a column of zones where there are some."""
    names = "user,time,kind" + (",tz" if zones else "")
    told = [f",{zones[n % len(zones)]}" if zones else "" for n in range(40)]
    lines = [f"u{n % 12},{times[n % len(times)]},k{n % 3}{told[n]}" for n in range(40)]
    layout = text_layout([names, *lines])
    found = guess_fields(layout, sample_facts(layout))
    assert isinstance(found, Guesses)
    return found.zone


@pytest.mark.parametrize(
    ("times", "name", "reason"),
    [
        (["2024-01-05T09:00:00+01:00", "2024-07-05T09:00:00+02:00"], "Europe/Berlin", "offsets +01:00, +02:00, which this zone"),
        # in summer +01:00 is London's, not Berlin's
        (["2024-07-05 09:00:00 +0100"], "Europe/London", "offset +01:00"),
        (["05/Jan/2024:09:00:00 -0500", "05/Jul/2024:09:00:00 -0400"], "America/New_York", "offsets -05:00, -04:00"),
        (["2024-07-05T09:00+05:30"], "Asia/Kolkata", "offset +05:30"),
        # clocks that show an hour twice: both of its offsets are right
        (["2024-10-27T02:30:00+02:00", "2024-10-27T02:30:00+01:00"], "Europe/Berlin", "offsets"),
        (["2024-07-05T09:00-11:00"], "Etc/GMT+11", "all the year"),
        (["2024-07-05T09:00-11:30"], "UTC", "no usual zone has: write yours"),
        (["2024-07-05T09:00+01:00", "2024-07-05T09:00+09:00"], "UTC", "+01:00, +09:00, which no usual zone has"),
        (["2024-07-05T09:00:00Z", "2024-07-05T09:00:00+00:00"], "UTC", "its times are in UTC"),
        (["1704445200", "1704445300"], "UTC", "instants, and nothing tells where its days begin"),
        (["2024-07-05 09:00:00"], "UTC", "the log does not tell it"),
    ],
)
def test_offsets_tell_the_zone_else_the_reason_is_told(times, name, reason):
    found = zone(times)
    assert found.name == name and reason in found.reason


@pytest.mark.parametrize(
    ("time", "zones", "name", "reason"),
    [
        ("2024-07-05 09:00:00", ["Asia/Tokyo"], "Asia/Tokyo", "tz says so in every row"),
        # a column says more than an offset, which several zones have
        ("2024-07-05T09:00+02:00", ["Europe/Paris"], "Europe/Paris", "tz says so"),
        (
            "2024-07-05T09:00+02:00",
            ["Europe/Paris", "Europe/Paris", "Europe/Oslo"],
            "Europe/Paris",
            "most frequent of about 2 zones",
        ),
        ("2024-07-05 09:00:00", ["Europe/Paris", "Asia/Tokyo"], "UTC", "to_utc_timestamp(..., tz)"),
        ("2024-07-05 09:00:00", ["north", "south"], "UTC", "the log does not tell it"),
    ],
)
def test_a_column_of_zones_tells_it(time, zones, name, reason):
    found = zone([time], zones)
    assert found.name == name and reason in found.reason
