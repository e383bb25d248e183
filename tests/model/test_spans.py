"""Spans are in order of time and separated; the error for too short a history names the first day that works."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from churnwatch.core import Refused, is_snapshot
from churnwatch.model.spans import newest_spans, rolling_origins, split_spans, usable_days
from smallworld import settings

MODEL = {"train_days": 21, "calibration_days": 7, "test_days": 7, "snapshot_every_days": 7}
MONDAY = date(2025, 6, 2)


def mondays(first, last):
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if is_snapshot(day, 7)]


def test_the_spans_of_a_known_history():
    # labels mature after lead 1 + horizon 2 + settle 2 = 5 days; the spans stand 3 days apart
    spans = split_spans(mondays(date(2025, 1, 6), MONDAY), MONDAY + timedelta(days=5), settings(model=MODEL))
    assert spans.test == (MONDAY,)
    assert spans.calibration == (date(2025, 5, 26),)
    assert spans.train == (date(2025, 5, 5), date(2025, 5, 12), date(2025, 5, 19))
    assert spans.as_text() == {
        "train": "2025-05-05..2025-05-19",
        "calibration": "2025-05-26..2025-05-26",
        "test": "2025-06-02..2025-06-02",
    }


@effort(deadline=None)  # a slow machine is no fault
@given(
    ahead=st.integers(1, 40),
    every=st.integers(1, 9),
    lengths=st.tuples(*[st.integers(1, 40)] * 3),
    offset=st.integers(0, 30),
)
def test_a_later_span_begins_when_the_labels_of_the_earlier_are_known(ahead, every, lengths, offset):
    churn = {"definitions": {"silent": {"horizon_days": ahead, "active_within_days": 2}}}
    model = dict(zip(["train_days", "calibration_days", "test_days"], lengths, strict=True)) | {"snapshot_every_days": every}
    conf = settings(churn=churn, model=model)
    today = MONDAY + timedelta(days=offset)
    newest = today - timedelta(days=ahead + 2)
    stored = [newest - timedelta(days=n) for n in range(400)]
    spans = split_spans(stored, today, conf)
    assert (spans.calibration[0] - spans.train[-1]).days >= ahead
    assert (spans.test[0] - spans.calibration[-1]).days >= ahead
    assert spans.test[-1] <= newest
    for days, length in zip((spans.train, spans.calibration, spans.test), lengths, strict=True):
        assert (days[-1] - days[0]).days < length
        assert len(days) == -(-length // every)
    # what the flow reads for it holds every span
    assert (today - spans.train[0]).days < conf.model.history_days(ahead, conf.label_lag_days("silent"))


def test_the_error_for_too_short_a_history_names_the_missing_days_and_the_first_day_that_works():
    conf = settings(model=MODEL)
    stored = mondays(date(2025, 5, 12), MONDAY)  # one Monday too few
    with pytest.raises(Refused, match=r"7 more days are needed, training works from 2025-06-14 on"):
        split_spans(stored, MONDAY + timedelta(days=5), conf)
    works = date(2025, 6, 14)
    assert split_spans(mondays(date(2025, 5, 12), works - timedelta(days=5)), works, conf)


def test_no_snapshot_at_all_names_the_commands():
    with pytest.raises(Refused, match="run build_features and label_churn"):
        split_spans([MONDAY + timedelta(days=1)], MONDAY + timedelta(days=9), settings(model=MODEL))


def test_missing_days_move_a_span_back_but_never_closer_to_the_next():
    hole = (date(2025, 4, 1), MONDAY)
    stored = [day for day in mondays(date(2025, 1, 6), MONDAY) if not hole[0] < day < hole[1]]
    spans = split_spans(stored, MONDAY + timedelta(days=5), settings(model=MODEL))
    assert (spans.test, spans.calibration) == ((MONDAY,), (date(2025, 3, 31),))
    assert spans.train[-1] == date(2025, 3, 24)


def test_a_span_without_any_stored_day_is_named():
    conf = settings(model=MODEL | {"train_days": 7})
    with pytest.raises(Refused, match=r"no snapshot is stored in the train span .* --every 7"):
        split_spans([date(2025, 5, 5), MONDAY], MONDAY + timedelta(days=5), conf)


def test_three_origins_end_before_the_next_test_span_and_the_release_is_fitted_on_the_newest_days():
    conf = settings(model=MODEL)
    stored = mondays(date(2025, 1, 6), MONDAY)
    newest, before, oldest = rolling_origins(stored, MONDAY + timedelta(days=5), conf)
    assert newest == split_spans(stored, MONDAY + timedelta(days=5), conf)
    assert (before.test, oldest.test) == ((date(2025, 5, 26),), (date(2025, 5, 19),))
    assert oldest.train == (date(2025, 4, 21), date(2025, 4, 28), date(2025, 5, 5))
    # what is tested is what the origin before it would have cut, had it been the day
    assert before == split_spans(mondays(date(2025, 1, 6), date(2025, 5, 26)), date(2025, 5, 26) + timedelta(days=5), conf)
    moved = newest_spans(stored, newest, conf)
    assert (moved.calibration, moved.train[-1], moved.test) == ((MONDAY,), date(2025, 5, 26), ())
    assert moved.as_text() == {"train": "2025-05-12..2025-05-26", "calibration": "2025-06-02..2025-06-02"}
    # days between that were not built: as much to learn from is more than newer days
    holes = [day for day in stored if day not in (date(2025, 5, 12), date(2025, 5, 26))]
    tested = split_spans(holes, MONDAY + timedelta(days=5), conf)
    assert newest_spans(holes, tested, conf) is tested


EIGHT = MODEL | {"snapshot_every_days": 8, "train_days": 56}


def every_eighth(first, last):
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if is_snapshot(day, 8)]


def test_snapshots_every_eight_days_show_every_weekday():
    spans = split_spans(every_eighth(date(2025, 1, 1), MONDAY), MONDAY + timedelta(days=5), settings(model=EIGHT))
    assert len(spans.train) == 7 and {day.weekday() for day in spans.train} == set(range(7))


def test_a_warehouse_with_weekly_snapshots_trains_and_takes_the_new_ones_as_they_come():
    conf, weekly = settings(model=EIGHT), mondays(date(2025, 1, 6), MONDAY)
    today = MONDAY + timedelta(days=5)
    assert usable_days(weekly, conf) == weekly
    assert len(split_spans(weekly, today, conf).train) == 8  # as many as with a distance of 7
    # daily runs store every day from May on: snapshot days alone are read there, Mondays before
    may = date(2025, 5, 1)
    daily = [may + timedelta(days=n) for n in range((MONDAY - may).days + 1)]
    new = every_eighth(may, MONDAY)
    found = usable_days({*weekly, *daily}, conf)
    assert [day for day in found if day >= new[0]] == new
    assert [day for day in found if day < new[0]] == mondays(date(2025, 1, 6), new[0] - timedelta(days=1))
    conf = settings(model=EIGHT | {"test_days": 14})
    tested = split_spans(found, today, conf)
    assert tested.test == tuple(new[-2:])
    # the new snapshots are fewer only because they stand further apart: the release is still fitted on the newest days
    moved = newest_spans(found, tested, conf)
    assert moved.calibration == (new[-1],) and (len(tested.train), len(moved.train)) == (9, 8)


def test_a_short_history_has_fewer_origins():
    conf = settings(model=MODEL)
    days = {
        first: len(rolling_origins(mondays(first, MONDAY), MONDAY + timedelta(days=5), conf))
        for first in (date(2025, 5, 5), date(2025, 4, 28), date(2025, 4, 21), date(2025, 1, 6))
    }
    assert list(days.values()) == [1, 2, 3, 3]


@effort(deadline=None)
@given(
    ahead=st.integers(1, 30),
    every=st.integers(1, 9),
    lengths=st.tuples(*[st.integers(1, 30)] * 3),
    holes=st.sets(st.integers(0, 300)),
)
def test_no_day_is_tested_twice_and_origins_stay_within_the_days_that_the_flow_reads(ahead, every, lengths, holes):
    churn = {"definitions": {"silent": {"horizon_days": ahead, "active_within_days": 2}}}
    model = dict(zip(["train_days", "calibration_days", "test_days"], lengths, strict=True)) | {"snapshot_every_days": every}
    conf = settings(churn=churn, model=model)
    today = MONDAY + timedelta(days=ahead + 2)
    found = rolling_origins([MONDAY - timedelta(days=n) for n in range(500)], today, conf)
    assert len(found) == 3
    tested = [day for spans in found for day in spans.test]
    assert len(tested) == len(set(tested))
    for spans in found:
        assert (spans.test[0] - spans.calibration[-1]).days >= ahead and (spans.calibration[0] - spans.train[-1]).days >= ahead
    assert (today - found[-1].train[0]).days < conf.model.history_days(ahead, conf.label_lag_days("silent"))
    # days that were not built never bring two test spans together
    tested = [
        day
        for s in _origins_or_none([MONDAY - timedelta(days=n) for n in range(500) if n not in holes], today, conf)
        for day in s.test
    ]
    assert len(tested) == len(set(tested))


def _origins_or_none(stored, today, conf):
    try:
        return rolling_origins(stored, today, conf)
    except Refused:
        return ()
