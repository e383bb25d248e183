"""Days that were built when a column meant something else: they are stale, and no window mixes them with newer ones."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from churnwatch.core import DataQualityError, Job
from churnwatch.flow import flow
from churnwatch.hashes import config_hash, meaning_hashes
from churnwatch.reading import Step
from churnwatch.settings.meanings import activity_meanings
from churnwatch.staleness import Staleness, other_meanings, stop_on_mixed_meanings
from smallworld import SMALL, contracts, settings

D = date(2025, 3, 10)
AT = datetime(2025, 3, 11, tzinfo=UTC)
ORDERS = {"kind": "count", "where": "event_type = 'buy'"}


def ledger(meanings):
    """A ledger in which the days D-2 .. D of build_activity were built under ``meanings``."""
    days = [D - timedelta(days=n) for n in (2, 1, 0)]
    return SimpleNamespace(
        meanings=lambda name, first: dict.fromkeys(days, meaning_hashes(meanings)) if name == "build_activity" else {},
        written_at=lambda name, first: dict.fromkeys(days, (AT, AT)) if name == "build_activity" else {},
        restated_at=lambda table, first: {},
    )


def measures(**changes):
    return {"measures": {**SMALL["measures"], "measures": {**SMALL["measures"]["measures"], **changes}}}


@pytest.mark.parametrize(
    ("changes", "columns"),
    [
        ({}, None),
        (measures(orders=ORDERS), ["orders"]),
        (measures(new=ORDERS), None),  # a new measure makes nothing else stale
        ({"clock": {"time_zone": "Asia/Tokyo"}}, ["day"]),
        ({"activity": {"session_gap_minutes": 5}}, ["sessions"]),
        ({"measures": {"bots": {"events_a_day": 9}}}, ["bot"]),
    ],
)
def test_a_day_is_stale_when_a_column_meant_something_else(changes, columns):
    then = ledger(activity_meanings(settings()))
    jobs = flow(settings(**changes))
    activity = next(job for job in jobs if job.name == "build_activity")
    expected = {} if columns is None else {D - timedelta(days=n): columns for n in range(3)}
    assert other_meanings(activity, then) == expected
    assert Staleness(jobs, then).stale_days(activity) == tuple(sorted(expected))


def test_a_measure_that_was_taken_out_makes_nothing_stale():
    job = Job("a", build=dict, meaning={"kept": "x"})
    assert (
        other_meanings(job, SimpleNamespace(meanings=lambda name, first: {D: meaning_hashes({"kept": "x", "gone": "y"})})) == {}
    )


def test_features_do_not_mix_meanings_and_name_the_command():
    then, jobs = ledger(activity_meanings(settings())), flow(settings(**measures(orders=ORDERS)))
    features = next(job for job in jobs if job.name == "build_features")
    with pytest.raises(DataQualityError) as stopped:
        stop_on_mixed_meanings(Step(features, D, (D,)), jobs, then)
    assert stopped.value.exit_code == 3
    assert "orders" in str(stopped.value)
    assert f"churnwatch run build_activity --from {D - timedelta(days=2)} --to {D}" in str(stopped.value)
    stop_on_mixed_meanings(Step(features, D, (D,)), flow(settings()), then)


def test_an_acknowledgement_makes_no_day_stale():
    notes = contracts().alert_events
    log = Job("record", build=dict, writes=(notes,))
    page = Job("page", build=dict, mode="daily", reads={"notes": notes.on()})
    later = {"record": {D: (AT, AT + timedelta(hours=1))}, "page": {D: (AT, AT)}}
    told = SimpleNamespace(
        meanings=lambda name, first: {}, written_at=lambda name, first: later.get(name), restated_at=lambda table, first: {}
    )
    assert Staleness((log, page), told).stale_days(page) == ()


def test_the_hash_of_the_configuration_does_not_depend_on_where_files_lie():
    source = SMALL["sources"]["events"][0]
    moved = settings(
        sources={"events": [source | {"path": "/elsewhere/raw"}]}, privacy={"id_key": {"env": "OTHER"}}, storage={"root": "other"}
    )
    assert config_hash(moved) == config_hash(settings())
    assert config_hash(settings(sources={"events": [source | {"where": "a > 1"}]})) != config_hash(settings())
