"""One open warning a subject and cause: silent, escalated, over; and what raises a level."""

from alertworld import ALERT, DAY, RULE, SCORE, USER, before, raised, world

LOW = USER | {"orders_2d": 0.0}
AGAIN = RULE | {"id": "again"}  # of the same cause and level


def told(spark, settings, cases):
    """What is raised today of users with ``cases``: user -> rows of earlier warnings and of what was done about them."""
    alerts = [
        ALERT | {"alert_id": f"{user} {n}", "user_id": user} | one
        for user, (rows, _) in cases.items()
        for n, one in enumerate(rows)
    ]
    done = [
        {"event_id": f"{user} {one}", "action": "closed", **one, "alert_id": f"{user} {one['alert_id']}"}
        for user, (_, events) in cases.items()
        for one in events
    ]
    people = [LOW | {"user_id": user} for user in cases]
    rows = raised(spark, settings, features=people, alerts=alerts, alert_events=done)
    return {w["user_id"]: (w["rule_id"], w["level"], w["escalates"]) for w in rows}


def test_a_warning_is_open_until_it_is_closed_or_four_weeks_old_and_its_rule_quiet_for_a_while_after(spark):
    cases = {
        "open": ([{"day": before(10)}], []),
        "acknowledged": ([{"day": before(10)}], [{"day": before(9), "alert_id": 0, "action": "acknowledged"}]),
        "closed a week ago": ([{"day": before(10)}], [{"day": before(7), "alert_id": 0}]),
        "closed longer ago": ([{"day": before(10)}], [{"day": before(8), "alert_id": 0}]),
        "closed today": ([{"day": before(10)}], [{"day": DAY, "alert_id": 0}]),
        "of another cause": ([{"day": before(1), "cause": "service"}], []),
        "by another rule, closed": ([{"day": before(3), "rule_id": "other"}], [{"day": before(1), "alert_id": 0}]),
        # what raised it once more kept it open
        "raised again": ([{"day": before(40)}, {"day": before(27), "escalates": "raised again 0"}], []),
        "closed on its second row": (
            [{"day": before(20)}, {"day": before(15), "escalates": "closed on its second row 0"}],
            [{"day": before(9), "alert_id": 1}],
        ),
    }
    warned = ["closed longer ago", "of another cause", "by another rule, closed", "closed on its second row"]
    assert told(spark, world(RULE), cases) == {user: ("quiet", "yellow", None) for user in warned}


def test_a_second_signal_of_a_cause_raises_the_open_warning_by_a_level(spark):
    cases = {
        "one signal more": ([{"day": before(3)}], []),
        "both before": ([{"day": before(3), "signals": ["again", "quiet"]}], []),
        "one after the other": (
            [{"day": before(5)}, {"day": before(3), "rule_id": "again", "level": "orange", "escalates": "one after the other 0"}],
            [],
        ),
        "at the top": ([{"day": before(3), "level": "red"}], []),
        "nothing open": ([], []),
    }
    found = told(spark, world(RULE, AGAIN), cases)
    assert found == {"one signal more": ("quiet", "orange", "one signal more 0"), "nothing open": ("quiet", "yellow", None)}


def test_a_level_that_is_above_the_open_warnings_is_told_at_once(spark):
    red = RULE | {"id": "alarm", "level": "red"}
    cases = {"open": ([{"day": before(1)}], []), "false alarm": ([{"day": before(4)}], [{"day": before(1), "alert_id": 0}])}
    assert told(spark, world(RULE, red), cases) == {
        "open": ("alarm", "red", "open 0"),
        "false alarm": ("alarm", "red", None),
    }


def test_a_second_signal_may_be_left_alone(spark):
    raises = {"second_signal": False}
    tiers = {"tiers": [{"name": "low"}], "levels": world().tiers.model_dump()["levels"], "raises": raises}
    assert told(spark, world(RULE, AGAIN, tiers=tiers), {"anna": ([{"day": before(3)}], [])}) == {}


def test_value_at_risk_and_many_causes_raise_a_level_once(spark):
    rules = [RULE, RULE | {"id": "cancelling", "cause": "service", "level": "red", "when": "cancels_2d > 0"}]
    raises = {"value_at_risk_top_share": 0.4, "causes_at_once": 2}
    tiers = {"tiers": [{"name": "low"}], "levels": world().tiers.model_dump()["levels"], "raises": raises}
    # of five users the two of most value at risk; the third shares its value with the fourth: none of both
    values = {"rich": 90000, "richer": 99000, "middling": 500, "alike": 500, "poor": 0}
    people = [LOW | {"user_id": user} for user in values] + [LOW | {"user_id": "both", "cancels_2d": 1.0}]
    scores = [SCORE | {"user_id": user, "tier": "low", "value_at_risk_cents": cents} for user, cents in values.items()]
    found = {
        (w["user_id"], w["rule_id"]): (w["level"], w["owner"], w["measure"])
        for w in raised(spark, world(*rules, tiers=tiers), features=people, scores=scores)
    }
    plain, up = ("yellow", "operations", ""), ("orange", "retention", "")
    assert found == {
        ("rich", "quiet"): up,
        ("richer", "quiet"): up,
        **{(user, "quiet"): plain for user in ("middling", "alike", "poor")},
        ("both", "quiet"): up,
        ("both", "cancelling"): ("red", "retention", ""),  # the last level is the last
    }
