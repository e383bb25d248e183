"""The curve of return after silence, the churn window and the windows that it proposes, and what they are counted from."""

from datetime import date, timedelta

import pytest

from churnwatch.begin.counting import events_counted, main_span
from churnwatch.begin.proposal import file_days
from churnwatch.begin.return_curve import (
    LENGTHS,
    Point,
    choose_window,
    count_silences,
    curve_lines,
    fit_scale,
    longest_window,
    read_curve,
)
from churnwatch.settings.measures import Measures
from churnwatch.settings.model import ModelSettings

FIRST = date(2024, 1, 1)


def days(*offsets):
    return [FIRST + timedelta(days=n) for n in offsets]


def test_silences_count_where_they_could_have_ended(spark):
    # pauses: a 3, 17 and the end; b the end; c 30 and the end; days after the last, nulls and repeats change nothing
    active = {"a": days(0, 3, 3, 20, 50), "b": days(0), "c": days(0, 30), None: days(0, 30)}
    frame = spark.createDataFrame([(user, day) for user, found in active.items() for day in found], "user_id string, day date")
    row = count_silences(frame, FIRST + timedelta(days=40)).first().asDict()
    assert (row["users"], row["user_days"]) == (3, 6)
    assert (row["silent_2"], row["returned_2"]) == (6, 3)
    # c's last silence began 10 days before the end: it had no 20 days
    assert (row["silent_10"], row["returned_10"]) == (4, 2)
    assert (row["silent_21"], row["returned_21"]) == (0, 0)
    assert [point.days for point in read_curve(row)] == [1, 2, 3, 5, 7, 10, 14]


def test_a_number_with_a_c_before_it_is_cancelled_and_a_hexadecimal_is_not(spark):
    sessions = ["C536379", "c7", "536380", "c0ffee12", "C", None]
    rows = [("u", "u", FIRST, 1.0, 1.0, session) for session in sessions] + [(None, None, FIRST, 1.0, 1.0, "C1")]
    columns = "user_id string, given_user string, day date, amount double, quantity double, session_id string"
    frame = spark.createDataFrame(rows, columns)
    assert events_counted(frame).first()["cancelled_sessions"] == 2


CURVE = [Point(7, 100, 40), Point(14, 100, 12), Point(30, 100, 9), Point(60, 29, 0)]


@pytest.mark.parametrize(
    ("history", "days_", "said"),
    [(178, 30, "9.0%"), (400, 30, "9.0%"), (150, 14, "12% of such silences still end"), (40, 3, "too few")],
)
def test_the_window_is_the_shortest_silence_that_lasts_as_far_as_history_allows(history, days_, said):
    found = choose_window(CURVE, history)
    assert (found.days, said in found.reason) == (days_, True)


def test_too_few_silences_tell_no_share():
    assert curve_lines(CURVE)[-1].split() == ["60", "days", "29", "too", "few"]
    assert curve_lines(CURVE)[1].split() == ["7", "days", "100", "40.0%"]


@pytest.mark.parametrize("history", [5, 30, 100, 181, 374, 545, 1000, 2000])
def test_proposed_windows_and_spans_are_valid_and_fit_the_history(history):
    for churn_days in (n for n in LENGTHS if n <= max(longest_window(history), 1)):
        scale = fit_scale(churn_days, history, settle_days=2)
        Measures(measures={}, windows_days=list(scale.windows), trend_days=scale.trend, population_days=scale.windows[-1])
        # earlier origins are taken where history holds them; one must fit
        model = ModelSettings(train_days=scale.train, calibration_days=scale.calibration, test_days=scale.test, origins=1)
        assert scale.trainable == (history >= scale.needed)
        if scale.trainable:
            assert model.history_days(churn_days, churn_days + 2) <= history


def test_a_few_events_with_a_wrong_date_do_not_stretch_the_history():
    daily = {day: 1000 for day in days(*range(100))}
    assert main_span({**daily, date(1999, 1, 1): 1, date(2099, 1, 1): 2}) == (FIRST, FIRST + timedelta(days=99))
    # a quiet beginning is no fault
    assert main_span({**daily, FIRST - timedelta(days=50): 1})[0] == FIRST - timedelta(days=50)


def test_files_of_the_days_around_are_read_as_far_as_events_lie_in_them():
    assert file_days({0: 100_000, 1: 900, 3: 100, 50: 1}) == (0, 1, 2, 3)
    assert file_days({1: 500}) == (1,)
    assert file_days({}) == (-1, 0, 1)
