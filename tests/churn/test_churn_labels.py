"""Labels and churn rates."""

from datetime import date, timedelta

import pytest

from churnwatch.churn import check_dates, labels, rates, replaced_definition
from churnwatch.core import DataQualityError
from smallworld import activity, as_of, collected, contracts, inputs_of, many_worlds, plan_of, rows, settings, stacked

TODAY = date(2024, 2, 28)  # the next is 29 February
SPANS = {"before": (-1, 0), "after": (1, 3)}  # active within 2 days; lead 1, horizon 2


def on(days):
    return TODAY + timedelta(days=days)


def labelled(spark, world, days=(TODAY,)):
    return labels(inputs_of(spark, world, days, **SPANS), days, settings(), "silent")["user_labels"]


def test_who_is_labelled_and_how(spark):
    # case: offsets of active days, label (churned, offset of the last active day, and of the day on which silence had lasted)
    cases = {
        "not active within the days: no label": ([-2, 2], None),
        "silent": ([-1], (True, -1, 1)),
        "events in the lead are ignored": ([-1, 0, 1], (True, 0, 3)),
        "the first day of the horizon": ([0, 2], (False, 0, None)),
        "the last day of the horizon": ([-1, 3], (False, -1, None)),
        "a day too late": ([0, 4], (True, 0, 2)),
    }
    world = {"activity": [activity(case, on(n)) for case, (offsets, _) in cases.items() for n in offsets]}
    found = {
        r["user_id"]: (r["churned"], *(day and (day - TODAY).days for day in (r["last_active_day"], r["churned_on"])))
        for r in collected(labelled(spark, world))
    }
    assert found == {case: label for case, (_, label) in cases.items() if label}


def test_only_the_definition_s_events_count_and_of_people_alone(spark):
    bots = [
        activity("bot", TODAY, bot=True),
        # on another day than the one that makes it eligible, and in nothing that the definition counts
        activity("was a bot", TODAY), activity("was a bot", on(-1), def_silent=0, bot=True),
    ]  # fmt: skip
    world = {
        "activity": [
            activity("u", TODAY), activity("u", on(2), def_silent=0, bot=True), activity("other", TODAY, def_silent=0), *bots
        ]
    }  # fmt: skip
    assert collected(labelled(spark, world)) == [
        {"day": TODAY, "definition": "silent", "user_id": "u", "churned": True, "last_active_day": TODAY, "churned_on": on(2)}
    ]


def test_a_range_equals_day_by_day_and_the_definition(spark):
    world, days = many_worlds(30, TODAY - timedelta(days=3), 11), (TODAY, on(1), on(2), on(4))
    at_once = collected(labelled(spark, world, days))
    assert at_once == collected(stacked(labelled(spark, world, (day,)) for day in days))
    counted = {(r["user_id"], (r["day"] - TODAY).days) for r in world["activity"] if r["def_silent"]}
    expected = {
        (user, day): not {(user, n + 2), (user, n + 3)} & counted
        for user in {r["user_id"] for r in world["activity"]}
        for n, day in ((0, TODAY), (1, on(1)), (2, on(2)), (4, on(4)))
        if {(user, n), (user, n - 1)} & counted
    }
    assert {(r["user_id"], r["day"]): r["churned"] for r in at_once} == expected


def test_stored_dates_that_cannot_be_read_stop_the_labels_that_need_them(spark):
    ends = {"kind": "event", "attribute": "plan", "active_within_days": 2, "horizon_days": 2}
    churn = {"primary": "ends", "definitions": {"ends": ends}}
    stated = [plan_of(f"u{n}", TODAY, plan) for n, plan in enumerate(["soon", "2024-03-01", "2024-03-02", None])]
    inputs = {"users": as_of(spark, contracts().users, stated, (TODAY,))}
    # a third of those who state one
    lenient = settings(churn=churn, quality={"max_unreadable_share": 0.34})
    assert check_dates(inputs, (TODAY,), lenient, "ends") == {"unreadable_plan": 1}
    with pytest.raises(
        DataQualityError, match="label_churn:ends 2024-02-28 .*\n.*attribute plan: 1 of 3 values .* no date, such as 'soon'"
    ):
        check_dates(inputs, (TODAY,), settings(churn=churn), "ends")


def test_rates_by_segment_of_the_day(spark):
    days, t = (TODAY, on(1)), contracts()
    base = {"definition": "silent", "last_active_day": TODAY}
    given_ = [{**base, "day": TODAY, "user_id": f"u{n}", "churned": n < 1} for n in range(4)]
    given_ += [{**base, "day": on(1), "user_id": "u0", "churned": True}]
    given_ += [{**base, "day": TODAY, "user_id": "u0", "churned": True, "definition": "another"}]
    inputs = {
        "labels": rows(spark, t.user_labels, given_),
        "users": as_of(spark, t.users, [plan_of("u0", on(-9), "gold"), plan_of("u0", on(1), "basic")], days),
        "first_seen": as_of(spark, t.first_seen, [{"day": on(-40), "user_id": "u0"}], days),
    }
    found = collected(rates(inputs, days, settings(), "silent")["churn_rates"])
    assert {(r["day"], r["segment"], r["value"]): (r["eligible"], r["churned"], r["rate"]) for r in found} == {
        (TODAY, "all", "all"): (4, 1, 0.25),
        (TODAY, "plan", "gold"): (1, 1, 1.0),
        (TODAY, "plan", "unknown"): (3, 0, 0.0),
        (TODAY, "tenure", "established"): (1, 1, 1.0),
        (TODAY, "tenure", "unknown"): (3, 0, 0.0),
        (on(1), "all", "all"): (1, 1, 1.0),
        (on(1), "plan", "basic"): (1, 1, 1.0),
        (on(1), "tenure", "established"): (1, 1, 1.0),
    }
    # 1 of 4: statsmodels' proportion_confint(1, 4, method="wilson")
    (all_,) = (r for r in found if (r["day"], r["segment"]) == (TODAY, "all"))
    assert (all_["low"], all_["high"]) == pytest.approx((0.0455873, 0.6993582), abs=1e-6)


def test_a_run_replaces_the_days_of_its_definition_alone():
    assert replaced_definition((TODAY,), "user_labels", "silent") == {
        "user_labels": "(day >= DATE'2024-02-28' AND day <= DATE'2024-02-28') AND definition = 'silent'"
    }
