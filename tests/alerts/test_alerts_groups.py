"""Rules of groups and the base: the newest trend day before the output day against what is usual."""

from alertworld import ALERT, TREND, before, raised, whom, world

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
