"""A trial of rules: counts, overlaps, and what became of those of whom they spoke."""

from datetime import date

import pytest

from churnwatch.core.intervals import wilson_interval
from churnwatch.reports.rule_trial import RuleOverlap, count_overlaps, precision_with_interval, replay_rules, stored_precision
from churnwatch.rulebook import Trial, off
from smallworld import contracts, rows, settings

DAY = date(2026, 3, 10)
LEVELS = [{"name": "yellow", "owner": "o", "within_days": 1}]
RULES = [
    {"id": "idle", "title": "t", "when": "orders_2d < 1", "level": "yellow", "cause": "price"},
    {"id": "cancelling", "title": "t", "when": "cancels_2d > 0", "level": "yellow", "cause": "price"},
    {"id": "soon", "title": "t", "when": "orders_2d < 1", "level": "yellow", "cause": "price", "valid_from": date(2026, 3, 11)},
    {"id": "facts", "title": "t", "when": "balance < 5", "needs": ["balance"], "level": "yellow", "cause": "price"},
]
ONE = settings(
    rules={"rules": RULES},
    causes={"causes": {"price": {"title": "p", "measures": ["orders"]}}},
    tiers={"tiers": [{"name": "critical", "top_share": 0.1, "level": "yellow"}, {"name": "low"}], "levels": LEVELS},
)
# user: orders, cancels, tier
PEOPLE = {
    "a": (0.0, 1.0, "critical"),
    "b": (0.0, 1.0, "low"),
    "c": (0.0, None, None),
    "d": (None, 0.0, "critical"),
    "e": (5.0, 0.0, "low"),
}


@pytest.fixture(scope="module")
def people(spark):
    """Users as rules see them."""
    given = [(user, *values) for user, values in PEOPLE.items()]
    return spark.createDataFrame(given, "user_id string, orders_2d double, cancels_2d double, tier string")


def test_users_are_counted_by_rule_and_by_two_rules_together_in_one_pass(people):
    found = count_overlaps(people, ONE.rules.rules[:2], ONE)
    trial = Trial(DAY, found, {}, {}, {}, None)
    assert trial.users == {"": 5, "idle": 3, "cancelling": 2, "model": 2}
    assert trial.overlaps(None) == [
        RuleOverlap("cancelling", "idle", 2),
        RuleOverlap("cancelling", "model", 1),
        RuleOverlap("idle", "model", 1),
    ]
    assert [pair.rule_id for pair in trial.overlaps("model")] == ["cancelling", "idle"]


def test_a_replay_counts_the_untreated_and_the_held_out_for_the_treated(people, spark):
    known = [("a", 1, False, 2.0), ("b", 0, False, 1.0), ("c", 1, True, 1.0), ("d", 0, False, 1.0), ("e", 0, False, 1.0)]
    labels = spark.createDataFrame(known, "user_id string, churned int, treated boolean, weight double")
    found = replay_rules(people, labels, ONE.rules.rules[:2], ONE)
    assert set(found) == {"", "idle", "cancelling", "model"}
    # a weighs 2, b 1: 2 of 3, as good as 9 / 5 users; c is treated
    assert (found["idle"].precision, found["idle"].users) == pytest.approx((2 / 3, 9 / 5))
    assert found[""].precision == pytest.approx(2 / 5)
    assert (found["model"].low, found["model"].high) == pytest.approx(wilson_interval(2 / 3 * 9 / 5, 9 / 5))


def test_stored_precision_adds_days_up_and_knows_days_without_looks(spark):
    row = {"day": DAY, "rule_id": "idle", "level": "all", "by": "rule", "matured": 9, "precision": 0.5, "effective": 40.0}
    given = [
        row,
        row | {"by": None, "effective": None, "matured": 60, "precision": 0.25},  # of before there were looks
        row | {"level": "yellow", "precision": 1.0},
        row | {"by": "region", "rule_id": "all", "precision": 1.0},
        row | {"rule_id": "unknown", "precision": None, "effective": None},
    ]
    found = stored_precision(rows(spark, contracts().alert_quality, given))
    assert found == {"idle": precision_with_interval(20 + 15, 100)}


def test_rules_not_in_force_are_named_with_the_reason():
    told = {rule.id: why for rule, why in off(ONE, DAY)}
    assert told == {
        "facts": "there is no column balance",
        "soon": "in force from 2026-03-11 to further notice",
    }
    assert [rule.id for rule, _ in off(ONE)] == ["facts"]
