"""Rules of groups and the base: the newest trend day before the output day against what is usual."""

import pytest
from alertworld import ALERT, DAY, TREND, before, raised, whom, world

from fallworld import trend as falling

RULE = {"id": "away", "title": "away", "scope": "group", "when": "high < share_usual - 0.05", "level": "orange", "cause": "price"}
BASE_RULE = RULE | {"id": "base_away", "scope": "base"}


def usual(share, days=28, **group):
    return [TREND | group | {"day": before(2 + n), "share": share} for n in range(days)]


def test_a_group_warns_when_its_share_lies_under_the_usual_one(spark):
    # the usual share less 0.05 must lie above the 0.5 of TREND's interval; the base must not
    groups = {"basic": 0.56, "premium": 0.55}
    trend = [
        row for value, share in groups.items() for row in [*usual(share, value=value), TREND | {"day": before(1), "value": value}]
    ]
    assert whom(raised(spark, world(RULE, BASE_RULE), trend=trend)) == [("plan=basic", "away")]


def test_the_base_has_rules_of_its_own(spark):
    base = {"segment": "all", "value": "all"}
    trend = [*usual(0.9, **base), TREND | base | {"day": before(1)}]
    (warning,) = raised(spark, world(RULE, BASE_RULE), trend=trend)
    assert (warning["scope"], warning["segment"], warning["value"], warning["user_id"]) == ("base", "all", "all", None)
    assert warning["rule_id"] == "base_away"


def test_a_group_under_the_smallest_size_is_left_alone(spark):
    groups = [("small", 9), ("big", 10)]
    trend = [
        row for value, n in groups for row in [*usual(0.9, value=value), TREND | {"day": before(1), "value": value, "active": n}]
    ]
    assert whom(raised(spark, world(RULE), trend=trend)) == [("plan=big", "away")]


def test_a_week_of_history_says_what_is_usual_and_less_does_not(spark):
    trend = [
        row for n in (6, 7) for row in [*usual(0.9, days=n, value=f"{n} days"), TREND | {"day": before(1), "value": f"{n} days"}]
    ]
    assert whom(raised(spark, world(RULE), trend=trend)) == [("plan=7 days", "away")]


def test_only_the_newest_day_warns(spark):
    fallen = TREND | {"day": before(2)}
    risen = TREND | {"day": before(1), "share": 0.9, "high": 0.95}
    assert raised(spark, world(RULE), trend=[*usual(0.9)[1:], fallen, risen]) == []


def test_evidence_names_share_usual_and_the_newest_primary_rate(spark):
    rule = RULE | {"evidence": "{came_back} of {active}: {share}, usual {share_usual}, churn {rate_primary}"}
    rate = {"segment": "plan", "value": "basic", "definition": "silent", "eligible": 9, "churned": 1}
    rates = [
        rate | {"day": before(9), "rate": 0.11},
        rate | {"day": before(8), "rate": 0.22},
        rate | {"day": before(1), "rate": 0.99, "definition": "another"},
    ]
    (warning,) = raised(spark, world(rule), trend=[*usual(0.9), TREND | {"day": before(1)}], rates=rates)
    assert warning["evidence"] == "40 of 100: 0.40, usual 0.90, churn 0.22"


def test_an_open_warning_of_a_group_is_not_repeated(spark):
    group = {"scope": "group", "user_id": None, "rule_id": "away", "segment": "plan", "level": "orange"}
    earlier = [ALERT | group | {"alert_id": str(n), "value": f"{n} days ago", "day": before(n)} for n in (28, 36)]
    trend = [row for e in earlier for row in [*usual(0.9, value=e["value"]), TREND | {"day": before(1), "value": e["value"]}]]
    assert whom(raised(spark, world(RULE), trend=trend, alerts=earlier)) == [("plan=36 days ago", "away")]


def test_group_rules_speak_of_indicators_and_of_what_is_usual_of_them(spark):
    rule = RULE | {"when": "spend < 0.5 * spend_usual", "evidence": "{spend} a user, usual {spend_usual}"}
    one = world(rule, measures={"indicators": {"spend": {"of": "spend_cents", "days": 4}}})
    days = [TREND | {"day": before(2 + n), "indicators": {"spend": 100.0 + n}} for n in range(7)]
    newest = {"fell": 51.0, "held": 51.5}
    trend = [row | {"value": value} for value in newest for row in days]
    trend += [TREND | {"day": before(1), "value": value, "indicators": {"spend": spend}} for value, spend in newest.items()]
    (warning,) = raised(spark, one, trend=trend)
    assert (warning["value"], warning["evidence"]) == ("fell", "51 a user, usual 103")


FALL = RULE | {
    "when": "fall_p < 0.05 AND share < expected_share - 0.02",
    "evidence": "{share}, expected {expected_share}; {fall_because}",
}


def test_a_sudden_fall_warns_and_names_the_segment_that_explains_it_split_into_rate_and_mix(spark):
    days = 100
    settings = world(FALL, FALL | {"id": "base_away", "scope": "base"}, owners={"groups": "product"})
    found = raised(spark, settings, trend=falling(days, fall=0.3, first=before(days)))
    assert ("all=all", "base_away") in whom(found) and ("region=north", "away") in whom(found)
    assert "region=south" not in {subject for subject, _ in whom(found)}
    assert {w["owner"] for w in found} == {"product"}
    (base,) = (w for w in found if w["scope"] == "base")
    share, because = base["evidence"].split("; ", 1)
    # three tenths of the users of north, who are seven of twelve, are away
    now, expected = (float(part.split()[-1]) for part in share.split(", "))
    assert (now, expected) == pytest.approx((0.6 * (1 - 0.3 * 7 / 12), 0.6), abs=0.02)
    assert because.startswith("region=north ")
    assert "rate -" in because and "mix " in because
    # the same base, and nobody lost
    assert raised(spark, settings, trend=falling(days, fall=0.0, first=before(days))) == []


MARKET = {
    "sources": {
        "context": {"name": "c", "format": "csv", "path": "x", "map": dict.fromkeys(("day", "scope", "name", "value"), "x")}
    },
    "measures": {
        "context": {
            "own_price": {"name": "own", "change_days": 5},
            "competitor_price": {"name": "competitor", "scope": "plan"},
        }
    },
}


def test_a_price_gap_opens_a_task_of_the_product_in_the_group_whose_competitor_is_cheaper(spark):
    rule = RULE | {
        "when": "own_price > 1.1 * competitor_price AND own_price_change > 0",
        "evidence": "{own_price}, theirs {competitor_price}, {own_price_change} more",
    }
    market = [
        {"day": before(9), "scope": "base", "name": "own", "value": 10.0},
        {"day": before(2), "scope": "base", "name": "own", "value": 12.0},
        {"scope": "plan=basic", "name": "competitor", "value": 10.0},
        {"scope": "plan=gold", "name": "competitor", "value": 11.0},
    ]
    trend = [
        TREND | {"day": before(1), "segment": s, "value": v} for s, v in (("plan", "basic"), ("plan", "gold"), ("all", "all"))
    ]
    settings = world(rule, rule | {"id": "base_gap", "scope": "base"}, owners={"groups": "product"}, **MARKET)
    (warning,) = raised(spark, settings, trend=trend, context=market)
    assert (warning["segment"], warning["value"], warning["owner"]) == ("plan", "basic", "product")
    assert warning["evidence"] == "12, theirs 10, 2 more" and warning["due_on"] > DAY
    # a dearer competitor, or a price that did not move, is no gap
    assert raised(spark, settings, trend=trend, context=[row | {"value": 10.9} for row in market]) == []
