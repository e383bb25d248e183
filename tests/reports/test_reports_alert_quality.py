"""Quality of warnings against plain Python."""

import pytest
from judgedday import BASE, HELD, ON, READS, quality

from churnwatch.core import Skipped
from churnwatch.core.intervals import wilson_interval
from churnwatch.reports import judge_alerts
from churnwatch.reports.alert_quality import rounded
from reportworld import frames


def test_treated_users_are_no_false_alarms(judged):
    model = quality(judged, "model")
    assert (model["fired"], model["matured"], model["churned"]) == (4, 2, 1)  # c churned, d stayed; a and b had an offer
    assert model["precision"] == 0.5
    assert (model["low"], model["high"]) == pytest.approx(wilson_interval(1, 2))
    assert quality(judged, "model", "red")["matured"] == 0
    assert quality(judged, "model", "red")["precision"] is None


def test_a_warned_user_without_a_label_fired_but_is_not_judged(judged):
    silent = quality(judged, "silent")
    assert (silent["fired"], silent["matured"]) == (4, 3)  # with c and d, of whom the model spoke too


def test_the_held_out_stand_for_the_treated(judged):
    # c and d stand for more than themselves; b and j got an offer before and after
    model = quality(judged, "model")
    assert (model["base_eligible"], model["base_churned"]) == (7, 3)
    assert model["base_rate"] == pytest.approx(BASE)
    assert model["lift"] == pytest.approx(1 / 2 / BASE)
    assert model["recall"] == pytest.approx(HELD / (HELD + 2))


def test_intervals_use_the_effective_number_of_users(judged):
    # c and d are held out, e weighs 1: two of three churned, as good as 2.5 users
    silent = quality(judged, "silent")
    seen = (2 * HELD + 1) ** 2 / (2 * HELD**2 + 1)
    precision = (HELD + 1) / (2 * HELD + 1)
    assert (silent["precision"], silent["effective"]) == pytest.approx((precision, seen))
    assert (silent["low"], silent["high"]) == pytest.approx(wilson_interval(precision * seen, seen))
    assert (silent["lift_low"], silent["lift_high"]) == pytest.approx((silent["low"] / BASE, silent["high"] / BASE))
    # of those who churned (c, held out, e and f) the rule warned c and e
    churned, recall = (HELD + 2) ** 2 / (HELD**2 + 2), (HELD + 1) / (HELD + 2)
    assert silent["recall"] == pytest.approx(recall)
    assert silent["recall_low"] == pytest.approx(wilson_interval(recall * churned, churned)[0])


def test_users_count_once_in_each_group(judged):
    looks = {
        (r["by"], r["value"]): (r["fired"], r["treated"], r["matured"], r["churned"])
        for r in judged["alert_quality"]
        if r["by"] != "rule"
    }
    assert looks == {
        ("all", "all"): (7, 2, 4, 3),  # a .. f and x
        ("level", "red"): (1, 1, 0, 0),
        ("level", "orange"): (6, 1, 4, 3),
        ("cause", "price"): (3, 1, 2, 1),
        ("cause", "unknown"): (4, 1, 2, 2),
        ("owner", "o"): (6, 2, 3, 2),
        ("owner", "p"): (1, 0, 1, 1),
        ("class", "short"): (1, 0, 1, 0),  # d; the others were written before the column existed
        ("region", "north"): (4, 2, 2, 2),
        ("region", "south"): (2, 0, 2, 1),
        ("region", "unknown"): (1, 0, 0, 0),
        ("plan", "unknown"): (7, 2, 4, 3),
    }
    assert {(r["warned"], r["acted"], r["note"]) for r in judged["alert_quality"] if r["by"] == "all"} == {(7, 0, None)}


def test_a_segment_is_compared_with_its_own_base(judged):
    # north, untreated: c and e churned; south: f churned, d (held out), g, h and i stayed
    assert quality(judged, "all", by="region", value="north")["base_rate"] == 1
    assert quality(judged, "all", by="region", value="south")["base_rate"] == pytest.approx(1 / (HELD + 4))
    assert quality(judged, "all", by="level", value="orange")["base_rate"] == pytest.approx(BASE)


def test_lead_is_what_was_gained_against_waiting_for_the_horizon(judged):
    assert quality(judged, "model")["lead_days"] == 10  # last active 4 days before: 14 days of silence after 10
    assert quality(judged, "model")["silent_days"] == 4  # and that the user had been gone for 4 days is told beside it
    assert quality(judged, "model", "red")["lead_days"] is None
    assert quality(judged, "model")["lead_low"] is None  # one user
    # c gained 10 days, e 10 too
    assert [quality(judged, "silent")[name] for name in ("lead_low", "lead_days", "lead_high")] == [10, 10, 10]


def test_a_day_without_scores_and_warnings_is_skipped(spark, app_settings):
    with pytest.raises(Skipped, match=str(ON)):
        judge_alerts(frames(spark, app_settings, {}, READS), (ON,), app_settings)


def test_halves_are_rounded_away_from_zero_as_spark_rounds_them():
    assert (rounded(1 / 1024), rounded(-1 / 1024), rounded(0.25)) == (0.000976563, -0.000976563, 0.25)
