"""Quality of warnings against plain Python."""

from datetime import datetime, timedelta

import pytest
from judgedday import BASE, HELD, ON, READS, alert, label, quality

from churnwatch.core import Skipped
from churnwatch.core.intervals import wilson_interval
from churnwatch.reports import judge_alerts
from churnwatch.reports.alert_quality import rounded
from churnwatch.reports.labelled_users import per_labelled_user
from reportworld import frames


def test_treated_users_are_no_false_alarms(judged):
    model = quality(judged, "model")
    assert (model["fired"], model["matured"], model["churned"]) == (4, 2, 1)  # c churned, d stayed; a and b had an offer
    assert model["precision"] == 0.5
    assert (model["low"], model["high"]) == pytest.approx(wilson_interval(1, 2))
    assert quality(judged, "model", "red")["matured"] == 0
    assert quality(judged, "model", "red")["precision"] is None


def test_a_warning_that_somebody_acted_on_is_no_false_alarm_either(judged):
    acted = quality(judged, "acted_on")
    assert (acted["fired"], acted["matured"]) == (1, 0)


def test_who_was_acted_on_before_the_day_or_without_a_warning_of_it_is_treated_too(spark, app_settings):
    """Cases opened before O: one rose on O and was acted on three days before, one was silent on O, one was only seen."""
    users = ("rose", "silent", "seen", "nobody")
    opened = [alert(u) | {"alert_id": f"first-{u}", "day": ON - timedelta(days=9)} for u in users]
    risen = [alert(u) | {"escalates": f"first-{u}"} for u in ("rose", "seen", "nobody")]
    did = {"rose": ("acted", -3), "silent": ("acted", 2), "seen": ("acknowledged", 1)}
    events = [
        {
            "day": ON + timedelta(days=n),
            "event_id": u,
            "at": datetime(2025, 9, 8),
            "alert_id": f"first-{u}",
            "who": "w",
            "action": action,
        }
        for u, (action, n) in did.items()
    ]
    given = {"labels": [label(u, False) for u in users], "cases": opened + risen, "alert_events": events}
    read = frames(spark, app_settings, given, READS)
    known = per_labelled_user(read["labels"], read["actions"], read["cases"], read["alert_events"], ON, app_settings).collect()
    assert {r["user_id"] for r in known if r["treated"]} == {"rose", "silent"} and len(known) == 4


def test_a_warned_user_without_a_label_fired_but_is_not_judged(judged):
    silent = quality(judged, "silent")
    assert (silent["fired"], silent["matured"]) == (4, 3)  # with c and d, of whom the model spoke too


def test_the_held_out_stand_for_the_treated(judged):
    # c and d stand for more than themselves; f was acted on, b and j got an offer before and after
    model = quality(judged, "model")
    assert (model["base_eligible"], model["base_churned"]) == (6, 2)
    assert model["base_rate"] == pytest.approx(BASE)
    assert model["lift"] == pytest.approx(1 / 2 / BASE)
    assert model["recall"] == pytest.approx(HELD / (HELD + 1))


def test_intervals_use_the_effective_number_of_users(judged):
    # c and d are held out, e weighs 1: two of three churned, as good as 2.5 users
    silent = quality(judged, "silent")
    seen = (2 * HELD + 1) ** 2 / (2 * HELD**2 + 1)
    precision = (HELD + 1) / (2 * HELD + 1)
    assert (silent["precision"], silent["effective"]) == pytest.approx((precision, seen))
    assert (silent["low"], silent["high"]) == pytest.approx(wilson_interval(precision * seen, seen))
    assert (silent["lift_low"], silent["lift_high"]) == pytest.approx((silent["low"] / BASE, silent["high"] / BASE))
    # of those who churned (c, held out, and e) all were warned
    churned = (HELD + 1) ** 2 / (HELD**2 + 1)
    assert silent["recall"] == 1 and silent["recall_low"] == pytest.approx(wilson_interval(churned, churned)[0])


def test_users_count_once_in_each_group(judged):
    looks = {
        (r["by"], r["value"]): (r["fired"], r["treated"], r["matured"], r["churned"])
        for r in judged["alert_quality"]
        if r["by"] != "rule"
    }
    assert looks == {
        ("all", "all"): (7, 3, 3, 2),  # a .. f and x
        ("level", "red"): (1, 1, 0, 0),
        ("level", "orange"): (6, 2, 3, 2),
        ("cause", "price"): (3, 1, 2, 1),
        ("cause", "unknown"): (4, 2, 1, 1),
        ("owner", "o"): (6, 3, 2, 1),
        ("owner", "p"): (1, 0, 1, 1),
        ("region", "north"): (4, 2, 2, 2),
        ("region", "south"): (2, 1, 1, 0),
        ("region", "unknown"): (1, 0, 0, 0),
        ("plan", "unknown"): (7, 3, 3, 2),
    }


def test_a_segment_is_compared_with_its_own_base(judged):
    # north, untreated: c and e churned; south: d, g, h and i stayed
    assert quality(judged, "all", by="region", value="north")["base_rate"] == 1
    assert quality(judged, "all", by="region", value="south")["base_rate"] == 0
    assert quality(judged, "all", by="level", value="orange")["base_rate"] == pytest.approx(BASE)


def test_lead_is_what_was_gained_against_waiting_for_the_horizon(judged):
    assert quality(judged, "model")["lead_days"] == 10  # last active 4 days before: 14 days of silence after 10
    assert quality(judged, "model", "red")["lead_days"] is None
    assert quality(judged, "model")["lead_low"] is None  # one user
    # c gained 10 days, e 10 too; with f, who is treated, nothing changes
    assert [quality(judged, "silent")[name] for name in ("lead_low", "lead_days", "lead_high")] == [10, 10, 10]


def test_a_day_without_scores_and_warnings_is_skipped(spark, app_settings):
    with pytest.raises(Skipped, match=str(ON)):
        judge_alerts(frames(spark, app_settings, {}, READS), (ON,), app_settings)


def test_halves_are_rounded_away_from_zero_as_spark_rounds_them():
    assert (rounded(1 / 1024), rounded(-1 / 1024), rounded(0.25)) == (0.000976563, -0.000976563, 0.25)
